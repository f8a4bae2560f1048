"""Every sync as a row: where it belongs, who runs it, what waits for a person, and how its last runs went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.api.pace import Pace
from cloudindex_provider.state.approvals import HoldRow, open_holds
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Source
from cloudindex_provider.state.runs import ENDED, UNTOLD

__all__ = [
    "Allowance", "Decision", "RunRow", "SyncRow", "read_allowances", "read_decision", "read_listed", "read_runs",
    "read_syncs",
]  # fmt: skip

_SOURCES = (
    "SELECT source.id, scope_id, project_id, bucket, prefix, sync_id, fingerprint, endpoint, last_sweep_at, audited_at,"
    " drifted, budget"
    " FROM source JOIN scope ON scope.id = source.scope_id{where} ORDER BY project_id, bucket, prefix, sync_id"
)
_DAGS = (
    "SELECT source_id, dag_id FROM run WHERE dag_id <> ''{run} UNION SELECT source_id, dag_id FROM selection"
    " WHERE dag_id <> ''{run} UNION SELECT source_id, dag_id FROM plan WHERE dag_id <> ''{run} ORDER BY 1, 2"
)
_PLANNED = "SELECT source_id FROM plan WHERE complete = 1"
_HELD_RUNS = "SELECT source_id, run_id FROM hold WHERE ended_at IS NULL"
_RUNS = (
    "SELECT id, source_id, dag_id, run_id, task_id, started_at, detected_at, wait_started_at, finished_at, complete,"
    " deletes_blocked FROM (SELECT run.*, row_number() OVER (PARTITION BY source_id ORDER BY started_at DESC, id DESC)"
    " AS place FROM run WHERE source_id IN :sources AND started_at < :before) AS ranked"
    " WHERE place <= :limit ORDER BY started_at DESC, id DESC"
)
_LATEST = 1e12  # in some thirty thousand years
_BUDGETS = "SELECT name, next_at, closed_until, allowed, length, window_ends, remaining, hourly, hourly_until FROM pace"


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run with its counters: those of its report where it has one, else what it has counted so far. Seconds since
    1970."""

    id: int
    source_id: int
    dag_id: str
    run_id: str
    task_id: str
    started_at: float
    detected_at: float | None
    wait_started_at: float | None
    finished_at: float | None
    complete: bool
    deletes_blocked: str | None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SyncRow:
    """A sync; ``dag_ids`` are those whose runs and dry runs it has seen, ``held_run`` is the run whose deletes are
    held, ``budget`` names the budget of requests that its tasks use."""

    source: Source
    last_sweep_at: float | None
    audited_at: float | None
    drifted: int | None
    budget: str | None
    dag_ids: tuple[str, ...]
    hold: HoldRow | None
    held_run: int | None
    is_planned: bool = False  # there was a dry run


