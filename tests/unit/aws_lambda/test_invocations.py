"""What starts a function to messages, and its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloudindex_provider.aws_lambda.invocations import read_invocation
from cloudindex_provider.s3.events import parse_message

S3: dict[str, Any] = {
    "Records": [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "b"}, "object": {"key": "a+b.txt"}},
        }
    ]
}
BRIDGE: dict[str, Any] = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "b"}, "object": {"key": "a b.txt"}},
}


def of_sqs(*bodies: str) -> dict[str, Any]:
    rows = [
        {"messageId": f"m{number}", "receiptHandle": "r", "body": body, "eventSource": "aws:sqs"}
        for number, body in enumerate(bodies)
    ]
    return {"Records": rows}


def of_sns(*bodies: str) -> dict[str, Any]:
    rows = [
        {"EventSource": "aws:sns", "Sns": {"Type": "Notification", "MessageId": f"m{number}", "Message": body}}
        for number, body in enumerate(bodies)
    ]
    return {"Records": rows}


@pytest.mark.parametrize(
    "event",
    [
        S3,
        BRIDGE,
        of_sns(json.dumps(S3)),
        of_sns(json.dumps(BRIDGE)),
        of_sqs(json.dumps(S3)),
        of_sqs(json.dumps(BRIDGE)),
        of_sqs(json.dumps({"Type": "Notification", "Message": json.dumps(S3)})),
    ],
)
def test_every_way_to_a_function_leads_to_the_key(event: dict[str, Any]) -> None:
    """S3 directly, EventBridge, SNS, and each of them through SQS."""
    (delivery,) = read_invocation(event).deliveries
    message = parse_message(delivery.body)
    assert message.problem is None
    assert [event.keys[0] for event in message.events] == ["a b.txt"]


def test_only_sqs_is_told_which_messages_must_come_again() -> None:
    invocation = read_invocation(of_sqs("one", "two", "three"))
    assert invocation.answer(invocation.deliveries[1:2]) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert invocation.answer([]) == {"batchItemFailures": []}
    assert read_invocation(S3).answer([]) == read_invocation(of_sns("x")).answer([]) == {}


@pytest.mark.parametrize(
    "event", [{}, None, [], "text", 5, {"Records": []}, {"Records": "x"}, {"Records": [5]}, {"Records": [{"a": 1}]}]
)
def test_what_nobody_can_read_is_a_message_like_others(event: Any) -> None:
    """Its reading says why; of SQS's messages only the good ones would be taken."""
    (delivery,) = read_invocation(event).deliveries
    message = parse_message(delivery.body)
    assert message.problem or not message.events


def test_records_of_two_sources_are_no_batch() -> None:
    mixed = {"Records": [*of_sqs("x")["Records"], *of_sns("x")["Records"]]}
    assert not read_invocation(mixed).answers
