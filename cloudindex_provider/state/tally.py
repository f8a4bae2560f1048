"""What the report reads: outcomes of a run, what has none yet, and examples of what went wrong."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.blocks import among
from cloudindex_provider.state.conditions import CLAIMED, IDLE, WORK, KeyClass, Outcome, Status
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run

__all__ = ["DEFERRED", "EXAMPLES", "Tally", "count_underway", "read_lags", "read_tally"]

_MOST_LAGS = 10_000  # about; for percentiles, without the memory of all
EXAMPLES = 20  # keys that each list names
DEFERRED = "deferred"  # the fate of what no run has dealt with
# Keys that the run answers for and that have no outcome, with their rows: those that it has claimed or that a later run
# has found, too, and those that only their own row says it has found.
_NOTED = (
    "SELECT run_key.key AS key, object.status, object.reason, object.claim_owner, object.claim_until, object.intent_at"
    " FROM run_key LEFT JOIN object"
    " ON object.scope_id = :scope AND object.key = run_key.key AND object.source_id = :source"
    f" WHERE run_key.run_id = :run AND run_key.class <> '{KeyClass.REMOVED}' AND run_key.outcome IS NULL"
)
_FOUND = (
    f"source_id = :source AND {WORK} AND status <> '{Status.SKIPPED}' AND queued_run = :run"
    " AND NOT EXISTS (SELECT 1 FROM run_key WHERE run_id = :run AND run_key.key = object.key)"
)
_KEPT = f"FROM run_key WHERE run_id = :run AND class = '{KeyClass.REMOVED}' AND outcome = '{Outcome.KEPT}'"
_OPEN = f"{_NOTED} UNION ALL SELECT key, status, reason, claim_owner, claim_until, intent_at FROM object WHERE {_FOUND}"
_FATE = (
    f"CASE WHEN status = '{Status.QUARANTINED}' THEN '{Outcome.QUARANTINED}'"
    f" WHEN status IS NULL OR status IN ('{Status.INDEXED}', '{Status.SKIPPED}') OR {CLAIMED}"
    f" THEN '{Outcome.ELSEWHERE}' ELSE '{DEFERRED}' END"
)


# Why a key without an outcome has its fate.
_WHY = (
    f"CASE WHEN {CLAIMED} THEN 'worked on by ' || claim_owner"
    " WHEN status IS NULL THEN 'another run has dealt with it'"
    f" WHEN status IN ('{Status.INDEXED}', '{Status.SKIPPED}') THEN 'another run has dealt with it: ' || status"
    f" WHEN status = '{Status.PROCESSING}' THEN 'CloudIndex still processes it'"
    f" WHEN status = '{Status.UPLOADING}' THEN coalesce('its upload is in doubt: ' || reason, 'its upload is in doubt')"
    f" WHEN status = '{Status.DELETING}' THEN 'the delete of its document was not finished'"
    " WHEN reason IS NOT NULL THEN 'not tried: ' || reason ELSE 'not tried yet' END"
)
# When a document that still processes was sent, which says whether it is stuck.
_SINCE = f"CASE WHEN status = '{Status.PROCESSING}' AND NOT {CLAIMED} THEN intent_at END"


@dataclass(slots=True)
class Tally:
    """Numbers of keys, and examples as (key, status or outcome, reason)."""

    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)  # (class, outcome) of this run's listed keys
    kept: int = 0  # removed keys whose documents stay
    open: dict[str, int] = field(default_factory=dict)  # fate -> keys without an outcome
    stale: int = 0  # live documents that S3 has a newer version of
    failures: list[tuple[str, str, str | None]] = field(default_factory=list)
    kept_keys: list[tuple[str, str, str | None]] = field(default_factory=list)
    unsettled: list[tuple[str, str, str | None]] = field(default_factory=list)  # deferred, elsewhere and gone ones
    skips: list[tuple[str, str, str | None]] = field(default_factory=list)
    quarantined: list[tuple[str, str | None, str | None]] = field(default_factory=list)  # key, reason, when again


def read_tally(db: Database, run: Run, *, keys: Collection[str] | None = None, examples: int = EXAMPLES) -> Tally:
    """Everything that the report needs, in one snapshot.

    :param keys: of a run of named keys: those of others aren't its report's
    """
    with db.read() as connection:
        values = {
            "run": run.id, "source": run.source.id, "scope": run.source.scope_id, "now": db.now(connection),
            "limit": examples,
        }  # fmt: skip
        one_of, bound = among(connection, sorted(keys)) if keys is not None else ("", None)
        of_run, named = (f" AND key {one_of}", {"keys": bound}) if one_of else ("", {})
        return Tally(
            outcomes=_outcomes(connection, values),
            kept=int(connection.execute(sa.text(f"SELECT count(*) {_KEPT}"), values).scalar_one()),
            open=_open(connection, values),
            stale=_stale(connection, {**values, **named}, of_run),
            failures=_rows(
                connection,
                "SELECT key, outcome, reason FROM run_key WHERE run_id = :run"
                f" AND outcome IN ('{Outcome.FAILED}', '{Outcome.QUARANTINED}')"
                " ORDER BY key LIMIT :limit",
                values,
            ),
            kept_keys=_rows(connection, f"SELECT key, outcome, reason {_KEPT} ORDER BY key LIMIT :limit", values),
            unsettled=_unsettled(connection, values),
            skips=_rows(
                connection,
                "SELECT key, status, reason FROM object"
                f" WHERE source_id = :source AND status = '{Status.SKIPPED}' AND {WORK}{of_run}"
                " ORDER BY key LIMIT :limit",
                {**values, **named},
            ),
            quarantined=_quarantined(connection, {**values, **named}, of_run),
        )


def count_underway(db: Database, run: Run) -> int:
    """How many of the run's keys somebody works on: claimed, being uploaded, in doubt, or being processed."""
    statement = sa.text(
        f"SELECT count(*) FROM ({_OPEN}) AS unanswered"
        f" WHERE status IN ('{Status.UPLOADING}', '{Status.PROCESSING}') OR {CLAIMED}"
    )
    with db.read() as connection:
        values = {
            "run": run.id, "source": run.source.id, "scope": run.source.scope_id, "now": db.now(connection),
        }  # fmt: skip
        return int(connection.execute(statement, values).scalar_one())


