"""What is remembered of a source's listing: where it can be cut into ranges, and what its storage can't do.

Neither is needed to be right: a wrong word costs time.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Source

__all__ = ["read_bounds", "read_listing", "write_bounds", "write_listing"]


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


def read_listing(db: Database, source: Source) -> str | None:
    """How the source must be listed, where its storage has shown that it must be in some way of its own."""
    with db.read() as connection:
        statement = sa.text("SELECT listing FROM source WHERE id = :source")
        found: str | None = connection.execute(statement, {"source": source.id}).scalar()
        return found


def write_listing(db: Database, source: Source, listing: str | None) -> None:
    """Remember it; ``None``: as any other."""
    with db.write() as connection:
        statement = sa.text("UPDATE source SET listing = :listing WHERE id = :source")
        connection.execute(statement, {"listing": listing, "source": source.id})
