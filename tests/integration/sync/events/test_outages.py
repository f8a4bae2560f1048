"""What fails for a while, or for one of several: the others go on, and what couldn't be done comes again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.errors import AuthenticationError, CredentialsError, EventQueueUnavailableError
from cloudindex_provider.sync.context import SyncContext
from tests.integration.sync.events.conftest import Followed
from tests.integration.sync.events.test_handed import again, hand, message
from tests.support.faulty_s3 import FaultyS3
from tests.support.memory_s3 import client_error
from tests.support.mirror import Mirror


def fails(followed: Followed, operation: str, first: int, last: int) -> None:
    """Let some calls of the queue meet no answer, by their numbers."""
    calls = 0

    def on_call(name: str) -> None:
        nonlocal calls
        calls += name == operation
        if name == operation and first <= calls <= last:
            raise EndpointConnectionError(endpoint_url="https://queue")

    followed.sqs.on_call = on_call


def refused(mirror: Mirror, **changes: Any) -> SyncContext:
    """A sync whose API key CloudIndex doesn't know."""
    client = CloudIndexClient(mirror.cloud.url, "another", project_id=mirror.project_id, read_timeout=2.0, max_wait=0.0)
    return mirror.context(dag="events", client=client, **changes)


@dataclass
class FailingKey:
    """S3 that fails each HEAD of one key."""

    s3: Any
    key: str
    status: int
    code: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.s3, name)

    def head_object(self, **request: Any) -> Any:
        if request["Key"] == self.key:
            raise client_error("HeadObject", self.status, self.code)
        return self.s3.head_object(**request)


# The queue


def test_what_is_open_goes_on_while_the_queue_fails(followed: Followed) -> None:
    """And the queue is asked again, until it answers."""
    key = followed.put("a.txt")
    fails(followed, "receive", first=2, last=6)
    assert followed.consumer(outage=600.0).run(60.0)
    assert (len(followed.mirror.of(key)), followed.sqs.left) == (1, [])
    assert followed.sqs.calls.count("receive") > 6


def test_a_queue_that_fails_for_long_fails_the_task(followed: Followed) -> None:
    """It is never taken for an empty one, which would be waited for in the triggerer."""
    fails(followed, "receive", first=1, last=10_000)
    with pytest.raises(EventQueueUnavailableError):
        followed.consumer(outage=0.3).run(60.0)


@pytest.mark.parametrize("operation", ["delete", "hide"])
def test_a_message_that_the_queue_keeps_costs_a_look(followed: Followed, operation: str) -> None:
    key = followed.put("a.txt")
    followed.sqs.send("no event")
    fails(followed, operation, first=1, last=1)
    followed.follow()
    followed.sqs.make_visible()
    consumer = followed.follow()
    assert (len(followed.mirror.of(key)), followed.mirror.uploads) == (1, 1)
    assert (followed.sqs.left, consumer.counts["unreadable"]) == (["no event"], 1)


def test_a_message_that_nobody_can_read_is_hidden_for_less_than_sqs_allows(followed: Followed) -> None:
    """12 hours from its receive on: SQS refuses more, and the message would come again at once instead."""
    followed.sqs.send("no event")
    for _ in range(14):
        followed.sqs.make_visible()
        followed.follow()
    assert 6 * 3600 < followed.sqs.visible_in()[0] < 11 * 3600


# S3


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (403, "RequestTimeTooSkewed")])
def test_a_key_that_s3_cannot_answer_for_now_comes_again(followed: Followed, status: int, code: str) -> None:
    """It isn't a failed document until the next full sync: S3 has said nothing of it."""
    key, neighbour = followed.put("a.txt", "one"), followed.put("b.txt", "two")
    followed.follow()
    followed.put("a.txt", "new"), followed.remove("b.txt")
    reader = followed.mirror.reader
    followed.mirror.reader = FailingKey(reader, key, status, code)
    consumer = followed.follow()
    assert (consumer.failures, consumer.failed, len(followed.sqs.left)) == ([], [0], 1)
    assert {key: row.status for key, row in followed.mirror.rows().items()} == {key: "indexed"}
    assert followed.mirror.of(neighbour) == []
    followed.mirror.reader = reader
    followed.sqs.make_visible()
    followed.follow()
    assert (followed.mirror.bytes_of(key), followed.sqs.left) == (b"new", [])


