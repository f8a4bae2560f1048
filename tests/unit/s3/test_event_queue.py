"""An SQS queue: where it is, and what SQS takes of us."""

from __future__ import annotations

import pytest

from cloudindex_provider.s3.event_queue import LONGEST_VISIBILITY, EventQueue, queue_region
from tests.support.memory_sqs import MemorySqs


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-central-1.amazonaws.com", "eu-central-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("sqs-fips.us-east-2.amazonaws.com", "us-east-2"),
        ("sqs.eu-west-1.api.aws", "eu-west-1"),
        ("sqs-fips.us-west-2.api.aws", "us-west-2"),
        ("vpce-0a1b-2c3d.sqs.eu-central-1.vpce.amazonaws.com", "eu-central-1"),
        ("eu-central-1.queue.amazonaws.com", "eu-central-1"),  # of old, as GetQueueUrl gave it for years
        ("cn-north-1.queue.amazonaws.com.cn", "cn-north-1"),
        ("queue.amazonaws.com", "us-east-1"),
        ("sqs.eu-central-1.localhost.localstack.cloud:4566", None),
        ("localhost:4566", None),
        ("sqs.example.com", None),
        ("message-queue.api.cloud.yandex.net", None),
        ("", None),
    ],
)
def test_the_region_is_that_of_the_url(host: str, region: str | None) -> None:
    assert queue_region(f"https://{host}/123456789012/documents") == region


def test_no_message_is_hidden_for_longer_than_sqs_takes() -> None:
    asked: list[int] = []

    class Sqs(MemorySqs):
        def receive_message(self, **request: object) -> dict[str, object]:
            asked.append(int(str(request["VisibilityTimeout"])))
            return {}

    EventQueue(Sqs(), "https://queue", visibility=60_000).receive()
    assert asked == [int(LONGEST_VISIBILITY)]
