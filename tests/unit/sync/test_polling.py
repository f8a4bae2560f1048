"""When the single task, the operator and the trigger look again, to the second."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudindex_provider.sync.polling import (
    MAX_POLL_INTERVAL,
    POLL_INTERVAL,
    QUICK_LOOKS,
    SENSOR_POLL_INTERVAL,
    SHORTEST_TRIGGER,
    Pause,
    Poller,
)

FOREVER = 1e9


def pauses(poller: Poller, *, most: int = 1000, begin: float = 0.0) -> list[Pause]:
    """What follows each look of one task that finds documents still processing; looks take no time."""
    found: list[Pause] = []
    waited = begin
    while len(found) < most and (pause := poller.after(waiting=1, waited=waited, look=len(found) + 1)):
        found.append(pause)
        waited += pause.seconds
    return found


def seconds(poller: Poller, *, most: int = 1000, begin: float = 0.0) -> list[float]:
    return [pause.seconds for pause in pauses(poller, most=most, begin=begin)]


# A task that waits in its slot: the single task, and the operator that isn't deferrable


def test_pauses_are_the_interval_and_then_half_of_what_was_waited_up_to_two_minutes() -> None:
    """A look comes late by at most half of what the processing took, or by two minutes."""
    found = seconds(Poller(), most=12)
    assert found == [10, 10, 10, 15, 22.5, 33.75, 50.625, 75.9375, 113.90625, 120, 120, 120]


def test_an_interval_over_the_longest_pause_stays_as_it_is() -> None:
    """Who asks for looks every five minutes gets them, and no growth."""
    assert seconds(Poller(300), most=4) == [300, 300, 300, 300]


def test_the_last_pause_ends_when_the_time_is_up() -> None:
    """A sleep never overshoots the timeout, and there is a last look when it is over."""
    found = seconds(Poller(timeout=40))
    assert found == [10, 10, 10, 10]
    assert seconds(Poller(timeout=33)) == [10, 10, 10, 3]


def test_nothing_that_processes_and_no_time_left_are_the_end() -> None:
    """Also for a timeout of 0, which is a single look."""
    assert Poller().after(waiting=0, waited=0) is None
    assert Poller(timeout=60).after(waiting=1, waited=60) is None
    assert Poller(timeout=60).after(waiting=1, waited=61) is None
    assert Poller(timeout=0, deferrable=True, quick_looks=3).after(waiting=5, waited=0) is None


# The operator that gives its slot back


def test_the_operator_looks_after_one_two_and_three_seconds_before_it_defers() -> None:
    """Most documents take seconds, which are no reason to give a slot back."""
    poller = Poller(timeout=FOREVER, deferrable=True, quick_looks=QUICK_LOOKS)
    assert pauses(poller, most=5) == [Pause(1), Pause(2), Pause(3), Pause(10, defer=True), Pause(10, defer=True)]


def test_after_a_deferral_there_are_no_quick_looks() -> None:
    """What has taken a minute isn't done in the next seconds; the time waited goes on from the tries before."""
    assert pauses(Poller(deferrable=True), most=1, begin=60) == [Pause(30, defer=True)]
    assert pauses(Poller(deferrable=True), most=1, begin=3000) == [Pause(120, defer=True)]


def test_a_deferral_is_never_shorter_than_what_airflow_bears() -> None:
    """Neither by a short interval nor for the end of the timeout, which it overshoots by less than that."""
    assert pauses(Poller(0.1, deferrable=True), most=1) == [Pause(SHORTEST_TRIGGER, defer=True)]
    assert pauses(Poller(timeout=60, deferrable=True), most=1, begin=58) == [Pause(SHORTEST_TRIGGER, defer=True)]


def test_a_quick_look_does_not_overshoot_the_timeout() -> None:
    """The third would come after six seconds."""
    assert seconds(Poller(timeout=4.5, deferrable=True, quick_looks=3)) == [1, 2, 1.5]


@pytest.mark.parametrize(
    ("timeout", "waited", "pause", "seconds"),
    [
        (3600, 100, 50, 3800),  # what is left, and a margin
        (3600, 3599, 5, 305),  # a pause may end a little after the time that is left
        (math.inf, 100, 120, 86_700),
        (1e12, 0, 120, 86_700),
        (math.inf, 0, 100_000, 100_300),
    ],
)
def test_a_pause_without_a_slot_has_an_end_by_itself(
    timeout: float, waited: float, pause: float, seconds: float
) -> None:
    """Where no triggerer ends it; a day at most, however long is waited for the documents."""
    poller = Poller(timeout=timeout, deferrable=True)
    assert poller.trigger_timeout(Pause(pause, defer=True), waited=waited) == seconds


# The trigger of the sensor


def in_trigger(interval: float, longest: float, looks: int) -> list[float]:
    poller = Poller.in_trigger(interval, longest)
    assert not any(pause.defer for pause in pauses(poller, most=looks))
    return seconds(poller, most=looks, begin=poller.head_start)


def test_the_trigger_looks_after_an_interval_and_each_pause_is_half_as_long_again() -> None:
    """Up to the longest; the first look comes after an interval, since the task has just looked."""
    assert in_trigger(SENSOR_POLL_INTERVAL, MAX_POLL_INTERVAL, 6) == [30, 45, 67.5, 101.25, 120, 120]
    assert in_trigger(60, 1000, 4) == [60, 90, 135, 202.5]


def test_the_trigger_never_looks_sooner_than_airflow_bears() -> None:
    """Whatever interval it is given, and it grows from there."""
    assert in_trigger(0, 15, 5) == [5, 7.5, 11.25, 15, 15]
    assert in_trigger(0, 1, 3) == [5, 5, 5]


# All of them


@given(
    interval=st.floats(0, 1000), longest=st.floats(0, 1000), timeout=st.floats(0, 10_000), waited=st.floats(0, 10_000),
    quick=st.integers(0, 5), look=st.integers(1, 10), deferrable=st.booleans(),
)  # fmt: skip
def test_no_pause_outlasts_the_time_that_is_left(
    interval: float, longest: float, timeout: float, waited: float, quick: int, look: int, deferrable: bool
) -> None:
    """But for Airflow's shortest trigger; and only a deferrable poller defers."""
    poller = Poller(interval, longest, timeout, deferrable, quick)
    pause = poller.after(waiting=1, waited=waited, look=look)
    assert (pause is None) == (waited >= timeout)
    if pause is not None:
        assert 0 <= pause.seconds <= max(timeout - waited, SHORTEST_TRIGGER if pause.defer else 0)
        assert pause.defer == (deferrable and look > quick)


@pytest.mark.parametrize("poller", [Poller(), Poller.in_trigger(7, 100), Poller(POLL_INTERVAL, deferrable=True)])
def test_pauses_never_shrink(poller: Poller) -> None:
    """Until the time is up."""
    found = seconds(poller, most=30, begin=poller.head_start)
    assert all(before <= after for before, after in pairwise(found))
