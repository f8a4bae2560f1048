"""The group of tasks as Airflow runs it: none, one and many uploads, skips, failures that must show."""

from __future__ import annotations

import itertools
import json
import os

import pytest
from airflow.sdk import DAG
from airflow.sdk import task as as_task

from cloudindex_provider.local.faults import Fault
from cloudindex_provider.operators import cloudindex_sync
from cloudindex_provider.sync import polling
from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

_NUMBERS = itertools.count()
STEPS = ("detect_changes", "upload_documents", "wait_until_processed", "delete_removed", "report")


def group(world, **settings):
    """A DAG with nothing but the group."""
    with DAG(f"group_{next(_NUMBERS)}", schedule=None) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", **settings)
    return dag


def keys(number, first=0):
    return [f"documents/{i:03d} +é.txt" for i in range(first, first + number)]


def test_many_documents_are_shared_by_several_mapped_tasks_and_all_arrive(run, world, shipped):
    world.put(*keys(70))
    ran = run(shipped("cloudindex_s3_sync"), bucket=world.bucket)
    assert ran.state == "success"
    assert ran.states("upload_documents") == ["success"] * 4
    report = ran.value("report")
    assert (report["listed"], report["new"], report["indexed"], report["imbalance"]) == (70, 70, 70, None)
    assert all(world.has(key) for key in keys(70))
    assert ran.value("detect_changes", "counts")["new"] == 70


def test_one_document_is_one_mapped_task(run, world, shipped):
    world.put("documents/a.txt")
    ran = run(shipped("cloudindex_s3_sync"), bucket=world.bucket)
    assert (ran.state, ran.states("upload_documents")) == ("success", ["success"])
    assert world.has("documents/a.txt")


def test_a_run_without_changes_is_green_sends_nothing_and_still_reports(run, world, shipped):
    world.put(*keys(3))
    world.sync()
    before = len(world.ci.requests)
    ran = run(shipped("cloudindex_s3_sync"), bucket=world.bucket)
    assert ran.state == "success"
    assert ran.states("upload_documents") == ["skipped"]
    assert [ran.states(step) for step in ("wait_until_processed", "delete_removed", "report")] == [["success"]] * 3
    assert (ran.value("report")["unchanged"], ran.value("report")["s3_requests"]) == (3, {"ListObjectsV2": 1})
    assert len(world.ci.requests) == before


def test_deletes_are_made_although_there_is_nothing_to_upload(run, world, shipped):
    world.put(*keys(5))
    world.sync()
    world.remove(*keys(2))
    ran = run(shipped("cloudindex_s3_sync"), bucket=world.bucket)
    assert (ran.state, ran.states("upload_documents")) == ("success", ["skipped"])
    assert ran.value("report")["deleted"] == 2
    assert [world.has(key) for key in keys(5)] == [False, False, True, True, True]


def test_a_changed_document_replaces_the_old_one(run, world, shipped):
    world.put("documents/a.txt")
    world.sync()
    world.put("documents/a.txt", body=b"other words")
    ran = run(shipped("cloudindex_s3_sync"), bucket=world.bucket)
    assert (ran.state, ran.value("report")["changed"], len(world.ci.documents())) == ("success", 1, 1)
    assert world.ci.content(world.ci.documents()[0]["id"]) == b"other words"


def test_after_the_loss_of_the_state_the_group_adopts_and_uploads_nothing(run, world, shipped, tmp_path, caplog):
    world.put(*keys(5))
    world.sync()
    before = {document["id"] for document in world.ci.documents()}
    for file in tmp_path.glob("state.db*"):
        file.unlink()
    (tmp_path / "state.db").touch()  # a volume that lost its contents
    os.utime(tmp_path / "state.db", (0, 0))
    ran = run(shipped("cloudindex_s3_sync"), bucket=world.bucket)
    assert (ran.state, ran.states("upload_documents")) == ("success", ["skipped"])
    report = ran.value("report")
    assert (report["adopted"], report["indexed"], report["uploaded"]) == (5, 5, 0)
    assert {document["id"] for document in world.ci.documents()} == before
    assert "is an empty file, which a state never is" in caplog.text


