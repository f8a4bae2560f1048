"""The state of one running server, shared by its gate, its endpoints and its control endpoints."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from cloudindex_provider.local.faults import Faults, Operation
from cloudindex_provider.local.processing import Processor
from cloudindex_provider.local.ratelimit import RateLimiter
from cloudindex_provider.local.settings import Settings
from cloudindex_provider.local.store import Store

__all__ = ["BASE_PATH", "Request", "Service"]

BASE_PATH = "/public/v1"
_LOG_LENGTH = 100_000  # requests


@dataclass(slots=True)
class Request:
    """One request as the log keeps it; ``status`` is None when no answer was begun. Times: monotonic seconds."""

    method: str
    path: str
    operation: Operation
    request_id: str
    started: float
    ended: float | None = None
    status: int | None = None
    files: int = 0
    key: str = field(default="", repr=False)


@dataclass(slots=True)
class Service:
    """Everything that lives as long as the server."""

    store: Store
    settings: Settings
    faults: Faults
    processor: Processor
    limiter: RateLimiter = field(default_factory=RateLimiter)
    running: Counter[str] = field(default_factory=Counter)  # requests in flight, by key
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=_LOG_LENGTH))
