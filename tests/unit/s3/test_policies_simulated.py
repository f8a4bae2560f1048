"""The printed policies suffice for what each part does, and for nothing beside it, by moto's access control.

moto judges actions and resources; it knows no conditions, so that of ``s3:ListBucket`` is left to the policy's own
test. Of SQS it takes a batch for an action of its own, and it asks for
some rights on every resource where AWS asks for them on one: the same actions are allowed here so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count

from cloudindex_provider.hooks import notifications, sqs
from cloudindex_provider.hooks.notifications import BucketNotifications, target_of
from cloudindex_provider.s3 import event_chain
from cloudindex_provider.s3.aws_policies import iam_policy
from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.s3.notifications import Entry, entries
from cloudindex_provider.s3.round_trip import RoundTrip
from cloudindex_provider.s3.source import S3Source

REGION, BUCKET, PREFIX, KEY = "us-east-1", "company-docs", "docs/", "docs/a.txt"
TOPIC, EVENTS = f"arn:aws:sns:{REGION}:123456789012:events", ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
ANYBODY = {"region_name": REGION, "aws_access_key_id": "x", "aws_secret_access_key": "y"}


@contextmanager
def acting(part: str) -> Iterator[Any]:
    """A client maker for an identity that has the printed policy of this part and no other."""
    admin = {name: boto3.client(name, **ANYBODY) for name in ("s3", "sqs", "iam", "sns", "events", "kms")}
    admin["s3"].create_bucket(Bucket=BUCKET)
    admin["s3"].put_object(Bucket=BUCKET, Key=KEY, Body=b"one")
    url = admin["sqs"].create_queue(QueueName="events")["QueueUrl"]
    arn = admin["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    admin["sqs"].send_message(QueueUrl=url, MessageBody="{}")
    key_arn = admin["kms"].create_key()["KeyMetadata"]["Arn"]
    if part == "notifications":
        admin["sqs"].set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": key_arn})
        topic = admin["sns"].create_topic(Name="events")["TopicArn"]
        assert topic == TOPIC
        admin["sns"].subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        admin["events"].put_rule(Name="rule", EventPattern=json.dumps({"source": ["aws.s3"]}))
        admin["events"].put_targets(Rule="rule", Targets=[{"Id": "queue", "Arn": arn}])
    admin["iam"].create_user(UserName="u")
    document = iam_policy(part, bucket=BUCKET, prefix=PREFIX, queue_arn=arn, key_arn=key_arn)
    for statement in document["Statement"]:
        statement.pop("Condition", None)
        if str(statement["Resource"]).startswith("arn:aws:sqs:"):
            statement["Action"] += [f"{action}Batch" for action in statement["Action"]]
        if not str(statement["Resource"]).startswith(("arn:aws:s3:", "arn:aws:sqs:")):
            statement["Resource"] = "*"
    if part == "notifications":
        document["Statement"].append({"Effect": "Allow", "Action": "sqs:GetQueueUrl", "Resource": "*"})
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
        queue = EventQueue(client("sqs"), url)
        assert queue.depth() == 1
        deliveries = queue.receive()
        queue.hide(deliveries, 60.0)
        assert (len(deliveries), queue.delete(deliveries)) == (1, 0)
        assert refused(client("sqs").send_message, QueueUrl=url, MessageBody="x")
        assert refused(client("s3").list_objects_v2, Bucket=BUCKET)

    with acting("events") as enforced:
        enforced(do)


@mock_aws
def test_notifications_are_applied_checked_tested_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the core of the command and the operator; a topic, a rule, and a key of one's own lie on the way."""
    monkeypatch.setattr(event_chain, "_SECOND_LOOK", 0.0)
    # moto's answers have no date, and it has sent its test message to apply, which shows that writing is allowed.
    monkeypatch.setattr(RoundTrip, "_write", lambda _: datetime.now(UTC))

    def do(client: Any, url: str, arn: str) -> None:
        def connected(service: str, aws_conn_id: str | None, **_: Any) -> Any:
            return client(service)

        for module in (notifications, sqs):
            monkeypatch.setattr(module, "aws_client", connected)
        bucket = BucketNotifications(BUCKET)
        bucket.apply(target_of(arn, prefix=PREFIX), queue_policy=True, write=True)
        names, looked_at = set(), []
        for way in (
            entries,
            lambda _: [Entry("sns", "", TOPIC, EVENTS, "", "")],
            lambda _: [Entry("eventbridge", "", "", (), "", "")],
        ):
            monkeypatch.setattr(event_chain, "entries", way)
            looked_at += bucket.links(prefix=PREFIX, queue_url=url)
            names |= {link.name for link in looked_at}
        assert [link for link in looked_at if link.state == "unknown"] == []
        assert {"queue", "notification", "subscription", "rule", "KMS key", "consumer"} <= names
        _, link = bucket.test(url, seconds=0.5, write=True)
        assert link is not None
        assert link.state == "ok"
        bucket.remove(write=True)
        assert refused(client("s3").get_object, Bucket=BUCKET, Key=KEY)
        assert refused(client("sqs").send_message, QueueUrl=url, MessageBody="x")
        assert refused(client("sns").publish, TopicArn=TOPIC, Message="x")
        assert refused(client("events").put_rule, Name="rule", ScheduleExpression="rate(1 day)")

    with acting("notifications") as enforced:
        enforced(do)


@pytest.mark.parametrize("part", ["sync", "events", "notifications"])
@mock_aws
def test_without_the_policy_nothing_is_allowed(part: str) -> None:
    """So that the tests above fail for the right reason."""

    def do(client: Any, url: str, arn: str) -> None:
        allowed = {
            ("sync",): (client("s3").list_objects_v2, {"Bucket": BUCKET}),
            ("events", "notifications"): (client("sqs").receive_message, {"QueueUrl": url}),
            ("notifications",): (client("s3").get_bucket_notification_configuration, {"Bucket": BUCKET}),
        }
        for parts, (call, request) in allowed.items():
            assert refused(call, **request) is (part not in parts), parts

    with acting(part) as enforced:
        enforced(do)
