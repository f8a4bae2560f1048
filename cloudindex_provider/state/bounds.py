"""Where the last complete listing of a source can be cut into ranges: hints for speed, never facts about keys."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Source

__all__ = ["read_bounds", "write_bounds"]


def read_bounds(db: Database, source: Source) -> list[str]:
    """The bounds in key order; none before the first complete listing."""
    with db.read() as connection:
        return _bounds(connection, source)


def write_bounds(connection: Connection, source: Source, keys: Sequence[str]) -> None:
    """Replace the bounds; those of a listing that found the same pages again cost no write."""
    storable = [key for key in keys if "\0" not in key]  # Postgres stores no such key
    if _bounds(connection, source) == storable:
        return
    connection.execute(sa.text("DELETE FROM listing_bound WHERE source_id = :source"), {"source": source.id})
    if storable:
        connection.execute(
            sa.text("INSERT INTO listing_bound (source_id, position, key) VALUES (:source, :position, :key)"),
            [{"source": source.id, "position": at, "key": key} for at, key in enumerate(storable)],
        )


def _bounds(connection: Connection, source: Source) -> list[str]:
    statement = sa.text("SELECT key FROM listing_bound WHERE source_id = :source ORDER BY position")
    return list(connection.execute(statement, {"source": source.id}).scalars())
