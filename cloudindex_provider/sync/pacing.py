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
import time
from collections.abc import Callable

from cloudindex_provider.api.errors import RateLimitedError
from cloudindex_provider.api.pace import Heard, RateLimit
from cloudindex_provider.sync.errors import SyncError
from cloudindex_provider.sync.state import pacing
from cloudindex_provider.sync.state.database import Database
from cloudindex_provider.sync.state.pacing import Booking, Bounds

__all__ = ["SharedPacer", "StoppedError", "budget_name", "sleep_until"]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5  # seconds between two looks for a free slot
_HOLD_MARGIN = 60.0  # seconds; a timeout is that of one read or write, and an upload has many


def budget_name(base_url: str, connection_id: str) -> str:
    """The budget of a connection: a hash, since a URL may hold what isn't for everybody's eyes."""
    return hashlib.sha256(f"{base_url}\n{connection_id}".encode()).hexdigest()[:32]


class StoppedError(SyncError):
    """The task was stopped while a request waited for its turn; nothing was sent."""

    retryable = True
    default_hint = "The next try goes on where this one was."


def sleep_until(stop: threading.Event) -> Callable[[float], None]:
    """A sleep that ends when the task is being stopped, by ``StoppedError``."""

    def sleep(seconds: float) -> None:
        if stop.wait(seconds):
            raise StoppedError("The task is being stopped.")

    return sleep


class SharedPacer:
    """Even spacing and a number of requests at a time, by the state, over processes and machines. Thread-safe.

    :param name: of the budget, see ``budget_name``
    :param slots: requests at a time
    :param max_wait: seconds; while the service has closed the budget for longer, ``before`` raises ``RateLimitedError``
    :param patience: seconds until a request's turn; beyond that ``before`` raises too. Even spacing under a low limit,
        shared by many tasks, makes longer waits than a worker should sleep for a closed budget
    :param request_timeout: seconds a request may take; some time after that, the slot of a dead process is free again
    """

    def __init__(
        self,
        db: Database,
        name: str,
        *,
        slots: int = 5,
        max_wait: float = 30.0,
        patience: float = 120.0,
        request_timeout: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._db = db
        self._name = name
        self._bounds = Bounds(slots, max_wait, patience, request_timeout + _HOLD_MARGIN)
        self._sleep = sleep
        self._tickets = threading.local()
        self._spacing: float | None = None

    @property
    def max_wait(self) -> float:
        """Seconds that a worker waits for a budget that the service has closed."""
        return self._bounds.max_wait

    @property
    def spacing(self) -> float:
        """Seconds between requests as of this process's last one; 0 while no limit is known.

        :raises StateError: when the state can't be used
        """
        if self._spacing is None:
            pace, now = pacing.peek(self._db, self._name)
            self._spacing = pace.spacing(now)
        return self._spacing

    def requests_per_minute(self) -> float | None:
        """What the limits allow, as the last answers to any task said; ``None`` while none is known.

        :raises StateError: when the state can't be used
        """
        pace, now = pacing.peek(self._db, self._name)
        usual = pace.usual(now)
        return 60.0 / usual if usual else None

    def before(self, operation: str) -> None:
        """Sleeps until this request's turn.

        :raises RateLimitedError: with ``retry_after``, where that is too far; nothing is reserved
        :raises StateError: when the state can't be used
        """
        ticket = secrets.token_hex(8)
        booking = self._book(ticket, operation)
        while booking.wait:
            try:
                self._sleep(booking.wait)
                overtaken = pacing.overtaken(self._db, self._name, booking.at)
            except BaseException:  # the task was stopped in its sleep: the slot is free at once
                pacing.drop(self._db, self._name, ticket)
                raise
            if not overtaken:
                break
            pacing.drop(self._db, self._name, ticket)
            booking = self._book(ticket, operation)
        self._tickets.mine = ticket

    def after(
        self, limit: RateLimit | None, *, status: int, retry_after: float | None, code: str | None = None
    ) -> None:
        """Gives back the slot, and tells everybody what the answer said.

        :raises StateError: when the state can't be used
        """
        heard = Heard(status, limit, retry_after, code)
        pace, now = pacing.settle(self._db, self._name, self._tickets.mine, heard)
        self._spacing = pace.spacing(now)

    def _book(self, ticket: str, operation: str) -> Booking:
        """A booking with its moment, after waiting for a slot."""
        waited, pause = 0.0, _SHORTEST_PAUSE
        while True:
            booking = pacing.book(self._db, self._name, ticket, self._bounds, operation)
            if booking.wait is not None:
                return booking
            if waited >= self._bounds.patience:
                raise RateLimitedError(
                    f"{self._bounds.slots} requests have been under way for {waited:.0f} s.",
                    retry_after=self._bounds.max_wait,
                    hint="Let fewer tasks upload at a time, or raise the connection's max_concurrency.",
                    operation=operation,
                )
            self._sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, _LONGEST_PAUSE)
