"""The one module that knows Airflow's versions: what the older of the supported ones lack.

============================================  ======  =============  =======
Airflow                                       3.2     3.3.0, 3.3.1   3.3.2+
============================================  ======  =============  =======
``airflow.sdk`` has retry policies            no      yes            yes
mapped operators keep the defaults of their
own signature (apache/airflow 72588)          no      no             yes
============================================  ======  =============  =======

Imports nothing of this package. When 3.2 is dropped, so is all but ``partial``; with 3.3.1 that goes, too.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow import __version__
from airflow.sdk import BaseOperator
from airflow.sdk.bases import operator as airflow_operator
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    DagRunTriggerException,
    DownstreamTasksSkipped,
)

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial

__all__ = ["AIRFLOW", "RetryAction", "RetryDecision", "RetryPolicy", "RetryingOperator", "attempt", "execution"]

AIRFLOW = tuple(int(part) for part in re.findall(r"\d+", __version__)[:3])
_HAS_POLICIES = AIRFLOW >= (3, 3, 0)
_KEEPS_SIGNATURE_DEFAULTS = AIRFLOW >= (3, 3, 2)
_RESCHEDULES = 10_000  # more than one try has; the state holds the number of an execution in 32 bits

if TYPE_CHECKING or _HAS_POLICIES:
    from airflow.sdk import RetryAction, RetryDecision, RetryPolicy
else:

    class RetryAction(Enum):
        """What should happen after a failure."""

        RETRY = "retry"
        FAIL = "fail"
        DEFAULT = "default"

    @dataclass(frozen=True)
    class RetryDecision:
        """What a policy has decided, as Airflow 3.3 has it."""

        action: RetryAction = RetryAction.DEFAULT
        retry_delay: timedelta | None = None
        reason: str | None = None

        @classmethod
        def fail(cls, reason: str | None = None) -> RetryDecision:
            return cls(RetryAction.FAIL, reason=reason)

        @classmethod
        def retry(cls, delay: timedelta | None = None, reason: str | None = None) -> RetryDecision:
            return cls(RetryAction.RETRY, delay, reason)

        @classmethod
        def default(cls) -> RetryDecision:
            return cls()

    class RetryPolicy:
        """What a ``retry_policy`` is an instance of; Airflow 3.2 has none of its own."""


# What ends a task otherwise than by a failure that a policy may judge; the same are exempt in Airflow 3.3.
_NO_FAILURES = (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    DagRunTriggerException,
    DownstreamTasksSkipped,
)


class RetryingOperator(BaseOperator):
    """An operator whose ``retry_policy`` is obeyed, and whose signature's defaults reach its mapped tasks, on every
    supported Airflow. Among several bases it stands first.

    Below 3.3 a failure that a policy calls final becomes an ``AirflowFailException``, and one that has a time to wait
    becomes a reschedule: the try's number stays, ``retries`` count all the same.
    """

    _pauses: int = 0  # those of this try's reschedules that were no retries: the task only waited

    def __init__(self, *, retry_policy: RetryPolicy | None = None, **kwargs: Any) -> None:
        if _HAS_POLICIES:
            super().__init__(retry_policy=retry_policy, **kwargs)
        else:
            super().__init__(**kwargs)
            self.retry_policy = retry_policy

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Of an inherited one, too: a sensor's, or that of Airflow's operator which stands behind this class.
        if not _HAS_POLICIES and cls.execute is not BaseOperator.execute and not hasattr(cls.execute, _OBEYED):
            cls.execute = _obeying(cls.execute)  # type: ignore[method-assign]

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Where Airflow goes on with a deferred task."""
        with _policy_obeyed(self, context):
            return super().resume_execution(next_method, next_kwargs, context)

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Airflow's; below 3.3.2 with the defaults of the class's own signature, in rank below every default_args."""
        partial: OperatorPartial = super().partial(**kwargs)
        if not _KEEPS_SIGNATURE_DEFAULTS:
            given = {*kwargs, *_default_args(partial, kwargs.get("default_args"))}
            partial.kwargs.update({name: value for name, value in _own_defaults(cls) if name not in given})
        return partial


def attempt(context: Context | Mapping[str, Any], pauses: int = 0) -> int:
    """Which try of its task this is, from 1 on; more than Airflow's number where retries were reschedules.

    :param pauses: reschedules that were none
    """
    ti = context.get("ti")
    return 1 if ti is None else int(ti.try_number) + max(0, int(context.get("task_reschedule_count") or 0) - pauses)


def execution(context: Context | Mapping[str, Any]) -> int:
    """A number that is greater for every later execution of a task, whatever it was tried or rescheduled for."""
    ti = context.get("ti")
    return 1 if ti is None else int(ti.try_number) * _RESCHEDULES + int(context.get("task_reschedule_count") or 0)


# The policy, below 3.3

_OBEYED = "_cloudindex_obeys_policy"
_judging: ContextVar[bool] = ContextVar("_judging", default=False)


def _obeying(execute: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(execute)
    def obeying(self: RetryingOperator, context: Context, *args: Any, **kwargs: Any) -> Any:
        with _policy_obeyed(self, context):
            return execute(self, context, *args, **kwargs)

    setattr(obeying, _OBEYED, True)
    return obeying


@contextmanager
def _policy_obeyed(task: RetryingOperator, context: Context | Mapping[str, Any]) -> Iterator[None]:
    """Judges once, outside of all: a subclass that calls ``super().execute()`` sees the real error and may catch it."""
    policy = getattr(task, "retry_policy", None)
    if _HAS_POLICIES or policy is None or context.get("ti") is None or _judging.get():
        yield
        return
    token = _judging.set(True)
    try:
        yield
    except _NO_FAILURES:
        raise
    except Exception as error:
        _obey(task, context, policy, error)
        raise
    finally:
        _judging.reset(token)


def _obey(task: RetryingOperator, context: Context | Mapping[str, Any], policy: RetryPolicy, error: Exception) -> None:
    """Raise what the policy has decided, or return where Airflow's own rule is to be followed."""
    ti = context["ti"]
    try:
        decision = policy.evaluate(error, ti.try_number, ti.max_tries, context)  # type: ignore[arg-type]
    except Exception:  # as in 3.3: a policy that fails says nothing
        task.log.exception("The retry policy failed")
        return
    if decision.reason:
        task.log.info("Retry policy decision: %s: %s", decision.action.value, decision.reason)
    if decision.action is RetryAction.FAIL:
        raise AirflowFailException(decision.reason) from error
    attempts = attempt(context, task._pauses)
    rescheduled = bool(context.get("task_reschedule_count"))
    if getattr(task, "reschedule", False) or (decision.retry_delay is None and not rescheduled):
        return  # a sensor's reschedules are its looks
    if attempts <= ti.max_tries:
        # Once rescheduled, always: a new try would forget how many there were.
        task.log.warning("The task will be tried again", exc_info=error)
        delay = _own_delay(task, attempts) if decision.retry_delay is None else decision.retry_delay
        raise _rescheduled(delay) from error
    if rescheduled:  # Airflow counts the try's number alone, and would try once more
        raise AirflowFailException(f"All {ti.max_tries} retries are used: {type(error).__name__}") from error


