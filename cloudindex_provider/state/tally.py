"""What the report reads: outcomes of a run, what no outcome was written for, and examples of what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.conditions import CLAIMED, WORK
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run

__all__ = ["Tally", "read_tally"]

# Rows of this source that still want work and that this run has not dealt with. What a later run queued isn't ours.
_UNTOUCHED = (
    f"source_id = :source AND {WORK} AND status IN ('pending', 'uploading', 'processing', 'failed', 'quarantined')"
    " AND coalesce(queued_run, 0) <= :run"
    " AND NOT EXISTS (SELECT 1 FROM run_key WHERE run_id = :run AND run_key.key = object.key)"
)
# Seconds after which a run without an end is taken to have died; it would excuse every later imbalance otherwise.
_LONGEST_RUN = 86400


@dataclass(slots=True)
class Tally:
    """Numbers of keys, and examples as (key, status or outcome, reason)."""

    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)  # (class, outcome or "") of this run's keys
    untouched: dict[str, int] = field(default_factory=dict)  # status -> rows; "elsewhere" are claimed by others
    stale: int = 0  # live documents that S3 has a newer version of
    overlapping: bool = False  # another run of this sync worked at the same time
    failures: list[tuple[str, str, str | None]] = field(default_factory=list)
    skips: list[tuple[str, str, str | None]] = field(default_factory=list)
    quarantined: list[tuple[str, str, str | None]] = field(default_factory=list)


def read_tally(db: Database, run: Run, *, examples: int = 20) -> Tally:
    """Everything that the report needs, in one snapshot."""
    with db.read() as connection:
        values = {"run": run.id, "source": run.source.id, "now": db.now(connection), "limit": examples}
        return Tally(
            outcomes=_outcomes(connection, values),
            untouched=_untouched(connection, values),
            stale=_stale(connection, values),
            overlapping=_overlapping(connection, values),
            failures=_rows(
                connection,
                "SELECT key, outcome, reason FROM run_key WHERE run_id = :run AND outcome IN ('failed', 'quarantined')"
                " ORDER BY key LIMIT :limit",
                values,
            ),
            skips=_rows(
                connection,
                f"SELECT key, status, reason FROM object WHERE source_id = :source AND status = 'skipped' AND {WORK}"
                " ORDER BY key LIMIT :limit",
                values,
            ),
            quarantined=_rows(
                connection,
                "SELECT key, status, reason FROM object"
                f" WHERE source_id = :source AND status = 'quarantined' AND {WORK} ORDER BY key LIMIT :limit",
                values,
            ),
        )


def _rows(connection: Connection, sql: str, values: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(row[0], row[1], row[2]) for row in connection.execute(sa.text(sql), values)]


def _outcomes(connection: Connection, values: dict[str, Any]) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        sa.text("SELECT class, coalesce(outcome, ''), count(*) FROM run_key WHERE run_id = :run GROUP BY 1, 2"), values
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}


def _untouched(connection: Connection, values: dict[str, Any]) -> dict[str, int]:
    rows = connection.execute(
        sa.text(
            "SELECT CASE WHEN status = 'quarantined' THEN 'quarantined'"
            f" WHEN {CLAIMED} THEN 'elsewhere' ELSE 'deferred' END, count(*)"
            f" FROM object WHERE {_UNTOUCHED} GROUP BY 1"
        ),
        values,
    )
    return {row[0]: int(row[1]) for row in rows}


def _stale(connection: Connection, values: dict[str, Any]) -> int:
    statement = sa.text(
        f"SELECT count(*) FROM object WHERE source_id = :source AND {WORK}"
        " AND status <> 'deleting' AND document_id IS NOT NULL AND (indexed_etag IS NULL OR indexed_etag <> etag)"
    )
    return int(connection.execute(statement, values).scalar_one())


def _overlapping(connection: Connection, values: dict[str, Any]) -> bool:
    statement = sa.text(
        "SELECT count(*) FROM run AS other JOIN run AS this ON this.id = :run WHERE other.source_id = :source"
        " AND other.id <> this.id AND (other.finished_at >= this.started_at"
        f" OR (other.finished_at IS NULL AND other.started_at >= this.started_at - {_LONGEST_RUN}))"
    )
    return bool(connection.execute(statement, values).scalar_one())
