"""Named locks with an end, by the database's clock: what dies holding one is waited for, never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from cloudindex_provider.errors import StateUnavailableError
from cloudindex_provider.state.db.database import Database

__all__ = ["lease"]


def _take(db: Database, name: str, owner: str, seconds: float) -> bool:
    with db.write() as connection:
        now = db.now(connection)
        taken = connection.execute(
            sa.text(
                "INSERT INTO lease (name, owner, until) VALUES (:name, :owner, :until) ON CONFLICT (name) DO UPDATE"
                " SET owner = excluded.owner, until = excluded.until WHERE lease.until < :now OR lease.owner = :owner"
            ),
            {"name": name, "owner": owner, "until": now + seconds, "now": now},
        )
        return bool(taken.rowcount)


@contextmanager
def lease(
    db: Database, name: str, owner: str, *, seconds: float, patience: float, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Callable[[], None]]:
    """Hold the lock ``name``; the value is to be called all the while, and renews it. It ends ``seconds`` after that.

    :raises StateUnavailableError: when others hold it for longer than ``patience`` seconds
    """
    waited, pause = 0.0, 0.05
    while not _take(db, name, owner, seconds):
        if waited >= patience:
            raise StateUnavailableError(f"{name} has been locked for {waited:.0f} s.", retry_after=seconds)
        sleep(pause)
        waited, pause = waited + pause, min(pause * 2, 2.0)
    renewed = time.monotonic()

    def keep() -> None:
        nonlocal renewed
        if time.monotonic() - renewed > seconds / 4:
            _take(db, name, owner, seconds)
            renewed = time.monotonic()

    try:
        yield keep
    finally:
        with db.write() as connection:
            connection.execute(
                sa.text("DELETE FROM lease WHERE name = :name AND owner = :owner"), {"name": name, "owner": owner}
            )
