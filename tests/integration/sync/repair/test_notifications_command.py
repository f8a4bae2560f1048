"""``airflow cloudindex notifications``, with moto's S3, SQS, SNS and EventBridge."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from cloudindex_provider.s3 import event_chain
from cloudindex_provider.s3.notifications import Entry, entries
from tests.integration.sync.repair.conftest import Cli
from tests.support.mirror import Mirror

SERVICES = ("sqs", "sns", "events", "kms")


class Aws:
    """The bucket, a queue, and what may lie between them."""

    def __init__(self, mirror: Mirror, url: str) -> None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        self.sqs, self.sns, self.events, self.kms = (boto3.client(name, endpoint_url=url, **keys) for name in SERVICES)
        self.s3, self.bucket, self.eventbridge = mirror.s3, mirror.bucket, False
        self.url = self.sqs.create_queue(QueueName=mirror.bucket)["QueueUrl"]
        self.arn = self.attributes()["QueueArn"]
        dead = self.sqs.create_queue(QueueName=f"{mirror.bucket}-dead")["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": found["Attributes"]["QueueArn"], "maxReceiveCount": "5"}
        self.set(RedrivePolicy=json.dumps(redrive))

    def attributes(self) -> dict[str, str]:
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return dict(found)

    def set(self, **attributes: str) -> None:
        """Some of them; moto forgets the policy where it isn't among them."""
        policy = self.attributes().get("Policy")
        attributes = {**({"Policy": policy} if policy else {}), **attributes}
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes=attributes)

    def empty(self) -> None:
        """As a consumer does; purging is allowed once a minute."""
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def waiting(self) -> list[str]:
        """Bodies of what can be received; it can be again."""
        found = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [message["Body"] for message in found.get("Messages", ())]

    def document(self) -> dict[str, Any]:
        found = self.s3.get_bucket_notification_configuration(Bucket=self.bucket)
        return {name: value for name, value in found.items() if name != "ResponseMetadata"}

    def notify(self, **document: Any) -> None:
        self.s3.put_bucket_notification_configuration(Bucket=self.bucket, NotificationConfiguration=document)

    def allow(self, service: str, source: str) -> None:
        statement = {
            "Effect": "Allow", "Principal": {"Service": service}, "Action": "sqs:SendMessage", "Resource": self.arn,
            "Condition": {"ArnLike": {"aws:SourceArn": source}},
        }  # fmt: skip
        self.set(Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def topic(self, *, allow: bool = True, subscribe: bool = True) -> str:
        arn = str(self.sns.create_topic(Name=self.bucket)["TopicArn"])
        service = "s3.amazonaws.com" if allow else "lambda.amazonaws.com"
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sns:Publish", "Resource": arn}
        self.sns.set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps({"Statement": [statement]})
        )
        if subscribe:
            self.sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=self.arn)
        self.notify(TopicConfigurations=[{"TopicArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}])
        return arn

    def rule(self, **changes: Any) -> str:
        pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [self.bucket]}}}
        given = {"Name": self.bucket, "EventPattern": json.dumps(pattern), "State": "ENABLED", **changes}
        arn = str(self.events.put_rule(**given)["RuleArn"])
        self.events.put_targets(Rule=self.bucket, Targets=[{"Id": "queue", "Arn": self.arn}])
        self.notify(EventBridgeConfiguration={})
        self.eventbridge = True
        return arn