@dataclass(frozen=True, slots=True)
class Allowance:
    """What CloudIndex allows, as its last answers said; ``closed_for``: seconds in which it takes nothing."""

    requests_per_minute: float | None
    remaining: int | None
    closed_for: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person has said about the deletes that wait."""

    at: float
    event: str
    reason: str | None


def read_syncs(db: Database, source_id: int | None = None) -> list[SyncRow]:
    """Every sync of the state, or one, by project, bucket and prefix."""
    values = {} if source_id is None else {"source": source_id}
    where = "" if source_id is None else " WHERE source.id = :source"
    of_run = "" if source_id is None else " AND source_id = :source"
    holds = {one.source_id: one for one in open_holds(db, source_id)}
    with db.read() as connection:
        sources = connection.execute(sa.text(_SOURCES.format(where=where)), values).all()
        dags: dict[int, list[str]] = {}
        for one, dag_id in connection.execute(sa.text(_DAGS.format(run=of_run)), values):
            dags.setdefault(one, []).append(dag_id)
        held: dict[int, int] = {row[0]: row[1] for row in connection.execute(sa.text(_HELD_RUNS))}
        planned = set(connection.execute(sa.text(_PLANNED)).scalars())
    return [
        SyncRow(
            Source(*row[:8]),
            row[8],
            row[9],
            row[10],
            row[11],
            tuple(dags.get(row[0], ())),
            holds.get(row[0]),
            held.get(row[0]),
            row[0] in planned,
        )
        for row in sources
    ]


def read_runs(
    db: Database, source_ids: Sequence[int], *, limit: int, before: float | None = None, counted: bool = True
) -> dict[int, list[RunRow]]:
    """The last runs of each of some syncs, newest first.

    :param before: only those that began before that moment
    :param counted: with their counters
    """
    if not source_ids:
        return {}
    statement = sa.text(_RUNS).bindparams(sa.bindparam("sources", expanding=True))
    values = {"sources": list(source_ids), "before": _LATEST if before is None else before, "limit": limit}
    found: dict[int, list[RunRow]] = {}
    with db.read() as connection:
        rows = connection.execute(statement, values).all()
        counts = _counts(connection, [row[0] for row in rows] if counted else [])
    for row in rows:
        shown = _final(counts.get(row[0], {}), ended=row[8] is not None)
        run = RunRow(**{**row._mapping, "complete": bool(row.complete), "counts": shown})
        found.setdefault(row[1], []).append(run)
    return found


def _counts(connection: Connection, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    counts: dict[int, dict[str, int]] = {}
    if not run_ids:
        return counts
    statement = sa.text("SELECT run_id, name, value FROM run_count WHERE run_id IN :runs")
    for run_id, name, value in connection.execute(
        statement.bindparams(sa.bindparam("runs", expanding=True)), {"runs": list(run_ids)}
    ):
        counts.setdefault(run_id, {})[name] = int(value)
    return counts


def _final(counts: Mapping[str, int], *, ended: bool) -> dict[str, int]:
    """The report's own numbers where there is a report."""
    report = {name.removeprefix(ENDED): value for name, value in counts.items() if name.startswith(ENDED)}
    running = {name: value for name, value in counts.items() if not name.startswith((ENDED, UNTOLD))}
    if not (ended and report):
        return running
    return {name: value for name, value in running.items() if ":" in name} | report


def read_listed(db: Database, run_ids: Sequence[int]) -> dict[int, int]:
    """How many objects these runs have listed: by their report where they have one, else by what they have counted."""
    found: dict[int, int] = {}
    if not run_ids:
        return found
    names = ("listed", f"{ENDED}listed")  # the latter comes last, and is what counts
    statement = sa.text("SELECT run_id, name, value FROM run_count WHERE run_id IN :runs AND name IN :names")
    statement = statement.bindparams(*(sa.bindparam(one, expanding=True) for one in ("runs", "names")))
    with db.read() as connection:
        rows = connection.execute(statement, {"runs": list(run_ids), "names": names}).all()
    for run_id, _, value in sorted(rows, key=lambda row: names.index(row[1])):
        found[run_id] = int(value)
    return found


def read_allowances(db: Database) -> dict[str, Allowance]:
    """What CloudIndex allows by each budget of requests, by its name."""
    found: dict[str, Allowance] = {}
    with db.read() as connection:
        rows = connection.execute(sa.text(_BUDGETS)).all()
        now = db.now(connection)
    for row in rows:
        pace = Pace(**{name: value for name, value in row._mapping.items() if name != "name"})
        usual = pace.usual(now)
        found[row.name] = Allowance(60 / usual if usual else None, pace.left(now), max(0.0, pace.closed_until - now))
    return found


def read_decision(db: Database, source_id: int) -> Decision | None:
    """The last word of a person about this sync's deletes."""
    with db.read() as connection:
        row = connection.execute(
            sa.text(
                "SELECT at, event, reason FROM history WHERE source_id = :source AND key = '' ORDER BY id DESC LIMIT 1"
            ),
            {"source": source_id},
        ).one_or_none()
    return None if row is None else Decision(*row)
