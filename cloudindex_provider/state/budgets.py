"""The budgets of requests that tasks and syncs share: their pace, who is under way, and the last hour's count.

The row of ``pace`` is locked first and for the whole of a transaction, so that no two requests get the same moment;
what it decides is ``api.pace``. Nothing here sleeps. Times are the database server's.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.api.pace import HOUR, Heard, Pace
from cloudindex_provider.state.db.database import Database

__all__ = [
    "Booking",
    "BookingLimits",
    "ListCost",
    "book",
    "drop",
    "last_list",
    "overtaken",
    "peek",
    "record_answer",
    "record_list",
]


@dataclass(frozen=True, slots=True)
class BookingLimits:
    """How many requests may be under way, and how long one may wait and last; seconds.

    :param in_line: a request may wait as long as those need that are booked before it, also beyond ``patience``
    """

    slots: int
    max_wait: float  # while the service has closed the budget
    patience: float  # until its turn
    hold: float  # that a request may last, before its slot is taken to be left behind
    in_line: bool = True


@dataclass(frozen=True, slots=True)
class Booking:
    """A request's moment ``at``, ``wait`` seconds from now; ``wait`` is ``None`` where all slots are taken."""

    pace: Pace
    at: float
    wait: float | None


@dataclass(frozen=True, slots=True)
class ListCost:
    """What a whole list of a project's documents took."""

    requests: int
    documents: int


def book(db: Database, name: str, ticket: str, limits: BookingLimits, operation: str) -> Booking:
    """The moment and slot of one request, or none where all slots are taken.

    :raises RateLimitedError: when it would wait too long; nothing is reserved
    """
    with db.write() as connection:
        pace = _locked(connection, name)
        now = db.now(connection)
        pace.mend(now)
        slots = pace.slots_at(now, limits.slots)
        before = slots if limits.in_line else -1
        pace.check(now, max_wait=limits.max_wait, patience=limits.patience, slots=before, operation=operation)
        connection.execute(_HEAL, {"pace": name, "now": now, "longest": now + limits.hold + 2 * HOUR})
        if _flying(connection, name) >= slots:
            return Booking(pace, now, None)
        at = pace.book(now)
        connection.execute(_TAKE, {"pace": name, "ticket": ticket, "until": at + limits.hold})
        _store(connection, name, pace)
        return Booking(pace, at, at - now)


def peek(db: Database, name: str) -> tuple[Pace, float]:
    """The pace as it is, a new one where there is none, and the moment."""
    with db.read() as connection:
        row = connection.execute(_READ, {"name": name}).first()
        return Pace(*row) if row else Pace(), db.now(connection)


def overtaken(db: Database, name: str, at: float) -> bool:
    """Whether the budget was closed for the moment ``at`` after that was booked."""
    with db.read() as connection:
        closed = connection.execute(_CLOSED, {"name": name}).scalar()
        return closed is not None and closed > at


def drop(db: Database, name: str, ticket: str) -> None:
    """Give back the slot of a request that wasn't sent."""
    with db.write() as connection:
        connection.execute(_LEAVE, {"pace": name, "ticket": ticket})


def record_answer(db: Database, name: str, ticket: str, heard: Heard) -> tuple[Pace, float]:
    """Give back the slot of a request and learn from its answer; the pace, and the moment."""
    with db.write() as connection:
        pace = _locked(connection, name)
        now = db.now(connection)
        before = astuple(pace)
        connection.execute(_LEAVE, {"pace": name, "ticket": ticket})
        refused = heard.status == 429
        if refused or heard.limit is not None:
            flying = _flying(connection, name)
            pace.hear(heard, now, flying=flying, last_hour=_last_hour(connection, name, now) if refused else 0)
        if heard.status and not refused:
            _count(connection, name, now)
        if astuple(pace) != before:
            _store(connection, name, pace)
        return pace, now


def last_list(db: Database, project_id: str) -> ListCost | None:
    """What the last whole list took, of whichever task."""
    with db.read() as connection:
        row = connection.execute(_LAST_LIST, {"project": project_id}).first()
    return None if row is None else ListCost(row.requests, row.documents)