@pytest.fixture
def aws(mirror: Mirror, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setattr(event_chain, "_SECOND_LOOK", 0.0)
    made = Aws(mirror, s3_url)

    def whole(document: dict[str, Any]) -> list[Entry]:
        """moto takes an EventBridgeConfiguration and doesn't give it back."""
        return entries({**document, **({"EventBridgeConfiguration": {}} if made.eventbridge else {})})

    monkeypatch.setattr(event_chain, "entries", whole)
    return made


def states(cli: Cli, aws: Aws, code: int, **more: str) -> dict[str, str]:
    """The links of a check: name -> state."""
    answer = cli("notifications", "check", "--bucket", aws.bucket, "--prefix", "docs/",
                 "--queue-url", more.get("url", aws.url), "--output", "json")  # fmt: skip
    assert answer.code == code, answer.out + answer.err
    for link in answer.json:
        assert link["remedy"] or link["state"] == "ok"
    return {link["link"]: link["state"] for link in answer.json}


def apply(cli: Cli, aws: Aws, *words: str) -> str:
    answer = cli("notifications", "apply", "--bucket", aws.bucket, "--prefix", "docs/", "--target", aws.arn, *words)
    assert answer.code == 0, answer.err
    return answer.out.splitlines()[-1]


def test_applied_the_chain_is_whole_and_applied_twice_nothing_changes(cli: Cli, aws: Aws) -> None:
    assert apply(cli, aws, "--queue-policy").endswith("Use --yes to write it.")
    assert aws.document() == {}
    assert apply(cli, aws, "--queue-policy", "--bucket-account", "123456789012", "--yes") == "This was written."
    document, policy = aws.document(), aws.attributes()["Policy"]
    again = apply(cli, aws, "--queue-policy", "--bucket-account", "123456789012", "--yes")
    assert again == "Nothing is to be changed."
    assert (aws.document(), aws.attributes()["Policy"]) == (document, policy)
    aws.empty()  # of S3's test message
    found = states(cli, aws, 0)
    assert {found[name] for name in ("queue", "notification", "queue policy", "redrive")} == {"ok"}


def test_what_was_there_before_stays_and_comes_back(cli: Cli, aws: Aws) -> None:
    other = aws.sqs.create_queue(QueueName=f"{aws.bucket}-other")["QueueUrl"]
    found = aws.sqs.get_queue_attributes(QueueUrl=other, AttributeNames=["QueueArn"])["Attributes"]
    rules = [{"Name": "prefix", "Value": "images/"}]
    theirs = {
        "Id": "theirs", "QueueArn": found["QueueArn"], "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    }  # fmt: skip
    aws.notify(QueueConfigurations=[theirs])
    before = aws.document()
    apply(cli, aws, "--yes")
    assert json.dumps(aws.document()["QueueConfigurations"][0]) == json.dumps(before["QueueConfigurations"][0])
    assert cli("notifications", "remove", "--bucket", aws.bucket, "--yes").code == 0
    assert json.dumps(aws.document()) == json.dumps(before)


def test_an_overlap_is_refused_with_its_name(cli: Cli, aws: Aws) -> None:
    aws.notify(QueueConfigurations=[{"Id": "theirs", "QueueArn": aws.arn, "Events": ["s3:ObjectCreated:*"]}])
    answer = cli("notifications", "apply", "--bucket", aws.bucket, "--target", aws.arn + "-other", "--yes")
    assert "'theirs'" in answer.error


@pytest.mark.parametrize("target", ["nonsense", "arn:aws:s3:::bucket", "arn:aws:iam::1:role/x"])
def test_a_target_that_is_none_is_refused(cli: Cli, aws: Aws, target: str) -> None:
    assert "target is" in cli("notifications", "apply", "--bucket", aws.bucket, "--target", target).error


def test_ten_broken_chains_are_told_apart(cli: Cli, aws: Aws) -> None:
    """Each by the link that is broken; one after the other, because each is mended by the next step's beginning."""
    everything = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    entry: dict[str, Any] = {"QueueArn": aws.arn, "Events": everything}
    assert states(cli, aws, 1, url=aws.url + "-missing")["queue"] == "broken"
    assert states(cli, aws, 1)["notification"] == "broken"
    aws.notify(QueueConfigurations=[entry])
    assert states(cli, aws, 1)["queue policy"] == "broken"
    aws.allow("s3.amazonaws.com", "arn:aws:s3:::another-bucket")
    assert states(cli, aws, 1)["queue policy"] == "broken"
    aws.allow("s3.amazonaws.com", f"arn:aws:s3:::{aws.bucket}")
    aws.notify(QueueConfigurations=[{**entry, "Events": ["s3:ObjectCreated:*"]}])
    assert states(cli, aws, 1)["events"] == "broken"
    rules = [{"Name": "prefix", "Value": "docs/2026/"}]
    aws.notify(QueueConfigurations=[{**entry, "Filter": {"Key": {"FilterRules": rules}}}])
    assert states(cli, aws, 1)["filter"] == "broken"
    aws.notify(QueueConfigurations=[entry])
    aws.set(KmsMasterKeyId="alias/aws/sqs")
    assert states(cli, aws, 1)["KMS key"] == "broken"
    aws.set(KmsMasterKeyId="")
    aws.empty()
    assert states(cli, aws, 0)["consumer"] == "ok"
    aws.sqs.send_message(QueueUrl=aws.url, MessageBody="{}")
    assert states(cli, aws, 1)["consumer"] == "broken"
    aws.empty()
    arn = aws.topic(allow=False, subscribe=False)
    assert states(cli, aws, 1)["subscription"] == "broken"
    arn = aws.topic(allow=False)
    aws.allow("sns.amazonaws.com", arn)
    assert states(cli, aws, 1)["topic policy"] == "broken"
    aws.topic()
    aws.empty()
    assert states(cli, aws, 0)["subscription"] == "ok"
    rule = aws.rule(State="DISABLED")
    aws.allow("events.amazonaws.com", rule)
    assert states(cli, aws, 1)["rule"] == "broken"
    aws.rule(EventPattern=json.dumps({"source": ["aws.s3"], "detail": {"bucket": {"name": ["another"]}}}))
    assert states(cli, aws, 1)["rule"] == "broken"
    aws.rule()
    aws.empty()
    assert states(cli, aws, 0)["rule"] == "ok"


def rule_of(aws: Aws, **changes: Any) -> str:
    """A rule's pattern, which lets all of the bucket's events pass but for the changes."""
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [aws.bucket]}}} | changes
    return aws.rule(EventPattern=json.dumps(pattern))


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"detail-type": ["Object Created", "Object Deleted"]}, None),
        ({"detail": {"bucket": {"name": [{"prefix": "bucket-"}]}, "object": {"key": [{"prefix": "docs/"}]}}}, None),
        ({"detail-type": ["Object Created"]}, "events"),
        ({"detail": {"object": {"key": [{"prefix": "elsewhere/"}]}}}, "rule"),
        ({"detail": {"object": {"key": [{"suffix": ".pdf"}]}}}, "rule"),
        ({"detail": ["what AWS would refuse"]}, "rule"),
    ],
)
def test_a_rules_pattern_is_read_as_eventbridge_does(cli: Cli, aws: Aws, changes: Any, broken: str | None) -> None:
    """It must let both kinds of events pass, for every key of the prefix."""
    aws.allow("events.amazonaws.com", rule_of(aws, **changes))
    found = states(cli, aws, 1 if broken else 0)
    assert [name for name, state in found.items() if state == "broken"] == ([broken] if broken else [])


