"""What tests have to know of Airflow's versions: how a retry shows, where it waits, and how to save time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from cloudindex_provider import airflow_compat
from cloudindex_provider.airflow_compat import AIRFLOW

__all__ = ["one_api_for_all_tasks", "rendered_fields_of", "stats_as_in_tasks", "tries_of", "without_waits"]

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def one_api_for_all_tasks() -> None:
    """Let ``dag.test()`` build Airflow's execution API once; below 3.3 every try builds one, in a second and 10 MB."""
    from airflow.sdk.execution_time import supervisor

    if AIRFLOW < (3, 3):
        supervisor.in_process_api_server = functools.lru_cache(maxsize=1)(supervisor.in_process_api_server)


@contextmanager
def stats_as_in_tasks() -> Iterator[None]:
    """Metrics in this process as a task's own process sets them up from the configuration, with nothing after it."""
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
    from airflow.sdk.observability.metrics import stats_utils
    from airflow.sdk.observability.stats import Stats

    more = {} if AIRFLOW < (3, 3) else {"export_legacy_names": False}
    of = [Stats] if AIRFLOW < (3, 3) else []
    Stats.initialize(factory=stats_utils.get_stats_factory(*of), **more)
    try:
        yield
    finally:
        Stats.initialize(factory=NoStatsLogger, **more)


def without_waits(
    monkeypatch: pytest.MonkeyPatch,
    on_wait: Callable[[float | None], None],
    on_pause: Callable[[float], None] = lambda seconds: None,
) -> None:
    """Retries and rescheduled tasks begin at once under ``dag.test()``; it really waits otherwise.

    :param on_wait: told before each retry how many seconds the policy asked for; ``None``: the task's own delay
    :param on_pause: told before a task goes on that was rescheduled and isn't retried, in how many seconds it should
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.ti_deps.deps.ready_to_reschedule import ReadyToRescheduleDep
    from airflow.utils.state import TaskInstanceState

    def ready(dep: ReadyToRescheduleDep, ti: TaskInstance, *positional: Any, **named: Any) -> Iterator[Any]:
        session = named["session"] if "session" in named else positional[0]  # by position up to 3.2
        if ti.state == TaskInstanceState.UP_FOR_RESCHEDULE:
            rows = TaskReschedule.stmt_for_task_instance(ti, descending=True)
            date = session.scalars(rows.with_only_columns(TaskReschedule.reschedule_date)).first()
            if date != _LONG_AGO:
                on_pause(round((date - datetime.now(UTC)).total_seconds()))
        yield dep._passing_status(reason="time has passed")

    def at_once(ti: TaskInstance) -> datetime:
        on_wait(getattr(ti, "retry_delay_override", None))
        return _LONG_AGO

    def rescheduled(delay: timedelta) -> Exception:
        on_wait(delay.total_seconds())
        return AirflowRescheduleException(_LONG_AGO)

    monkeypatch.setattr(TaskInstance, "next_retry_datetime", at_once)
    monkeypatch.setattr(ReadyToRescheduleDep, "_get_dep_statuses", ready)
    if AIRFLOW < (3, 3):
        monkeypatch.setattr(airflow_compat, "_rescheduled", rescheduled)


def tries_of(ti: Any) -> int:
    """How often a task instance was tried: below 3.3 a policy's waits are reschedules, which keep the try's number."""
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session() as session:
        retried = (TaskReschedule.ti_id == ti.id, TaskReschedule.reschedule_date == _LONG_AGO)
        rescheduled = session.scalar(select(func.count(TaskReschedule.id)).where(*retried))
    return int(ti.try_number) + int(rescheduled or 0)


def rendered_fields_of(dag_run: Any) -> list[dict[str, Any]]:
    """The rendered templates of a run's tasks; from 3.4 on stored by the try's id."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Rendered
    from airflow.utils.session import create_session
    from sqlalchemy import select

    rows = select(Rendered)
    if AIRFLOW < (3, 4):
        rows = rows.where(Rendered.dag_id == dag_run.dag_id, Rendered.run_id == dag_run.run_id)
    else:
        rows = rows.where(Rendered.task_instance_id.in_([ti.id for ti in dag_run.get_task_instances()]))
    with create_session() as session:
        return [row.rendered_fields for row in session.scalars(rows)]
