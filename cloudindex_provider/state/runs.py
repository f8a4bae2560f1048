"""Sources, runs, their counters and the history: who asked for what, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run, RunName, Source

__all__ = [
    "add_counts",
    "add_s3_calls",
    "counts",
    "find_run",
    "finish_run",
    "mark_wait_started",
    "note_history",
    "open_source",
    "prune",
    "prune_daily",
    "run_age",
    "start_run",
]

# What a detection counts, and what depends on it.
_DETECTED = (
    "(name IN ('listed', 'new', 'changed', 'unchanged', 'skipped', 'removed', 'excluded', 'live', 'held')"
    " OR name LIKE 'skipped:%')"
)
_STILL_FAILED = (
    "(outcome IN ('failed', 'quarantined') AND EXISTS (SELECT 1 FROM object"
    " WHERE object.scope_id = :scope AND object.key = run_key.key AND (object.status = 'quarantined'"
    " OR (object.status = 'failed' AND object.next_attempt_at > :now))))"
)
_RUN_COLUMNS = "id, started_at, detected_at, wait_started_at, complete, deletes_blocked, mass_delete"


def open_source(db: Database, *, project_id: str, bucket: str, prefix: str, sync_id: str = "") -> Source:
    """The source's row, made at its first use."""
    with db.write() as connection:
        scope_id = _get_or_insert(
            connection,
            "scope",
            {"project_id": project_id, "bucket": bucket},
            "project_id = :project_id AND bucket = :bucket",
        )
        source_id = _get_or_insert(
            connection,
            "source",
            {"scope_id": scope_id, "prefix": prefix, "sync_id": sync_id},
            "scope_id = :scope_id AND prefix = :prefix AND sync_id = :sync_id",
        )
        fingerprint = connection.execute(
            sa.text("SELECT fingerprint FROM source WHERE id = :id"), {"id": source_id}
        ).scalar_one()
    return Source(source_id, scope_id, project_id, bucket, prefix, sync_id, fingerprint)


def _get_or_insert(connection: Connection, table: str, values: Mapping[str, Any], where: str) -> int:
    # Table and column names are this module's own; values are bound.
    names = ", ".join(values)
    params = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({params}) ON CONFLICT DO NOTHING"), values)
    return int(connection.execute(sa.text(f"SELECT id FROM {table} WHERE {where}"), values).scalar_one())


def start_run(db: Database, source: Source, name: RunName) -> Run:
    """Begin the run's detection, or begin it again after a failed try.

    What a detection counts is counted anew; what the run has done stays done, and what failed in it and may not be
    tried again yet stays a failure of this run.
    """
    names = {"source_id": source.id, "dag_id": name.dag_id, "run_id": name.run_id, "task_id": name.task_id}
    with db.write() as connection:
        now = db.now(connection)
        run_id = connection.execute(
            sa.text(
                "INSERT INTO run (source_id, dag_id, run_id, task_id, started_at)"
                " VALUES (:source_id, :dag_id, :run_id, :task_id, :now)"
                " ON CONFLICT (source_id, dag_id, run_id, task_id) DO UPDATE SET started_at = :now, detected_at = NULL,"
                " wait_started_at = NULL, finished_at = NULL, complete = 0, deletes_blocked = NULL, mass_delete = 0"
                " RETURNING id"
            ),
            {**names, "now": now},
        ).scalar_one()
        values = {"id": run_id, "scope": source.scope_id, "now": now}
        connection.execute(sa.text(f"DELETE FROM run_count WHERE run_id = :id AND {_DETECTED}"), values)
        connection.execute(sa.text(f"DELETE FROM run_key WHERE run_id = :id AND NOT {_STILL_FAILED}"), values)
    return Run(run_id, source, name, now, None, None, complete=False, deletes_blocked=None, mass_delete=False)


def find_run(db: Database, source: Source, name: RunName) -> Run | None:
    """The run that a detection began, or ``None``."""
    with db.read() as connection:
        row = connection.execute(
            sa.text(
                f"SELECT {_RUN_COLUMNS} FROM run WHERE source_id = :source_id"
                " AND dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id"
            ),
            {"source_id": source.id, "dag_id": name.dag_id, "run_id": name.run_id, "task_id": name.task_id},
        ).one_or_none()
    if row is None:
        return None
    return Run(
        row[0],
        source,
        name,
        row[1],
        row[2],
        row[3],
        complete=bool(row[4]),
        deletes_blocked=row[5],
        mass_delete=bool(row[6]),
    )


