"""Messages that AWS hands to a function: what isn't done comes again, and nothing else does."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from cloudindex_provider.errors import AuthenticationError, CredentialsError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.s3.event_queue import Delivery
from cloudindex_provider.sync.events.handed import HandedOver, work_off
from tests.integration.sync.events.conftest import Followed
from tests.support.crashing import CrashError, CrashingClient, CrashingDatabase, CrashingS3, Switch
from tests.support.faulty_s3 import FaultyS3
from tests.support.memory_s3 import MemoryS3
from tests.support.memory_sqs import s3_message
from tests.support.mirror import Mirror


def hand(mirror: Mirror, *bodies: str, seconds: float = 30.0, syncs: Sequence[Any] = ()) -> HandedOver:
    """One start of the function; a message's id is its number."""
    deliveries = [Delivery(str(number), "", body) for number, body in enumerate(bodies)]
    contexts = syncs or [mirror.context(dag="aws_lambda/f")]
    return work_off(contexts, deliveries, seconds=seconds, first_look=0.02)


def again(done: HandedOver) -> list[str]:
    return [one.message_id for one in done.again]


def message(mirror: Mirror, *keys: str, name: str = "ObjectCreated:Put") -> str:
    return s3_message(mirror.bucket, *keys, name=name)


def test_what_is_handed_over_is_done_at_its_end(followed: Followed) -> None:
    """Uploaded, processed, and what it replaces deleted, all within one start."""
    mirror = followed.mirror
    key, gone = mirror.put("a.txt", "one"), mirror.put("gone.txt", "gone")
    assert again(hand(mirror, message(mirror, key), message(mirror, gone))) == []
    mirror.put("a.txt", "two")
    mirror.remove("gone.txt")
    done = hand(mirror, message(mirror, key), message(mirror, gone, name="ObjectRemoved:Delete"))
    assert again(done) == []
    assert (done.counts["indexed"], done.counts["deleted"]) == (1, 1)
    mirror.assert_agreement()


def test_the_same_messages_twice_are_a_look_and_nothing_else(followed: Followed) -> None:
    mirror = followed.mirror
    bodies = [message(mirror, mirror.put(f"{number}.txt", f"text {number}")) for number in range(5)]
    hand(mirror, *bodies)
    uploads, documents = mirror.uploads, mirror.documents()
    done = hand(mirror, *bodies, *bodies)
    assert (again(done), done.counts["unchanged"], mirror.uploads) == ([], 5, uploads)
    assert mirror.documents() == documents


def test_a_message_that_nobody_can_read_never_repeats_the_good_ones(followed: Followed) -> None:
    mirror = followed.mirror
    good = [mirror.put(f"{number}.txt", f"text {number}") for number in range(3)]
    half = json.loads(message(mirror, good[2]))
    half["Records"].append({"x": 1})
    done = hand(mirror, message(mirror, good[0]), "no event", message(mirror, good[1]), json.dumps(half))
    assert again(done) == ["1", "3"]
    assert len(done.complaints) == 2
    mirror.assert_agreement()


def test_a_foreign_message_is_done_and_named(followed: Followed) -> None:
    done = hand(followed.mirror, s3_message("another-bucket", "docs/a.txt"))
    assert again(done) == []
    assert "another-bucket" in done.complaints[0]


def test_a_slow_document_repeats_its_own_message_alone(followed: Followed) -> None:
    """The time is over while one is processing; the next delivery finds it done, and uploads nothing."""
    mirror = followed.mirror
    quick = mirror.put("quick.txt", "quick")
    assert again(hand(mirror, message(mirror, quick))) == []
    slow = mirror.put("slow.txt", "slow")
    mirror.cloud.settings.processing_delay = 3600.0
    bodies = [message(mirror, quick), message(mirror, slow)]
    assert again(hand(mirror, *bodies, seconds=1.0)) == ["1"]
    mirror.cloud.settings.processing_delay = 0.0
    assert again(hand(mirror, bodies[1])) == []
    assert mirror.uploads == 2
    mirror.assert_agreement()


def test_one_sync_that_fails_repeats_its_own_messages_alone(followed: Followed) -> None:
    mirror = followed.mirror
    good, bad = mirror.put("good.txt"), mirror.put("bad/b.txt")
    broken = mirror.context(dag="aws_lambda/f", prefix="docs/bad/")
    broken.s3.client = FaultyS3(mirror.reader, [("HeadObject", "403 InvalidAccessKeyId")])
    fine = mirror.context(dag="aws_lambda/f", prefix="docs/good")
    done = hand(mirror, message(mirror, good), message(mirror, bad), syncs=[fine, broken])
    assert again(done) == ["1"]
    assert isinstance(done.error, CredentialsError)
    assert len(mirror.of(good)) == 1


