"""Fixed-window rate limits, and the headers in which an answer tells them, in every style seen in the wild."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate

from cloudindex_provider.local.errors import Refusal
from cloudindex_provider.local.settings import Settings

__all__ = ["RateLimiter", "Window", "limit_headers", "too_many"]

_LONG_AGO = 3600  # seconds


@dataclass(frozen=True, slots=True)
class Window:
    """One caller's window after one request; ``reset_at`` in Unix seconds."""

    limit: int
    remaining: int
    reset_at: float
    allowed: bool


@dataclass(slots=True)
class RateLimiter:
    """Counts requests by name. Safe to use from any thread."""

    _windows: dict[str, tuple[float, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str, limit: int, length: float) -> Window:
        """Count one request; a refused request doesn't count."""
        now = time.time()
        with self._lock:
            start, count = self._windows.get(name, (now, 0))
            if now >= start + length:
                start, count = now, 0
            allowed = count < limit
            count += allowed
            self._windows[name] = (start, count)
        return Window(limit, max(0, limit - count), start + length, allowed)


def limit_headers(window: Window, settings: Settings) -> dict[str, str]:
    """The X-RateLimit headers of any answer."""
    return {
        "X-RateLimit-Limit": str(window.limit),
        "X-RateLimit-Remaining": str(window.remaining),
        "X-RateLimit-Reset": _reset(window.reset_at, settings),
    }


def too_many(settings: Settings, window: Window, code: str = "rate_limit/exceeded") -> Refusal:
    """The 429 that says in the configured style when to come back."""
    wait = max(0.0, window.reset_at - time.time())
    headers = limit_headers(window, settings)
    if settings.retry_after_style == "seconds":
        headers["Retry-After"] = str(math.ceil(wait))
    elif settings.retry_after_style == "date":
        headers["Retry-After"] = formatdate(math.ceil(window.reset_at), usegmt=True)
    details = {"limit": window.limit, "reset_at": math.ceil(window.reset_at)}
    return Refusal(429, code, "Rate limit exceeded", details=details, headers=headers)


def _reset(reset_at: float, settings: Settings) -> str:
    if settings.retry_after_style == "reset_ms":
        return str(math.ceil(reset_at * 1000))
    if settings.retry_after_style == "reset_past":
        return str(math.ceil(time.time()) - _LONG_AGO)
    return str(math.ceil(reset_at))
