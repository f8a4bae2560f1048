"""Events beside full runs and other consumers of the same keys: what is newer wins, and S3 is asked about little."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from cloudindex_provider.errors import AuthenticationError, StoppedError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.wait import poll
from tests.integration.sync.events.conftest import Followed
from tests.support.memory_sqs import s3_message


def test_a_full_run_finds_what_no_event_told(followed: Followed) -> None:
    followed.put("told.txt")
    followed.mirror.put("untold.txt")
    followed.follow()
    report = followed.mirror.run()
    assert (report.counts["unchanged"], report.counts["new"]) == (1, 1)
    followed.mirror.assert_agreement()


def test_a_full_run_between_commit_and_upload_costs_no_second_upload(followed: Followed) -> None:
    key = followed.put("a.txt")

    def on_call(name: str) -> None:
        if name == "delete":
            followed.sqs.on_call = lambda _: None
            followed.mirror.run()

    followed.sqs.on_call = on_call
    followed.follow()
    assert (len(followed.mirror.of(key)), followed.mirror.uploads) == (1, 1)
    followed.mirror.assert_agreement()


class Overtaking:
    """An S3 that changes after it has been listed, before anybody has read the answer."""

    def __init__(self, s3: Any, change: Callable[[], object]) -> None:
        self._s3, self._change = s3, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def list_objects_v2(self, **request: Any) -> Any:
        answer = self._s3.list_objects_v2(**request)
        change, self._change = self._change, lambda: None
        change()
        return answer


@pytest.mark.parametrize("first_time", [True, False])
def test_an_older_listing_takes_nothing_back_that_an_event_has_told(followed: Followed, first_time: bool) -> None:
    """A full run lists, then objects change and a consumer deals with it, then the full run compares: S3 is asked about
    just those keys again. No event would come a second time."""
    mirror = followed.mirror
    keys = [mirror.put(f"{name}.txt", name) for name in ("changed", "gone", "pending", "same")]
    if not first_time:
        mirror.run()

    def change() -> None:
        followed.put("changed.txt", "by an event"), followed.put("new.txt"), followed.remove("gone.txt")
        followed.follow()
        followed.put("pending.txt", "by an event")  # looked at, and not uploaded yet
        mirror.cloud.faults.add(Fault(kind="status", operation="upload", status=401, times=1))
        with pytest.raises(AuthenticationError):
            followed.follow()

    reader, mirror.reader = mirror.reader, Overtaking(mirror.reader, change)
    mirror.reader = counting = CountingS3(mirror.reader)
    context = mirror.context()
    mirror.reader = reader
    report = synchronize(context)
    assert report.imbalance is None
    mirror.assert_agreement(rows=not first_time)  # what was never sent and is gone, the next sweep forgets
    assert mirror.bytes_of(keys[0]) == mirror.bytes_of(keys[2]) == b"by an event"
    assert counting.calls["head_object"] <= 5  # the four that have changed; a removal is proven once more


def test_a_key_that_another_run_holds_is_looked_at_again_when_it_is_free(followed: Followed) -> None:
    """What S3 says of it can't be written meanwhile, so its message isn't deleted; its neighbour's is."""
    mirror = followed.mirror
    held, free = followed.put("held.txt", "one"), followed.put("free.txt", "one")
    followed.follow()
    mirror.execute("UPDATE object SET claim_owner = 'x', claim_until = 9e9 WHERE key = :key", key=held)
    followed.put("held.txt", "two"), followed.put("free.txt", "two")
    followed.sqs.clock = lambda: 0.0
    assert not followed.consumer().run(2.0)  # it waits for whoever has claimed the key
    assert mirror.bytes_of(held) == b"one"
    assert b"two" in [mirror.cloud.content(document["id"]) for document in mirror.of(free)]
    assert len(followed.sqs.left) == 1
    for seconds in (5, 10, 20):  # a redrive policy takes a message away after a few deliveries
        assert followed.sqs.visible_in() == [seconds]
        followed.sqs.make_visible()
        followed.consumer().run(1.0)
    mirror.execute("UPDATE object SET claim_owner = NULL")
    followed.sqs.make_visible()
    followed.follow()
    assert (followed.sqs.left, mirror.bytes_of(held)) == ([], b"two")
    mirror.assert_agreement()


