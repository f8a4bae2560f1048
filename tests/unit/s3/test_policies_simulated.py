"""The printed policies suffice for what each part does, and for nothing beside it, by moto's access control.

moto judges actions and resources; it knows no conditions, so that of ``s3:ListBucket`` is left to the policy's own
test. Of SQS it takes a batch for an action of its own, and asks for ``sqs:GetQueueUrl`` on every queue, which AWS
doesn't: single calls stand for batches here, and that one isn't made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count

from cloudindex_provider.s3.aws_policies import iam_policy
from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.s3.source import S3Source

REGION, BUCKET, PREFIX, KEY = "us-east-1", "company-docs", "docs/", "docs/a.txt"
ANYBODY = {"region_name": REGION, "aws_access_key_id": "x", "aws_secret_access_key": "y"}


@contextmanager
def acting(part: str) -> Iterator[Any]:
    """A client maker for an identity that has the printed policy of this part and no other."""
    admin = {name: boto3.client(name, **ANYBODY) for name in ("s3", "sqs", "iam")}
    admin["s3"].create_bucket(Bucket=BUCKET)
    admin["s3"].put_object(Bucket=BUCKET, Key=KEY, Body=b"one")
    url = admin["sqs"].create_queue(QueueName="events")["QueueUrl"]
    arn = admin["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    admin["sqs"].send_message(QueueUrl=url, MessageBody="{}")
    admin["iam"].create_user(UserName="u")
    document = iam_policy(part, bucket=BUCKET, prefix=PREFIX, queue_arn=arn)
    for statement in document["Statement"]:
        statement.pop("Condition", None)
    admin["iam"].put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(document))
    key = admin["iam"].create_access_key(UserName="u")["AccessKey"]
    credentials = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    with_keys = {"region_name": REGION, **credentials}

    @set_initial_no_auth_action_count(0)
    def enforced(do: Any) -> None:
        do(lambda service: boto3.client(service, **with_keys), url, arn)

    yield enforced


def refused(call: Any, **request: Any) -> bool:
    try:
        call(**request)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return False


@mock_aws
def test_a_sync_lists_and_reads_and_writes_nothing() -> None:
    def do(client: Any, url: str, arn: str) -> None:
        source = S3Source(client("s3"), BUCKET)
        (item,) = [item for page in source.pages(PREFIX) for item in page]
        assert source.head(KEY) is not None
        assert source.head("docs/none.txt") is None
        assert b"".join(source.open(KEY, etag=item.etag, size=item.size).chunks()) == b"one"
        assert refused(client("s3").put_object, Bucket=BUCKET, Key=KEY, Body=b"")
        assert refused(client("s3").delete_object, Bucket=BUCKET, Key=KEY)
        assert refused(client("sqs").receive_message, QueueUrl=url)

    with acting("sync") as enforced:
        enforced(do)


@mock_aws
def test_a_consumer_receives_extends_deletes_and_counts() -> None:
    def do(client: Any, url: str, arn: str) -> None:
        sqs, queue = client("sqs"), EventQueue(client("sqs"), url)
        assert queue.depth() == 1
        (delivery,) = queue.receive()
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=delivery.receipt, VisibilityTimeout=60)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=delivery.receipt)
        assert refused(client("sqs").send_message, QueueUrl=url, MessageBody="x")
        assert refused(client("s3").list_objects_v2, Bucket=BUCKET)

    with acting("events") as enforced:
        enforced(do)


@mock_aws
def test_notifications_are_read_and_written_with_the_queues_policy() -> None:
    def do(client: Any, url: str, arn: str) -> None:
        s3, sqs = client("s3"), client("sqs")
        queues: list[Any] = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": "{}"})
        s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": queues}
        )
        found = s3.get_bucket_notification_configuration(Bucket=BUCKET)
        assert found["QueueConfigurations"][0]["QueueArn"] == arn
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        assert refused(s3.get_object, Bucket=BUCKET, Key=KEY)
        assert refused(s3.put_object, Bucket=BUCKET, Key=KEY, Body=b"")

    with acting("notifications") as enforced:
        enforced(do)


@pytest.mark.parametrize("part", ["sync", "events", "notifications"])
@mock_aws
def test_without_the_policy_nothing_is_allowed(part: str) -> None:
    """So that the tests above fail for the right reason."""

    def do(client: Any, url: str, arn: str) -> None:
        allowed = {
            "sync": (client("s3").list_objects_v2, {"Bucket": BUCKET}),
            "events": (client("sqs").receive_message, {"QueueUrl": url}),
            "notifications": (client("s3").get_bucket_notification_configuration, {"Bucket": BUCKET}),
        }
        for other, (call, request) in allowed.items():
            assert refused(call, **request) is (other != part), other

    with acting(part) as enforced:
        enforced(do)
