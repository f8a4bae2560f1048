"""Events drive the sync: S3's present state wins, whatever the messages say, how often and in which order."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from cloudindex_provider.errors import AuthenticationError, CredentialsError, DeletesHeldError, EventQueueError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.sync.events.consumer import EventConsumer
from cloudindex_provider.sync.metrics import EVENTS_LAG, METRICS
from cloudindex_provider.sync.settings import Selection
from tests.integration.sync.events.conftest import Followed
from tests.support.faulty_s3 import FaultyS3
from tests.support.memory_s3 import client_error
from tests.support.memory_sqs import MemorySqs, s3_message


def test_an_event_indexes_its_object(followed: Followed) -> None:
    """Nothing is listed for it: one HEAD says what the key is."""
    key = followed.put("a.txt", "one")
    consumer = followed.follow()
    assert followed.mirror.bytes_of(key) == b"one"
    assert followed.sqs.left == []
    assert (consumer.counts["messages"], consumer.counts["indexed"]) == (1, 1)
    followed.mirror.assert_agreement()


def test_a_change_and_a_delete_follow(followed: Followed) -> None:
    changed, gone = followed.put("a.txt", "one"), followed.put("b.txt", "two")
    followed.follow()
    followed.put("a.txt", "new")
    followed.remove("b.txt")
    followed.follow()
    assert followed.mirror.bytes_of(changed) == b"new"
    assert followed.mirror.of(gone) == []
    followed.mirror.assert_agreement()


@pytest.mark.parametrize("name", ["ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "ObjectCreated:Put"])
def test_what_is_there_stays_whatever_the_event_says(followed: Followed, name: str) -> None:
    """A deleted marker says "removed" of an object that is there again; so do events that come late."""
    key = followed.put("a.txt", "one")
    followed.follow()
    followed.tell(key, name=name)
    consumer = followed.follow()
    assert (consumer.counts["unchanged"], consumer.counts["deleted"]) == (1, 0)
    followed.mirror.assert_agreement()


@pytest.mark.parametrize("name", ["ObjectCreated:Put", "ObjectRemoved:Delete", "LifecycleExpiration:Delete"])
def test_what_is_gone_goes_whatever_the_event_says(followed: Followed, name: str) -> None:
    key = followed.put("a.txt", "one")
    followed.follow()
    followed.mirror.remove("a.txt")
    followed.tell(key, name=name)
    followed.follow()
    assert followed.mirror.of(key) == []


def test_an_event_about_what_never_was_does_nothing(followed: Followed) -> None:
    followed.tell(followed.mirror.prefix + "never.txt", name="ObjectRemoved:Delete")
    consumer = followed.follow()
    assert (followed.sqs.left, consumer.counts["deleted"], followed.mirror.uploads) == ([], 0, 0)


def test_a_storm_of_one_key_is_one_upload(followed: Followed) -> None:
    for number in range(120):
        followed.put("a.txt", f"text {number}")
    followed.follow()
    assert followed.mirror.uploads == 1
    followed.mirror.assert_agreement()


@pytest.mark.parametrize("key", ["a b+c.txt", "100%.txt", "a%2Bb.txt", "ü\U0001f600.txt", "a\nb.txt", "x/y/z.txt"])
def test_odd_keys_are_meant_however_they_are_encoded(followed: Followed, key: str) -> None:
    """Ceph sends keys raw and S3 encodes them: both are candidates, and S3 has one of them."""
    whole = followed.mirror.put(key, "one")
    followed.tell(whole)  # encoded
    raw = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": followed.mirror.bucket}, "object": {"key": whole}},
    }
    followed.sqs.send(json.dumps({"Records": [raw]}))
    followed.follow()
    assert followed.mirror.bytes_of(whole) == b"one"
    assert followed.mirror.uploads == 1
    followed.mirror.assert_agreement()


def test_foreign_events_are_counted_and_taken_off_the_queue(followed: Followed) -> None:
    """Another bucket, another prefix, a key that no database holds: nothing of them gets into the state."""
    followed.sqs.send(s3_message("another-bucket", "docs/a.txt"), s3_message(followed.mirror.bucket, "elsewhere/a.txt"))
    followed.tell(followed.mirror.prefix + "a\0b.txt")
    key = followed.put("good.txt")
    consumer = followed.follow()
    assert (consumer.counts["foreign"], list(followed.mirror.rows())) == (2, [key])
    assert (followed.sqs.left, len(followed.mirror.of(key))) == ([], 1)


def test_poison_stays_in_the_queue_and_blocks_nobody(followed: Followed) -> None:
    """Its redrive policy counts deliveries, so it comes again, later each time."""
    key = followed.put("a.txt")
    followed.sqs.send("no event", json.dumps({"Records": [{"x": 1}]}))
    consumer = followed.follow()
    assert len(followed.mirror.of(key)) == 1
    assert (len(followed.sqs.left), consumer.counts["unreadable"]) == (2, 2)
    assert all(50 < seconds <= 60 for seconds in followed.sqs.visible_in())
    followed.sqs.make_visible()
    followed.follow()
    assert all(110 < seconds <= 120 for seconds in followed.sqs.visible_in())


def test_good_events_of_a_half_readable_message_are_looked_at(followed: Followed) -> None:
    key = followed.mirror.put("a.txt", "one")
    good = json.loads(s3_message(followed.mirror.bucket, key))["Records"]
    followed.sqs.send(json.dumps({"Records": [{"x": 1}, *good]}))
    followed.follow()
    assert len(followed.mirror.of(key)) == 1


def test_tests_tags_and_empty_messages_are_taken_off_the_queue(followed: Followed) -> None:
    key = followed.mirror.put("a.txt")
    followed.sqs.send(json.dumps({"Event": "s3:TestEvent", "Bucket": followed.mirror.bucket}), '{"Records": []}')
    followed.tell(key, name="ObjectTagging:Put")
    consumer = followed.follow()
    assert followed.sqs.left == []
    assert (consumer.counts["test_messages"], consumer.counts["ignored"], consumer.counts["listed"]) == (1, 1, 0)


def test_a_message_is_deleted_after_its_keys_are_in_the_state(followed: Followed) -> None:
    """And before anything is uploaded: from there on the state is what is relied on."""
    key = followed.put("a.txt")
    seen: list[tuple[str, bool, int]] = []

    def on_call(name: str) -> None:
        if name == "delete":
            seen.append((name, key in followed.mirror.rows(), followed.mirror.uploads))

    followed.sqs.on_call = on_call
    followed.follow()
    assert seen == [("delete", True, 0)]


def test_a_message_comes_again_when_s3_says_nothing_of_its_key(followed: Followed) -> None:
    key = followed.put("a.txt")
    reader = followed.mirror.reader
    followed.mirror.reader = FaultyS3(reader, [("HeadObject", "403 InvalidAccessKeyId")])
    with pytest.raises(CredentialsError, match="InvalidAccessKeyId"):
        followed.follow()
    assert len(followed.sqs.left) == 1
    followed.mirror.reader = reader
    followed.sqs.make_visible()
    followed.follow()
    assert len(followed.mirror.of(key)) == 1
    assert followed.sqs.left == []


def test_one_sync_whose_s3_fails_blocks_no_other(followed: Followed) -> None:
    """Its messages stay in the queue; those of others are done."""
    mirror = followed.mirror
    good, bad = followed.put("good.txt"), mirror.prefix + "bad/b.txt"
    mirror.s3.put_object(Bucket=mirror.bucket, Key=bad, Body=b"b")
    followed.tell(bad)
    broken = mirror.context(dag="events", prefix="docs/bad/")
    broken.s3.client = FaultyS3(mirror.reader, [("HeadObject", "403 InvalidAccessKeyId")])
    fine = mirror.context(dag="events", selection=Selection(exclude=("*/bad/*",)))
    consumer = followed.consumer(syncs=[fine, broken])
    assert consumer.run(30.0)
    assert len(mirror.of(good)) == 1
    assert len(followed.sqs.left) == 1
    assert consumer.counts["looks_failed"] == 1
    followed.sqs.make_visible()
    assert consumer.run(30.0)
    assert (followed.sqs.left, len(mirror.of(bad))) == ([], 1)


def test_two_syncs_of_one_queue_get_their_own_keys(followed: Followed) -> None:
    mirror = followed.mirror
    mirror.s3.put_object(Bucket=mirror.bucket, Key="other/b.txt", Body=b"b")
    key = followed.put("a.txt")
    followed.tell("other/b.txt")
    syncs = [mirror.context(dag="events"), mirror.context(dag="events", prefix="other/")]
    assert followed.consumer(syncs=syncs).run(30.0)
    assert len(mirror.of(key)) == len(mirror.of("other/b.txt")) == 1
    assert {row.source_id for row in mirror.rows().values()} == {ctx.source.id for ctx in syncs}


def test_what_is_not_selected_is_skipped(followed: Followed) -> None:
    key = followed.put("a.xyz")
    consumer = followed.follow()
    assert (followed.mirror.of(key), consumer.counts["skipped"], followed.sqs.left) == ([], 1, [])


def test_a_file_that_fails_is_named_and_its_neighbours_are_indexed(followed: Followed) -> None:
    followed.mirror.cloud.settings.fail_processing = ["bad"]
    bad, good = followed.put("bad.txt", "bad"), followed.put("good.txt", "fine")
    consumer = followed.follow()
    assert [row["key"] for row in consumer.failures] == [bad]
    assert consumer.failed == [1]
    assert len(followed.mirror.of(good)) == 1


def test_a_service_that_refuses_for_a_moment_is_asked_again(followed: Followed) -> None:
    key = followed.put("a.txt")
    followed.mirror.cloud.faults.add(Fault(kind="status", operation="upload", status=503, times=1))
    assert followed.consumer().run(60.0)
    assert len(followed.mirror.of(key)) == 1


def test_a_wrong_key_of_the_service_ends_the_task_and_loses_nothing(followed: Followed) -> None:
    """What was taken off the queue is in the state, and the next consumer takes it up."""
    key = followed.put("a.txt")
    followed.mirror.cloud.faults.add(Fault(kind="status", operation="upload", status=401, times=1))
    with pytest.raises(AuthenticationError):
        followed.follow()
    assert followed.sqs.left == []
    followed.follow()
    assert len(followed.mirror.of(key)) == 1
    followed.mirror.assert_agreement()


@pytest.mark.parametrize(
    ("status", "code", "retryable", "hint"),
    [
        (400, "AWS.SimpleQueueService.NonExistentQueue", False, "queue_url"),
        (400, "QueueDoesNotExist", False, "queue_url"),
        (403, "AccessDenied", False, "sqs:ReceiveMessage"),
        (400, "AccessDeniedException", False, "sqs:ReceiveMessage"),
        (400, "KmsAccessDenied", False, "kms:Decrypt"),
        (403, "InvalidClientTokenId", False, "credentials"),
        (403, "SignatureDoesNotMatch", False, "credentials"),
        (400, "ThrottlingException", True, ""),
        (503, "ServiceUnavailable", True, ""),
        (500, "Anything", True, ""),
    ],
)
def test_a_queue_that_refuses_is_named(followed: Followed, status: int, code: str, retryable: bool, hint: str) -> None:
    """With what to do, and tried again only where another try may help."""

    class Refusing(MemorySqs):
        def receive_message(self, **_: object) -> dict[str, object]:
            raise client_error("ReceiveMessage", status, code)

    followed.sqs = Refusing()
    with pytest.raises(EventQueueError, match=code.rpartition(".")[2]) as caught:
        followed.follow()
    assert caught.value.retryable is retryable
    assert hint in caught.value.hint


# Deletes


def test_deletes_by_event_are_guarded_over_a_day(followed: Followed) -> None:
    """An expiring lifecycle rule is held at the limit, not followed event by event."""
    keys = [followed.put(f"{number:02d}.txt", f"text {number}") for number in range(30)]
    followed.follow()
    for number in range(14):
        followed.remove(f"{number:02d}.txt")
        if number < 10:
            followed.follow(on_mass_delete="skip")
    consumer = followed.follow()
    assert isinstance(consumer.held, DeletesHeldError)
    left = sum(len(followed.mirror.of(key)) for key in keys)
    assert left == 20
    followed.mirror.execute("UPDATE run SET started_at = started_at - 90000, finished_at = finished_at - 90000")
    followed.tell(*keys[10:12], name="ObjectRemoved:Delete")
    assert followed.follow().held is None
    assert sum(len(followed.mirror.of(key)) for key in keys) == 18


def test_an_emptied_bucket_is_held(followed: Followed) -> None:
    keys = [followed.put(f"{number:02d}.txt", f"text {number}") for number in range(20)]
    followed.follow()
    for number in range(20):
        followed.remove(f"{number:02d}.txt")
    consumer = followed.follow()
    assert consumer.held is not None
    assert sum(len(followed.mirror.of(key)) for key in keys) == 20
    assert followed.sqs.left == []


# One run of many batches


def test_the_batches_of_a_task_are_one_run(followed: Followed) -> None:
    """For whoever looks: the page, the guard and pruning see a run a task, with all that its batches did."""
    for number in range(5):
        followed.put(f"{number}.txt")
        followed.follow("events-1")
    followed.remove("0.txt")
    followed.follow("events-1")
    followed.put("late.txt")
    followed.follow("events-2")
    runs = followed.mirror.execute("SELECT id, run_id, finished_at FROM run ORDER BY id")
    assert [run_id for _, run_id, _ in runs] == ["events-1", "events-2"]
    assert all(finished for *_, finished in runs)
    counts = followed.mirror.execute("SELECT name, value FROM run_count WHERE run_id = :run", run=runs[0][0])
    assert {name: value for name, value in counts if name in ("new", "deleted", "removed_by_name", "end:indexed")} == {
        "new": 5, "deleted": 1, "removed_by_name": 1, "end:indexed": 5,
    }  # fmt: skip
    told = followed.mirror.execute("SELECT DISTINCT run.run_id FROM history LEFT JOIN run ON run.id = history.run_id")
    assert {name for (name,) in told} == {"events-1", "events-2"}


def test_a_batch_whose_deletes_are_held_stays_by_itself(followed: Followed) -> None:
    """A person may still decide about it."""
    for number in range(20):
        followed.put(f"{number:02d}.txt", f"text {number}")
    followed.follow("events-1")
    for number in range(20):
        followed.remove(f"{number:02d}.txt")
    followed.follow("events-1")
    followed.put("more.txt")
    followed.follow("events-1")
    held = followed.mirror.execute("SELECT hold.id FROM hold JOIN run ON run.id = hold.run_id")
    assert len(held) == 1
    assert len(followed.mirror.execute("SELECT id FROM run")) == 2


def test_an_event_queue_tells_how_much_waits() -> None:
    sqs = MemorySqs()
    sqs.send("a", "b")
    assert EventQueue(sqs, "q").depth() == 2


def test_one_look_follows_every_open_batch(followed: Followed) -> None:
    """Batches that were begun one after the other are closed by the first look after CloudIndex is done with them."""
    now = 0.0

    def on_call(name: str) -> None:
        """A second passes with every receive."""
        nonlocal now
        now += name == "receive"

    keys = [followed.put(f"{number:02d}.txt", f"text {number}") for number in range(30)]
    followed.sqs.on_call = on_call
    contexts = [followed.mirror.context(dag="events")]
    queue = EventQueue(followed.sqs, "https://queue")
    consumer = EventConsumer(queue, contexts, idle=0.0, first_look=10.0, gather_seconds=0.0, clock=lambda: now)
    assert consumer.run(300.0)
    assert consumer.counts["indexed"] == len(keys)
    assert now < 3 + 10 + 3  # three batches of ten messages, one look, and the rest


def test_messages_and_their_way_into_the_state_are_told_as_metrics(followed: Followed) -> None:
    """A gathering's oldest message says how long it took; one that nobody can read says nothing of that."""
    told: list[tuple[str, float]] = []
    metrics = SimpleNamespace(count=lambda *one: told.append(one), timing=lambda *one: told.append(one))
    followed.put("a.txt")
    followed.tell("elsewhere/b.txt")
    followed.sqs.send("no JSON")
    consumer = followed.consumer()
    consumer.metrics = metrics
    assert consumer.run(60.0)
    lags = [value for name, value in told if name == EVENTS_LAG]
    counts = {name: value for name, value in told if name != EVENTS_LAG}
    assert counts == {
        "cloudindex.events.messages": 3, "cloudindex.events.events": 2,
        "cloudindex.events.foreign": 1, "cloudindex.events.unreadable": 1,
    }  # fmt: skip
    assert len(lags) == 1
    assert 0 <= lags[0] < 10
    assert set(counts) | {EVENTS_LAG} <= {one.name for one in METRICS}
