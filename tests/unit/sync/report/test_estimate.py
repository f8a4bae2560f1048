"""How long a backlog takes: told from a pace that is known, and never from one that isn't."""

from __future__ import annotations

import pytest

from cloudindex_provider.sync.report.estimate import Estimate, pace

MB = 1_000_000
BACKLOG = Estimate(48_211, 2_100 * MB, 20 * MB, requests_per_minute=100, shared=True)


def test_a_backlog_in_words_at_a_known_quota() -> None:
    """Documents, bytes, requests, and the time that they take."""
    assert BACKLOG.backlog() == "48,211 documents, 2.1 GB, about 2,411 requests: about 25 min at 100 requests a minute"


def test_without_a_pace_nothing_is_said_of_time() -> None:
    """No limit is ever assumed."""
    one = Estimate(1, 999, 20 * MB)
    assert (one.backlog(), one.time(), one.seconds) == ("1 document, 999 bytes, about 1 request", "", None)
    assert one.done_within(1.0) == 1


@pytest.mark.parametrize("rate", [0, -5, float("nan"), float("inf"), None])
def test_a_pace_that_is_none_gives_no_time(rate: float | None) -> None:
    """A limit of 0 or nonsense is no pace."""
    one = Estimate(100, 100, 20 * MB, requests_per_minute=rate)
    assert (one.seconds, one.time()) == (None, "")


@pytest.mark.parametrize(
    ("documents", "size", "requests"),
    [(0, 0, 0), (1, 1, 1), (20, 1, 1), (21, 1, 2), (2, 40 * MB, 2), (2, 41 * MB, 3), (100, 40 * MB, 5)],
)
def test_requests_follow_from_documents_or_from_bytes(documents: int, size: int, requests: int) -> None:
    """20 files and so many bytes a request: whichever is more."""
    assert Estimate(documents, size, 20 * MB).requests == requests


def test_a_shared_quota_pays_for_a_look_a_minute_and_a_measured_pace_does_not() -> None:
    """Uploads have what the looks at processing leave; what was measured were uploads alone."""
    assert Estimate(1980, 0, 1, requests_per_minute=100, shared=True).seconds == 60.0
    assert Estimate(2000, 0, 1, requests_per_minute=100).seconds == 60.0
    assert Estimate(20, 0, 1, requests_per_minute=1, shared=True).seconds == 120.0


def test_nothing_left_takes_no_time_at_any_pace() -> None:
    """0 seconds, also where the pace isn't known."""
    assert Estimate(0, 0, 1).seconds == Estimate(0, 0, 1, requests_per_minute=7).seconds == 0.0


def test_what_a_run_does_until_its_time_is_up() -> None:
    """The share of the documents that the share of the time is worth."""
    one = Estimate(2000, 0, 1, requests_per_minute=10)  # 10 minutes
    assert [one.done_within(seconds) for seconds in (-1, 0, 300, 599, 600, 9999)] == [0, 0, 1000, 1996, 2000, 2000]
    assert [one.done_within(300, most) for most in (None, 5000, 70, 0, -3)] == [1000, 1000, 70, 0, 0]


@pytest.mark.parametrize(
    ("seconds", "most", "said"),
    [
        (600, None, ""),
        (float("inf"), 2000, ""),
        (300, None, "This run does about 1,000 of them (max_run_time); the rest is deferred to the next runs."),
        (0, None, "All of it is deferred to the next runs (max_run_time)."),
        (600, 70, "This run does about 70 of them (max_documents_per_run); the rest is deferred to the next runs."),
        (
            300,
            70,
            "This run does about 70 of them (max_run_time and max_documents_per_run);"
            " the rest is deferred to the next runs.",
        ),
    ],
)
def test_a_limit_that_ends_the_run_first_is_named(seconds: float, most: int | None, said: str) -> None:
    """Who reads the log knows how much of the backlog this run will do, and why no more."""
    assert Estimate(2000, 0, 1, requests_per_minute=10).deferral(seconds, most) == said


def test_a_limit_of_documents_is_named_without_a_pace_and_one_of_time_is_not() -> None:
    """What isn't known isn't said."""
    one = Estimate(2000, 0, 1)
    assert one.deferral(1.0, None) == ""
    assert one.deferral(1.0, 50).startswith("This run does about 50 of them (max_documents_per_run)")


def test_a_slow_pace_keeps_its_digits() -> None:
    """2.5 requests a minute aren't 2."""
    assert Estimate(20, 0, 1, requests_per_minute=2.5).time(" left") == "about 24 s left at 2.5 requests a minute"


@pytest.mark.parametrize(("requests", "seconds", "rate"), [(30, 60, 30.0), (1, 120, 0.5), (0, 60, None), (5, 0, None)])
def test_a_measured_pace(requests: int, seconds: float, rate: float | None) -> None:
    """Requests over time, and nothing where either is missing."""
    assert pace(requests, seconds) == rate
