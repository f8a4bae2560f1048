"""A consumer that dies at any step, and its next try: no key lost, no double document, the queue empty."""

from __future__ import annotations

import pytest

from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.sync.events.consumer import EventConsumer
from tests.integration.sync.events.conftest import Followed
from tests.support.crashing import CrashError, CrashingClient, CrashingDatabase, CrashingS3, Switch
from tests.support.memory_s3 import MemoryS3
from tests.support.mirror import Mirror
from tests.support.service_faults import BEHAVIOURS

PARTS = [0.02, 0.1, 0.18, 0.26, 0.34, 0.42, 0.5, 0.58, 0.66, 0.74, 0.82, 0.9, 0.98]


def consume(followed: Followed, switch: Switch, name: str) -> None:
    """A try of a consumer whose every call to S3, SQS, the state and CloudIndex is a step."""
    mirror = followed.mirror
    ctx = mirror.context(name, dag="events", client=CrashingClient(mirror.client, switch))
    ctx.db = CrashingDatabase(mirror.db.url, switch)
    ctx.s3.client = CrashingS3(mirror.reader, switch)
    try:
        queue = EventQueue(CrashingS3(followed.sqs, switch), "https://queue")
        EventConsumer(queue, [ctx], idle=0.0, first_look=0.02).run(60.0)
    finally:
        ctx.db.close()


def prepare(followed: Followed) -> None:
    followed.put("a.txt", "one"), followed.put("b.txt", "two"), followed.put("c.txt", "three")
    followed.follow()
    followed.put("b.txt", "new"), followed.remove("c.txt")
    followed.put("d.txt", "four"), followed.put("e.txt", "five")
    followed.remove("e.txt")


@pytest.fixture(scope="module")
def steps(cloud_server: LocalCloudIndex, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many steps the whole takes when nothing fails."""
    s3 = MemoryS3()
    followed = Followed(Mirror(tmp_path_factory.mktemp("count"), cloud_server, s3, s3))
    prepare(followed)
    switch = Switch()
    consume(followed, switch, "counted")
    followed.mirror.close()
    return switch.steps


@pytest.mark.parametrize("part", PARTS)
def test_a_consumer_that_dies_at_a_step_loses_and_doubles_nothing(followed: Followed, steps: int, part: float) -> None:
    mirror = followed.mirror
    at = int(steps * part)
    mirror.cloud.settings.same_name = BEHAVIOURS[at % len(BEHAVIOURS)]  # type: ignore[assignment]
    prepare(followed)
    with pytest.raises(CrashError):
        consume(followed, Switch(at), "dies")
    mirror.time_passes(200.0)  # leases and doubts end
    followed.sqs.make_visible()
    if at % 2:
        followed.follow("dies")  # its next try
    followed.follow()  # the next consumer
    assert followed.sqs.left == []
    mirror.assert_agreement()


def test_what_a_try_writes_after_the_next_has_begun_is_found_by_the_one_after(followed: Followed) -> None:
    """Airflow starts the next try when the last one's heartbeat is late, and it may still be alive, for a while."""
    mirror = followed.mirror
    followed.put("before.txt")
    followed.follow()
    key = followed.put("a.txt", "one")
    head = mirror.reader.head_object

    def head_object(**request: object) -> object:
        mirror.reader.head_object = head
        followed.follow("next")  # sees a run without keys
        return head(**request)

    mirror.reader.head_object = head_object
    switch = Switch()
    mirror.client, client = CrashingClient(mirror.client, switch), mirror.client
    switch.at = 0  # dies before its first request to CloudIndex, when the message is deleted already
    with pytest.raises(CrashError):
        followed.follow("first")
    mirror.client = client
    assert (followed.sqs.left, mirror.of(key)) == ([], [])
    mirror.time_passes(200.0)
    followed.follow()
    assert len(mirror.of(key)) == 1
    mirror.assert_agreement()


def test_what_another_try_leaves_is_found_before_a_consumer_rests(followed: Followed) -> None:
    mirror = followed.mirror
    followed.put("before.txt")
    followed.follow()
    key = followed.put("a.txt", "one")

    def on_call(name: str) -> None:
        """Another try takes the message, commits and dies, when this one has begun already."""
        followed.sqs.on_call = lambda _: None
        switch = Switch(0)
        ctx = mirror.context("first", dag="events", client=CrashingClient(mirror.client, switch))
        with pytest.raises(CrashError):
            followed.consumer(syncs=[ctx]).run(30.0)
        mirror.time_passes(200.0)

    followed.sqs.on_call = on_call
    followed.follow("second")
    assert len(mirror.of(key)) == 1
    mirror.assert_agreement()