def mark_wait_started(db: Database, run: Run) -> float:
    """Seconds since the run's first wait began; the first call begins it."""
    with db.write() as connection:
        now = db.now(connection)
        connection.execute(
            sa.text("UPDATE run SET wait_started_at = :now WHERE id = :id AND wait_started_at IS NULL"),
            {"now": now, "id": run.id},
        )
        begun = connection.execute(
            sa.text("SELECT wait_started_at FROM run WHERE id = :id"), {"id": run.id}
        ).scalar_one()
    return float(now - begun)


def run_age(db: Database, run: Run) -> float:
    """Seconds since the run's detection began, by the database's clock."""
    with db.read() as connection:
        return db.now(connection) - run.started_at


def finish_run(db: Database, run: Run) -> None:
    """Close the run: what has no outcome by now is deferred to the next one."""
    with db.write() as connection:
        connection.execute(
            sa.text("UPDATE run SET finished_at = :now WHERE id = :id"), {"now": db.now(connection), "id": run.id}
        )


def add_counts(connection: Connection, run_id: int, values: Mapping[str, int]) -> None:
    """Add to the run's counters, in the transaction of the rows that they count."""
    # In one order, so that two transactions never wait for each other's counters.
    rows = [{"run_id": run_id, "name": name, "value": value} for name, value in sorted(values.items()) if value]
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO run_count (run_id, name, value) VALUES (:run_id, :name, :value)"
                " ON CONFLICT (run_id, name) DO UPDATE SET value = run_count.value + excluded.value"
            ),
            rows,
        )


def add_s3_calls(db: Database, run: Run, calls: Mapping[str, int]) -> None:
    """Add S3 requests, by operation, to the run's counters."""
    with db.write() as connection:
        add_counts(connection, run.id, {f"s3:{name}": number for name, number in calls.items()})


def counts(db: Database, run: Run) -> dict[str, int]:
    """The run's counters so far."""
    with db.read() as connection:
        rows = connection.execute(sa.text("SELECT name, value FROM run_count WHERE run_id = :id"), {"id": run.id})
        return {name: int(value) for name, value in rows}


def note_history(db: Database, connection: Connection, run: Run, events: Iterable[tuple[str, str, str | None]]) -> None:
    """Write (key, event, reason) to the history, in the transaction of the rows that changed."""
    now = db.now(connection)
    rows = [
        {"source_id": run.source.id, "key": key, "at": now, "run_id": run.id, "event": event, "reason": reason}
        for key, event, reason in events
    ]
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO history (source_id, key, at, run_id, event, reason)"
                " VALUES (:source_id, :key, :at, :run_id, :event, :reason)"
            ),
            rows,
        )


def prune_daily(db: Database, source: Source, *, days: float, blocks: int = 20) -> int:
    """``prune`` in as many blocks as needed, at most ``blocks``; at most once a day, because it reads the history."""
    name = f"pruned:{source.id}"
    with db.write() as connection:
        now = db.now(connection)
        last = connection.execute(sa.text("SELECT value FROM meta WHERE name = :name"), {"name": name}).scalar()
        if last is not None and now - float(last) < 86400:
            return 0
        connection.execute(
            sa.text(
                "INSERT INTO meta (name, value) VALUES (:name, :now)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            ),
            {"name": name, "now": str(now)},
        )
    total = 0
    for _ in range(blocks):
        gone = prune(db, source, days=days)
        total += gone
        if not gone:
            break
    return total


def prune(db: Database, source: Source, *, days: float, keep: int = 5, block: int = 5000) -> int:
    """Forget history older than ``days``, but never a key's last ``keep`` events, and the keys of runs as old.

    A block of each a call; gives how many rows went, 0 when nothing is left to forget. A run's counters stay.
    """
    with db.write() as connection:
        before = db.now(connection) - days * 86400
        deleted = connection.execute(
            sa.text(
                "DELETE FROM history WHERE id IN (SELECT id FROM (SELECT id, at, row_number() OVER"
                " (PARTITION BY key ORDER BY id DESC) AS place FROM history WHERE source_id = :source_id) AS ranked"
                " WHERE at < :before AND place > :keep LIMIT :block)"
            ),
            {"source_id": source.id, "before": before, "keep": keep, "block": block},
        ).rowcount
        keys = connection.execute(
            sa.text(
                "DELETE FROM run_key WHERE (run_id, key) IN (SELECT run_id, key FROM run_key WHERE run_id IN"
                " (SELECT id FROM run WHERE source_id = :source_id AND started_at < :before) LIMIT :block)"
            ),
            {"source_id": source.id, "before": before, "block": block},
        ).rowcount
    return int(deleted) + int(keys)
