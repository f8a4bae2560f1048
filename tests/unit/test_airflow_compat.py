"""What every supported Airflow does with an operator's own defaults; the tasks themselves run in tests/integration."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, TaskGroup
from airflow.serialization.serialized_objects import DagSerialization

from cloudindex_provider.airflow_compat import RetryingOperator, RetryPolicy, attempt
from cloudindex_provider.retry import CloudIndexRetryPolicy


class Base(RetryingOperator):
    def __init__(
        self,
        *,
        retries: int | None = 5,
        retry_delay: timedelta | float = 60,
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen
        **kwargs,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, retry_policy=retry_policy, **kwargs)


class Derived(Base):
    def __init__(self, *, item: str = "", retries: int | None = 2, pool_slots: int = 3, **kwargs) -> None:
        super().__init__(retries=retries, pool_slots=pool_slots, **kwargs)
        self.item = item


def stored(dag: DAG, task_id: str):
    """The task as the scheduler has it."""
    return DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task(task_id)


def both(**kwargs):
    """The same task, classic and mapped, as the scheduler has them, and the mapped one's task on the worker."""
    with DAG("d", schedule=None) as dag:
        Derived(task_id="classic", item="a", **kwargs)
        mapped = Derived.partial(task_id="mapped", **kwargs).expand(item=["a"])
    return stored(dag, "classic"), stored(dag, "mapped"), mapped.unmap({"item": "a"})


def test_a_mapped_task_has_the_defaults_of_the_whole_signature_the_derived_classs_first():
    for task in both():
        assert (task.retries, task.retry_delay, task.pool_slots) == (2, timedelta(seconds=60), 3)
    assert both()[2].retry_policy == CloudIndexRetryPolicy()


def test_what_a_dags_author_writes_wins():
    for task in both(retries=0, retry_delay=timedelta(seconds=7)):
        assert (task.retries, task.retry_delay, task.pool_slots) == (0, timedelta(seconds=7), 3)


def test_a_tasks_own_default_args_win_over_the_signature():
    for task in both(default_args={"retries": 9}):
        assert (task.retries, task.pool_slots) == (9, 3)


def test_default_args_of_dag_and_group_win_over_the_signature_the_groups_first():
    with DAG("d", schedule=None, default_args={"retries": 7, "retry_delay": timedelta(seconds=1)}) as dag:
        Derived.partial(task_id="in_dag").expand(item=["a"])
        of_the_group: Any = {"retries": 8}
        with TaskGroup("group", default_args=of_the_group):
            Derived.partial(task_id="in_group").expand(item=["a"])
    assert (stored(dag, "in_dag").retries, stored(dag, "in_dag").retry_delay) == (7, timedelta(seconds=1))
    assert (stored(dag, "group.in_group").retries, stored(dag, "group.in_group").pool_slots) == (8, 3)


def test_a_policy_given_to_partial_replaces_the_default_and_none_switches_it_off():
    class Other(CloudIndexRetryPolicy):
        pass

    assert type(both(retry_policy=Other())[2].retry_policy) is Other
    assert both(retry_policy=None)[2].retry_policy is None


def test_other_operators_are_left_alone():
    with DAG("d", schedule=None):
        mapped = BaseOperator.partial(task_id="t").expand(doc=["a"])
    assert mapped.retries == 0


@pytest.mark.parametrize(("context", "expected"), [({}, 1), ({"task_reschedule_count": 2}, 3)])
def test_an_execution_is_counted_over_tries_and_reschedules(context, expected):
    assert attempt({"ti": SimpleNamespace(try_number=1), **context}) == expected
    assert attempt({"ti": SimpleNamespace(try_number=4), **context}) == expected + 3


def test_outside_a_run_every_execution_is_the_first():
    assert attempt({}) == 1
