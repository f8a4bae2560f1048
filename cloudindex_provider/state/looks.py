"""When a source was compared with its project's documents: the look before its first upload, and the regular ones."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Source

__all__ = ["Looks", "mark_audited", "mark_looked", "read_looks"]


@dataclass(frozen=True, slots=True)
class Looks:
    """Whether the project was looked at before the first upload, and how many seconds ago the last comparison was."""

    looked: bool
    since_audit: float | None  # None: there was none


def read_looks(db: Database, source: Source) -> Looks:
    """What is remembered of the source; nothing of one that has no row yet."""
    with db.read() as connection:
        statement = sa.text("SELECT looked_at, audited_at FROM source WHERE id = :id")
        row = connection.execute(statement, {"id": source.id}).one_or_none()
        if row is None:
            return Looks(looked=False, since_audit=None)
        return Looks(row[0] is not None, None if row[1] is None else db.now(connection) - row[1])


def mark_looked(db: Database, source: Source) -> None:
    """All that the project has of the source's keys is in the state now, which is a comparison, too."""
    _mark(db, source, "looked_at = :now, audited_at = :now, drifted = 0")


def mark_audited(db: Database, source: Source, drifted: int) -> None:
    """The source was compared with its project, and the keys that differ, so many, are queued."""
    _mark(db, source, "audited_at = :now, drifted = :drifted", drifted=drifted)


def _mark(db: Database, source: Source, sets: str, **more: int) -> None:
    with db.write() as connection:
        values = {"id": source.id, "now": db.now(connection), **more}
        connection.execute(sa.text(f"UPDATE source SET {sets} WHERE id = :id"), values)
