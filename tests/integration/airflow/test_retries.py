"""How often a task is tried and how long it waits, through Airflow's own task runner: the same on every version."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import timedelta

import pytest
from airflow.sdk import DAG
from airflow.sdk.bases.sensor import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSkipException

from cloudindex_provider import errors
from cloudindex_provider.airflow_compat import RetryingOperator, attempt
from cloudindex_provider.retry import CloudIndexRetryPolicy

BUSY = errors.RateLimitedError("slow down", retry_after=30.0)
DOWN = errors.ServerError("down")
WRONG = errors.AuthenticationError("wrong key")
BUG = RuntimeError("a bug")
SKIP = AirflowSkipException("nothing to do")
SKIP.__cause__ = WRONG

ATTEMPTS: dict[str, list[int]] = defaultdict(list)


class Fails(RetryingOperator):
    """Raises one error after the other, then returns."""

    def __init__(self, *, errors: list[Exception], **kwargs) -> None:
        super().__init__(retry_policy=CloudIndexRetryPolicy(), retry_delay=timedelta(seconds=5), **kwargs)
        self.errors = errors

    def execute(self, context):
        attempts = ATTEMPTS[self.task_id]
        attempts.append(attempt(context))
        if len(attempts) <= len(self.errors):
            raise self.errors[len(attempts) - 1]


class Catches(Fails):
    """A subclass of somebody's, who knows which error may pass."""

    def execute(self, context):
        try:
            super().execute(context)
        except errors.AuthenticationError:
            self.log.info("somebody else's problem")


class Looks(RetryingOperator, BaseSensorOperator):
    """A sensor in reschedule mode that fails once, after more looks than it has retries."""

    def __init__(self, **kwargs) -> None:
        super().__init__(mode="reschedule", poke_interval=0, retry_policy=CloudIndexRetryPolicy(), **kwargs)

    def poke(self, context):
        looks = ATTEMPTS[self.task_id]
        looks.append(attempt(context))
        if len(looks) == 4:
            raise BUSY
        return len(looks) > 5


@pytest.fixture(autouse=True)
def no_attempts():
    ATTEMPTS.clear()


@pytest.fixture
def run(run_dag, request):
    """Runs tasks side by side: the state of each and how often it was tried."""

    def run(**tasks):
        with DAG(f"dag_{abs(hash(request.node.name))}", schedule=None) as dag:
            for name, make in tasks.items():
                make(task_id=name)
        return {name: outcome for (name, _), outcome in run_dag(dag).items()}

    return run


def failing(errors, retries, operator=Fails):
    return lambda task_id: operator(task_id=task_id, errors=errors, retries=retries)


def test_no_order_of_errors_makes_more_tries_than_the_task_allows(run):
    cases = {
        "wrong": ([WRONG], 3, ("failed", 1)),
        "busy_without_retries": ([BUSY], 0, ("failed", 1)),
        "busy": ([BUSY] * 3, 3, ("success", 4)),
        "too_busy": ([BUSY] * 4, 3, ("failed", 4)),
        "mixed": ([DOWN, BUSY, DOWN], 3, ("success", 4)),
        "mixed_once_more": ([DOWN, BUSY, DOWN, BUSY], 3, ("failed", 4)),
        "ends_with_what_says_nothing": ([BUSY, DOWN, BUG, DOWN], 3, ("failed", 4)),
        "busy_then_wrong": ([BUSY, WRONG], 3, ("failed", 2)),
    }
    ran = run(**{name: failing(errors, retries) for name, (errors, retries, _) in cases.items()})
    assert ran == {name: expected for name, (_, _, expected) in cases.items()}
    assert {name: list(range(1, tries + 1)) for name, (_, tries) in ran.items()} == ATTEMPTS


def test_each_try_waits_for_what_its_error_asked_for(run, retry_waits):
    run(t=failing([DOWN, BUSY, DOWN], 3))
    waits = [5.0 if seconds is None else seconds for seconds in retry_waits]  # asked several times on some versions
    assert [waits[0], *(now for before, now in itertools.pairwise(waits) if now != before)] == [5, 30, 5]


def test_what_a_subclass_catches_and_what_skips_is_no_failure_and_a_sensors_looks_are_no_tries(run):
    ran = run(
        caught=failing([WRONG], 3, Catches),
        skip=failing([SKIP], 3),
        looks=lambda task_id: Looks(task_id=task_id, retries=1),
    )
    assert {name: state for name, (state, _) in ran.items()} == {
        "caught": "success",
        "skip": "skipped",
        "looks": "success",
    }
    assert len(ATTEMPTS["looks"]) == 6
