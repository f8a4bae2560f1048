"""A bucket's notifications at AWS: each service in the region that is meant, and filters as AWS compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.hooks import notifications
from cloudindex_provider.hooks.notifications import BucketNotifications, target_of

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
Queues = Callable[[str], tuple[str, str]]
PREFIX = "year=2026/my documents/"


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], tuple[str, str]]]:
    """region -> URL and ARN of a queue there, beside a bucket; and a connection whose region is us-east-1."""

    def client(service: str, aws_conn_id: str | None, *, region_name: str | None = None) -> Any:
        return boto3.client(service, region_name=region_name or "us-east-1", **KEYS)

    monkeypatch.setattr(notifications, "aws_client", client)
    with mock_aws():
        boto3.client("s3", region_name="us-east-1", **KEYS).create_bucket(Bucket="bucket")

        def make(region_name: str) -> tuple[str, str]:
            sqs = boto3.client("sqs", region_name=region_name, **KEYS)
            url = sqs.create_queue(QueueName="documents")["QueueUrl"]
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
            return str(url), str(found["Attributes"]["QueueArn"])

        yield make


def test_a_queue_is_looked_for_in_its_own_region(queue: Queues) -> None:
    """As the consumer does: a chain that is whole isn't called broken for the connection's region."""
    url, arn = queue("eu-central-1")
    bucket = BucketNotifications("bucket")
    change = bucket.apply(target_of(arn), queue_policy=True, write=False)
    assert arn in str(change.policy)
    queue_link = bucket.links(prefix="", queue_url=url)[0]
    assert (queue_link.name, queue_link.state) == ("queue", "ok")


def test_a_prefix_is_written_as_aws_compares_it_and_applied_once(queue: Queues) -> None:
    url, arn = queue("us-east-1")
    bucket, target = BucketNotifications("bucket"), target_of(arn, prefix=PREFIX)
    entry = bucket.apply(target, write=False).after["QueueConfigurations"][0]
    assert entry["Filter"]["Key"]["FilterRules"] == [{"Name": "prefix", "Value": "year%3D2026/my+documents/"}]
    bucket.apply(target, write=True)
    assert not bucket.apply(target, write=False).is_one
    assert "filter" not in {link.name for link in bucket.links(prefix=PREFIX, queue_url=url)}
    assert bucket.remove(target, write=False).after == {}


def test_a_filter_that_never_matches_is_named(queue: Queues) -> None:
    """As people write it who don't know, and as nothing at AWS tells them."""
    url, arn = queue("us-east-1")
    rules = [{"Name": "prefix", "Value": PREFIX}]
    entry = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}
    bucket = BucketNotifications("bucket")
    bucket.client("s3").put_bucket_notification_configuration(
        Bucket="bucket", NotificationConfiguration={"QueueConfigurations": [entry]}
    )
    links = bucket.links(prefix=PREFIX, queue_url=url)
    (found,) = (link for link in links if link.name == "filter")
    assert found.state == "broken"
    assert "year%3D2026/my+documents/" in found.remedy


def test_a_fifo_queue_is_refused_before_s3_does() -> None:
    with pytest.raises(SettingsError, match="FIFO"):
        target_of("arn:aws:sqs:eu-central-1:123456789012:documents.fifo")
