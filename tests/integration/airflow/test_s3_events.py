"""The consumer of S3 events in Airflow, with moto's S3, SQS and notifications between them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from cloudindex_provider.errors import (
    AuthenticationError,
    EventQueueError,
    EventQueueUnavailableError,
    SettingsError,
    StoppedError,
    SyncFailedError,
)
from cloudindex_provider.operators.cloudindex_s3_events import CloudIndexSyncS3EventsOperator
from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.sync.events import consumer as consumer_module
from cloudindex_provider.sync.events.consumer import EventConsumer
from cloudindex_provider.triggers import s3_events as trigger_module
from cloudindex_provider.triggers.s3_events import CloudIndexS3EventsTrigger
from tests.integration.airflow.conftest import Ran, World, asset_events


@pytest.fixture
def queue(world: World) -> Any:
    """A queue that the bucket sends its events to: its URL, its depth, and a client."""
    sqs = boto3.client(
        "sqs", endpoint_url=world.endpoint, aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1"
    )
    url = sqs.create_queue(QueueName=world.bucket[:80])["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    world.s3.put_bucket_notification_configuration(
        Bucket=world.bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
        },
    )
    return Queue(sqs, url)


class Queue:
    def __init__(self, client: Any, url: str) -> None:
        self.client, self.url = client, url

    @property
    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


def operator(world: World, queue: Queue, **more: Any) -> CloudIndexSyncS3EventsOperator:
    given: dict[str, Any] = {"queue_url": queue.url, "syncs": [{"bucket": world.bucket, "prefix": "documents/"}]}
    given |= {"idle_time": 0.5, "deferrable": True}
    return CloudIndexSyncS3EventsOperator(task_id="follow", **{**given, **more})


def settle(task: CloudIndexSyncS3EventsOperator) -> dict[str, Any]:
    """What the task has done when it comes to rest, judged as at its end."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute({})
    return task.execute_complete({}, {"status": "over", "until": 0.0, "so_far": deferred.value.trigger.so_far})


def test_objects_are_indexed_by_their_events(world: World, queue: Queue) -> None:
    """Outside a run too, with connections from the environment; keys in every spelling of moto's."""
    keys = ["documents/2026/report a b+é&ü.txt", "documents/b.txt"]
    world.put(*keys, "elsewhere/c.txt")
    counts = settle(operator(world, queue))
    assert [world.has(key) for key in keys] == [True, True]
    assert queue.left == 0
    assert (counts["indexed"], counts["foreign"], counts["test_messages"]) == (2, 1, 1)


def test_an_idle_task_waits_in_the_triggerer_and_is_woken(world: World, queue: Queue, run: Callable[..., Ran]) -> None:
    """The trigger takes no message; what comes while it watches is indexed by the same task, which sums up."""
    world.put("documents/a.txt")

    def later() -> None:
        while not world.has("documents/a.txt"):
            time.sleep(0.1)
        time.sleep(2.5)  # the task has gone to sleep by now
        world.put("documents/b.txt")
        world.remove("documents/a.txt")

    thread = threading.Thread(target=later)
    thread.start()
    with DAG("follow", schedule=None) as followed:
        operator(world, queue, max_run_time=12, poll_interval=0.5)
    ran = run(followed)
    thread.join()
    assert ran.state == "success", ran.log[-6000:]
    assert (world.has("documents/a.txt"), world.has("documents/b.txt")) == (False, True)
    assert (ran.value("follow")["indexed"], ran.value("follow")["deleted"]) == (2, 1)
    assert "waiting in the triggerer" in ran.log
    ((_, extra, aliases),) = asset_events("follow")  # at its end, for all that it has done
    assert (extra["changes"], aliases) == ({"indexed": 2, "deleted": 1}, ["cloudindex:follow.follow"])
    assert queue.left == 0


