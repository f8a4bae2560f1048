"""The history: what happened to each key, when, in which run and why. What is old goes by ``pruning``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run, Source

__all__ = ["Event", "key_history", "note"]

_INSERT = sa.text(
    "INSERT INTO history (source_id, key, at, run_id, event, reason) VALUES (:source, :key, :at, :run, :event, :reason)"
)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a key's history. ``at``: seconds since 1970."""

    at: float
    event: str
    reason: str | None
    dag_id: str | None
    run_id: str | None


def note(
    db: Database,
    connection: Connection,
    source_id: int,
    events: Iterable[tuple[str, str, str | None]],
    *,
    run: Run | None = None,
) -> None:
    """Write (key, event, reason) to the history, in the transaction of the rows that changed.

    :param run: in which it happened; ``None``: outside of any run, by a person
    """
    shared = {"source": source_id, "at": db.now(connection), "run": run.id if run else None}
    rows = [{**shared, "key": key, "event": event, "reason": reason} for key, event, reason in events]
    if rows:
        connection.execute(_INSERT, rows)


def key_history(db: Database, source: Source, key: str) -> tuple[dict[str, Any] | None, list[Event]]:
    """(the key's row now, what happened to it, oldest first)."""
    values = {"scope": source.scope_id, "source": source.id, "key": key}
    with db.read() as connection:
        row = connection.execute(
            sa.text(
                "SELECT status, reason, etag, size, document_id, indexed_etag, indexed_sha256, attempts,"
                " next_attempt_at FROM object WHERE scope_id = :scope AND source_id = :source AND key = :key"
            ),
            values,
        ).one_or_none()
        events = connection.execute(
            sa.text(
                "SELECT history.at, history.event, history.reason, run.dag_id, run.run_id FROM history"
                " LEFT JOIN run ON run.id = history.run_id WHERE history.source_id = :source AND history.key = :key"
                " ORDER BY history.id"
            ),
            values,
        )
        return (dict(row._mapping) if row is not None else None), [Event(*event) for event in events]
