"""The whole sync in one task: in a run, and as a plain call outside of Airflow."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from airflow.sdk import DAG

from cloudindex_provider.errors import DeletesHeldError, SettingsError, SyncFailedError
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.views.overview import read_allowances, read_syncs
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

COUNTS = {
    "listed", "unchanged", "new", "changed", "removed", "skipped", "uploaded", "adopted", "indexed", "failed",
    "quarantined", "deferred", "gone", "elsewhere", "held", "excluded", "stale", "deleted", "bytes", "requests",
}  # fmt: skip


@pytest.fixture
def sync(world):
    def sync(**settings):
        arguments = {"task_id": "sync", "bucket": world.bucket, "prefix": "documents/"} | settings
        return S3ToCloudIndexOperator(**arguments).execute({})

    return sync


def test_the_shipped_dag_with_one_task_syncs_and_returns_its_report(run, world, shipped):
    world.put("documents/a.txt", "documents/b.png")
    ran = run(shipped("cloudindex_s3_sync_simple"), bucket=world.bucket)
    assert ran.state == "success"
    assert (ran.value("sync")["indexed"], ran.value("sync")["skipped"]) == (1, 1)
    assert "unsupported_type 1" in ran.log
    assert world.has("documents/a.txt")


def test_every_count_is_there_and_they_balance(world, sync):
    world.ci.settings.fail_processing = ["broken"]
    world.put("documents/a.txt", "documents/b.txt", "documents/broken.txt", "documents/logo.png", "documents/x/")
    report = sync(max_failed_documents=1)
    assert set(report) >= COUNTS
    assert all(isinstance(report[name], int) for name in COUNTS)
    assert report["listed"] == report["unchanged"] + report["new"] + report["changed"] + report["skipped"] == 5
    accounted = ("indexed", "failed", "quarantined", "deferred", "gone", "elsewhere")
    assert report["new"] + report["changed"] == sum(report[name] for name in accounted) == 3
    assert report["failures"][0]["key"] == "documents/broken.txt"
    assert report["failures"][0]["reason"]
    assert {row["key"] for row in report["skips"]} == {"documents/logo.png", "documents/x/"}
    assert json.loads(json.dumps(report)) == report


def test_a_second_call_sends_nothing_and_reads_no_object(world, sync):
    world.put("documents/a.txt")
    sync()
    before = len(world.ci.requests)
    report = sync()
    assert (report["unchanged"], report["uploaded"], report["s3_requests"]) == (1, 0, {"ListObjectsV2": 1})
    assert len(world.ci.requests) == before


def test_documents_that_fail_raise_with_the_report(world, sync):
    world.ci.settings.fail_processing = ["broken"]
    world.put("documents/broken.txt")
    with pytest.raises(SyncFailedError, match=r"documents/broken\.txt") as caught:
        sync()
    assert caught.value.report["failed"] == 1
    assert caught.value.retryable is False


def test_a_held_mass_delete_raises_and_a_skipped_one_returns_both_with_a_report(world, sync, caplog):
    world.put(*[f"documents/{i}.txt" for i in range(5)])
    sync()
    world.remove(*[f"documents/{i}.txt" for i in range(5)])
    with pytest.raises(DeletesHeldError) as caught:
        sync()
    assert caught.value.retryable is False
    report = sync(on_mass_delete="skip")
    assert (report["held"], report["deleted"]) == (5, 0)
    assert "S3 lists nothing" in report["held_reason"]
    assert len(world.ci.documents()) == 5


def test_a_dry_run_returns_a_plan_and_writes_nothing(world, sync):
    world.put("documents/a.txt", "documents/logo.png")
    report = sync(dry_run="true")
    assert (report["dry_run"], report["plan"]["upload"], report["deferred"]) == (True, ["documents/a.txt"], 1)
    assert [request.operation for request in world.ci.requests] == ["list"]  # what the project has already
    assert not Path(os.environ["AIRFLOW__CLOUDINDEX__STATE_PATH"]).exists()
    assert sync()["new"] == 1


def test_the_state_knows_whose_quota_a_sync_uses(world, sync):
    """That of its connection, so that the page shows what is left of it."""
    world.put("documents/a.txt")
    sync()
    db = Database(f"sqlite:///{os.environ['AIRFLOW__CLOUDINDEX__STATE_PATH']}", must_exist=True)
    assert [one.budget for one in read_syncs(db)] == list(read_allowances(db))
    db.close()


def test_named_keys_are_synced_and_one_that_is_gone_is_deleted(world, sync):
    world.put("documents/a.txt", "documents/b.txt", "documents/c.txt")
    assert sync(keys=["documents/a.txt", "documents/b.txt"])["indexed"] == 2
    world.remove("documents/b.txt")
    report = sync(keys='["documents/b.txt"]')
    assert (report["deleted"], len(world.ci.documents())) == (1, 1)
    assert sync(keys=[])["listed"] == 0


def test_two_calls_with_their_own_state_files_do_not_know_of_each_other(world, sync, tmp_path):
    world.put("documents/a.txt")
    assert sync(state_url=f"sqlite:///{tmp_path}/one.db")["new"] == 1
    assert sync(state_url=f"sqlite:///{tmp_path}/two.db")["new"] == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bucket", "s3://bucket/path"),
        ("bucket", ""),
        ("prefix", "s3://bucket/documents/"),
        ("prefix", "x" * 1025),
        ("file_types", "[1]"),
        ("keys", "None"),
        ("keys", ["elsewhere/a.txt"]),
        ("include", 5),
        ("max_file_size", "20MB"),
        ("max_request_size", 0),
        ("on_removed", "archive"),
        ("on_mass_delete", "ask"),
        ("max_delete_documents", -1),
        ("max_delete_percent", "101"),
        ("max_failed_documents", "few"),
        ("max_documents_per_run", 0),
        ("upload_tasks", 65),
        ("processing_timeout", "soon"),
        ("max_run_time", -5),
        ("wait_for_processing", "perhaps"),
        ("dry_run", "perhaps"),
        ("state_url", "mysql://u@h/db"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name_before_anything_is_done(world, sync, field, value):
    with pytest.raises(SettingsError) as caught:
        sync(**{field: value})
    assert caught.value.field == field
    assert field.rstrip("s") in str(caught.value)
    assert caught.value.retryable is False
    assert len(world.ci.requests) == 0


def test_a_mapped_single_task_is_a_run_of_its_own_for_each_prefix(run, world):
    world.put("a/1.txt", "b/1.txt", "b/2.txt")
    with DAG("mapped_single", schedule=None) as dag:
        S3ToCloudIndexOperator.partial(task_id="sync", bucket=world.bucket).expand(prefix=["a/", "b/"])
    ran = run(dag)
    assert ran.state == "success"
    assert sorted(report["indexed"] for report in ran.xcoms["sync", "return_value"]) == [1, 2]
