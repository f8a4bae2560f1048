"""The arithmetic of pacing, and what it makes of a rate limit in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudindex_provider.api.pace import HOUR, Heard, Pace, RateLimit
from cloudindex_provider.errors import RateLimitedError
from tests.support.paced_service import Bucket, Fixed, Hourly, MemoryBudget, Sliding, simulate

NOW = 5000.0
QUICK: dict[str, Any] = {"prepare": (0.05, 0.3), "latency": (0.05, 0.25)}  # one task that could send twice the limit
SERVICES: dict[str, Callable[[], Fixed | Sliding | Bucket]] = {
    "a window that begins with a request": Fixed,
    "the clock's own minutes": lambda: Fixed(aligned=True),
    "times rounded down": lambda: Fixed(rounding=math.floor),
    "60 a minute": lambda: Fixed(allowed=60),
    "a sliding window": Sliding,
    "a sliding window whose Reset is always a minute away": lambda: Sliding(reset="whole"),
    "a bucket of tokens": Bucket,
}


def heard(limit: RateLimit | None = None, **more) -> Heard:
    return Heard(more.pop("status", 200), limit, **more)


@pytest.mark.parametrize("tasks", [1, 8])
@pytest.mark.parametrize("kind", SERVICES)
def test_five_minutes_use_up_the_limit_and_are_hardly_ever_refused(kind, tasks):
    """95 of 100 allowed requests are accepted and at most one of 100 refused, whatever kind of window it is."""
    for seed in range(4):
        service = SERVICES[kind]()
        outcome = simulate(MemoryBudget(), service, tasks=tasks, seed=seed, **(QUICK if tasks == 1 else {}))
        assert len(outcome.accepted) >= 0.95 * 5 * service.allowed
        assert outcome.share_refused <= 0.01
        assert outcome.gave_up == 0
        assert outcome.most_at_once <= 5


def test_five_minutes_at_300_a_minute():
    outcome = simulate(MemoryBudget(), Fixed(allowed=300), tasks=8)
    assert len(outcome.accepted) >= 0.95 * 5 * 300
    assert outcome.refused == []


@pytest.mark.parametrize("service", [Fixed, Sliding])
def test_no_second_has_a_burst_once_the_limit_is_known(service):
    outcome = simulate(MemoryBudget(), service(), tasks=8)
    assert max(outcome.between(1005 + second, 1006 + second) for second in range(290)) <= 3


def test_what_somebody_else_uses_of_the_limit_is_left_to_them():
    """Half a request a second is not ours: the rest is used, evenly, and hardly any request refused."""
    outcome = simulate(MemoryBudget(), Fixed(others=0.5), tasks=8)
    assert len(outcome.accepted) >= 0.95 * 5 * 70
    assert outcome.share_refused <= 0.01


@settings(max_examples=40, deadline=None)
@given(
    allowed=st.integers(20, 300), window=st.sampled_from([10.0, 60.0, 900.0]), tasks=st.integers(1, 12),
    skew=st.floats(-1e6, 1e6), seed=st.integers(0, 1000), kind=st.sampled_from([Fixed, Sliding]),
)  # fmt: skip
def test_no_limit_is_run_into_again_and_again(allowed, window, tasks, skew, seed, kind):
    """Whatever the limit, the clocks and the number of tasks, refusals stay the exception."""
    service = kind(allowed=allowed, window=window)
    outcome = simulate(MemoryBudget(), service, tasks=tasks, skew=skew, seed=seed)
    share = 0.02 if window >= 60 else 0.05  # headers tell whole seconds, and one is a tenth of the shortest window
    assert len(outcome.refused) <= 2 + share * len(outcome.accepted)


def test_an_hourly_limit_that_no_header_shows_is_learned_from_its_refusal():
    """The first hour ends in a refusal; after it the thousand are spread over each hour, and none is refused."""
    outcome = simulate(MemoryBudget(), Hourly(Fixed()), tasks=4, seconds=4 * HOUR)
    (first, *rest) = outcome.refused
    assert first - 1000 < 700  # the thousand were gone in little more than ten minutes
    assert all(moment - first < 5 for moment in rest)  # what was under way
    assert outcome.between(first + HOUR, first + 2 * HOUR) >= 950
    sent = [moment for moment in outcome.accepted if first + 3700 < moment < first + 2 * HOUR]
    assert max(b - a for a, b in pairwise(sent)) < 6


def test_a_lesson_is_forgotten_when_nothing_confirms_it():
    pace = Pace()
    pace.hear(heard(RateLimit(100, 50, 30.0)), NOW, flying=0)
    pace.hear(heard(status=429, retry_after=600.0), NOW, flying=0, last_hour=40)
    assert pace.spacing(NOW + 700) == pytest.approx(HOUR / 40, rel=0.02)
    later = NOW + 600 + 3 * HOUR + 1
    assert pace.spacing(later) < 1
    assert pace.book(later) == later


@pytest.mark.parametrize(
    ("refusal", "last_hour", "lesson"),
    [
        (heard(status=429, retry_after=1800.0), 1000, 1000),
        (heard(status=429, retry_after=1800.0, code="rate_limit/quota-exceeded"), 900, 900),
        (heard(status=429, retry_after=20.0, code="rate_limit/quota-exceeded"), 900, 900),
        (heard(RateLimit(1000, 0, 1800.0), status=429, retry_after=1800.0), 400, 1000),  # the refusal names its limit
        (heard(status=429, retry_after=20.0), 900, 0),  # the minute's own
        (heard(status=429, retry_after=1800.0), 3, 0),  # too few to say anything
        (heard(status=429, retry_after=86_400.0), 900, 0),  # a day's quota is no hourly limit
        (heard(status=429), 900, 0),
    ],
)
def test_what_a_refusal_teaches(refusal, last_hour, lesson):
    pace = Pace()
    pace.hear(heard(RateLimit(100, 50, 30.0)), NOW, flying=0)
    pace.hear(refusal, NOW, flying=0, last_hour=last_hour)
    assert pace.hourly == lesson
    assert pace.closed_until == NOW + min(refusal.retry_after or 0.5, HOUR)  # then one request asks anew
    assert (pace.allowed, pace.length) == (100, 30.0)  # another limit's headers are not the minute's


def test_too_many_at_a_time_lowers_the_slots_for_a_while_and_closes_nothing():
    pace = Pace()
    code = "rate_limit/concurrent-exceeded"
    pace.hear(heard(status=429, retry_after=40.0, code=code), NOW, flying=3)
    assert pace.book(NOW) == NOW
    assert (pace.slots_at(NOW, 5), pace.slots_at(NOW, 2), pace.slots_at(NOW + 700, 5)) == (3, 2, 5)
    pace.hear(heard(status=429, code=code), NOW, flying=0)
    assert pace.slots_at(NOW, 5) == 1


def test_a_wait_is_bounded_by_whether_it_is_ours_or_the_services():
    """A worker waits long for its turn, but not for a budget that the service has closed."""
    pace = Pace(next_at=NOW + 100)
    pace.check(NOW, max_wait=30, patience=120, operation="x")
    with pytest.raises(RateLimitedError) as caught:
        pace.check(NOW, max_wait=30, patience=60, operation="x")
    assert caught.value.retry_after == 100
    pace.closed_until = NOW + 31
    with pytest.raises(RateLimitedError) as caught:
        pace.check(NOW, max_wait=30, patience=120, operation="x")
    assert caught.value.retry_after == 100
    assert caught.value.retryable


def test_a_late_answer_of_the_window_before_changes_nothing():
    pace = Pace()
    pace.hear(heard(RateLimit(100, 99, 60.0)), NOW, flying=0)
    step, ends = pace.step, pace.window_ends
    pace.hear(heard(RateLimit(100, 0, 0.0)), NOW + 0.2, flying=0)
    assert (pace.step, pace.window_ends, pace.closed_until) == (step, ends, 0.0)


def test_a_changed_plan_holds_from_its_first_answer_on():
    pace = Pace()
    pace.hear(heard(RateLimit(60, 30, 60.0)), NOW, flying=0)
    pace.hear(heard(RateLimit(300, 299, 60.0)), NOW + 1, flying=0)
    assert pace.usual(NOW + 1) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("remaining", [None, 40])
def test_a_limit_without_what_remains_spaces_by_itself(remaining):
    pace = Pace()
    pace.hear(heard(RateLimit(100, remaining, 60.0)), NOW, flying=0)
    first, second = pace.book(NOW), pace.book(NOW)
    assert first == NOW
    assert second - first == pytest.approx(0.606 if remaining is None else 60 / 39)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 200, 429, 500]),
            st.none() | st.builds(
                RateLimit, st.none() | st.integers(0, 2000), st.none() | st.integers(0, 2000),
                st.none() | st.floats(0, 1e6),
            ),
            st.none() | st.floats(0, 1e6),
            st.sampled_from([None, "rate_limit/concurrent-exceeded", "rate_limit/quota-exceeded"]),
            st.integers(0, 30),
            st.floats(0, 100),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_no_answers_make_the_pace_go_back_or_lose_its_numbers(answers):
    """Moments are finite and never before now; two bookings never swap."""
    pace, now, last = Pace(), NOW, 0.0
    for status, limit, retry_after, code, flying, passed in answers:
        now += passed
        pace.hear(Heard(status, limit, retry_after, code), now, flying=flying, last_hour=flying * 30)
        at = pace.book(now)
        assert math.isfinite(at)
        assert at >= now
        assert at >= last
        assert pace.slots_at(now, 5) >= 1
        assert pace.spacing(now) >= 0
        last = at
