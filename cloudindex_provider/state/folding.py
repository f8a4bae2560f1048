"""Runs of a moment, made into one: a consumer of events ends a run every few seconds, for months.

What became of each key, the counters and the history go over to the run that stands for all of them; the small run's
own row goes. Whoever reads runs (the page, pruning, the guard over a day) then has a few an hour before it, not
thousands.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.blocks import among
from cloudindex_provider.state.conditions import KeyClass, Outcome
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run

__all__ = ["fold_run"]

# A person may have to decide about a run with a hold, or have decided about it. What a run knows of documents that
# stay without their object counts by the time of its own detection, so it isn't mixed with what others know.
_ITS_OWN = (
    "SELECT 1 FROM run WHERE id = :run AND (finished_at IS NULL"
    " OR EXISTS (SELECT 1 FROM hold WHERE hold.run_id = :run)"
    " OR EXISTS (SELECT 1 FROM approval WHERE approval.run_id = :run)"
    f" OR EXISTS (SELECT 1 FROM run_key WHERE run_key.run_id = :run AND class = '{KeyClass.REMOVED}'"
    f" AND coalesce(outcome, '') <> '{Outcome.DELETED}'))"
)
# Small runs end in any order: what the whole has found lately counts by the last of their detections.
_WHOLE = (
    "INSERT INTO run (source_id, dag_id, run_id, task_id, started_at, detected_at, finished_at, complete)"
    " SELECT source_id, dag_id, run_id, CAST(:whole AS text), started_at, detected_at, finished_at, complete"
    " FROM run WHERE id = :run"
    " ON CONFLICT (source_id, dag_id, run_id, task_id)"
    " DO UPDATE SET detected_at = CASE WHEN run.detected_at > excluded.detected_at THEN run.detected_at"
    " ELSE excluded.detected_at END,"
    " finished_at = CASE WHEN run.finished_at > excluded.finished_at THEN run.finished_at ELSE excluded.finished_at END"
    " RETURNING id"
)
# A key that came up again counts by the last of it.
_KEYS = (
    "INSERT INTO run_key (run_id, key, class, outcome, reason)"
    " SELECT CAST(:into AS bigint), key, class, outcome, reason FROM run_key WHERE run_id = :run ORDER BY key"
    " ON CONFLICT (run_id, key) DO UPDATE SET class = excluded.class, outcome = excluded.outcome,"
    " reason = excluded.reason"
)
_COUNTS = (
    "INSERT INTO run_count (run_id, name, value)"
    " SELECT CAST(:into AS bigint), name, value FROM run_count WHERE run_id = :run ORDER BY name"
    " ON CONFLICT (run_id, name) DO UPDATE SET value = run_count.value + excluded.value"
)
_FOUND = "UPDATE object SET queued_run = :into WHERE scope_id = :scope AND key {one_of} AND queued_run = :run"
_HISTORY = "UPDATE history SET run_id = :into WHERE source_id = :source AND key {one_of} AND run_id = :run"
_FORGET = tuple(f"DELETE FROM {table} WHERE {column} = :run" for table, column in (
    ("run_key", "run_id"), ("run_count", "run_id"), ("run", "id"),
))  # fmt: skip


def fold_run(db: Database, run: Run, *, into: str, keys: Collection[str]) -> bool:
    """Make a run that has its report a part of the run of the same Airflow run whose task is named ``into``.

    :param keys: all that the run was about
    :returns: false where it stays by itself: it isn't over, or somebody may still ask about it
    """
    with db.write() as connection:
        values = {"run": run.id, "scope": run.source.scope_id, "source": run.source.id}
        if connection.execute(sa.text(_ITS_OWN), values).first() is not None:
            return False
        whole = connection.execute(sa.text(_WHOLE), {**values, "whole": into}).scalar_one()
        _move(connection, {**values, "into": whole}, keys)
    return True


def _move(connection: Connection, values: dict[str, int], keys: Collection[str]) -> None:
    one_of, bound = among(connection, keys)
    for sql in (_KEYS, _COUNTS):
        connection.execute(sa.text(sql), values)
    for sql in (_FOUND, _HISTORY):
        connection.execute(sa.text(sql.format(one_of=one_of)), {**values, "keys": bound})
    for sql in _FORGET:
        connection.execute(sa.text(sql), values)
