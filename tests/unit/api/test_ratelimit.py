"""Rate limit headers in every form, and the pace that follows."""

from __future__ import annotations

import math
import threading
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudindex_provider.api.ratelimit import LocalPacer, RateLimit, parse_rate_limit, parse_retry_after
from cloudindex_provider.errors import RateLimitedError

NOW = 1_700_000_000  # the server's; this machine's clock says something else
DATE = {"date": formatdate(NOW, usegmt=True)}


@pytest.mark.parametrize("prefix", ["x-ratelimit-", "ratelimit-"])
@pytest.mark.parametrize(
    ("reset", "after"),
    [
        (str(NOW + 30), 30.0),
        (str((NOW + 30) * 1000), 30.0),
        ("30", 30.0),
        ("0", 0.0),
        (str(NOW - 30), 0.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (f"{NOW + 30}.5", 30.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 400, None),
        (str(NOW + 10**9), None),
    ],
)
def test_a_reset_is_relative_to_the_same_answers_date(prefix, reset, after):
    headers = {**DATE, f"{prefix}limit": "100", f"{prefix}remaining": "7", f"{prefix}reset": reset}
    assert parse_rate_limit(headers) == RateLimit(100, 7, after)


def test_without_a_date_only_seconds_from_now_mean_anything():
    assert parse_rate_limit({"x-ratelimit-reset": str(NOW)}) is None
    assert parse_rate_limit({"x-ratelimit-reset": "12"}) == RateLimit(None, None, 12.0)
    assert parse_retry_after({"retry-after": formatdate(NOW)}) is None
    assert parse_retry_after({"retry-after": "12"}) == 12.0


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("3", 3.0),
        ("0", 0.0),
        (formatdate(NOW + 9, usegmt=True), 9.0),
        (formatdate(NOW - 9, usegmt=True), 0.0),
        ("x", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, wait):
    assert parse_retry_after({**DATE, "retry-after": value}) == wait


def test_a_limit_with_its_policy_is_read():
    assert parse_rate_limit({"ratelimit-limit": "100, 100;w=60"}) == RateLimit(100, None, None)
    assert parse_rate_limit({}) is None


@given(st.dictionaries(st.sampled_from(["date", "retry-after", "x-ratelimit-reset", "ratelimit-limit"]), st.text()))
def test_no_header_text_makes_the_parsers_raise_or_give_an_odd_number(headers):
    limit = parse_rate_limit(headers)
    for seconds in (parse_retry_after(headers), limit.reset_after if limit else None):
        assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@given(skew=st.integers(-(10**6), 10**6), wait=st.integers(0, 3600))
def test_the_servers_clock_may_be_wrong_by_any_amount(skew, wait):
    headers = {"date": formatdate(NOW + skew, usegmt=True), "x-ratelimit-reset": str(NOW + skew + wait)}
    limit = parse_rate_limit(headers)
    assert limit is not None
    assert limit.reset_after == wait


class Clock:
    def __init__(self):
        self.now = 100.0
        self.slept: list[float] = []
        self.lock = threading.Lock()

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        with self.lock:
            self.slept.append(seconds)
            self.now += seconds


def pacer(clock, **settings):
    return LocalPacer(sleep=clock.sleep, clock=clock, **settings)


def test_nothing_waits_until_an_answer_names_a_limit():
    clock = Clock()
    pace = pacer(clock)
    for _ in range(5):
        pace.before("x")
        pace.after(None, status=200, retry_after=None)
    assert clock.slept == []


def test_requests_are_spread_evenly_over_what_is_left_of_the_window():
    clock = Clock()
    pace = pacer(clock)
    pace.before("x")
    for left in range(29, 20, -1):
        pace.after(RateLimit(60, left, 130.0 - clock.now), status=200, retry_after=None)
        pace.before("x")
    assert all(1.0 < wait < 1.1 for wait in clock.slept[1:])


def test_a_simulated_minute_is_used_up_evenly_and_nothing_is_refused():
    clock = Clock()
    pace = pacer(clock, max_wait=60)
    sent: list[float] = []
    start = clock.now
    while clock.now < start + 180:
        pace.before("x")
        window = (clock.now - start) // 60
        used = sum((moment - start) // 60 == window for moment in sent)
        assert used < 100
        sent.append(clock.now)
        reset = start + (window + 1) * 60 - clock.now
        pace.after(RateLimit(100, 99 - used, reset), status=200, retry_after=None)
    assert len(sent) >= 290


def test_a_used_up_window_and_a_429_close_until_their_end():
    clock = Clock()
    pace = pacer(clock)
    pace.after(RateLimit(10, 0, 4.0), status=200, retry_after=None)
    pace.before("x")
    assert clock.slept == [4.0]
    pace.after(None, status=429, retry_after=2.0)
    pace.before("x")
    assert clock.slept[1] == 2.0


def test_a_long_wait_raises_with_its_length_and_reserves_nothing():
    clock = Clock()
    pace = pacer(clock, max_wait=5.0)
    pace.after(None, status=429, retry_after=60.0)
    for _ in range(3):
        with pytest.raises(RateLimitedError) as caught:
            pace.before("upload documents")
        assert caught.value.retry_after == 60.0
    assert clock.slept == []
    clock.now += 60
    pace.before("x")


def test_threads_never_get_the_same_moment():
    moments: list[float] = []
    lock = threading.Lock()

    def sleep(seconds):
        with lock:
            moments.append(seconds)

    pace = LocalPacer(max_wait=1000, sleep=sleep, clock=lambda: 0.0)
    pace.after(RateLimit(1000, 1000, 1000.0), status=200, retry_after=None)
    threads = [threading.Thread(target=pace.before, args=("x",)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(moments) == pytest.approx([n * 1000 / 990 for n in range(1, 50)])  # a hundredth is kept back
