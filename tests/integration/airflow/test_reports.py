"""A run's report as people and callbacks find it in Airflow: the XCom ``report`` in green and in red, links, labels."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from airflow.sdk import DAG

from cloudindex_provider.local.faults import Fault
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex

_NUMBERS = itertools.count()
PAGE, S3, PROJECT = "cloudindex_page_link", "cloudindex_s3_link", "cloudindex_project_link"


@pytest.fixture(autouse=True)
def _airflow_knows_no_address_of_its_own(monkeypatch):
    """Whatever another test's api-server has set for the process."""
    monkeypatch.delenv("AIRFLOW__API__BASE_URL", raising=False)


def group(world, **settings) -> DAG:
    with DAG(f"reported_{next(_NUMBERS)}", schedule=None) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", **settings)
    return dag


def single(world, **settings) -> DAG:
    with DAG(f"reported_{next(_NUMBERS)}", schedule=None) as dag:
        S3ToCloudIndexOperator(task_id="report", bucket=world.bucket, prefix="documents/", **settings)
    return dag


BOTH = pytest.mark.parametrize("make", [group, single])


@BOTH
def test_a_green_run_s_report_is_found_under_the_key_that_a_red_one_has(run, world, make):
    world.put("documents/a.txt")
    ran = run(make(world))
    report = ran.value("report", "report")
    assert report == ran.value("report")
    assert report["summary"].startswith(f"s3://{world.bucket}/documents/ is in step with CloudIndex project ")
    assert report["to_do"] == []
    assert [row["key"] for row in report["uploaded_keys"]] == ["documents/a.txt"]
    assert "uploaded  1  'documents/a.txt' (27 bytes)" in ran.log


@BOTH
def test_a_document_that_failed_is_the_first_thing_that_a_red_run_says(run, world, make):
    world.put("documents/a.txt", "documents/broken.txt")
    world.ci.settings.fail_processing = ["broken"]
    ran = run(make(world, retries=0))
    assert ran.states("report") == ["failed"]
    report = ran.value("report", "report")
    assert report["to_do"][0].startswith("1 key has failed. The first is 'documents/broken.txt': ")
    assert " failed. First: 1 key has failed. The first is 'documents/broken.txt': " in report["summary"]
    assert (report["indexed"], report["failed"]) == (1, 1)
    assert 0 < ran.log.index("To do, 1: 1 key has failed") < ran.log.index("Report of s3://")
    assert ("report", "return_value") not in ran.xcoms


@BOTH
def test_a_step_that_failed_says_why_in_the_report(run, world, make):
    """The group's report tells of another task's error, and what to do about it; the single task of its own."""
    world.put("documents/a.txt")
    world.ci.faults.add(Fault(operation="upload", kind="status", status=401, times=None))
    ran = run(make(world, retries=0))
    report = ran.value("report", "report")
    first = report["to_do"][0]
    assert "API key" in first
    assert report["summary"].startswith(f"The sync of s3://{world.bucket}/documents/ to CloudIndex project ")
    assert f" failed. First: {first}" in report["summary"]
    assert (report["new"], report["deferred"], report["imbalance"]) == (1, 1, None)
    if make is group:
        assert first.startswith("s3_to_cloudindex.upload_documents[0]: ")


@BOTH
def test_a_run_that_never_began_has_a_report_too(run, world, make):
    """The connection is what is missing, and nothing is connected to say so."""
    world.monkeypatch.delenv("AIRFLOW_CONN_CLOUDINDEX_DEFAULT")
    ran = run(make(world, retries=0))
    assert ran.states("report") == ["failed"]
    if make is group:
        report = ran.value("report", "report")
        assert "connection 'cloudindex_default' is not defined" in report["to_do"][0]
        assert report["summary"].startswith(f"The sync of s3://{world.bucket}/documents/ to CloudIndex failed. First: ")
        assert report["listed"] == 0


@BOTH
def test_held_deletes_are_what_a_red_run_names_first_with_their_keys(run, world, make):
    keys = [f"documents/{n}.txt" for n in range(3)]
    world.put(*keys)
    world.sync()
    world.remove(*keys[1:])
    ran = run(make(world, retries=0, max_delete_documents=1))
    report = ran.value("report", "report")
    assert report["to_do"][0].startswith("2 deletes are held: ")
    assert (
        "The first of them: 'documents/1.txt' (27 bytes), 'documents/2.txt' (27 bytes). Look at" in report["to_do"][0]
    )
    assert len([one for one in report["to_do"] if "held" in one]) == 1
    assert [(row["key"], row["size"]) for row in report["held_keys"]] == [(key, "27 bytes") for key in keys[1:]]


