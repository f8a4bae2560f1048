"""The retry policy's promises, on exceptions that it has never heard of."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from cloudindex_provider import errors
from cloudindex_provider.airflow_compat import RetryAction
from cloudindex_provider.retry import CloudIndexRetryPolicy


class ForeignError(Exception):
    def __init__(self, message: str = "", **fields: object) -> None:
        super().__init__(message)
        self.__dict__.update(fields)


def decide(error: BaseException):
    return CloudIndexRetryPolicy().evaluate(error, try_number=1, max_tries=3)


@pytest.mark.parametrize(
    "kind",
    [
        errors.AuthenticationError,
        errors.PermissionDeniedError,
        errors.NotFoundError,
        errors.BadRequestError,
        errors.ConfigurationError,
        errors.PayloadTooLargeError,
        errors.UnsupportedTypeError,
    ],
)
def test_what_would_fail_again_fails_now(kind):
    decision = decide(kind("said so"))
    assert decision.action is RetryAction.FAIL
    assert kind.__name__ in decision.reason
    assert "said so" in decision.reason


@pytest.mark.parametrize("kind", [errors.ServerError, errors.ConnectError, errors.InterruptedRequestError])
def test_what_may_pass_is_tried_again_after_the_tasks_own_delay(kind):
    decision = decide(kind("x"))
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, None)


@pytest.mark.parametrize(("asked", "waited"), [(37.5, 37.5), (0, 0), (-3, 0)])
def test_the_servers_time_is_kept_exactly(asked, waited):
    decision = decide(errors.RateLimitedError("slow down", retry_after=asked))
    assert decision.retry_delay == timedelta(seconds=waited)


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), 1e30, "soon", True, None])
def test_a_time_that_means_nothing_leaves_the_tasks_own_delay(nonsense):
    decision = decide(ForeignError(retryable=True, retry_after=nonsense))
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, None)


def test_the_first_of_the_causes_that_says_something_decides():
    outer, middle, inner = (
        RuntimeError("outer"),
        ForeignError(retryable=False),
        errors.RateLimitedError("x", retry_after=9),
    )
    outer.__cause__, middle.__cause__ = middle, inner
    assert decide(outer).action is RetryAction.FAIL


def test_what_was_merely_being_handled_does_not_decide():
    bug = RuntimeError("a bug while cleaning up")
    bug.__context__ = errors.AuthenticationError("handled")
    assert decide(bug).action is RetryAction.DEFAULT


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), ForeignError(retryable="yes"), ForeignError(retryable=None)]
)
def test_an_exception_that_says_nothing_changes_nothing(error):
    assert decide(error).action is RetryAction.DEFAULT


def test_a_property_that_raises_and_a_ring_of_causes_do_no_harm():
    class BrokenError(Exception):
        @property
        def retryable(self) -> bool:
            raise RuntimeError

    first, second = BrokenError(), BrokenError()
    first.__cause__, second.__cause__ = second, first
    assert decide(first).action is RetryAction.DEFAULT


def test_policies_are_values():
    policy = CloudIndexRetryPolicy()
    assert policy == CloudIndexRetryPolicy()
    assert hash(policy) == hash(CloudIndexRetryPolicy())
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 - made one line above
    assert CloudIndexRetryPolicy.deserialize(policy.serialize()) == policy
    assert bool(policy)  # Airflow asks the truth of it to know whether there is one
