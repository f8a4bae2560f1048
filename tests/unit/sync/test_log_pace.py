"""The log tells of what goes on once a minute, and of many keys alike by the first of them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cloudindex_provider.sync.detect.listing_log import ListingLog
from cloudindex_provider.sync.log_pace import FirstLines, LogPace, per_second


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_message_is_due_a_minute_after_the_first_look_and_after_each_message() -> None:
    """Late is no reason to catch up."""
    clock = Clock()
    pace = LogPace(clock)
    due = []
    for clock.now in (0, 59, 60, 61, 119, 121, 400, 459, 461):
        due.append(pace.due())
    assert due == [None, None, 60, None, None, 61, 279, None, 61]


def test_of_ten_thousand_failures_ten_are_told_and_where_the_others_are(caplog: pytest.LogCaptureFixture) -> None:
    """Each kind has its own ten: a few that are kept aren't hidden by many that fail."""
    caplog.set_level(logging.INFO)
    lines, log = FirstLines(), logging.getLogger("lines")
    for number in range(10_000):
        lines.tell(log.error, "failed", "%s failed", number)
    lines.tell(log.warning, "kept", "%s kept", "one")
    assert [text for text in caplog.messages if text.endswith(" failed")] == [f"{n} failed" for n in range(10)]
    [rest] = [text for text in caplog.messages if "one by one" in text]
    assert "the page CloudIndex" in rest
    assert caplog.messages[-1] == "one kept"


@pytest.mark.parametrize(
    ("number", "seconds", "said"),
    [(0, 60, "0"), (15, 60, "0.25"), (150, 60, "2.5"), (1080, 60, "18"), (1_248_000, 60, "20,800"), (5, 0, "0")],
)
def test_a_pace_keeps_the_digits_that_tell_something(number: float, seconds: float, said: str) -> None:
    """Nothing in no time is nothing."""
    assert per_second(number, seconds) == said


def test_a_long_listing_says_how_far_it_is_and_how_fast(caplog: pytest.LogCaptureFixture) -> None:
    """The pace is that since the last message; a short listing says nothing."""
    caplog.set_level(logging.INFO)
    clock = Clock()
    listing = ListingLog(logging.getLogger("listing"), clock)
    counts: dict[str, Any] = {"listed": 1000, "unchanged": 1000}
    listing.note(counts)
    clock.now = 61
    listing.note(counts | {"listed": 1_220_000})
    clock.now = 90
    listing.note(counts | {"listed": 1_500_000})
    clock.now = 121
    listing.note(counts | {"listed": 1_280_000, "new": 1_200, "removed": 3, "skipped": 4})
    assert caplog.messages == [
        "Listed 1,220,000 keys so far, 20,000 a second: nothing new or changed.",
        "Listed 1,280,000 keys so far, 1,000 a second: 1,200 new, 3 removed, 4 skipped.",
    ]


def test_a_listing_that_is_gathered_first_says_how_far_that_is(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing can be said of it but how many keys have come: it is the slowest way, and silent for longest."""
    caplog.set_level(logging.INFO)
    clock = Clock()
    listing = ListingLog(logging.getLogger("listing"), clock)
    for clock.now, keys in ((1, 1_000), (60, 30_000), (90, 50_000), (120, 60_000)):
        listing.note_gathered(keys)
    assert caplog.messages == [
        "Gathered 30,000 keys so far, 500 a second; they are compared at the end.",
        "Gathered 60,000 keys so far, 500 a second; they are compared at the end.",
    ]
