"""Rate limited services and the tasks that ask them, in virtual time: minutes of pacing pass in a moment.

A ``Budget`` is whatever keeps a pace (in memory, or the state); ``simulate`` lets tasks book with it, sends their
requests to a service at the booked moments, and tells the budget the answers. Nothing sleeps, and chance has a seed.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from cloudindex_provider.api.pace import HOUR, Heard, Pace, RateLimit
from cloudindex_provider.errors import RateLimitedError

__all__ = ["Budget", "Fixed", "Hourly", "MemoryBudget", "Outcome", "Service", "Sliding", "simulate"]


class Service(Protocol):
    """Answers a request at a moment of its own clock."""

    def answer(self, now: float) -> Heard: ...


@dataclass
class Fixed:
    """So many requests a window, which begins with a request, or with the clock's own minute."""

    allowed: int = 100
    window: float = 60.0
    aligned: bool = False
    rounding: Callable[[float], int] = math.ceil  # of the Reset; the Date is always cut
    others: float = 0.0  # requests a second by somebody else
    start: float = -math.inf
    count: int = 0

    def answer(self, now: float) -> Heard:
        if now >= self.start + self.window:
            self.start = now // self.window * self.window if self.aligned else now
            self.count = 0
        used = self.count + int((now - self.start) * self.others)
        taken = used < self.allowed
        self.count += taken
        reset = float(self.rounding(self.start + self.window) - math.floor(now))
        limit = RateLimit(self.allowed, max(0, self.allowed - used - taken), max(0.0, reset))
        return Heard(200, limit) if taken else Heard(429, limit, max(1.0, reset), "rate_limit/exceeded")


@dataclass
class Sliding:
    """So many requests in the last ``window`` seconds; the Reset is when the oldest leaves, or a whole window away."""

    allowed: int = 100
    window: float = 60.0
    reset: str = "oldest"  # or "whole"
    sent: deque[float] = field(default_factory=deque)

    def answer(self, now: float) -> Heard:
        while self.sent and self.sent[0] <= now - self.window:
            self.sent.popleft()
        taken = len(self.sent) < self.allowed
        if taken:
            self.sent.append(now)
        end = now + self.window if self.reset == "whole" else self.sent[0] + self.window
        reset = float(math.ceil(end) - math.floor(now))
        limit = RateLimit(self.allowed, self.allowed - len(self.sent), reset)
        if taken:
            return Heard(200, limit)
        return Heard(429, limit, float(math.ceil(self.sent[0] + self.window - now)), "rate_limit/exceeded")


@dataclass
class Bucket:
    """Tokens that come back evenly; the Reset is when all are back."""

    allowed: int = 100
    window: float = 60.0
    tokens: float = 100.0
    at: float = 0.0

    def answer(self, now: float) -> Heard:
        rate = self.allowed / self.window
        self.tokens, self.at = min(self.allowed, self.tokens + (now - self.at) * rate), now
        taken = self.tokens >= 1
        self.tokens -= taken
        reset = float(math.ceil(now + (self.allowed - self.tokens) / rate) - math.floor(now))
        limit = RateLimit(self.allowed, int(self.tokens), reset)
        if taken:
            return Heard(200, limit)
        return Heard(429, limit, float(math.ceil((1 - self.tokens) / rate)), "rate_limit/exceeded")


@dataclass
class Hourly:
    """Another service, and beside it an hourly limit that only its 429 shows."""

    inner: Service
    allowed: int = 1000
    start: float = -math.inf
    count: int = 0

    def answer(self, now: float) -> Heard:
        if now >= self.start + HOUR:
            self.start, self.count = now, 0
        if self.count >= self.allowed:
            return Heard(429, None, float(math.ceil(self.start + HOUR - now)), "rate_limit/quota-exceeded")
        heard = self.inner.answer(now)
        self.count += heard.status == 200
        return heard


class Budget(Protocol):
    """Books a request at the virtual now; ``None`` where all slots are taken. Hears its answer."""

    def book(self, ticket: str, now: float) -> float | None: ...
    def overtaken(self, at: float) -> bool: ...
    def drop(self, ticket: str) -> None: ...
    def settle(self, ticket: str, heard: Heard, now: float) -> None: ...


@dataclass
class MemoryBudget:
    """The arithmetic alone."""

    slots: int = 5
    max_wait: float = 30.0
    patience: float = 120.0
    pace: Pace = field(default_factory=Pace)
    flying: set[str] = field(default_factory=set)
    accepted: deque[float] = field(default_factory=deque)

    def book(self, ticket: str, now: float) -> float | None:
        self.pace.check(now, max_wait=self.max_wait, patience=self.patience, operation="upload documents")
        if len(self.flying) >= self.pace.slots_at(now, self.slots):
            return None
        self.flying.add(ticket)
        return self.pace.book(now)

    def overtaken(self, at: float) -> bool:
        return self.pace.closed_until > at

    def drop(self, ticket: str) -> None:
        self.flying.discard(ticket)

    def settle(self, ticket: str, heard: Heard, now: float) -> None:
        self.flying.discard(ticket)
        while self.accepted and self.accepted[0] <= now - HOUR:
            self.accepted.popleft()
        self.pace.hear(heard, now, flying=len(self.flying), last_hour=len(self.accepted))
        if heard.status == 200:
            self.accepted.append(now)


@dataclass
class Outcome:
    """When requests were accepted and refused, by the service's clock, and how often a task had to give up."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    gave_up: int = 0
    most_at_once: int = 0

    @property
    def share_refused(self) -> float:
        return len(self.refused) / max(1, len(self.refused) + len(self.accepted))

    def between(self, start: float, end: float) -> int:
        return sum(start <= moment < end for moment in self.accepted)


def simulate(
    budget: Budget,
    service: Service,
    *,
    tasks: int = 8,
    seconds: float = 300.0,
    seed: int = 0,
    start: float = 1000.3,
    skew: float = 12345.6,
    prepare: tuple[float, float] = (0.05, 0.6),
    latency: tuple[float, float] = (0.05, 0.5),
) -> Outcome:
    """Tasks that prepare, book, send and hear, over and over.

    :param start: the budget's clock at the beginning
    :param skew: how far the service's clock is ahead of it
    """
    chance, outcome, numbers, order = random.Random(seed), Outcome(), itertools.count(), itertools.count()
    now, under_way = start, 0

    def task() -> Iterator[float]:  # yields the moment at which it goes on
        nonlocal now, under_way
        while True:
            yield now + chance.uniform(*prepare)
            ticket = f"t{next(numbers)}"
            while True:
                try:
                    at = budget.book(ticket, now)
                except RateLimitedError as error:
                    outcome.gave_up += 1
                    yield now + (error.retry_after or 0.0)
                    continue
                if at is None:
                    yield now + 0.1
                    continue
                yield at
                if not budget.overtaken(at):
                    break
                budget.drop(ticket)
            under_way += 1
            outcome.most_at_once = max(outcome.most_at_once, under_way)
            whole = chance.uniform(*latency)
            yield now + whole / 2
            heard = service.answer(now + skew)
            (outcome.accepted if heard.status == 200 else outcome.refused).append(now)
            yield now + whole / 2
            under_way -= 1
            budget.settle(ticket, heard, now)

    waiting: list[tuple[float, int, Iterator[float]]] = []
    for one in (task() for _ in range(tasks)):
        heapq.heappush(waiting, (next(one), next(order), one))
    while waiting and waiting[0][0] < start + seconds:
        now, _, one = heapq.heappop(waiting)
        heapq.heappush(waiting, (max(now, next(one)), next(order), one))
    return outcome