def test_a_key_of_the_service_that_is_refused_repeats_everything(followed: Followed) -> None:
    mirror = followed.mirror
    key = mirror.put("a.txt")
    mirror.cloud.faults.add(Fault(kind="status", operation="upload", status=401, times=1))
    done = hand(mirror, message(mirror, key))
    assert again(done) == ["0"]
    assert isinstance(done.error, AuthenticationError)
    assert again(hand(mirror, message(mirror, key))) == []
    mirror.assert_agreement()


def test_a_service_that_asks_for_more_time_than_there_is_isnt_waited_for(followed: Followed) -> None:
    """A function is paid for by the second."""
    mirror = followed.mirror
    key = mirror.put("a.txt")
    mirror.cloud.faults.add(Fault(kind="429", operation="upload", retry_after=600, times=None))
    began = time.monotonic()
    done = hand(mirror, message(mirror, key), seconds=25.0)
    assert again(done) == ["0"]
    assert time.monotonic() - began < 15.0
    mirror.cloud.faults.clear()
    assert again(hand(mirror, message(mirror, key))) == []
    mirror.assert_agreement()


def test_what_a_limit_leaves_comes_again(followed: Followed) -> None:
    mirror = followed.mirror
    bodies = [message(mirror, mirror.put(f"{number}.txt", f"text {number}")) for number in range(3)]
    done = hand(mirror, *bodies, syncs=[mirror.context(dag="aws_lambda/f", max_documents_per_run=2)])
    assert len(again(done)) == 1
    assert again(hand(mirror, *(one.body for one in done.again))) == []
    assert mirror.uploads == 3
    mirror.assert_agreement()


def test_a_key_that_another_run_holds_comes_again_and_its_neighbour_does_not(followed: Followed) -> None:
    """That is done to its end, with the document that it replaces."""
    mirror = followed.mirror
    held, free = mirror.put("held.txt", "one"), mirror.put("free.txt", "one")
    bodies = [message(mirror, held), message(mirror, free)]
    hand(mirror, *bodies)
    mirror.execute("UPDATE object SET claim_owner = 'x', claim_until = 9e9 WHERE key = :key", key=held)
    mirror.put("held.txt", "two"), mirror.put("free.txt", "two")
    assert again(hand(mirror, *bodies, seconds=4.0)) == ["0"]
    assert mirror.bytes_of(free) == b"two"
    mirror.execute("UPDATE object SET claim_owner = NULL")
    assert again(hand(mirror, *bodies)) == []
    mirror.assert_agreement()


def test_a_file_that_fails_for_good_is_the_states_and_not_the_queues(followed: Followed) -> None:
    """Another delivery would only use up its strikes."""
    mirror = followed.mirror
    mirror.cloud.settings.fail_processing = ["bad"]
    done = hand(mirror, message(mirror, mirror.put("bad.txt", "bad")))
    assert (again(done), done.counts["failed"]) == ([], 1)


def test_held_deletes_are_a_persons_and_not_the_queues(followed: Followed) -> None:
    mirror = followed.mirror
    keys = mirror.put_many(20)
    hand(mirror, message(mirror, *keys))
    for number in range(20):
        mirror.remove(f"{number:04d}.txt")
    done = hand(mirror, message(mirror, *keys, name="ObjectRemoved:Delete"))
    assert again(done) == []
    assert sum(len(mirror.of(key)) for key in keys) == 20


def prepare(mirror: Mirror) -> list[str]:
    """Something new, something changed and something gone, with the messages of it."""
    bodies = [message(mirror, mirror.put(f"{number}.txt", f"text {number}")) for number in range(3)]
    hand(mirror, *bodies[:2])
    mirror.put("0.txt", "new")
    mirror.remove("1.txt")
    return bodies


def hand_to_one_that_dies(mirror: Mirror, bodies: list[str], switch: Switch) -> None:
    """Every call to S3, the state and CloudIndex is a step."""
    ctx = mirror.context(dag="aws_lambda/f", client=CrashingClient(mirror.client, switch))
    ctx.db = CrashingDatabase(mirror.db.url, switch)
    ctx.s3.client = CrashingS3(mirror.reader, switch)
    try:
        hand(mirror, *bodies, syncs=[ctx])
    finally:
        ctx.db.close()


@pytest.fixture(scope="module")
def steps(cloud_server: LocalCloudIndex, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many steps the whole takes when nothing fails."""
    s3 = MemoryS3()
    mirror = Mirror(tmp_path_factory.mktemp("count"), cloud_server, s3, s3)
    switch = Switch()
    hand_to_one_that_dies(mirror, prepare(mirror), switch)
    mirror.close()
    return switch.steps


@pytest.mark.parametrize("part", [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95])
def test_a_start_that_dies_is_made_good_by_the_next_delivery(followed: Followed, steps: int, part: float) -> None:
    """Lambda kills a function whose time is over; SQS sends its messages again."""
    mirror = followed.mirror
    bodies = prepare(mirror)
    with pytest.raises(CrashError):
        hand_to_one_that_dies(mirror, bodies, Switch(int(steps * part)))
    mirror.time_passes(200.0)  # leases and doubts end
    assert again(hand(mirror, *bodies)) == []
    mirror.assert_agreement()
