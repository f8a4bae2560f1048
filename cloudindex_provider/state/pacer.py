"""One budget of requests for all tasks and syncs that use the same CloudIndex by the same connection.

Each request books its moment in the state and sleeps outside of the transaction; each answer is told to everybody. A
request books a slot too: at most so many are booked or under way at a time, in whatever process. A slot is held until
the answer's head has come: the list's body is read after that, because whoever reads it asks and deletes meanwhile,
and with one slot would wait for itself. A service that counts a list being read says so by its 429, which lowers the
slots for a while. What fails here is the state, and raises its own ``StateError``.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable

from cloudindex_provider.api.pace import Heard, RateLimit
from cloudindex_provider.errors import StoppedError
from cloudindex_provider.state import budgets
from cloudindex_provider.state.budgets import Booking, BookingLimits
from cloudindex_provider.state.db.database import Database

__all__ = ["SharedPacer", "budget_name"]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 5.0  # seconds between two looks for a free slot
_USUAL_PAUSE = 0.5  # the longest where requests aren't spaced wider
_HOLD_MARGIN = 60.0  # seconds; a timeout is that of one read or write, and an upload has many


def budget_name(base_url: str, connection_id: str) -> str:
    """The budget of a connection: a hash, since a URL may hold what isn't for everybody's eyes."""
    return hashlib.sha256(f"{base_url}\n{connection_id}".encode()).hexdigest()[:32]


class SharedPacer:
    """Even spacing and a number of requests at a time, by the state, over processes and machines. Thread-safe.

    :param name: of the budget, see ``budget_name``
    :param slots: requests at a time
    :param max_wait: seconds; while the service has closed the budget for longer, ``before`` raises ``RateLimitedError``
    :param patience: seconds until a request's turn; beyond that ``before`` raises too. Even spacing under a low limit,
        shared by many tasks, makes longer waits than a worker should sleep for a closed budget
    :param in_line: whoever stands in line waits as long as that takes, also beyond ``patience``
    :param request_timeout: seconds a request may take; some time after that, the slot of a dead process is free again
    :param stop: when it is set, no request's turn comes any more, and who waits for one gets a ``StoppedError``
    """

    def __init__(
        self,
        db: Database,
        name: str,
        *,
        slots: int = 5,
        max_wait: float = 30.0,
        patience: float = 120.0,
        in_line: bool = True,
        request_timeout: float = 120.0,
        sleep: Callable[[float], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._db = db
        self._name = name
        self._limits = BookingLimits(slots, max_wait, patience, request_timeout + _HOLD_MARGIN, in_line)
        self._stop = stop or threading.Event()
        self._sleep = sleep or self._pause
        self._tickets = threading.local()
        self._spacing: float | None = None
        self._answered = 0

    @property
    def spacing(self) -> float:
        """Seconds between requests as of this process's last one; 0 while no limit is known.

        :raises StateError: when the state can't be used
        """
        if self._spacing is None:
            pace, now = budgets.peek(self._db, self._name)
            self._spacing = pace.spacing(now)
        return self._spacing

    def requests_per_minute(self) -> float | None:
        """What the limits allow, as the last answers to any task said; ``None`` while none is known.

        :raises StateError: when the state can't be used
        """
        pace, now = budgets.peek(self._db, self._name)
        usual = pace.usual(now)
        return 60.0 / usual if usual else None

    def requests_left(self) -> int | None:
        """What is left of the service's own window, as its last answer to any task said; ``None`` where none is open.

        :raises StateError: when the state can't be used
        """
        pace, now = budgets.peek(self._db, self._name)
        return pace.left(now)

    def requests_within(self, seconds: float) -> float | None:
        """About how many requests the limits allow in the next ``seconds``; ``None`` while none is known.

        :raises StateError: when the state can't be used
        """
        pace, now = budgets.peek(self._db, self._name)
        return pace.within(now, seconds)

    def answered(self) -> int:
        """How many answers have come through this pacer that weren't refusals."""
        return self._answered

    def before(self, operation: str) -> None:
        """Sleeps until this request's turn.

        :raises RateLimitedError: with ``retry_after``, where that is too far; nothing is reserved
        :raises StoppedError: when the task is being stopped; nothing is reserved
        :raises StateError: when the state can't be used
        """
        self._check_stop()
        ticket = secrets.token_hex(8)
        booking = self._book(ticket, operation)
        while booking.wait:
            try:
                self._sleep(booking.wait)
                overtaken = budgets.overtaken(self._db, self._name, booking.at)
            except BaseException:  # the task was stopped in its sleep: the slot is free at once
                budgets.drop(self._db, self._name, ticket)
                raise
            if not overtaken:
                break
            budgets.drop(self._db, self._name, ticket)
            booking = self._book(ticket, operation)
        self._tickets.mine = ticket

    def after(
        self, limit: RateLimit | None, *, status: int, retry_after: float | None, code: str | None = None
    ) -> None:
        """Gives back the slot, and tells everybody what the answer said.

        :raises StateError: when the state can't be used
        """
        if status not in (0, 429):
            self._answered += 1
        heard = Heard(status, limit, retry_after, code)
        pace, now = budgets.record_answer(self._db, self._name, self._tickets.mine, heard)
        self._spacing = pace.spacing(now)

    def _book(self, ticket: str, operation: str) -> Booking:
        """A booking with its moment, after waiting for a slot: whoever has one ends, or is given up for dead."""
        pause = _SHORTEST_PAUSE
        while True:
            booking = budgets.book(self._db, self._name, ticket, self._limits, operation)
            if booking.wait is not None:
                return booking
            self._sleep(pause)
            longest = min(booking.pace.spacing(booking.at), _LONGEST_PAUSE)
            pause = min(pause * 1.5, max(_USUAL_PAUSE, longest))

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StoppedError("The task is being stopped.")

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()
