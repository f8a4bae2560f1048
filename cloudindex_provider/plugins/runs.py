"""What Airflow knows of the DAGs and runs that the state names; and its audit log, which actions are written to."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session

__all__ = ["DagFacts", "log_action", "read_conf", "read_dags", "read_params", "read_run_states"]


@dataclass(frozen=True, slots=True)
class DagFacts:
    """A DAG that Airflow has; ``next_run_at`` in seconds since 1970, ``None`` where none is planned."""

    is_paused: bool
    next_run_at: float | None


def read_dags(dag_ids: Collection[str]) -> dict[str, DagFacts]:
    """Those of the DAGs that are there."""
    if not dag_ids:
        return {}
    with create_session() as session:
        columns = (DagModel.dag_id, DagModel.is_paused, DagModel.next_dagrun_create_after, DagModel.is_stale)
        rows = session.query(*columns).filter(DagModel.dag_id.in_(list(dag_ids))).all()
    # Of a DAG whose file is gone Airflow keeps the row, and in it the run that it would have had next.
    return {
        one: DagFacts(bool(paused), after.timestamp() if after and not (stale or paused) else None)
        for one, paused, after, stale in rows
    }


def read_run_states(runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(DAG, run) -> the run's state in Airflow, of those that it still has."""
    wanted = {(dag_id, run_id) for dag_id, run_id in runs if dag_id}
    if not wanted:
        return {}
    dags, names = ({pair[at] for pair in wanted} for at in (0, 1))
    with create_session() as session:
        found = session.query(DagRun.dag_id, DagRun.run_id, DagRun.state)
        rows = found.filter(DagRun.dag_id.in_(list(dags)), DagRun.run_id.in_(list(names))).all()
    return {(dag_id, run_id): str(state) for dag_id, run_id, state in rows if (dag_id, run_id) in wanted}


def read_params(dag_id: str) -> set[str]:
    """The names of the DAG's params; none where Airflow hasn't read its file yet."""
    dag = SerializedDagModel.get_dag(dag_id)
    return set() if dag is None else set(dag.params)


def read_conf(dag_id: str, run_id: str) -> dict[str, Any]:
    """What a DAG run was triggered with; nothing of one that Airflow doesn't have."""
    with create_session() as session:
        found = session.query(DagRun.conf).filter(DagRun.dag_id == dag_id, DagRun.run_id == run_id).one_or_none()
    return dict(found[0] or {}) if found else {}


def log_action(event: str, user: str, dag_id: str | None, details: dict[str, Any]) -> None:
    """A line in Airflow's audit log."""
    with create_session() as session:
        session.add(
            Log(
                event=f"cloudindex.{event}",
                owner=user,
                owner_display_name=user,
                dag_id=dag_id,
                extra=json.dumps(details),
            )
        )