def test_an_emptied_prefix_ends_the_sensor_green_and_its_removals_are_seen_and_held(run, world, shipped):
    world.put(*keys(4))
    world.sync()
    world.remove(*keys(4))
    ran = run(shipped("cloudindex_s3_sync"), bucket=world.bucket)
    assert ran.states("wait_for_documents") == ["success"]
    assert ran.states("detect_changes") == ["success"]
    assert (ran.state, ran.states("delete_removed"), ran.states("report")) == ("failed", ["failed"], ["failed"])
    assert "S3 lists nothing" in ran.log
    assert "s3_to_cloudindex.delete_removed" in ran.log
    assert len(world.ci.documents()) == 4


def test_an_empty_bucket_is_a_green_run_that_warns_of_the_prefix(run, world, shipped):
    ran = run(shipped("cloudindex_s3_sync"), bucket=world.bucket)
    assert (ran.state, ran.states("wait_for_documents")) == ("success", ["success"])
    assert ran.states("report") == ["success"]
    assert f"S3 lists nothing under s3://{world.bucket}/documents/" in ran.log


def test_one_upload_task_that_fails_for_good_makes_the_run_red_and_is_named(run, world):
    world.put(*keys(70))
    world.ci.faults.add(Fault(operation="upload", kind="status", status=401))
    ran = run(group(world))
    assert ran.state == "failed"
    failed = [index for index, (state, _) in enumerate(ran.tasks["upload_documents"]) if state == "failed"]
    assert len(failed) == 1
    assert ran.tasks["upload_documents"][failed[0]] == ("failed", 1)
    assert sorted(ran.states("upload_documents")) == ["failed", "success", "success", "success"]
    assert ran.tasks["report"] == [("failed", 1)]
    assert f"s3_to_cloudindex.upload_documents[{failed[0]}]" in ran.log
    assert "connection 'cloudindex_default'" in ran.log
    assert len(world.ci.documents()) == 70  # the other tasks took over what the failed one had claimed
    assert ran.waits == []


def test_an_outage_of_an_upload_task_is_retried_after_the_servers_own_time(run, world):
    world.put(*keys(3))
    world.ci.faults.add(Fault(operation="list", kind="status", status=503, retry_after=77))
    ran = run(group(world))
    assert (ran.state, ran.tasks["detect_changes"]) == ("success", [("success", 2)])
    assert (set(ran.waits), ran.pauses) == ({77}, [])


def test_a_document_that_cannot_be_processed_makes_the_run_red_and_is_named_with_its_reason(run, world):
    world.ci.settings.fail_processing = ["broken"]
    world.put("documents/good.txt", "documents/broken.txt")
    ran = run(group(world))
    assert (ran.state, ran.states("report")) == ("failed", ["failed"])
    assert "documents/broken.txt" in ran.log
    assert "1 document failed, and max_failed_documents is 0" in ran.log
    assert "CloudIndex: 1 processed, 1 failed." in ran.log
    assert world.has("documents/good.txt")


def test_as_many_failures_as_allowed_leave_the_run_green(run, world):
    world.ci.settings.fail_processing = ["broken"]
    world.put("documents/good.txt", "documents/broken.txt")
    ran = run(group(world, max_failed_documents="{{ 1 }}"))
    assert ran.state == "success"
    assert [row["key"] for row in ran.value("report")["failures"]] == ["documents/broken.txt"]


