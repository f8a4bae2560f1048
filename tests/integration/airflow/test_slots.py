"""Workers' slots in real DAG runs: given back for a long wait, without a retry; no more of them than there is to do."""

from __future__ import annotations

import itertools

import pytest
from airflow.sdk import DAG

from cloudindex_provider.hooks.state import open_state
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex

_NUMBERS = itertools.count()


def group(world, **settings):
    with DAG(f"slots_{next(_NUMBERS)}", schedule=None) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", retries=0, **settings)
    return dag


def single(world, **settings):
    with DAG(f"slot_{next(_NUMBERS)}", schedule=None) as dag:
        S3ToCloudIndexOperator(task_id="sync", bucket=world.bucket, prefix="documents/", retries=0, **settings)
    return dag


def keys(number):
    return [f"documents/{i:03d}.txt" for i in range(number)]


def refuse(world, operation, *, skip=0, times=1, seconds=300):
    world.ci.faults.add(Fault(operation=operation, kind="429", retry_after=seconds, skip=skip, times=times))


def test_refused_upload_tasks_pause_and_finish_in_the_same_try(run, world):
    """All of them, since what the service says to one closes it for all."""
    world.put(*keys(70))
    refuse(world, "upload", skip=1)
    ran = run(group(world))
    assert (ran.state, ran.tasks["upload_documents"]) == ("success", [("success", 1)] * 4)
    assert 0 < max(ran.pauses) <= 300  # what was left of it when Airflow looked
    assert ran.waits == []
    assert (ran.value("report")["indexed"], len(world.ci.documents())) == (70, 70)
    assert "Rescheduling task" in ran.log


@pytest.mark.parametrize("operation", ["list", "upload", "get"])
def test_the_single_task_pauses_at_every_step_and_lists_once(run, world, operation):
    world.put(*keys(1))
    refuse(world, operation)
    ran = run(single(world))
    assert (ran.state, ran.tasks["sync"], len(ran.pauses)) == ("success", [("success", 1)], 1)
    report = ran.value("sync")
    assert (report["indexed"], report["s3_requests"]["ListObjectsV2"]) == (1, 1)


def test_refused_deletes_pause_too(run, world):
    world.put(*keys(3))
    world.sync()
    world.remove(*keys(1))
    refuse(world, "delete")
    ran = run(group(world))
    assert (ran.state, ran.tasks["delete_removed"], ran.value("report")["deleted"]) == ("success", [("success", 1)], 1)


def test_a_service_that_refuses_everything_makes_the_run_red(run, world):
    world.put(*keys(3))
    refuse(world, "upload", times=None)
    ran = run(group(world))
    assert (ran.state, ran.tasks["upload_documents"]) == ("failed", [("failed", 1)])
    assert len(ran.pauses) == 1
    assert len(world.ci.documents()) == 0


def test_a_cleared_old_run_works_again(run, world):
    """Its detection is a day old when its upload tasks begin: the time is theirs."""
    world.put(*keys(3))

    def a_day_passes(**_):
        db = open_state()
        with db.write() as connection:
            connection.exec_driver_sql(
                "UPDATE run SET started_at = started_at - 86400, detected_at = detected_at - 86400"
            )
        db.close()

    dag = group(world)
    dag.get_task("s3_to_cloudindex.detect_changes").on_success_callback = [lambda context: a_day_passes()]
    ran = run(dag)
    assert (ran.state, ran.value("report")["indexed"], ran.value("report")["deferred"]) == ("success", 3, 0)


@pytest.mark.parametrize(("quota", "tasks"), [(20, 1), (100, 2)])
def test_upload_tasks_are_no_more_than_the_rate_limit_feeds(run, world, quota, tasks):
    """The first look at the project is answered with the limits."""
    world.ci.settings.requests_per_window = quota
    world.put(*keys(21))
    ran = run(group(world, upload_tasks=4))
    assert (ran.state, len(ran.tasks["upload_documents"])) == ("success", tasks)
