"""A mass delete through the approval DAG: held, asked about, approved by a person over REST, then done."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cloudindex_provider.operators.cloudindex_approval import APPROVAL_DAG_ID
from tests.e2e.conftest import Run, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BUCKET = "approved"
A_PERSON = 6.0  # seconds that even a quick person takes; Airflow 3.3's scheduler fails a task that is answered at once
KEYS = [f"documents/{i}.txt" for i in range(4)]


def question(stack: Stack, seconds: float = 60.0) -> Run:
    """The approval DAG's run, when its task waits for a person."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = stack.airflow.request("GET", f"/api/v2/dags/{APPROVAL_DAG_ID}/dagRuns")["dag_runs"]
        if found:
            run = Run(stack.airflow, APPROVAL_DAG_ID, found[0]["dag_run_id"])
            if run.states().get("approve") == ["awaiting_input"]:
                return run
        time.sleep(0.5)
    raise AssertionError(f"nobody was asked within {seconds:.0f} s")


def answer(run: Run, option: str) -> dict[str, Any]:
    path = f"{run.airflow.run_path(run.dag_id, run.run_id)}/taskInstances/approve/-1/hitlDetails"
    detail: dict[str, Any] = run.airflow.request("GET", path)
    time.sleep(A_PERSON)
    run.airflow.request("PATCH", path, {"chosen_options": [option], "params_input": {}})
    return detail


def test_a_mass_delete_is_done_after_a_person_has_approved_it(stack: Stack) -> None:
    stack.airflow.await_dag(APPROVAL_DAG_ID)
    stack.put(BUCKET, *KEYS)
    assert stack.trigger("approved", BUCKET).wait() == "success"
    stack.remove(BUCKET, *KEYS[:3])

    held = stack.trigger("approved", BUCKET)
    assert held.wait() == "success"
    assert (held.value("report")["held"], held.value("delete_removed")["held"]) == (3, 3)
    assert stack.indexed(BUCKET, *KEYS) == KEYS

    asked = question(stack)
    detail = answer(asked, "Approve")
    assert detail["subject"] == "Delete 3 of 4 documents?"
    assert f"s3://{BUCKET}/documents/" in detail["body"]
    assert asked.wait() == "success"

    done = stack.trigger("approved", BUCKET)
    assert done.wait() == "success"
    assert done.value("report")["deleted"] == 3
    assert "admin has approved up to 3" in done.log("detect_changes")
    assert stack.indexed(BUCKET, *KEYS) == KEYS[3:]