def test_a_mass_delete_is_held_red_or_green_as_asked_and_goes_through_when_the_limits_allow_it(run, world):
    world.put(*keys(10))
    world.sync()
    world.remove(*keys(6))
    limits = {"max_delete_documents": 2, "max_delete_percent": 10}
    ran = run(group(world, **limits))
    assert (ran.state, ran.tasks["delete_removed"]) == ("failed", [("failed", 1)])
    ran = run(group(world, **limits, on_mass_delete="skip"))
    assert (ran.state, ran.value("report")["held"], ran.value("delete_removed")["held"]) == ("success", 6, 6)
    assert "6 removals are held" in ran.log
    assert len(world.ci.documents()) == 10
    ran = run(group(world, max_delete_documents=6))
    assert (ran.state, ran.value("report")["deleted"], len(world.ci.documents())) == ("success", 6, 4)


def test_keeping_removed_documents_is_green(run, world):
    world.put(*keys(3))
    world.sync()
    world.remove(keys(1)[0])
    ran = run(group(world, on_removed="keep"))
    assert (ran.state, len(world.ci.documents())) == ("success", 3)


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(run, world):
    world.put(*keys(3))
    world.sync()
    world.put("documents/new.txt")
    world.remove(keys(1)[0])
    before = len(world.ci.requests)
    ran = run(group(world, dry_run="{{ 1 == 1 }}"))
    assert ran.state == "success"
    assert ran.states("detect_changes") == ["success"]
    assert [ran.states(step) for step in STEPS[1:]] == [["skipped"]] * 4
    plan = ran.value("detect_changes", "counts")["plan"]
    assert (plan["upload"], plan["delete"]) == (["documents/new.txt"], keys(1))
    assert "Would delete: " in ran.log
    assert len(world.ci.requests) == before
    world.sync()  # the dry run has left no trace
    assert world.has("documents/new.txt")
    assert not world.has(keys(1)[0])


def test_a_dry_run_that_cannot_list_is_red(run, world):
    with DAG("dry_red", schedule=None) as dag:
        s3_to_cloudindex(bucket="no-such-bucket", dry_run=True)
    assert run(dag).state == "failed"


def test_waiting_defers_on_the_clock_and_takes_what_was_processed_meanwhile(run, world, monkeypatch):
    monkeypatch.setattr(polling, "SHORTEST_TRIGGER", 0.1)
    monkeypatch.setattr(cloudindex_sync, "QUICK_LOOKS", 0)
    world.ci.settings.processing_delay = 6.0  # longer than a slow machine takes to come to its second look
    world.put(*keys(3))
    ran = run(group(world, poll_interval=0.5, deferrable=True))
    assert (ran.state, ran.value("report")["indexed"]) == ("success", 3)
    assert ran.log.count("CloudIndex has processed 0 of 3 documents, 0 failed; the oldest") >= 2


def test_waiting_without_deferral_polls_in_the_worker(run, world):
    world.ci.settings.processing_delay = 1.0
    world.put(*keys(3))
    ran = run(group(world, poll_interval=0.3, deferrable=False))
    assert (ran.state, ran.value("wait_until_processed")["indexed"]) == ("success", 3)
    assert "a worker's slot" not in ran.log


def test_what_still_processes_when_time_is_up_is_left_to_the_next_run(run, world):
    world.ci.settings.processing_delay = 600.0
    world.put(*keys(3))
    ran = run(group(world, processing_timeout="0.2"))
    assert (ran.state, ran.value("report")["deferred"]) == ("success", 3)
    assert "3 documents still process after 1 s (processing_timeout)" in ran.log
    world.ci.settings.processing_delay = 0.0


def test_named_keys_come_from_another_tasks_output_and_nothing_else_is_touched(run, world):
    world.put(*keys(3), "documents/it's, here.txt")
    with DAG("named_keys", schedule=None) as dag:

        @as_task
        def choose():
            return ["documents/it's, here.txt", keys(1)[0]]

        chosen = choose()
        s3_to_cloudindex(
            bucket=world.bucket, prefix="documents/", keys="{{ ti.xcom_pull(task_ids='choose') }}"
        ).set_upstream(chosen)
    ran = run(dag)
    assert (ran.state, ran.value("report")["indexed"], len(world.ci.documents())) == ("success", 2, 2)
    assert world.has("documents/it's, here.txt")