@pytest.mark.parametrize(
    "syncs",
    [[{"bucket": "{{ params.bucket }}", "prefix": "documents/"}], "{{ params.syncs | tojson }}", "{{ params.syncs }}"],
)
def test_templates_work_in_the_queue_and_the_syncs(world: World, queue: Queue, syncs: Any) -> None:
    """In a value of a sync, and for all of them, whose text is read as JSON or as Jinja writes a list."""
    world.put("documents/a.txt")
    task = operator(world, queue, queue_url="{{ params.queue }}", syncs=syncs)
    whole = [{"bucket": world.bucket, "prefix": "documents/"}]
    task.render_template_fields({"params": {"queue": queue.url, "bucket": world.bucket, "syncs": whole}})
    assert settle(task)["indexed"] == 1


def test_a_task_that_is_not_deferrable_ends_after_its_time(world: World, queue: Queue) -> None:
    assert operator(world, queue, max_run_time=1, deferrable=False).execute({})["failures"] == []


def test_a_document_that_fails_makes_the_task_red_at_its_end(world: World, queue: Queue) -> None:
    world.ci.settings.fail_processing = ["documents-bad"]
    world.put("documents/bad.txt", body=b"bad")
    world.put("documents/good.txt")
    with pytest.raises(SyncFailedError, match=r"documents/bad\.txt") as caught:
        settle(operator(world, queue))
    assert caught.value.report["indexed"] == 1
    assert world.has("documents/good.txt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queue_url": ""}, "queue_url is empty"),
        ({"queue_url": None}, "queue_url is empty"),
        ({"queue_url": "None"}, "queue_url is empty"),  # what a template without a value renders to
        ({"queue_url": 7}, "queue_url is"),
        ({"visibility_timeout": 0}, "visibility_timeout is 0 seconds"),  # each message would come again at once
        ({"visibility_timeout": 50_000}, "visibility_timeout is 50000 seconds"),  # which SQS refuses
        ({"idle_time": -1}, "idle_time is -1 seconds"),
        ({"poll_interval": 0}, "poll_interval is 0 seconds"),  # a triggerer that does nothing else
        ({"max_run_time": 0}, "max_run_time is 0 seconds"),
        ({"syncs": []}, "syncs is no list"),
        ({"syncs": None}, "syncs is no list"),
        ({"syncs": '{"bucket": "b"}'}, "syncs is no list"),
        ({"syncs": "x"}, "syncs is no list"),
        ({"syncs": [{"bucket": "b", "prefx": ""}]}, r"syncs\[0\] has 'prefx'"),
        ({"syncs": [{"bucket": "b", "keys": ["k"]}]}, r"syncs\[0\] has 'keys'"),
        ({"syncs": [{"prefix": "documents/"}]}, r"syncs\[0\]: bucket is None"),
        ({"syncs": [{"bucket": "arn:aws:s3:us-east-1:1:accesspoint/a"}]}, r"syncs\[0\]: bucket is the access point"),
        ({"syncs": [{"bucket": "a-1234-s3alias"}]}, r"syncs\[0\]: bucket is the access point"),
        ({"syncs": [{"bucket": "bucket", "prefix": "None"}]}, r"syncs\[0\]: prefix is a template"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_a_sentence(
    world: World, queue: Queue, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        operator(world, queue, **changes).execute({})


def test_times_may_be_timedeltas(world: World, queue: Queue) -> None:
    times = {"idle_time": timedelta(seconds=0.5), "poll_interval": timedelta(seconds=3)}
    with pytest.raises(TaskDeferred) as deferred:
        operator(world, queue, visibility_timeout=timedelta(minutes=1), **times).execute({})
    assert deferred.value.trigger.poll_interval == 3.0


def test_a_sync_that_cannot_get_on_makes_the_task_red_and_the_others_are_done(world: World, queue: Queue) -> None:
    """When nothing is left to do, and not an hour later: its messages come again until they are taken away."""
    extra = {"project_id": world.ci.project_id}
    fields = {"conn_type": "cloudindex", "host": world.ci.url, "password": "revoked", "extra": extra}
    world.monkeypatch.setenv("AIRFLOW_CONN_REVOKED", json.dumps(fields))
    world.put("other/a.txt", "documents/b.txt")
    refused = {"bucket": world.bucket, "prefix": "other/", "cloudindex_conn_id": "revoked"}
    syncs = [refused, {"bucket": world.bucket, "prefix": "documents/"}]
    with pytest.raises(AuthenticationError):
        operator(world, queue, syncs=syncs).execute({})
    assert world.has("documents/b.txt")
    assert queue.left == 1


def test_a_trigger_that_sqs_fails_for_long_wakes_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which finds out whether it does there, too: else it would be green, with nothing consumed."""
    monkeypatch.setattr(trigger_module, "_OUTAGE", 0.2)
    failing = SimpleNamespace(depth=lambda: (_ for _ in ()).throw(EventQueueUnavailableError("No answer.")))
    monkeypatch.setattr(trigger_module, "event_queue", lambda *_, **__: failing)
    trigger = CloudIndexS3EventsTrigger(queue_url="https://queue", until=time.time() + 20, poll_interval=0.05)
    began = time.monotonic()
    assert asyncio.run(trigger._watch()) == "success"
    assert 0.2 <= time.monotonic() - began < 10


def test_a_short_run_whose_queue_never_answers_is_red(
    world: World, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would end before the quarter of an hour is over, green, and nobody would hear of it."""

    def receive(*_: Any) -> Any:
        raise EventQueueUnavailableError("No answer.")

    monkeypatch.setattr(consumer_module, "EVENTS_OUTAGE_PAUSE", 0.1)
    monkeypatch.setattr(EventQueue, "receive", receive)
    with pytest.raises(EventQueueUnavailableError):
        operator(world, queue, max_run_time=6).execute({})


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_task_that_is_stopped_begins_no_further_round(
    world: World, queue: Queue, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """Airflow goes on in the task after ``on_kill``: it must end by itself, and as what it is."""
    task, rounds = operator(world, queue, max_run_time=2, deferrable=deferrable), []

    def stopped(_: EventConsumer, seconds: float) -> bool:
        rounds.append(seconds)
        task.on_kill()
        return False

    monkeypatch.setattr(EventConsumer, "run", stopped)
    with pytest.raises(StoppedError):
        task.execute({})
    assert len(rounds) == 1


def test_a_queue_that_is_not_there_is_named(world: World, queue: Queue) -> None:
    """At once and with what to do, not after five tries."""
    with pytest.raises(EventQueueError, match=r"QueueDoesNotExist|NonExistentQueue") as caught:
        operator(world, queue, queue_url=queue.url + "-missing").execute({})
    assert (caught.value.retryable, "queue_url" in str(caught.value)) == (False, True)


def test_a_connection_that_is_not_there_is_named(world: World, queue: Queue) -> None:
    with pytest.raises(EventQueueError, match="AWS connection 'nowhere'"):
        operator(world, queue, aws_conn_id="nowhere").execute({})


def test_a_default_connection_that_is_not_there_is_no_other_identity(
    world: World, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's own hook would go on with the machine's credentials, where it is aws_default that is missing."""
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    with pytest.raises(EventQueueError, match="'aws_default' is not defined"):
        operator(world, queue).execute({})


def test_instances_of_a_mapped_task_have_runs_of_their_own(world: World, queue: Queue) -> None:
    """Each takes up what its own earlier tries have left, and not what a living sibling works on."""
    task, names = operator(world, queue), []
    for index in (-1, 0, 1):
        ti = SimpleNamespace(dag_id="dag", run_id="run", map_index=index, try_number=1)
        with task._contexts({"ti": ti}) as (ctx,):  # type: ignore[typeddict-item]
            names.append(ctx.name.task_id)
    assert names == ["follow", "follow[0]", "follow[1]"]


def test_no_secret_is_in_what_a_deferral_stores(world: World, queue: Queue) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        operator(world, queue).execute({})
    stored = json.dumps(deferred.value.trigger.serialize())
    assert "access-key-id" not in stored
    assert "must-never-be-seen" not in stored