def test_a_rule_that_sends_another_text_than_the_event_is_named(cli: Cli, aws: Aws) -> None:
    """By which nobody could tell what it is about."""
    aws.allow("events.amazonaws.com", rule_of(aws))
    aws.events.put_targets(Rule=aws.bucket, Targets=[{"Id": "queue", "Arn": aws.arn, "InputPath": "$.detail"}])
    assert states(cli, aws, 1)["rule target"] == "broken"


def test_a_topic_that_was_deleted_is_named(cli: Cli, aws: Aws) -> None:
    arn = aws.topic()
    aws.sns.delete_topic(TopicArn=arn)
    assert states(cli, aws, 1)["topic"] == "broken"


def test_a_key_of_ones_own_must_let_the_sender_in(cli: Cli, aws: Aws) -> None:
    """Its policy is looked at for whoever sends: S3 itself, SNS or EventBridge."""
    apply(cli, aws, "--queue-policy", "--yes")
    aws.empty()

    def key(*actions: str, service: str = "s3.amazonaws.com") -> None:
        allowed = {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions), "Resource": "*"}
        made = aws.kms.create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
        aws.set(KmsMasterKeyId=made["KeyMetadata"]["Arn"])

    key("kms:GenerateDataKey*", "kms:Decrypt")
    assert states(cli, aws, 0)["KMS key"] == "ok"
    key("kms:Decrypt")
    assert states(cli, aws, 1)["KMS key"] == "broken"
    key("kms:*", service="sns.amazonaws.com")
    assert states(cli, aws, 1)["KMS key"] == "broken"
    aws.set(KmsMasterKeyId="alias/missing")
    assert states(cli, aws, 0)["KMS key"] == "unknown"


