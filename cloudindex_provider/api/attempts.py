"""The one place that decides whether a request is sent again, and after how many seconds.

Pure: it takes what happened and returns a wait. Only hiccups are repeated here, within a few seconds in all; anything
longer is raised to the caller, who can wait without holding a worker. A request that writes and can't be recognized as
done (an upload) is repeated only when it certainly had no effect.
"""

from __future__ import annotations

from enum import Enum

from cloudindex_provider.errors import (
    CloudIndexError,
    ConnectError,
    InterruptedRequestError,
    RateLimitedError,
    ServerError,
)

__all__ = ["ANSWERED", "MAX_ATTEMPTS", "Repeat", "next_wait"]

MAX_ATTEMPTS = 3
FIRST_BACKOFF = 0.5  # seconds, doubled each time
HICCUPS = frozenset({408, 502, 503, 504})  # a 500 is a bug or a lasting fault: the caller's retry comes later

# An answer of the service itself: the request is over. 502, 504 and the like are a proxy's, which has cut the line.
ANSWERED = frozenset({500, 503})


class Repeat(Enum):
    """Whether doing a request twice is the same as doing it once."""

    SAFE = "safe"  # GET, DELETE, query
    ONLY_IF_NOT_DONE = "only if not done"  # an upload


def next_wait(
    error: CloudIndexError, *, attempt: int, repeat: Repeat, waited: float, took: float, max_wait: float
) -> float | None:
    """Seconds to wait before the next attempt, or ``None`` to give up.

    :param attempt: attempts made so far, the failed one included
    :param waited: seconds slept between earlier attempts
    :param took: seconds that the failed attempt took; a slow failure is no hiccup
    :param max_wait: seconds that all waits together may take
    """
    if attempt >= MAX_ATTEMPTS or not _may_repeat(error, repeat):
        return None
    if took > max_wait and not isinstance(error, RateLimitedError):
        return None
    wait = max(FIRST_BACKOFF * 2 ** (attempt - 1), error.retry_after or 0.0)
    return wait if waited + wait <= max_wait else None


def _may_repeat(error: CloudIndexError, repeat: Repeat) -> bool:
    if isinstance(error, ConnectError | RateLimitedError):
        return True
    if repeat is not Repeat.SAFE:
        return False
    return isinstance(error, InterruptedRequestError) or (isinstance(error, ServerError) and error.status in HICCUPS)
