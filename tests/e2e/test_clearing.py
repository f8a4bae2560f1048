"""Upload tasks that are cleared in the middle of a request: they stop, and their next tries go on where they were."""

from __future__ import annotations

import subprocess
import time
from collections import Counter

import pytest

from cloudindex_provider.local.faults import Fault
from tests.e2e.conftest import GROUP, Run, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

BUCKET = "cleared"
KEYS = [f"documents/cleared-{i:02d}.txt" for i in range(60)]
NAMES = "documents-cleared-"  # what their file names begin with
STOPPED_WITHIN = 60.0  # seconds; to upload the rest would take them minutes


def upload_ids(run: Run) -> list[str]:
    """The ids of the upload tasks' present tries."""
    rows = run.airflow.task_instances(run.dag_id, run.run_id)
    return [row["id"] for row in rows if row["task_id"].endswith("upload_documents")]


def workers_of(ids: list[str]) -> list[str]:
    """Processes that work on these tries; Airflow titles them with the id."""
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if "worker" in line and any(one in line for one in ids)]


def test_cleared_uploads_stop_and_their_next_tries_finish_without_a_double(stack: Stack) -> None:
    stack.put(BUCKET, *KEYS)
    delay = Fault(operation="upload", kind="delay", delay=8.0, times=None, match=NAMES)
    stack.cloudindex.faults.add(delay)
    run = stack.trigger("cleared", BUCKET)
    end = time.monotonic() + 120
    while "running" not in run.states().get("upload_documents", []):
        assert time.monotonic() < end, run.states()
        time.sleep(0.2)
    time.sleep(3)  # in the middle of a request, which is held for 8 seconds
    first = upload_ids(run)
    assert workers_of(first)
    cleared = time.monotonic()
    body = {"dry_run": False, "only_failed": False, "dag_run_id": run.run_id, "task_ids": [f"{GROUP}.upload_documents"]}
    stack.airflow.request("POST", f"/api/v2/dags/{run.dag_id}/clearTaskInstances", body)
    while workers_of(first):
        assert time.monotonic() - cleared < STOPPED_WITHIN, "the cleared tasks are still at work"
        time.sleep(0.2)
    print(f"the cleared tasks' processes ended {time.monotonic() - cleared:.1f} s after the clearing")
    stack.cloudindex.faults.clear()

    assert run.wait() == "success"
    documents = Counter(row["fileName"] for row in stack.cloudindex.documents() if row["fileName"].startswith(NAMES))
    assert (len(documents), set(documents.values())) == (60, {1})
    report = run.value("report")
    assert (report["indexed"], report["imbalance"]) == (60, None)
    assert report["uploaded"] + report["adopted"] == 60
