"""DAGs that are scheduled on a sync's asset, by a real scheduler."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

CONSUMERS = ("hears_by_alias", "hears_by_uri")


def runs_of(stack: Any, dag_id: str, number: int, seconds: float = 120.0) -> list[str]:
    """The ids of a DAG's runs, when there are so many."""
    end = time.monotonic() + seconds
    while True:
        found = stack.airflow.request("GET", f"/api/v2/dags/{dag_id}/dagRuns?order_by=id")["dag_runs"]
        if len(found) >= number or time.monotonic() > end:
            return [run["dag_run_id"] for run in found]
        time.sleep(0.5)


def sync(stack: Any) -> dict[str, Any]:
    run = stack.trigger("told", "")
    assert run.wait() == "success"
    report: dict[str, Any] = run.value("report")
    return report


def test_a_consumer_runs_after_a_sync_that_changed_something_and_not_after_one_that_did_not(stack: Any) -> None:
    """Three syncs: the second finds everything in step. So each consumer has run twice, for the first and the third."""
    stack.put("told", "documents/a.txt", "documents/b.txt")
    for dag_id in CONSUMERS:
        stack.airflow.await_dag(dag_id)
    assert sync(stack)["indexed"] == 2
    first = {dag_id: runs_of(stack, dag_id, 1) for dag_id in CONSUMERS}
    assert sync(stack)["unchanged"] == 2
    stack.remove("told", "documents/b.txt")
    assert sync(stack)["deleted"] == 1
    for dag_id in CONSUMERS:
        runs = runs_of(stack, dag_id, 2)
        assert len(runs) == 2
        assert runs[:1] == first[dag_id]
        heard = []
        for run_id in runs:
            assert stack.airflow.await_run(dag_id, run_id) == "success"
            heard.append(stack.airflow.xcom(dag_id, run_id, "heard"))
        assert heard == [[{"indexed": 2, "deleted": 0}], [{"indexed": 0, "deleted": 1}]]
