"""Whether a SQLite file may hold the state here: only where it is known that every task runs on one machine. And a
warning where that machine's disk is known to pass.

Decided by a list of what is known, never of what isn't: an executor that nobody here has heard of runs its tasks
wherever it likes, and a state of which each machine has its own is lost with every machine.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from airflow.sdk.configuration import conf

from cloudindex_provider.errors import StateError
from cloudindex_provider.state.db.sqlite_file import file_system

__all__ = ["refuse_several_machines", "warn_of_passing_disk"]

log = logging.getLogger("cloudindex_provider.state")

# Airflow's own executors whose tasks are processes of the scheduler's machine, by short name and by path.
_ONE_MACHINE = {
    "LocalExecutor",
    "airflow.executors.local_executor.LocalExecutor",
}
# A pod or container that an executor has started for one task. The official Helm chart tells its pods that they are
# LocalExecutor's, so the configuration isn't asked there.
_OWN_CONTAINER = ("AIRFLOW_IS_K8S_EXECUTOR_POD", "AIRFLOW_IS_EXECUTOR_CONTAINER")
# What a container's own disk is, and memory: gone with the container, or at the next start.
_PASSING = {"overlay", "fuse.fuse-overlayfs", "aufs", "tmpfs", "ramfs"}


def refuse_several_machines() -> None:
    """Return where all tasks are known to run on this machine.

    :raises StateError: naming what runs them otherwise, and the choices
    """
    where = None if _is_in_process() else _container() or _executor()
    if where:
        raise StateError(
            "The state would be a SQLite file, which only serves where all tasks are known to run on one machine, and"
            f" {where}.",
            hint="Set [cloudindex] state_conn_id to a Postgres connection, or run Airflow with LocalExecutor.",
        )


def warn_of_passing_disk(path: Path) -> None:
    """Say so where a state is about to be begun on a disk that goes: after each loss it is begun again."""
    kind = file_system(path.parent.resolve())
    if kind in _PASSING and not path.exists():
        log.warning(
            "The state is begun anew in %s, on a file system (%s) that goes with its container or machine. Put it on a"
            " volume ([cloudindex] state_path), or into Postgres (state_conn_id): after each loss the next run lists"
            " all that CloudIndex has, and reads the objects of which S3 has no SHA-256.",
            path, kind,
        )  # fmt: skip


def _is_in_process() -> bool:
    """Whether ``dag.test()`` runs the task: here, whatever executor is configured."""
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    return type(getattr(runner, "SUPERVISOR_COMMS", None)).__name__ == "InProcessSupervisorComms"


def _container() -> str | None:
    if any(os.environ.get(name) for name in _OWN_CONTAINER):
        return "this task has a container of its own, whose disk goes with it"
    return None


def _executor() -> str | None:
    names = _executors(conf.get("core", "executor", fallback="LocalExecutor"))
    strange = next((name for name in names if name not in _ONE_MACHINE), None)
    return None if strange is None else f"{strange or 'an executor without a name'} may run them on several"


def _executors(configured: str) -> list[str]:
    """Every executor that a task may have: ``Name``, ``path.Name`` or ``alias:Name``, between commas; of all teams."""
    with_teams = conf.getboolean("core", "multi_team", fallback=False)
    found: list[str] = []
    for part in configured.split(";"):
        team, is_team, names = part.rpartition("=")
        if is_team and team and not with_teams:
            continue  # Airflow ignores it, too
        found += [name.rpartition(":")[2].strip() for name in names.split(",")]
    return found