def _own_delay(task: RetryingOperator, attempts: int) -> timedelta:
    """The task's ``retry_delay``, growing as Airflow lets it grow between tries."""
    growth = max(1.0, float(task.retry_exponential_backoff)) ** (attempts - 1)
    longest = _timedelta(task.max_retry_delay or timedelta(days=1)).total_seconds()
    return timedelta(seconds=min(_timedelta(task.retry_delay).total_seconds() * growth, longest))


def _rescheduled(delay: timedelta) -> AirflowRescheduleException:
    return AirflowRescheduleException(datetime.now(UTC) + delay)  # type: ignore[no-untyped-call]  # Airflow's has none


# The signature's defaults, below 3.3.2. What is imported of Airflow's here belongs to versions that change no more.


def _own_defaults(cls: type[BaseOperator]) -> Iterator[tuple[str, Any]]:
    """The defaults of arguments that mapping has to know, base classes first."""
    for base in reversed(cls.mro()[: cls.mro().index(BaseOperator)]):
        init = vars(base).get("__init__")
        for name, parameter in inspect.signature(init).parameters.items() if init else ():
            if name in airflow_operator.OPERATOR_DEFAULTS and parameter.default is not parameter.empty:
                yield name, _timedelta(parameter.default) if name == "retry_delay" else parameter.default


def _timedelta(value: timedelta | float) -> timedelta:
    return value if isinstance(value, timedelta) else timedelta(seconds=value)


def _default_args(partial: OperatorPartial, own: dict[str, Any] | None) -> dict[str, Any]:
    args, _ = airflow_operator.get_merged_defaults(
        dag=partial.kwargs["dag"], task_group=partial.kwargs["task_group"], task_params=None, task_default_args=own
    )
    return args
