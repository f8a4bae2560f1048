"""What a single step remembers of its earlier tries: which item it began when, and what became of it.

An item is a document id or a file's name. It is written before its request, and its outcome after the answer, so that
a try that was killed in between leaves an item without an outcome: that request may have taken effect. Deciding what
that means is the step's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import sqlalchemy as sa

from cloudindex_provider.state.db.database import BLOCK, Database

__all__ = ["Forgetful", "Memory", "Remembered", "StepMemory", "step_name"]

_DAY = 86400.0


class Remembered(NamedTuple):
    """What is known of an item; ``outcome`` is ``None`` where no answer came."""

    outcome: str | None
    age: float  # seconds since its last request began


class Memory(Protocol):
    """What steps use."""

    def known(self) -> Mapping[str, Remembered]:
        """Every item that an earlier request of this step was about."""

    def begin(self, items: Iterable[str]) -> None:
        """A request about these items is about to be sent; an outcome that is known of one stays."""

    def withdraw(self, items: Iterable[str]) -> None:
        """The request wasn't sent, or surely did nothing."""

    def record(self, outcomes: Mapping[str, str]) -> None:
        """What became of items."""


def step_name(base_url: str, project_id: str, task: Iterable[object]) -> str:
    """The name of a task instance's memory: a hash, which another project's or service's is not."""
    return hashlib.sha256("\n".join([base_url, project_id, *map(str, task)]).encode()).hexdigest()[:32]


class Forgetful:
    """The memory where there is no state."""

    def known(self) -> Mapping[str, Remembered]:
        return {}

    def begin(self, items: Iterable[str]) -> None:
        pass

    def withdraw(self, items: Iterable[str]) -> None:
        pass

    def record(self, outcomes: Mapping[str, str]) -> None:
        pass


class StepMemory:
    """The memory of one task instance, over its tries.

    :param step: see ``step_name``
    :param days: what any step has remembered for longer than that is forgotten
    """

    def __init__(self, db: Database, step: str, *, days: float) -> None:
        self._db = db
        self._step = step
        with db.write() as connection:
            connection.execute(_FORGET, {"before": db.now(connection) - days * _DAY, "limit": BLOCK})

    def known(self) -> Mapping[str, Remembered]:
        with self._db.read() as connection:
            now = self._db.now(connection)
            rows = connection.execute(_KNOWN, {"step": self._step})
            return {row.item: Remembered(row.outcome, now - row.at) for row in rows}

    def begin(self, items: Iterable[str]) -> None:
        with self._db.write_durably() as connection:
            now = self._db.now(connection)
            self._each(connection, _BEGIN, [{"item": item, "at": now} for item in items])

    def withdraw(self, items: Iterable[str]) -> None:
        with self._db.write() as connection:
            self._each(connection, _WITHDRAW, [{"item": item} for item in items])

    def record(self, outcomes: Mapping[str, str]) -> None:
        with self._db.write() as connection:
            now = self._db.now(connection)
            rows = [{"item": item, "outcome": outcome, "at": now} for item, outcome in outcomes.items()]
            self._each(connection, _RECORD, rows)

    def _each(self, connection: sa.Connection, statement: sa.TextClause, rows: list[dict[str, object]]) -> None:
        if rows:
            connection.execute(statement, [{"step": self._step, **row} for row in rows])


_KNOWN = sa.text("SELECT item, outcome, at FROM step_item WHERE step = :step")
_BEGIN = sa.text(
    "INSERT INTO step_item (step, item, at) VALUES (:step, :item, :at)"
    " ON CONFLICT (step, item) DO UPDATE SET at = excluded.at"
)
_WITHDRAW = sa.text("DELETE FROM step_item WHERE step = :step AND item = :item AND outcome IS NULL")
_RECORD = sa.text(
    "INSERT INTO step_item (step, item, outcome, at) VALUES (:step, :item, :outcome, :at)"
    " ON CONFLICT (step, item) DO UPDATE SET outcome = excluded.outcome, at = excluded.at"
)
_FORGET = sa.text(
    "DELETE FROM step_item WHERE (step, item) IN (SELECT step, item FROM step_item WHERE at < :before LIMIT :limit)"
)
