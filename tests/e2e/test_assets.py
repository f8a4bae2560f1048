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


def told_by_statsd(stack: Any) -> dict[str, int]:
    """What the tasks' own processes have sent to a StatsD server about all syncs of this bucket."""
    stack.statsd.settle()
    counters = stack.statsd.tagged("bucket=told")
    return {
        name: int(counters.get(f"airflow.cloudindex.documents.{name}", 0))
        for name in ("indexed", "uploaded", "deleted")
    }


def test_a_consumer_runs_after_a_sync_that_changed_something_and_not_after_one_that_did_not(stack: Any) -> None:
    """Three syncs: the second finds everything in step. So each consumer has run twice, for the first and the third."""
    stack.put("told", "documents/a.txt", "documents/b.txt")
    for dag_id in CONSUMERS:
        stack.airflow.await_dag(dag_id)
    assert sync(stack)["indexed"] == 2
    assert told_by_statsd(stack) == {"indexed": 2, "uploaded": 2, "deleted": 0}
    first = {dag_id: runs_of(stack, dag_id, 1) for dag_id in CONSUMERS}
    assert sync(stack)["unchanged"] == 2
    stack.remove("told", "documents/b.txt")
    assert sync(stack)["deleted"] == 1
    assert told_by_statsd(stack) == {"indexed": 2, "uploaded": 2, "deleted": 1}
    for dag_id in CONSUMERS:
        runs = runs_of(stack, dag_id, 2)
        assert len(runs) == 2
        assert runs[:1] == first[dag_id]
        heard = []
        for run_id in runs:
            assert stack.airflow.await_run(dag_id, run_id) == "success"
            heard.append(stack.airflow.xcom(dag_id, run_id, "heard"))
        assert heard == [[{"indexed": 2, "deleted": 0}], [{"indexed": 0, "deleted": 1}]]


def test_a_sync_on_an_s3_asset_looks_at_the_keys_that_a_task_and_the_api_name(stack: Any) -> None:
    """Each event starts a run, whose listing is these keys; the prefix has others, which nobody has named."""
    stack.put("by-events", "documents/a.txt", "documents/b.txt", "documents/c.txt", "elsewhere/b.txt")
    for dag_id in ("named_by_events", "writes_files"):
        stack.airflow.await_dag(dag_id)
    assert stack.trigger("writes_files", "").wait() == "success"
    (first,) = runs_of(stack, "named_by_events", 1)
    assert named(stack, first) == {"listed": 1, "indexed": 1, "removed": 0}
    found = stack.airflow.request("GET", "/api/v2/assets?uri_pattern=s3://by-events/documents")["assets"]
    (asset_id,) = [row["id"] for row in found]
    stack.remove("by-events", "documents/a.txt")
    extra = {"keys": ["documents/b.txt", "documents/a.txt"]}
    stack.airflow.request("POST", "/api/v2/assets/events", {"asset_id": asset_id, "extra": extra})
    second = runs_of(stack, "named_by_events", 2)[1]
    assert named(stack, second) == {"listed": 1, "indexed": 1, "removed": 1}
    assert stack.indexed("by-events", "documents/a.txt", "documents/b.txt", "documents/c.txt") == ["documents/b.txt"]
    assert stack.indexed("by-events", "elsewhere/b.txt") == []


def named(stack: Any, run_id: str) -> dict[str, int]:
    assert stack.airflow.await_run("named_by_events", run_id) == "success"
    report = stack.airflow.xcom("named_by_events", run_id, "s3_to_cloudindex.report")
    return {name: report[name] for name in ("listed", "indexed", "removed")}
