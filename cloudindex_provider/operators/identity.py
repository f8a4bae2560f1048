"""What a task is called in the state: the run that it answers for, and the owner of what it claims."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloudindex_provider.airflow_compat import execution
from cloudindex_provider.state.records import Owner, RunName

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["instance_scope", "run_name", "task_owner"]


def instance_scope(context: Context | Mapping[str, Any], scope: str) -> str:
    """``scope``, and of a mapped task which of its instances: each is a run of its own."""
    index = getattr(context.get("ti"), "map_index", None)
    return scope if index is None or index < 0 else f"{scope}[{index}]"


def run_name(context: Context | Mapping[str, Any], scope: str) -> RunName:
    """The run; outside of one (``execute({})``) every call is a run of its own.

    :param scope: what of the DAG's run it is: a task's id, or that of a group whose tasks share it
    """
    ti = context.get("ti")
    return RunName("", f"manual__{uuid.uuid4()}", scope) if ti is None else RunName(ti.dag_id, ti.run_id, scope)


def task_owner(context: Context | Mapping[str, Any], task_id: str) -> Owner:
    """The owner, whose later executions take over from its earlier ones at once."""
    ti = context.get("ti")
    if ti is None:
        return Owner(f"manual|{uuid.uuid4()}", 1)
    return Owner("|".join((ti.dag_id, ti.run_id, task_id, str(ti.map_index))), execution(context))
