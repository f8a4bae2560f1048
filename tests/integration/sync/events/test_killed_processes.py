"""A process that follows a queue, killed with SIGKILL. Few kills of many: ``programs/soak`` makes hundreds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from programs.soak.crash_events import EventsCrashTest
from tests.support.service_faults import BEHAVIOURS


@pytest.fixture(scope="module")
def crash_test() -> Iterator[EventsCrashTest]:
    with EventsCrashTest(seed=7) as test:
        test.count_steps()
        yield test


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7])
def test_a_consumer_killed_at_a_step_is_gone_on_with(crash_test: EventsCrashTest, part: float) -> None:
    step = int(crash_test.steps[1] * part)
    killed = crash_test.round(BEHAVIOURS[step % len(BEHAVIOURS)], die_at=step)
    assert killed == 1
    assert crash_test.figures.wrong == []


def test_a_consumer_killed_at_random_moments_is_gone_on_with(crash_test: EventsCrashTest) -> None:
    crash_test.run_kills(crash_test.figures.kills + 2)
    assert crash_test.figures.wrong == []
