"""What a reader sees: one moment where it asks for one, and never a writer's half."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.errors import StateUnavailableError
from cloudindex_provider.state.db.database import Database


def put(db: Database, name: str) -> None:
    with db.write() as connection:
        connection.execute(sa.text("INSERT INTO lease (name, owner, until) VALUES (:name, 'o', 1.0)"), {"name": name})


def names(connection: Connection) -> set[str]:
    return set(connection.execute(sa.text("SELECT name FROM lease")).scalars())


@pytest.mark.parametrize("snapshot", [True, False])
def test_a_snapshot_is_one_moment(db: Database, snapshot: bool) -> None:
    """Statements of a snapshot see the same rows; without one, each sees what is committed by then."""
    put(db, "before")
    for _ in range(2):  # on the pool's connection as it is left by the first, too
        with db.read(snapshot=snapshot) as connection:
            before = names(connection)
            put(db, f"meanwhile {len(before)}")
            assert (names(connection) == before) is snapshot


def test_a_locked_table_is_waited_for_no_longer_than_is_said(db: Database) -> None:
    """A statement that waits for a lock of Postgres does so without end, unless it is told; SQLite's readers wait for
    nobody."""
    reader = Database(db.url, read_only=True, lock_timeout=1)
    try:
        with db.write() as connection:
            if not db.is_sqlite:
                connection.execute(sa.text("LOCK TABLE lease IN ACCESS EXCLUSIVE MODE"))
                with pytest.raises(StateUnavailableError, match="lock timeout"), reader.read() as reading:
                    names(reading)
            else:
                with reader.read() as reading:
                    assert names(reading) == set()
        with reader.read() as reading:
            assert names(reading) == set()
    finally:
        reader.close()


@pytest.mark.parametrize("snapshot", [True, False])
def test_a_transaction_after_a_read_is_whole(db: Database, snapshot: bool) -> None:
    """However a connection was used for reading, what is written over it afterwards is written whole or not at all."""
    with db.read(snapshot=snapshot) as connection:
        assert names(connection) == set()

    def fail(connection: Any) -> None:
        connection.execute(sa.text("INSERT INTO lease (name, owner, until) VALUES ('half', 'o', 1.0)"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), db.write() as connection:
        fail(connection)
    with db.read(snapshot=snapshot) as connection:
        assert names(connection) == set()
