"""What the last comparison of a source with its project has queued: the first keys that somebody else had changed."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Source

__all__ = ["MOST_KEYS", "forget_drift", "note_drift"]

MOST_KEYS = 1_000  # that are kept
_COUNT = "SELECT count(*) FROM drift WHERE source_id = :source"
_INSERT = "INSERT INTO drift (source_id, key, reason) VALUES (:source, :key, :reason) ON CONFLICT DO NOTHING"


def forget_drift(db: Database, source: Source) -> None:
    """A new comparison begins: what the last one has found is over."""
    with db.write() as connection:
        connection.execute(sa.text("DELETE FROM drift WHERE source_id = :source"), {"source": source.id})


def note_drift(connection: Connection, source_id: int, keys: Sequence[str], why: str) -> None:
    """Keep these keys, as far as there is room, in the transaction that queues them."""
    room = MOST_KEYS - int(connection.execute(sa.text(_COUNT), {"source": source_id}).scalar_one())
    rows = [{"source": source_id, "key": key, "reason": why} for key in keys[: max(0, room)]]
    if rows:
        connection.execute(sa.text(_INSERT), rows)
