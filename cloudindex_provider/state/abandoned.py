"""Runs of a task that ended before their work was done, because their process died: what they found and didn't settle.

For who follows events: nobody tells of a key a second time, so what was committed and not done is found again here.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from cloudindex_provider.state.conditions import WORK
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Source

__all__ = ["abandoned_keys", "abandoned_runs", "close_abandoned"]


def abandoned_runs(db: Database, source: Source, *, dag_id: str, task_prefix: str) -> list[int]:
    """Numbers of the source's runs without an end whose task's name begins so."""
    statement = sa.text(
        "SELECT id FROM run WHERE source_id = :source AND dag_id = :dag AND finished_at IS NULL"
        " AND substr(task_id, 1, :length) = :prefix ORDER BY id"
    )
    with db.read() as connection:
        values = {"source": source.id, "dag": dag_id, "prefix": task_prefix, "length": len(task_prefix)}
        return [int(number) for number in connection.execute(statement, values).scalars()]


def abandoned_keys(db: Database, source: Source, runs: Sequence[int]) -> list[str]:
    """The keys that these runs have found and nobody has settled since, in key order; and those of which a document
    is still to be deleted, whoever has replaced it."""
    found: set[str] = set()
    with db.read() as connection:
        if runs:
            replaced = sa.text("SELECT key FROM superseded WHERE source_id = :source")
            found.update(connection.execute(replaced, {"source": source.id}).scalars())
        for run in runs:
            values = {"run": run, "source": source.id}
            for sql in (
                f"SELECT key FROM object WHERE source_id = :source AND {WORK} AND queued_run = :run",
                "SELECT key FROM run_key WHERE run_id = :run AND outcome IS NULL",
            ):
                found.update(connection.execute(sa.text(sql), values).scalars())
    return sorted(found)


def close_abandoned(db: Database, runs: Sequence[int]) -> None:
    """Note their end: a later run answers for their keys."""
    with db.write() as connection:
        now = db.now(connection)
        for run in runs:
            connection.execute(
                sa.text("UPDATE run SET finished_at = :now WHERE id = :run AND finished_at IS NULL"),
                {"now": now, "run": run},
            )
