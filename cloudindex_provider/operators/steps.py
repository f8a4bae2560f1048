"""How the other steps of a sync ended: a task is judged by its own group, never by what ran before that.

Asks Airflow for states and decides; changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

__all__ = ["Steps", "steps_before"]


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps before a task, with their states as Airflow says them.

    :param states: by task id, mapped tasks as ``task[2]``
    """

    states: Mapping[str, str | None]

    @property
    def failed(self) -> list[str]:
        """Who failed."""
        return [name for name, state in self.states.items() if state == "failed"]

    @property
    def detected(self) -> bool:
        """Whether a detection has done its work."""
        return "success" in self._detections()

    @property
    def blocked(self) -> bool:
        """Whether the detection didn't run because of a failure."""
        return "upstream_failed" in self._detections()

    @property
    def skipped(self) -> bool:
        """Whether the whole sync was skipped, with what comes before it."""
        return not self.failed and set(self._detections()) == {"skipped"}

    def _detections(self) -> list[str | None]:
        # The name's end alone is sure: groups are nested and mapped.
        return [state for name, state in self.states.items() if _step(name) == "detect_changes"]


def steps_before(task: BaseOperator, context: Context) -> Steps:
    """The steps before a task in its own group, and where that is mapped, in its own instance of it."""
    names, ti = task.get_flat_relative_ids(upstream=True), context["ti"]
    group = task.task_group
    if group is not None and not group.is_root:
        names &= {one.task_id for one in group.iter_tasks()}
    found = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=sorted(names)).get(ti.run_id, {})
    # Airflow says task_2 for the third of a mapped task, and task for one that it hasn't mapped yet.
    told = {name if name in names else "{}[{}]".format(*name.rsplit("_", 1)): found[name] for name in sorted(found)}
    if task.get_closest_mapped_task_group() is not None:
        told = {name: state for name, state in told.items() if name in names or name.endswith(f"[{ti.map_index}]")}
    return Steps(told)


def _step(name: str) -> str:
    return name.partition("[")[0].rpartition(".")[2]
