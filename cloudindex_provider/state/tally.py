"""What the report reads: outcomes of a run, what has none yet, and examples of what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.conditions import CLAIMED, WORK, KeyClass, Outcome, Status
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run

__all__ = ["Tally", "read_tally"]

# Keys that the run answers for and that have no outcome, with their rows: those that it has claimed or that a later run
# has found, too, and those that only their own row says it has found.
_OPEN = (
    "SELECT object.status, object.claim_owner, object.claim_until FROM run_key LEFT JOIN object"
    " ON object.scope_id = :scope AND object.key = run_key.key AND object.source_id = :source"
    f" WHERE run_key.run_id = :run AND run_key.class <> '{KeyClass.REMOVED}' AND run_key.outcome IS NULL"
    " UNION ALL SELECT status, claim_owner, claim_until FROM object"
    f" WHERE source_id = :source AND {WORK} AND status <> '{Status.SKIPPED}' AND queued_run = :run"
    " AND NOT EXISTS (SELECT 1 FROM run_key WHERE run_id = :run AND run_key.key = object.key)"
)
_KEPT = f"FROM run_key WHERE run_id = :run AND class = '{KeyClass.REMOVED}' AND outcome = '{Outcome.KEPT}'"
_FATE = (
    f"CASE WHEN status = '{Status.QUARANTINED}' THEN '{Outcome.QUARANTINED}'"
    f" WHEN status IS NULL OR status IN ('{Status.INDEXED}', '{Status.SKIPPED}') OR {CLAIMED}"
    f" THEN '{Outcome.ELSEWHERE}' ELSE 'deferred' END"
)


@dataclass(slots=True)
class Tally:
    """Numbers of keys, and examples as (key, status or outcome, reason)."""

    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)  # (class, outcome) of this run's listed keys
    kept: int = 0  # removed keys whose documents stay
    open: dict[str, int] = field(default_factory=dict)  # fate -> keys without an outcome
    stale: int = 0  # live documents that S3 has a newer version of
    failures: list[tuple[str, str, str | None]] = field(default_factory=list)
    kept_keys: list[tuple[str, str, str | None]] = field(default_factory=list)
    skips: list[tuple[str, str, str | None]] = field(default_factory=list)
    quarantined: list[tuple[str, str, str | None]] = field(default_factory=list)


def read_tally(db: Database, run: Run, *, examples: int = 20) -> Tally:
    """Everything that the report needs, in one snapshot."""
    with db.read() as connection:
        values = {
            "run": run.id, "source": run.source.id, "scope": run.source.scope_id, "now": db.now(connection),
            "limit": examples,
        }  # fmt: skip
        return Tally(
            outcomes=_outcomes(connection, values),
            kept=int(connection.execute(sa.text(f"SELECT count(*) {_KEPT}"), values).scalar_one()),
            open=_open(connection, values),
            stale=_stale(connection, values),
            failures=_rows(
                connection,
                "SELECT key, outcome, reason FROM run_key WHERE run_id = :run"
                f" AND outcome IN ('{Outcome.FAILED}', '{Outcome.QUARANTINED}')"
                " ORDER BY key LIMIT :limit",
                values,
            ),
            kept_keys=_rows(connection, f"SELECT key, outcome, reason {_KEPT} ORDER BY key LIMIT :limit", values),
            skips=_rows(
                connection,
                "SELECT key, status, reason FROM object"
                f" WHERE source_id = :source AND status = '{Status.SKIPPED}' AND {WORK} ORDER BY key LIMIT :limit",
                values,
            ),
            quarantined=_rows(
                connection,
                "SELECT key, status, reason FROM object"
                f" WHERE source_id = :source AND status = '{Status.QUARANTINED}' AND {WORK} ORDER BY key LIMIT :limit",
                values,
            ),
        )


def _rows(connection: Connection, sql: str, values: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(row[0], row[1], row[2]) for row in connection.execute(sa.text(sql), values)]


def _outcomes(connection: Connection, values: dict[str, Any]) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        sa.text(
            "SELECT class, outcome, count(*) FROM run_key WHERE run_id = :run"
            f" AND class <> '{KeyClass.REMOVED}' AND outcome IS NOT NULL GROUP BY 1, 2"
        ),
        values,
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}


def _open(connection: Connection, values: dict[str, Any]) -> dict[str, int]:
    rows = connection.execute(sa.text(f"SELECT {_FATE}, count(*) FROM ({_OPEN}) AS unanswered GROUP BY 1"), values)
    return {row[0]: int(row[1]) for row in rows}


def _stale(connection: Connection, values: dict[str, Any]) -> int:
    statement = sa.text(
        f"SELECT count(*) FROM object WHERE source_id = :source AND {WORK}"
        f" AND status <> '{Status.DELETING}' AND document_id IS NOT NULL"
        " AND (indexed_etag IS NULL OR indexed_etag <> etag)"
    )
    return int(connection.execute(statement, values).scalar_one())