def test_a_single_key_that_s3_cannot_answer_for_now_comes_again(followed: Followed) -> None:
    key = followed.put("a.txt")
    reader = followed.mirror.reader
    followed.mirror.reader = FaultyS3(reader, [("HeadObject", "503 SlowDown")] * 3)
    assert (followed.follow().failed, len(followed.sqs.left)) == ([0], 1)
    followed.mirror.reader = reader
    followed.sqs.make_visible()
    followed.follow()
    assert len(followed.mirror.of(key)) == 1


def test_the_same_of_messages_that_were_handed_over(followed: Followed) -> None:
    mirror = followed.mirror
    key = mirror.put("a.txt")
    reader, mirror.reader = mirror.reader, FaultyS3(mirror.reader, [("HeadObject", "503 SlowDown")] * 3)
    done = hand(mirror, message(mirror, key))
    assert (again(done), done.counts["failed"]) == (["0"], 0)
    mirror.reader = reader
    assert again(hand(mirror, message(mirror, key))) == []
    mirror.assert_agreement()


def test_a_key_that_s3_refuses_is_a_failed_document(followed: Followed) -> None:
    """A person must do something about that; no other delivery would help."""
    followed.put("a.txt")
    followed.mirror.reader = FaultyS3(followed.mirror.reader, [("HeadObject", "403 AccessDenied")] * 2)
    assert (followed.follow().failed, followed.sqs.left) == ([1], [])


# One of several syncs


def test_one_sync_whose_api_key_is_refused_blocks_no_other(followed: Followed) -> None:
    """Whichever comes first; what it has open is taken up by the next consumer, and why is told."""
    mirror = followed.mirror
    followed.put("first.txt")
    followed.follow()
    mirror.s3.put_object(Bucket=mirror.bucket, Key="other/b.txt", Body=b"b")
    key = followed.put("a.txt")
    followed.tell("other/b.txt")
    consumer = followed.consumer(syncs=[refused(mirror), mirror.context(dag="events", prefix="other/")])
    assert consumer.run(30.0)
    assert isinstance(consumer.error, AuthenticationError)
    assert (len(mirror.of(key)), len(mirror.of("other/b.txt"))) == (0, 1)
    whole = [mirror.context(dag="events"), mirror.context(dag="events", prefix="other/")]
    consumer = followed.consumer(syncs=whole)
    assert consumer.run(30.0)
    assert (len(mirror.of(key)), consumer.error) == (1, None)


def test_syncs_that_are_all_refused_end_the_task(followed: Followed) -> None:
    mirror = followed.mirror
    followed.put("first.txt")
    mirror.s3.put_object(Bucket=mirror.bucket, Key="other/b.txt", Body=b"b")
    followed.tell("other/b.txt")
    followed.consumer(syncs=[mirror.context(dag="events"), mirror.context(dag="events", prefix="other/")]).run(30.0)
    mirror.s3.put_object(Bucket=mirror.bucket, Key="other/b.txt", Body=b"c")
    followed.put("first.txt", "other")
    followed.tell("other/b.txt")
    with pytest.raises(AuthenticationError):
        followed.consumer(syncs=[refused(mirror), refused(mirror, prefix="other/")]).run(30.0)


def test_a_sync_whose_keys_s3_refuses_is_told_at_the_end(followed: Followed) -> None:
    """Its messages would come again until the redrive policy takes them, and every run would be green."""
    mirror = followed.mirror
    broken = mirror.context(dag="events", prefix="other/")
    broken.s3.client = FaultyS3(mirror.reader, [("HeadObject", "403 InvalidAccessKeyId")])
    key = followed.put("a.txt")
    followed.tell("other/b.txt")
    consumer = followed.consumer(syncs=[mirror.context(dag="events"), broken])
    assert consumer.run(30.0)
    assert len(mirror.of(key)) == 1
    assert isinstance(consumer.error, CredentialsError)