def record_list(db: Database, project_id: str, cost: ListCost) -> None:
    """Remember what a whole list took."""
    with db.write() as connection:
        values = {"project": project_id, "requests": cost.requests, "documents": cost.documents}
        connection.execute(_RECORD_LIST, values)


def _locked(connection: Connection, name: str) -> Pace:
    """The pace, which is nobody else's until the transaction ends; a new one where there is none."""
    locked = _READ if connection.dialect.name == "sqlite" else _READ_LOCKED
    row = connection.execute(locked, {"name": name}).first()
    if row is None:
        connection.execute(_INSERT, {"name": name, **_values(Pace())})
        row = connection.execute(locked, {"name": name}).one()
    return Pace(*row)


def _store(connection: Connection, name: str, pace: Pace) -> None:
    connection.execute(_UPDATE, {"name": name, **_values(pace)})


def _values(pace: Pace) -> dict[str, float]:
    return dict(zip(_COLUMNS, astuple(pace), strict=True))


def _flying(connection: Connection, name: str) -> int:
    return int(connection.execute(_FLYING, {"pace": name}).scalar_one())


def _last_hour(connection: Connection, name: str, now: float) -> int:
    """Requests of the last hour, the minute that it began in not counted."""
    return int(connection.execute(_LAST_HOUR, {"pace": name, "minute": (now - HOUR) // 60}).scalar_one())


def _count(connection: Connection, name: str, now: float) -> None:
    minute = int(now // 60)
    count = connection.execute(_COUNT, {"pace": name, "minute": minute}).scalar_one()
    if count == 1:  # a new minute: what is older than the hour goes
        connection.execute(_FORGET, {"pace": name, "minute": minute - 60})


_COLUMNS = tuple(field.name for field in fields(Pace))
_READ = sa.text(f"SELECT {', '.join(_COLUMNS)} FROM pace WHERE name = :name")
_READ_LOCKED = sa.text(f"{_READ.text} FOR UPDATE")
_INSERT = sa.text(
    f"INSERT INTO pace (name, {', '.join(_COLUMNS)}) VALUES (:name, {', '.join(f':{name}' for name in _COLUMNS)})"
    " ON CONFLICT (name) DO NOTHING"
)
_UPDATE = sa.text(f"UPDATE pace SET {', '.join(f'{name} = :{name}' for name in _COLUMNS)} WHERE name = :name")
_CLOSED = sa.text("SELECT closed_until FROM pace WHERE name = :name")
# What ends too far in the future was booked before the database's clock was set back.
_HEAL = sa.text("DELETE FROM pace_slot WHERE pace = :pace AND (until < :now OR until > :longest)")
_TAKE = sa.text("INSERT INTO pace_slot (pace, ticket, until) VALUES (:pace, :ticket, :until)")
_LEAVE = sa.text("DELETE FROM pace_slot WHERE pace = :pace AND ticket = :ticket")
_FLYING = sa.text("SELECT count(*) FROM pace_slot WHERE pace = :pace")
_COUNT = sa.text(
    "INSERT INTO pace_minute (pace, minute, requests) VALUES (:pace, :minute, 1)"
    " ON CONFLICT (pace, minute) DO UPDATE SET requests = pace_minute.requests + 1 RETURNING requests"
)
_FORGET = sa.text("DELETE FROM pace_minute WHERE pace = :pace AND minute < :minute")
_LAST_HOUR = sa.text("SELECT coalesce(sum(requests), 0) FROM pace_minute WHERE pace = :pace AND minute > :minute")
_LAST_LIST = sa.text("SELECT requests, documents FROM document_list WHERE project_id = :project")
_RECORD_LIST = sa.text(
    "INSERT INTO document_list (project_id, requests, documents) VALUES (:project, :requests, :documents)"
    " ON CONFLICT (project_id) DO UPDATE SET requests = excluded.requests, documents = excluded.documents"
)
