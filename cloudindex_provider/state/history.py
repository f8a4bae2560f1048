"""The history: what happened to each key, when, in which run and why; and forgetting what is old. All of that table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run, Source

__all__ = ["Event", "key_history", "note", "note_history", "prune", "prune_daily"]


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


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a key's history. ``at``: seconds since 1970."""

    at: float
    event: str
    reason: str | None
    dag_id: str | None
    run_id: str | None


def note(connection: Connection, source: Source, now: float, events: Iterable[tuple[str, str, str | None]]) -> None:
    """Write (key, event, reason) to the history, outside of any run."""
    rows = [{"source": source.id, "key": key, "at": now, "event": event, "reason": why} for key, event, why in events]
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO history (source_id, key, at, event, reason) VALUES (:source, :key, :at, :event, :reason)"
            ),
            rows,
        )


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
