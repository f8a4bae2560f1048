"""Waiting without a worker: who decides whether, for how long, and what becomes of it where nobody ends it."""

from __future__ import annotations

import itertools
import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions import dag as airflows_dag
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from cloudindex_provider.errors import ConfigurationError
from cloudindex_provider.operators import cloudindex_sync
from cloudindex_provider.operators.cloudindex import CloudIndexDeleteDocumentOperator
from cloudindex_provider.operators.cloudindex_s3_events import CloudIndexSyncS3EventsOperator
from cloudindex_provider.operators.cloudindex_sync import CloudIndexWaitForSyncOperator
from cloudindex_provider.sensors.cloudindex import CloudIndexProcessingSensor
from cloudindex_provider.sync import polling
from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

_NUMBERS = itertools.count()


def a_group(world, **more):
    with DAG(f"deferral_{next(_NUMBERS)}", schedule=None, default_args=more.pop("default_args", {})) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", poll_interval=0.5, **more)
    return dag


@pytest.fixture
def slow(world, monkeypatch):
    """Documents that process for longer than a task waits in its slot."""
    monkeypatch.setattr(cloudindex_sync, "QUICK_LOOKS", 0)
    monkeypatch.setattr(polling, "SHORTEST_TRIGGER", 0.1)
    world.ci.settings.processing_delay = 6.0
    world.put("documents/a.txt")
    return world


@pytest.fixture
def no_triggerer(monkeypatch):
    """An Airflow whose triggers nobody fires; its scheduler finds them when their time is over, which is at once.

    Gives the times that the deferrals had.
    """
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    run_task = airflows_dag._run_task
    times: list[float] = []

    def run(*, ti, task, run_triggerer=False):
        result = run_task(ti=ti, task=task, run_triggerer=False)
        while ti.state == "deferred" and len(times) < 3:
            with create_session() as session:
                row: Any = session.get(TaskInstance, ti.id)
                now = datetime.now(UTC)
                times.append((row.trigger_timeout - now).total_seconds())
                row.trigger_timeout = now - timedelta(seconds=1)
            scheduler: Any = SimpleNamespace(log=logging.getLogger("scheduler"))  # all that it uses of itself
            SchedulerJobRunner.check_trigger_timeouts(scheduler)
            ti.refresh_from_db()
            assert ti.next_method == "__fail__"
            result = run_task(ti=ti, task=task, run_triggerer=False)
        return result

    monkeypatch.setattr(airflows_dag, "_run_task", run)
    return times


def test_a_missing_triggerer_ends_as_an_error_that_names_it(run, slow, no_triggerer):
    """After what is left of processing_timeout, and a margin; at the first try, because nothing would be different."""
    ran = run(a_group(slow, deferrable=True, processing_timeout=1000))
    assert (ran.state, ran.tasks["wait_until_processed"]) == ("failed", [("failed", 1)])
    assert "No triggerer has woken this task" in ran.log
    assert "airflow triggerer" in ran.log
    assert "because of s3_to_cloudindex.wait_until_processed." in ran.log
    assert len(no_triggerer) == 1
    assert 1200 < no_triggerer[0] <= 1300


@pytest.mark.parametrize(
    ("configured", "default_args", "given", "deferred"),
    [
        (None, {}, {}, False),
        ("True", {}, {}, True),
        ("True", {"deferrable": False}, {}, False),
        (None, {"deferrable": False}, {"deferrable": True}, True),
    ],
)
def test_whether_to_defer_is_what_the_task_its_default_args_and_airflow_say(
    run, slow, monkeypatch, configured, default_args, given, deferred
):
    """In this order, as for every provider."""
    if configured is not None:
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", configured)
    slow.ci.settings.processing_delay = 3600.0 if deferred else 2.0
    defer = CloudIndexWaitForSyncOperator.defer

    def processed_by_then(self, **how):
        slow.ci.settings.processing_delay = 0.0
        defer(self, **how)

    monkeypatch.setattr(CloudIndexWaitForSyncOperator, "defer", processed_by_then)
    ran = run(a_group(slow, default_args=default_args, **given))
    assert (ran.state, ran.value("report")["indexed"]) == ("success", 1)
    assert ("without a worker's slot until then" in ran.log) == deferred


@pytest.mark.parametrize(
    "task",
    [
        lambda: CloudIndexSyncS3EventsOperator(task_id="follow", queue_url="q", syncs=[{"bucket": "bucket"}]),
        lambda: CloudIndexDeleteDocumentOperator(task_id="delete", document_ids=["id"]),
        lambda: CloudIndexWaitForSyncOperator(task_id="wait", bucket="bucket"),
    ],
)
def test_every_task_that_defers_names_a_missing_triggerer(task):
    """Airflow resumes it by a method of its own when nobody has fired its trigger in time."""
    with pytest.raises(Exception, match="No triggerer has woken this task") as caught:
        task().resume_execution("__fail__", {"error": "Trigger timeout"}, {})
    assert isinstance(caught.value, ConfigurationError | AirflowFailException)


@pytest.mark.parametrize(("more", "kind"), [({}, AirflowSensorTimeout), ({"soft_fail": True}, AirflowSkipException)])
def test_a_sensor_that_nobody_wakes_says_what_that_may_mean(more, kind):
    """Its own time-out looks the same to Airflow, so both are said, and soft_fail holds."""
    sensor = CloudIndexProcessingSensor(task_id="processed", document_ids=["id"], **more)
    with pytest.raises(kind) as caught:
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, {})
    said = caught.value if kind is AirflowSensorTimeout else caught.value.__cause__
    assert "airflow triggerer" in str(said)
