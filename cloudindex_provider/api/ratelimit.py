"""What an answer's headers say about rate limits, and the pace that follows from it.

Every time is relative to the same answer's ``Date`` header, never to this machine's clock: two clocks that disagree by
a minute would make a client wait a minute too long, or hammer. Limits are read, never assumed.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from cloudindex_provider.api.errors import RateLimitedError

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


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The rate limit headers of one answer; ``None`` where it had none."""

    limit: int | None = None  # requests in a window
    remaining: int | None = None  # requests left in this window
    reset_after: float | None = None  # seconds from the answer to the next window; 0 when it is already past


class Pacer(Protocol):
    """Decides when the next request may go; called around every attempt, from any thread."""

    def before(self, operation: str) -> None:
        """Sleeps briefly, or raises ``RateLimitedError`` with ``retry_after`` where the wait would be long."""

    def after(self, limit: RateLimit | None, *, status: int, retry_after: float | None) -> None:
        """Learns from an answer; ``status`` is 0 and ``limit`` ``None`` where none came."""


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

    Requests that may still go in this window are spread over what is left of it; each caller reserves its moment and
    sleeps once until then. Until an answer names a limit, nothing waits.

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
        self._next = -math.inf  # the next request's earliest moment
        self._closed_until = -math.inf  # nothing goes before this: a 429, or a window without anything left
        self._window_ends = -math.inf
        self._interval = 0.0  # inside this window
        self._usual = 0.0  # after it: the longest window seen over the limit
        self._window = 0.0
        self._flying = 0  # sent or about to be, not answered: the headers don't count them yet

    def before(self, operation: str) -> None:
        with self._lock:
            now = self._clock()
            at = max(now, self._next, self._closed_until)
            if at - now > self._max_wait:
                raise RateLimitedError(
                    f"The rate limit asks for a wait of {at - now:.0f} s.", retry_after=at - now, operation=operation
                )
            self._next = self._following(at)
            self._flying += 1
        if at > now:
            self._sleep(at - now)

    def after(self, limit: RateLimit | None, *, status: int, retry_after: float | None) -> None:
        with self._lock:
            now = self._clock()
            self._flying = max(0, self._flying - 1)
            if status == 429 and retry_after is not None:
                self._closed_until = max(self._closed_until, now + retry_after)
            if limit is not None:
                self._learn(limit, now)

    def _following(self, at: float) -> float:
        """The moment after ``at``: the next window doesn't wait for what was left of this one."""
        if at >= self._window_ends:
            return at + self._usual
        return min(at + self._interval, max(self._window_ends, at + self._usual))

    def _learn(self, limit: RateLimit, now: float) -> None:
        if limit.reset_after is None:
            return
        self._window_ends = now + limit.reset_after
        self._window = max(self._window, limit.reset_after)
        if limit.limit:
            self._usual = self._window / limit.limit
        if limit.remaining == 0:
            self._closed_until = max(self._closed_until, self._window_ends)
        elif limit.remaining is not None:
            self._interval = limit.reset_after / max(1, limit.remaining - self._flying)
