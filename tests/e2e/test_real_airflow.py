"""The sync through a real scheduler and triggerer, told to run and looked at over REST as an operator of Airflow would.

The scenarios that don't concern each other are started together, each with a bucket and a DAG of its own.
"""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest

from cloudindex_provider.local.faults import Fault
from cloudindex_provider.sync.naming import file_name

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

KEYS = [f"documents/{i:02d} +é.txt" for i in range(50)]
RETRY_AFTER = 12.0  # seconds; more than a client waits in place
RETRY_DELAY = 300.0  # seconds; the task's own


@pytest.fixture(scope="module")
def started(stack):
    """One run of each variant, all under way."""
    stack.put("emptied", *KEYS[:3])
    stack.put("one-task-fails", *KEYS)
    stack.put("slow-processing", *KEYS[:3])
    stack.put("rate-limited", *KEYS[:3])
    stack.cloudindex.faults.add(
        Fault(operation="upload", kind="status", status=401, match=file_name("one-task-fails", KEYS[0])),
        Fault(operation="upload", kind="429", retry_after=RETRY_AFTER, match=file_name("rate-limited", KEYS[0])),
    )
    names = ("slow_processing", "rate_limited", "one_task_fails", "emptied")
    stack.put("shipped", *KEYS)
    first = {"cloudindex_s3_sync": stack.trigger("cloudindex_s3_sync", "shipped")}
    return {name: stack.trigger(name, name.replace("_", "-")) for name in names} | first


def test_waiting_gives_its_slot_back_and_goes_on_when_the_documents_are_processed(stack, started):
    run, end = started["slow_processing"], time.monotonic() + 150
    while (states := run.states().get("wait_until_processed")) != ["deferred"]:
        assert time.monotonic() < end, f"it was never deferred, but is {states}"
        time.sleep(0.3)
    stack.slow.settings.processing_delay = 0.0
    assert run.wait() == "success"
    assert run.value("wait_until_processed") == {"indexed": 3, "failed": 0, "processing": 0}
    assert "CloudIndex has processed 0 of 3 documents, 0 failed; the oldest" in run.log("wait_until_processed")
    assert run.value("report")["indexed"] == 3


def test_one_upload_task_that_fails_for_good_makes_the_run_red_and_the_reports_log_names_it(stack, started):
    run = started["one_task_fails"]
    assert run.wait() == "failed"
    states = run.states()
    assert sorted(states["upload_documents"]) == ["failed", "success", "success"]
    index = states["upload_documents"].index("failed")
    assert len(run.tries("upload_documents", index)) == 1
    assert states["report"] == ["failed"]
    assert f"because of s3_to_cloudindex.upload_documents[{index}]." in run.log("report")
    log = run.log("upload_documents", map_index=index)
    assert "connection 'cloudindex_default'" in log
    assert "Put a valid key into the connection's password" in log
    assert stack.cloudindex.api_key not in log


def test_a_task_that_is_refused_gives_its_slot_back_for_the_servers_own_time_and_uses_up_no_try(stack, started):
    """Also an operator that is no sensor: the scheduler waits for the date."""
    run = started["rate_limited"]
    assert run.wait() == "success"
    assert len(run.tries("upload_documents", 0)) == 1
    said = {
        line["event"]: datetime.fromisoformat(line["timestamp"])
        for line in json.loads(run.log("upload_documents", map_index=0))["content"]
        if "timestamp" in line
    }
    gave, took = (
        next(when for event, when in said.items() if event.startswith(words))
        for words in ("Rescheduling task", "Uploaded 3 documents")
    )
    waited = (took - gave).total_seconds()
    print(f"the task went on {waited:.1f} s after it gave its slot back; the server had asked for {RETRY_AFTER:.0f} s")
    # The scheduler of a machine that is busy is late, too; a try that failed would wait for its retry_delay.
    assert RETRY_AFTER - 2 <= waited < RETRY_DELAY / 2
    assert stack.indexed("rate-limited", *KEYS[:3]) == KEYS[:3]


def test_an_emptied_prefix_ends_the_sensor_and_its_removals_are_still_seen_and_held(stack, started):
    run = started["emptied"]
    assert run.wait() == "success"
    assert run.states()["wait_for_documents"] == ["success"]
    stack.remove("emptied", *KEYS[:3])
    run = stack.trigger("emptied", "emptied")
    assert run.wait() == "failed"
    states = run.states()
    assert (states["wait_for_documents"], states["detect_changes"]) == (["success"], ["success"])
    assert (states["upload_documents"], states["delete_removed"]) == (["skipped"], ["failed"])
    assert "s3_to_cloudindex.delete_removed" in run.log("report")
    assert stack.indexed("emptied", *KEYS[:3]) == KEYS[:3]


def test_the_shipped_dag_syncs_a_prefix_then_finds_nothing_to_do_then_only_deletes(stack, started):
    bucket, run = "shipped", started["cloudindex_s3_sync"]
    assert run.wait() == "success"
    assert run.states()["upload_documents"] == ["success"] * 3
    report = run.value("report")
    assert (report["listed"], report["new"], report["indexed"], report["imbalance"]) == (50, 50, 50, None)
    assert stack.indexed(bucket, *KEYS) == KEYS

    run = stack.trigger("cloudindex_s3_sync", bucket)
    assert run.wait() == "success"
    assert run.states()["upload_documents"] == ["skipped"]
    assert (run.value("report")["unchanged"], run.value("report")["requests"]) == (50, 0)

    stack.remove(bucket, *KEYS[:2])
    run = stack.trigger("cloudindex_s3_sync", bucket)
    assert run.wait() == "success"
    assert run.states()["upload_documents"] == ["skipped"]
    assert run.value("report")["deleted"] == 2
    assert stack.indexed(bucket, *KEYS) == KEYS[2:]
