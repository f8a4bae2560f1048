"""What an answer's headers say about rate limits, and who spaces requests by it (``api.pace`` has the arithmetic).

Every time is relative to the same answer's ``Date`` header, never to this machine's clock: two clocks that disagree by
a minute would make a client wait a minute too long, or hammer. Limits are read, never assumed.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from cloudindex_provider.api.pace import Heard, Pace, RateLimit

__all__ = [
    "LocalPacer",
    "Pacer",
    "RateLimit",
    "parse_rate_limit",
    "parse_reset",
    "parse_retry_after",
    "server_time",
]

LONGEST = 31 * 86_400.0  # seconds; a longer wait is a misread unit, and as good as none
DELTAS_BELOW = 366 * 86_400  # a Reset below this is seconds from now: as a Unix time it would be 1970
MILLISECONDS_FROM = 100_000_000_000  # a Reset from here on is Unix milliseconds: as seconds it would be the year 5138

_NUMBER = re.compile(r"\s*(\d{1,18})(?:\.\d*)?\s*(?:[,;].*)?\Z")


class Pacer(Protocol):
    """Decides when the next request may go; both calls of one attempt come from the same thread."""

    @property
    def spacing(self) -> float:
        """Seconds between requests just now; 0 while no limit is known."""

    def before(self, operation: str) -> None:
        """Sleeps until this request's turn, or raises ``RateLimitedError`` with ``retry_after`` where that is far."""

    def after(self, limit: RateLimit | None, *, status: int, retry_after: float | None, code: str | None) -> None:
        """Learns from an answer; ``status`` is 0 and ``limit`` ``None`` where none came. ``code`` is a 429's own."""


def server_time(headers: Mapping[str, str]) -> float | None:
    """The answer's ``Date`` as Unix seconds."""
    return _http_date(headers.get("date"))


def parse_rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """The answer's limits, with or without the ``X-``; header names in lower case. ``None`` where it has none."""

    def header(name: str) -> str | None:
        return headers.get(f"x-ratelimit-{name}", headers.get(f"ratelimit-{name}"))

    limit, remaining = _number(header("limit")), _number(header("remaining"))
    reset_after = parse_reset(header("reset"), server_time(headers))
    if limit is None and remaining is None and reset_after is None:
        return None
    return RateLimit(limit, remaining, reset_after)


def parse_reset(value: Any, now: float | None) -> float | None:
    """Seconds from the answer to ``value``: Unix seconds or milliseconds, an HTTP date, or seconds from now.

    :param now: the answer's own time; without it, only a small number (seconds from now) means anything
    """
    number = _number(value)
    if number is None:
        return _until(_http_date(value), now)
    if number < DELTAS_BELOW:
        return _sane(float(number))
    return _until(number / 1000 if number >= MILLISECONDS_FROM else float(number), now)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``Retry-After``, a number or an HTTP date."""
    value = headers.get("retry-after")
    number = _number(value)
    return _sane(float(number)) if number is not None else _until(_http_date(value), server_time(headers))


def _number(value: Any) -> int | None:
    """A leading whole number; ``100, 100;w=60`` is 100."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    match = _NUMBER.match(value) if isinstance(value, str) and value.isascii() else None
    return int(match[1]) if match else None


def _http_date(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):  # what the parser raises for odd dates, by version
        return None


def _until(moment: float | None, now: float | None) -> float | None:
    return None if moment is None or now is None else _sane(max(0.0, moment - now))


def _sane(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds <= LONGEST else None


class LocalPacer:
    """Even spacing for the threads of one process, from what the last answers said.

    For clients without a state; a sync's tasks share theirs by ``state.pacer``. Each caller reserves its moment and
    sleeps once until then. Until an answer names a limit, nothing waits. An hourly limit that no header shows isn't
    learned here: that takes a longer memory than a client has.

    :param max_wait: seconds; a longer wait raises ``RateLimitedError`` instead, and reserves nothing
    """

    def __init__(
        self,
        *,
        max_wait: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_wait = max_wait
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._pace = Pace()
        self._flying = 0

    @property
    def spacing(self) -> float:
        with self._lock:
            return self._pace.spacing(self._clock())

    def before(self, operation: str) -> None:
        with self._lock:
            now = self._clock()
            self._pace.check(now, max_wait=self._max_wait, patience=self._max_wait, operation=operation)
            at = self._pace.book(now)
            self._flying += 1
        if at > now:
            self._sleep(at - now)

    def after(
        self, limit: RateLimit | None, *, status: int, retry_after: float | None, code: str | None = None
    ) -> None:
        with self._lock:
            self._flying = max(0, self._flying - 1)
            self._pace.hear(Heard(status, limit, retry_after, code), self._clock(), flying=self._flying)
