"""What has changed in the index since others were told of it, whichever run has done it.

Each report adds what its run has done, also that of a run which turned red: what it has indexed is searchable all the
same, and the next run that may speak speaks for it.
"""

from __future__ import annotations

import sqlalchemy as sa

from cloudindex_provider.state.counts import CHANGES
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Source
from cloudindex_provider.state.runs import UNTOLD

__all__ = ["has_changes", "take_changes"]

_NAMES = "name IN ('{}')".format("', '".join(f"{UNTOLD}{name}" for name in CHANGES))
_OF_SOURCE = f"{_NAMES} AND run_id IN (SELECT id FROM run WHERE source_id = :source)"


def has_changes(db: Database, source: Source) -> bool:
    """Whether there is something to tell."""
    statement = sa.text(f"SELECT 1 FROM run_count WHERE {_OF_SOURCE} LIMIT 1")
    with db.read() as connection:
        return connection.execute(statement, {"source": source.id}).first() is not None


def take_changes(db: Database, source: Source) -> dict[str, int]:
    """What is to be told, by name, which nobody else gets any more."""
    changes = dict.fromkeys(CHANGES, 0)
    with db.write() as connection:
        rows = connection.execute(
            sa.text(f"DELETE FROM run_count WHERE {_OF_SOURCE} RETURNING name, value"), {"source": source.id}
        )
        for name, value in rows:
            changes[name.removeprefix(UNTOLD)] += int(value)
    return changes
