"""What the log says of a long listing: once a minute how many keys it has come to, how fast, and what it has found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudindex_provider.sync.log_pace import LogPace, per_second
from cloudindex_provider.words import count

__all__ = ["ListingLog"]

_FOUND = ("new", "changed", "removed", "skipped")


@dataclass(slots=True)
class ListingLog:
    """Of one listing.

    :param log: the task's
    :param clock: seconds, from any beginning
    """

    log: Any
    clock: Callable[[], float] = time.monotonic
    _pace: LogPace = field(init=False)
    _listed: int = 0  # by the last message

    def __post_init__(self) -> None:
        self._pace = LogPace(self.clock)
        self._pace.due()

    def note(self, counts: Mapping[str, int]) -> None:
        """Say how far it is, when it is time for that.

        :param counts: of the whole listing so far
        """
        passed = self._pace.due()
        if passed is None:
            return
        listed = counts.get("listed", 0)
        found = ", ".join(f"{counts[name]:,} {name}" for name in _FOUND if counts.get(name))
        self.log.info(
            "Listed %s so far, %s a second: %s.",
            count(listed, "key"), per_second(listed - self._listed, passed), found or "nothing new or changed",
        )  # fmt: skip
        self._listed = listed

    def note_gathered(self, keys: int) -> None:
        """Say how far a listing is that is compared only when all of it has come.

        :param keys: that have come so far
        """
        passed = self._pace.due()
        if passed is None:
            return
        pace = per_second(keys - self._listed, passed)
        self.log.info("Gathered %s so far, %s a second; they are compared at the end.", count(keys, "key"), pace)
        self._listed = keys
