"""A bucket's notification document, with our entry and without: nobody else's is touched."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.s3.aws_policies import allows_service, iam_policy, with_statement
from cloudindex_provider.s3.notifications import (
    Target,
    entries,
    filter_value,
    queue_statement,
    with_target,
    without_ours,
)

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:documents"
OURS = Target("sqs", QUEUE, "documents/")


def foreign(prefix: str = "", suffix: str = "", events: Any = ("s3:ObjectCreated:*",), **more: Any) -> dict[str, Any]:
    rules = [{"Name": "Prefix", "Value": prefix}] if prefix else []
    rules += [{"Name": "Suffix", "Value": suffix}] if suffix else []
    return {
        "Id": "theirs",
        "QueueArn": "arn:aws:sqs:eu-central-1:1:other",
        "Events": list(events),
        "Filter": {"Key": {"FilterRules": rules}},
        **more,
    }


DOCUMENT: dict[str, Any] = {
    "QueueConfigurations": [foreign("images/")],
    "TopicConfigurations": [{"Id": "t", "TopicArn": "arn:aws:sns:r:1:t", "Events": ["s3:ReducedRedundancyLostObject"]}],
    "LambdaFunctionConfigurations": [
        {"Id": "l", "LambdaFunctionArn": "arn:aws:lambda:r:1:function:f", "Events": ["s3:ObjectTagging:*"]}
    ],
    "EventBridgeConfiguration": {},
    "FutureConfigurations": [{"Id": "f"}],  # of which nobody knows yet
}


@pytest.mark.parametrize(
    "target",
    [
        OURS,
        Target("sns", "arn:aws:sns:r:1:topic", "documents/"),
        Target("lambda", "arn:aws:lambda:r:1:function:g", "documents/", ".pdf"),
        Target("eventbridge"),
    ],
)
def test_applied_twice_is_applied_once_and_taken_back_all_is_as_before(target: Target) -> None:
    before = copy.deepcopy(DOCUMENT)
    if target.kind == "eventbridge":
        del before["EventBridgeConfiguration"]
    once = with_target(before, target)
    assert once != before
    assert with_target(once, target) == once
    back = without_ours(once)
    assert back == (once if target.kind == "eventbridge" else before)  # others may listen to EventBridge


def test_everybody_elses_entries_stay_byte_for_byte() -> None:
    after = with_target(DOCUMENT, OURS)
    for name, rows in DOCUMENT.items():
        kept = after[name][: len(rows)] if isinstance(rows, list) else after[name]
        assert json.dumps(kept) == json.dumps(rows)


@pytest.mark.parametrize(
    ("theirs", "overlaps"),
    [
        (foreign("documents/"), True),
        (foreign("documents/2026/"), True),
        (foreign("doc"), True),
        (foreign(), True),  # the whole bucket
        (foreign(suffix=".pdf"), True),
        (foreign("documents/", events=["s3:ObjectCreated:Put"]), True),
        (foreign("documents/", events=["s3:ObjectTagging:Put"]), False),
        (foreign("documents/", events=["s3:ObjectRestore:Post"]), False),
        (foreign("document.txt"), False),
        (foreign("images/"), False),
        (foreign("Documents/"), False),
    ],
)
def test_an_entry_that_tells_the_same_events_is_named_before_s3_refuses(theirs: dict[str, Any], overlaps: bool) -> None:
    document = {"QueueConfigurations": [theirs]}
    if overlaps:
        with pytest.raises(SettingsError, match="'theirs'"):
            with_target(document, OURS)
    else:
        assert len(with_target(document, OURS)["QueueConfigurations"]) == 2


def test_suffixes_tell_entries_apart() -> None:
    document = {"QueueConfigurations": [foreign("documents/", ".jpg")]}
    assert len(with_target(document, Target("sqs", QUEUE, "documents/", ".pdf"))["QueueConfigurations"]) == 2
    with pytest.raises(SettingsError):
        with_target(document, Target("sqs", QUEUE, "documents/", "x.jpg"))


def test_an_entry_of_somebody_that_tells_our_target_all_of_it_is_enough() -> None:
    same = foreign(
        events=["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*", "s3:ObjectRestore:*"]
    )
    document = {"QueueConfigurations": [{**same, "QueueArn": QUEUE}]}
    assert with_target(document, OURS) == document


def test_one_target_alone_is_taken_back() -> None:
    other = Target("sqs", QUEUE + "2", "images/")
    both = with_target(with_target({}, OURS), other)
    assert [entry.arn for entry in entries(without_ours(both, OURS))] == [other.arn]


def test_a_policy_keeps_its_other_statements_and_gets_ours_once() -> None:
    theirs = {"Sid": "theirs", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": QUEUE,
              "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Id": "x", "Statement": theirs})  # one statement without a list
    statement = queue_statement(QUEUE, "bucket", "123456789012")
    once = with_statement(policy, statement)
    assert with_statement(once, statement) == once
    assert json.loads(once)["Statement"] == [theirs, statement]
    assert json.loads(once)["Id"] == "x"


S3 = {"service": "s3.amazonaws.com", "action": "sqs:SendMessage", "source_arn": "arn:aws:s3:::bucket"}


def said(**changes: Any) -> str:
    statement = {
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": QUEUE, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket"}}, **changes,
    }  # fmt: skip
    return json.dumps({"Statement": [statement]})


DENY: dict[str, Any] = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Condition": {}}
TLS = {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (said(), True),
        (said(Principal="*"), True),
        (said(Principal={"AWS": "*"}), True),
        (said(Principal={"Service": ["sns.amazonaws.com", "s3.amazonaws.com"]}), True),
        (said(Action=["sqs:*"]), True),
        (said(Action="SQS:SendMessage"), True),
        (said(Condition={}), True),
        (said(Condition={"ArnEquals": {"aws:SourceArn": ["arn:aws:s3:*:*:other", "arn:aws:s3:::buck*"]}}), True),
        (said(Condition={"StringEquals": {"aws:SourceAccount": "1"}}), True),  # not judged
        (said(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:s3:::other"}}), False),
        (said(Principal={"Service": "sns.amazonaws.com"}), False),
        (said(Action="sqs:ReceiveMessage"), False),
        (said(Effect="Deny"), False),
        (said(**DENY), False),
        (with_statement(said(), {"Sid": "tls", **DENY, **TLS}), True),  # services send by TLS
        (
            with_statement(said(), {"Sid": "org", **DENY, "Condition": {"StringNotEquals": {"aws:SourceOrgID": "o"}}}),
            True,
        ),
        (with_statement(said(), {"Sid": "all", **DENY}), False),
        (
            with_statement(
                said(), {"Sid": "us", **DENY, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::b*"}}}
            ),
            False,
        ),
        (None, False),
        ("", False),
        ("no JSON", False),
        (json.dumps(queue_statement(QUEUE, "bucket", None)), False),  # a statement is no policy
        (with_statement(None, queue_statement(QUEUE, "bucket", None)), True),
    ],
)
def test_a_policy_lets_s3_in_or_not(policy: str | None, allowed: bool) -> None:
    assert allows_service(policy, **S3) is allowed


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_a_bucket_is_named_in_its_queues_partition(partition: str) -> None:
    """A policy that names the bucket in another one lets nobody in."""
    queue = QUEUE.replace("arn:aws:", f"arn:{partition}:")
    statement = queue_statement(queue, "bucket", None)
    assert statement["Condition"]["ArnLike"]["aws:SourceArn"] == f"arn:{partition}:s3:::bucket"
    policy = iam_policy("notifications", bucket="bucket", queue_arn=queue)
    assert policy["Statement"][0]["Resource"] == f"arn:{partition}:s3:::bucket"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("documents/2026/", "documents/2026/"),
        ("year=2026/", "year%3D2026/"),
        ("my documents/", "my+documents/"),
        ("a+b%~", "a%2Bb%25%7E"),
        ("Büro/", "B%C3%BCro/"),
        ("!-_.*'()/", "!-_.*'()/"),
    ],
)
def test_a_filter_is_written_as_aws_compares_it(text: str, written: str) -> None:
    """As it stands, a prefix with other characters never matches there, and nobody says so; other stores differ."""
    assert filter_value(text, of_aws=True) == written
    assert filter_value(text, of_aws=False) == text
