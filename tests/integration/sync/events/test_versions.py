"""Versions by event, from a versioned bucket of moto's through its queue: the present version is what is indexed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.sync.events.consumer import EventConsumer
from tests.support.memory_sqs import s3_message
from tests.support.mirror import Mirror, sqs_client

EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]


@dataclass
class Versioned:
    """A versioned bucket that tells a queue of its changes, and a consumer of that."""

    mirror: Mirror
    sqs: Any
    url: str

    def follow(self) -> EventConsumer:
        contexts = [self.mirror.context(dag="events")]
        consumer = EventConsumer(
            EventQueue(self.sqs, self.url), contexts, idle=0.0, first_look=0.02, gather_seconds=0.05
        )
        assert consumer.run(60.0)
        return consumer

    def tell(self, key: str, name: str, **more: Any) -> None:
        """What moto doesn't send and others do."""
        self.sqs.send_message(QueueUrl=self.url, MessageBody=s3_message(self.mirror.bucket, key, name=name, **more))

    def put(self, body: str, key: str = "a.txt") -> str:
        """The version's id."""
        whole = self.mirror.prefix + key
        answer = self.mirror.s3.put_object(Bucket=self.mirror.bucket, Key=whole, Body=body.encode())
        return str(answer["VersionId"])

    def delete(self, version: str | None = None, key: str = "a.txt") -> str:
        """The id of what was made or deleted: without a version it is a delete marker's."""
        more = {"VersionId": version} if version else {}
        answer = self.mirror.s3.delete_object(Bucket=self.mirror.bucket, Key=self.mirror.prefix + key, **more)
        return str(answer["VersionId"])

    def indexed(self, key: str = "a.txt") -> tuple[bytes, str]:
        """The bytes and the version id of the key's only document."""
        (document,) = self.mirror.of(self.mirror.prefix + key)
        sent = document["metadata"]["documents"][document["fileName"]]
        return self.mirror.cloud.content(document["id"]), sent["versionId"]


@pytest.fixture
def versioned(mirror: Mirror, s3_url: str) -> Versioned:
    mirror.s3.put_bucket_versioning(Bucket=mirror.bucket, VersioningConfiguration={"Status": "Enabled"})
    sqs = sqs_client(s3_url)
    url = str(sqs.create_queue(QueueName=f"{mirror.bucket}-versions")["QueueUrl"])
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    queues: list[Any] = [{"QueueArn": arn, "Events": EVENTS}]
    mirror.s3.put_bucket_notification_configuration(
        Bucket=mirror.bucket, NotificationConfiguration={"QueueConfigurations": queues}
    )
    return Versioned(mirror, sqs, url)


def test_a_put_is_indexed_with_its_version_and_the_next_one_makes_a_version_of_the_document(
    versioned: Versioned,
) -> None:
    """``versionId`` and ``createVersion`` are CloudIndex's S3 guide's."""
    versioned.mirror.cloud.settings.honour_options = True
    first = versioned.put("one")
    versioned.follow()
    (document,) = versioned.mirror.of("docs/a.txt")
    assert versioned.indexed() == (b"one", first)
    second = versioned.put("two")
    versioned.follow()
    assert versioned.indexed() == (b"two", second)
    (again,) = versioned.mirror.of("docs/a.txt")
    assert (again["id"], again["version"]) == (document["id"], 2)
    versioned.mirror.assert_agreement()


def test_a_copy_is_a_create(versioned: Versioned) -> None:
    """Also of an older version, which is how one is brought back."""
    mirror = versioned.mirror
    first = versioned.put("one")
    versioned.put("two")
    versioned.follow()
    source = {"Bucket": mirror.bucket, "Key": "docs/a.txt", "VersionId": first}
    for key in ("docs/copy.txt", "docs/a.txt"):
        mirror.s3.copy_object(Bucket=mirror.bucket, Key=key, CopySource=source)
    versioned.follow()
    assert (versioned.indexed("copy.txt")[0], versioned.indexed()[0]) == (b"one", b"one")
    assert versioned.indexed()[1] not in (first, None)
    mirror.assert_agreement()


def test_a_delete_marker_is_a_delete_and_undelete_brings_it_back(versioned: Versioned) -> None:
    """A marker that is deleted is told as "removed" of the key, with the marker's own version: S3 decides."""
    version = versioned.put("one")
    versioned.follow()
    marker = versioned.delete()
    versioned.tell("docs/a.txt", "ObjectRemoved:DeleteMarkerCreated", versionId=marker)
    versioned.follow()
    assert versioned.mirror.of("docs/a.txt") == []
    assert versioned.delete(marker) == marker
    versioned.tell("docs/a.txt", "ObjectRemoved:Delete", versionId=marker)
    versioned.follow()
    assert versioned.indexed() == (b"one", version)
    versioned.mirror.assert_agreement()


def test_an_old_version_that_goes_changes_nothing_and_the_present_one_gives_way_to_it(versioned: Versioned) -> None:
    first, second, third = versioned.put("one"), versioned.put("two"), versioned.put("three")
    versioned.follow()
    uploads = versioned.mirror.uploads
    versioned.delete(first)
    versioned.tell("docs/a.txt", "ObjectRemoved:Delete", versionId=first)
    versioned.follow()
    assert (versioned.indexed(), versioned.mirror.uploads) == ((b"three", third), uploads)
    versioned.delete(third)
    versioned.tell("docs/a.txt", "ObjectRemoved:Delete", versionId=third)
    versioned.follow()
    assert versioned.indexed() == (b"two", second)
    versioned.mirror.assert_agreement()


def test_an_event_of_an_older_version_that_comes_late_does_not_win(versioned: Versioned) -> None:
    first = versioned.put("one")
    second = versioned.put("two")
    versioned.follow()
    uploads = versioned.mirror.uploads
    versioned.tell("docs/a.txt", "ObjectCreated:Put", versionId=first, eTag="of the first", sequencer="00")
    versioned.follow()
    assert (versioned.indexed(), versioned.mirror.uploads) == ((b"two", second), uploads)


def test_suspended_versioning_is_followed_too(versioned: Versioned) -> None:
    """What is written then has the version ``null``; a delete makes a marker of that name."""
    mirror = versioned.mirror
    versioned.put("one")
    versioned.follow()
    mirror.s3.put_bucket_versioning(Bucket=mirror.bucket, VersioningConfiguration={"Status": "Suspended"})
    key = mirror.put("a.txt", "two")
    versioned.follow()
    assert mirror.bytes_of(key) == b"two"
    mirror.assert_agreement()


def test_every_version_with_the_same_bytes_is_one_upload(versioned: Versioned) -> None:
    """A new version of the same bytes is no reason to upload."""
    versioned.put("one")
    versioned.follow()
    versioned.put("one")
    versioned.follow()
    assert versioned.mirror.uploads == 1
    versioned.mirror.assert_agreement()
