"""How often a task's log tells of what goes on: once a minute while it lasts, and the first few of many keys alike.

A line a document would bury what matters: all of them are in the report's table and on the page.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["FirstLines", "LogPace", "per_second"]

_EVERY = 60.0  # seconds between two messages of one loop
_SHOWN = 10  # keys of a kind that a task names one by one
_MORE = "Further keys like this aren't named one by one: the report and the page CloudIndex have them."


@dataclass(slots=True)
class LogPace:
    """Says when the next message is due.

    :param clock: seconds, from any beginning
    """

    clock: Callable[[], float] = time.monotonic
    now: float = 0.0  # at the last call
    _since: float | None = None

    def due(self) -> float | None:
        """Seconds since the last message, or the first call, where that is long enough ago; ``None``: not yet."""
        self.now = self.clock()
        if self._since is None:
            self._since = self.now
            return None
        passed = self.now - self._since
        if passed < _EVERY:
            return None
        self._since = self.now
        return passed


@dataclass(slots=True)
class FirstLines:
    """Lines about single keys, of all threads of a task: the first of each kind, then where others are."""

    _told: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, log: Callable[..., None], kind: str, text: str, *args: object) -> None:
        """Log the text, unless there were enough of this kind."""
        with self._lock:
            self._told[kind] += 1
            number = self._told[kind]
        if number <= _SHOWN:
            log(text, *args)
        elif number == _SHOWN + 1:
            log(_MORE)


def per_second(number: float, seconds: float) -> str:
    """A pace in digits that tell something: 0.25, 2.5, 18, 20,800."""
    pace = number / seconds if seconds > 0 else 0.0
    return f"{pace:,.0f}" if pace >= 10 or pace == 0 else f"{pace:.2g}"