def read_lags(db: Database, run: Run, indexed: int) -> list[float]:
    """Of documents that the run has seen processed, the seconds since S3 had their objects; of a large run, some that
    are spread evenly over the keys. No clock that is ahead makes them negative.

    :param indexed: how many documents those are
    """
    statement = sa.text(
        "SELECT history.at, object.last_modified FROM (SELECT key, row_number() OVER (ORDER BY key) AS place"
        f" FROM run_key WHERE run_id = :run AND outcome = '{Outcome.INDEXED}') AS chosen"
        " JOIN object ON object.scope_id = :scope AND object.key = chosen.key"
        " JOIN history ON history.source_id = :source AND history.key = chosen.key AND history.run_id = :run"
        f" AND history.event = '{Status.INDEXED}' WHERE place % :step = 0"
    )
    step = max(1, indexed // _MOST_LAGS)
    values = {"run": run.id, "source": run.source.id, "scope": run.source.scope_id, "step": step}
    with db.read() as connection:
        found = [(at, _seconds(modified)) for at, modified in connection.execute(statement, values)]
    return [max(0.0, at - since) for at, since in found if since is not None]


def _seconds(moment: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 text, as S3 lists it; ``None`` where a storage lists something else."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None


def _rows(connection: Connection, sql: str, values: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(row[0], row[1], _dated(*row[2:])) for row in connection.execute(sa.text(sql), values)]


def _dated(reason: str | None, since: float | None = None) -> str | None:
    return reason if since is None else f"{reason}, since {_moment(since)}"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _quarantined(
    connection: Connection, values: dict[str, Any], of_run: str
) -> list[tuple[str, str | None, str | None]]:
    """Examples in key order, with when a run looks at them again."""
    statement = sa.text(
        "SELECT key, reason, next_attempt_at FROM object"
        f" WHERE source_id = :source AND status = '{Status.QUARANTINED}' AND {WORK}{of_run} ORDER BY key LIMIT :limit"
    )
    return [
        (key, reason, None if at is None else _moment(at)) for key, reason, at in connection.execute(statement, values)
    ]


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


def _unsettled(connection: Connection, values: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """The first keys that are deferred, elsewhere or gone. Each query follows an index: the backlog may be long."""
    statuses = (Status.FAILED, Status.PENDING, Status.UPLOADING, Status.PROCESSING, Status.DELETING)
    fates = (DEFERRED, Outcome.ELSEWHERE)
    queries = [
        f"SELECT key, {_FATE}, {_WHY}, {_SINCE} FROM ({_NOTED}) AS noted WHERE {_FATE} = '{fate}'" for fate in fates
    ]
    queries += [
        f"SELECT key, {_FATE}, {_WHY}, {_SINCE} FROM object WHERE status = '{status}' AND {IDLE} AND {_FOUND}"
        for status in statuses
    ]
    queries += [
        f"SELECT key, {_FATE}, {_WHY}, {_SINCE} FROM object WHERE claim_owner IS NOT NULL AND {CLAIMED} AND {_FOUND}",
        "SELECT key, outcome, reason FROM run_key WHERE run_id = :run"
        f" AND outcome IN ('{Outcome.GONE}', '{Outcome.ELSEWHERE}')",
    ]
    rows = [row for sql in queries for row in _rows(connection, f"{sql} ORDER BY key LIMIT :limit", values)]
    return sorted(rows, key=lambda row: row[0])


def _stale(connection: Connection, values: dict[str, Any], of_run: str) -> int:
    statement = sa.text(
        f"SELECT count(*) FROM object WHERE source_id = :source AND {WORK}"
        f" AND status <> '{Status.DELETING}' AND document_id IS NOT NULL"
        " AND (indexed_etag IS NULL OR indexed_etag <> etag)"
        # Of a skipped key nothing may be known, after the loss of a state, and nobody looks.
        f" AND NOT (status = '{Status.SKIPPED}' AND coalesce(indexed_etag, '') = ''){of_run}"
    )
    return int(connection.execute(statement, values).scalar_one())