def test_params_choose_bucket_prefix_and_types(run, world, shipped):
    world.put("elsewhere/a.md", "elsewhere/b.txt", "documents/c.md")
    ran = run(shipped("cloudindex_s3_sync"), bucket=world.bucket, prefix="elsewhere/", file_types=["md"])
    assert (ran.state, len(world.ci.documents())) == ("success", 1)
    assert world.has("elsewhere/a.md")
    assert ran.value("report")["skipped_by_reason"] == {"unsupported_type": 1}


def test_a_setting_that_cannot_work_fails_the_first_task_at_once_by_name(run, world):
    ran = run(group(world, upload_tasks="lots"))
    assert (ran.state, ran.tasks["detect_changes"]) == ("failed", [("failed", 1)])
    assert "upload_tasks is 'lots', not a number." in ran.log
    assert ran.states("report") == ["failed"]


def test_a_run_that_may_do_less_than_its_backlog_takes_the_smallest_and_says_what_is_left(run, world, caplog):
    for number in range(5):
        world.put(f"documents/{number}.txt", body=b"words " * (10 - number))
    ran = run(group(world, upload_order="smallest", max_documents_per_run="2"))
    assert (ran.state, ran.value("report")["indexed"], ran.value("report")["backlog"]) == ("success", 2, 3)
    assert [world.has(f"documents/{number}.txt") for number in range(5)] == [False, False, False, True, True]
    assert "Backlog: 5 documents, 240 bytes, about 1 request" in caplog.text
    assert "This run does about 2 of them (max_documents_per_run)" in caplog.text
    assert "Still to upload: 3 documents, 162 bytes, about 1 request" in ran.log


def test_two_groups_in_one_run_keep_their_counts_apart(run, world):
    world.put("documents/a.txt", "other/b.txt", "other/c.txt")
    with DAG("two_groups", schedule=None) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", group_id="one")
        s3_to_cloudindex(bucket=world.bucket, prefix="other/", group_id="two")
    ran = run(dag)
    assert ran.state == "success"
    assert (ran.value("one.report")["indexed"], ran.value("two.report")["indexed"]) == (1, 2)


def test_what_a_run_stores_is_small_and_holds_no_secret(run, world):
    world.ci.settings.fail_processing = ["bad"]
    odd = "x" * 200
    world.put(*[f"documents/{odd}{i:03d}-bad.txt" for i in range(60)], *[f"documents/{i}.png" for i in range(60)])
    ran = run(group(world, max_failed_documents=100))
    assert ran.value("report")["failed"] == 60
    assert max(len(json.dumps(value)) for values in ran.xcoms.values() for value in values) < 48_000
    for secret in ("api-key-that-must", "aws-secret-that-must"):
        assert secret not in ran.stored
        assert secret not in ran.log


def test_only_the_tasks_that_read_s3_log_in_to_aws_and_once(run, world):
    world.put("documents/a.txt")
    ran = run(group(world))
    assert ran.log.count("credentials retrieved from") == 2  # detect_changes and upload_documents


@pytest.mark.parametrize(("fault", "task"), [("delete", "delete_removed"), ("list", "wait_until_processed")])
def test_a_service_that_fails_for_a_moment_is_asked_again_by_airflow(run, world, fault, task):
    world.put(*keys(8))
    world.sync()
    world.remove(*keys(2))
    world.put("documents/a.txt", "documents/b.txt", *keys(6, first=20))
    world.ci.faults.add(Fault(operation=fault, kind="status", status=500))
    ran = run(group(world))
    assert (ran.state, len(world.ci.documents())) == ("success", 14)
    assert ran.tasks[task] == [("success", 2)]
    assert set(ran.waits) == {None}
