"""Killed at any point, the next try goes on, and nothing is lost, double or uploaded for nothing. Few kills of many:
``programs/soak/crash.py`` makes hundreds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from programs.soak.crash import CrashTest
from tests.support.service_faults import BEHAVIOURS


@pytest.fixture(scope="module", params=[True, False], ids=["hashes", "no hashes"])
def crash_test(request: pytest.FixtureRequest) -> Iterator[CrashTest]:
    with CrashTest(seed=7, hashes=request.param) as test:
        test.count_steps()
        yield test


@pytest.mark.parametrize("part", [0.15, 0.35, 0.5, 0.6, 0.7])  # of the longest way; versions need fewer deletes
def test_a_sync_killed_at_a_step_is_gone_on_with(crash_test: CrashTest, part: float) -> None:
    """SIGKILL at a step of the try, under each same-name behaviour in turn."""
    step = int(crash_test.steps[1] * part)
    killed = crash_test.round(BEHAVIOURS[step % len(BEHAVIOURS)], die_at=step)
    assert killed == 1
    assert crash_test.figures.wrong == []
    assert crash_test.figures.redundant_with_hash == 0


def test_a_sync_killed_at_random_moments_is_gone_on_with(crash_test: CrashTest) -> None:
    """SIGKILL whenever it comes."""
    crash_test.run_kills(crash_test.figures.kills + 3)
    assert crash_test.figures.wrong == []
    assert crash_test.figures.redundant_with_hash == 0