@pytest.mark.parametrize("known", [True, False])
def test_an_answer_of_s3_that_was_overtaken_does_not_win(followed: Followed, known: bool) -> None:
    """Two consumers look at one key, and the slower one has the older answer."""
    mirror = followed.mirror
    if known:
        followed.put("a.txt", "zero")
        followed.follow()
    key = followed.put("a.txt", "one")
    head = mirror.reader.head_object

    def head_object(**request: Any) -> Any:
        answer = head(**request)
        mirror.reader.head_object = head
        followed.put("a.txt", "two")
        followed.follow("faster")
        return answer

    mirror.reader.head_object = head_object
    followed.follow("slower")
    followed.sqs.make_visible()
    followed.follow()
    assert (followed.sqs.left, mirror.bytes_of(key)) == ([], b"two")
    mirror.assert_agreement()


@pytest.mark.parametrize("asks", ["poll", "run"])
@pytest.mark.parametrize("idle", [0.0, 3600.0])
def test_a_change_while_an_earlier_version_processes_is_followed_to_its_end(
    followed: Followed, asks: str, idle: float
) -> None:
    """Also where a full run has uploaded that, and asks about it first; or another full run finds it meanwhile, whose
    uploads are over when it is processed. And at once, not when the queue is empty for long."""
    mirror = followed.mirror
    mirror.cloud.settings.processing_delay = 0.5
    key = mirror.put("a.txt", "one")
    mirror.run(wait_for_processing=False)
    followed.put("a.txt", "two")
    consumer = followed.consumer()
    consumer.idle = idle
    batch_looks = 0

    def on_call(name: str) -> None:
        nonlocal batch_looks
        batch_looks += name == "receive"
        if batch_looks == 3:  # between the consumer's look and its first question about processing
            mirror.cloud.settings.processing_delay = 0.0
            time.sleep(0.6)
            poll(mirror.context("run1")) if asks == "poll" else mirror.run("run2")
            seen.append((mirror.uploads, mirror.rows()[key].status))
        if mirror.bytes_of(key) == b"two" and not consumer.is_open:
            consumer.syncs[0].stop.set()

    seen: list[tuple[int, str]] = []
    followed.sqs.on_call = on_call
    assert consumer.run(60.0) or consumer.syncs[0].stop.is_set(), "it took its whole time"
    assert seen == [(1, "pending")]
    assert mirror.bytes_of(key) == b"two"
    mirror.assert_agreement()


def test_what_a_full_run_took_over_and_left_is_taken_up_by_the_next_consumer(followed: Followed) -> None:
    """The consumer that was told is gone by then, and nobody tells it again."""
    mirror = followed.mirror
    mirror.cloud.settings.processing_delay = 3600.0
    key = mirror.put("a.txt", "one")
    mirror.run(wait_for_processing=False)
    followed.put("a.txt", "two")
    consumer = followed.consumer("killed")
    followed.sqs.on_call = lambda name: consumer.syncs[0].stop.set() if name == "delete" else None
    with suppress(StoppedError):
        consumer.run(60.0)
    followed.sqs.on_call = lambda _: None
    assert followed.sqs.left == []
    mirror.cloud.settings.processing_delay = 0.0
    time.sleep(0.6)
    mirror.run("run2")
    assert mirror.rows()[key].status == "pending"
    followed.follow("next")
    assert mirror.bytes_of(key) == b"two"
    mirror.assert_agreement()


class CountingS3:
    """An S3 that counts what is asked of it, by operation."""

    def __init__(self, s3: Any) -> None:
        self.calls: Counter[str] = Counter()
        self._s3 = s3

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._s3, name)

        def call(**request: Any) -> Any:
            self.calls[name] += 1
            return found(**request)

        return call


def test_ten_thousand_events_for_a_thousand_keys_are_a_thousand_uploads(followed: Followed) -> None:
    """S3 is asked about each key in each gathering, and for each changed one's bytes; nothing is listed. Where nothing
    has changed, nothing is read."""
    mirror = followed.mirror
    keys = mirror.put_many(1000)
    mirror.reader = counting = CountingS3(mirror.reader)
    for _ in range(10):
        followed.sqs.send(*(s3_message(mirror.bucket, *keys[at : at + 10]) for at in range(0, 1000, 10)))
    consumer = followed.consumer()
    assert consumer.run(120.0)
    assert mirror.uploads == 1000
    assert consumer.counts["events"] == 10_000
    assert set(counting.calls) == {"head_object", "get_object"}
    assert counting.calls["get_object"] == 1000
    assert 1000 <= counting.calls["head_object"] <= 3000  # a gathering has most of the keys
    mirror.assert_agreement()
    counting.calls.clear()
    followed.sqs.send(*(s3_message(mirror.bucket, *keys[at : at + 10]) for at in range(0, 1000, 10)))
    assert followed.consumer().run(120.0)
    assert (set(counting.calls), mirror.uploads) == ({"head_object"}, 1000)