@BOTH
def test_an_on_failure_callback_gets_the_paragraph(run, world, make):
    told: list[str] = []

    def tell(context: Any) -> None:
        ti = context["ti"]
        told.append(ti.xcom_pull(task_ids=ti.task_id, key="report", map_indexes=ti.map_index)["summary"])

    world.put("documents/broken.txt")
    world.ci.settings.fail_processing = ["broken"]
    ran = run(make(world, retries=0, on_failure_callback=tell))
    assert told == [ran.value("report", "report")["summary"]]


def test_a_dry_run_s_report_is_there_too(run, world):
    world.put("documents/a.txt")
    ran = run(group(world, dry_run=True))
    report = ran.value("detect_changes", "report")
    assert report["summary"].endswith("It would upload 1 document and find 0 keys removed.")
    assert "Dry run of " in report["summary"]


def test_without_xcom_a_task_pushes_none(run, world):
    world.put("documents/a.txt")
    ran = run(single(world, do_xcom_push=False))
    assert [key for _, key in ran.xcoms if not key.startswith("cloudindex_")] == []


# Mapped uploads


def test_each_mapped_upload_is_labelled_with_what_it_did(run, world):
    world.put(*[f"documents/{n:02}.txt" for n in range(45)])
    labels = run(group(world, upload_tasks=3)).labels
    assert [label.partition(":")[0] for label in labels] == ["worker 1", "worker 2", "worker 3"]
    numbers = [int(label.partition(": ")[2].partition(" document")[0]) for label in labels]
    assert sum(numbers) == 45


def test_a_failed_upload_keeps_its_name_and_a_users_template_goes_before(run, world):
    world.put("documents/a.txt")
    world.ci.faults.add(Fault(operation="upload", kind="status", status=401, times=None))
    assert run(group(world, retries=0)).labels == ["worker 1"]
    world.ci.faults.clear()
    assert run(group(world, default_args={"map_index_template": "mine"})).labels[:1] == ["mine"]


# Links


def test_links_lead_to_this_run_on_the_page_under_any_base_path(run, world):
    world.put("documents/a.txt")
    ran = run(group(world))
    [page] = set(ran.xcoms["report", PAGE])
    assert page.startswith("dags/reported_")
    assert page.endswith("/plugin/cloudindex-run?sync=1")
    assert all(
        ran.xcoms[task, PAGE] == [page] * len(ran.tasks[task]) for task in ("detect_changes", "upload_documents")
    )
    assert (ran.value("report", S3), ran.value("report", PROJECT)) == ("", "")  # no AWS, and no address is known


def test_a_state_of_a_task_s_own_has_no_page_to_lead_to(run, world, tmp_path):
    world.put("documents/a.txt")
    ran = run(single(world, state_url=f"sqlite:///{tmp_path}/own.db"))
    assert ran.value("report", PAGE) == ""


def test_aws_and_the_connection_say_where_bucket_and_project_are(world, monkeypatch):
    from cloudindex_provider.links.places import absolute, console_url, project_url

    assert console_url("aws", "b", "docs/ä b", "eu-west-1") == (
        "https://console.aws.amazon.com/s3/buckets/b?region=eu-west-1&prefix=docs%2F&showversions=false"
    )
    assert console_url("aws-cn", "b", "", None) == "https://console.amazonaws.cn/s3/buckets/b?showversions=false"
    assert console_url("127.0.0.1:9000", "b", "", None) == ""
    assert console_url("aws", "arn:aws:s3:eu-west-1:1:accesspoint/x", "", None) == ""
    assert project_url("https://ci/{project_id}/documents", "p/1") == "https://ci/p%2F1/documents"
    assert absolute("plugin/cloudindex") is None
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://host/airflow/")
    assert absolute("plugin/cloudindex?sync=1") == "https://host/airflow/plugin/cloudindex?sync=1"


def test_summary_and_log_end_with_the_whole_address(run, world, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://host/airflow")
    world.connect_cloudindex(extra={"project_id": world.ci.project_id, "project_url": "https://ci/{project_id}"})
    world.put("documents/a.txt")
    ran = run(single(world))
    url = f"https://host/airflow/{ran.value('report', PAGE)}"
    assert ran.value("report", "report")["summary"].endswith(f" {url}")
    assert f"All keys, and what happened to each: {url}" in ran.log
    assert ran.value("report", PROJECT) == f"https://ci/{world.ci.project_id}"


def test_a_project_address_that_is_none_is_refused(world):
    from cloudindex_provider.errors import ConfigurationError

    world.connect_cloudindex(extra=json.dumps({"project_id": "p", "project_url": "javascript:alert(1)"}))
    task = S3ToCloudIndexOperator(task_id="t", bucket=world.bucket, prefix="documents/")
    with pytest.raises(ConfigurationError, match="the extra project_url of connection"):
        task.execute({})