def trip(cli: Cli, aws: Aws, code: int, *words: str) -> Any:
    answer = cli("notifications", "test", "--bucket", aws.bucket, "--queue-url", aws.url, "--output", "json",
                 "--seconds", "1", *words)  # fmt: skip
    assert answer.code == code, answer.out + answer.err
    return answer.json


def test_s3s_own_test_message_makes_the_round_trip(cli: Cli, aws: Aws) -> None:
    """Through SNS as well; nothing in the configuration changes, and others' messages stay in the queue."""
    apply(cli, aws, "--queue-policy", "--yes")
    aws.empty()
    aws.sqs.send_message(QueueUrl=aws.url, MessageBody="another's")
    before = aws.document()
    assert trip(cli, aws, 0) == {"heard_by": [aws.arn], "state": None, "seen": "", "remedy": ""}
    assert aws.waiting() == ["another's"]
    assert trip(cli, aws, 0, "--yes")["state"] == "ok"
    assert (aws.document(), aws.waiting()) == (before, ["another's"])
    aws.empty()
    arn = aws.topic()
    aws.empty()
    found = trip(cli, aws, 0, "--yes")
    assert (found["state"], found["heard_by"]) == ("ok", [arn])


def test_a_test_message_that_does_not_come_is_told(cli: Cli, aws: Aws) -> None:
    """The bucket tells another queue alone; and an old test of the bucket, or one of another's, is none."""
    apply(cli, aws, "--yes")
    other = aws.sqs.create_queue(QueueName=f"{aws.bucket}-quiet")["QueueUrl"]
    queue, aws.url = aws.url, other
    for bucket, when in (("another", "2999-01-01T00:00:00.000Z"), (aws.bucket, "2020-01-01T00:00:00.000Z")):
        body = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": when, "Bucket": bucket}
        aws.sqs.send_message(QueueUrl=other, MessageBody=json.dumps(body))
    found = trip(cli, aws, 1, "--yes")
    assert found["state"] == "broken"
    assert "2 other messages" in found["seen"]
    assert "pause its DAG" in found["remedy"]
    assert len(aws.waiting()) == 2
    aws.url = queue


def test_where_nobody_is_told_there_is_nothing_to_test(cli: Cli, aws: Aws) -> None:
    """EventBridge and functions get no test message of S3's."""
    found = trip(cli, aws, 1, "--yes")
    assert (found["state"], found["heard_by"]) == ("unknown", [])


def test_a_queue_without_redrive_is_a_warning(cli: Cli, aws: Aws) -> None:
    aws.url = aws.sqs.create_queue(QueueName=f"{aws.bucket}-bare")["QueueUrl"]
    aws.arn = aws.attributes()["QueueArn"]
    apply(cli, aws, "--queue-policy", "--yes")
    aws.empty()
    assert states(cli, aws, 0)["redrive"] == "warning"
