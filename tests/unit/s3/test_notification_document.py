"""A bucket's notifications are never written where boto3 would drop a part of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.errors import S3IntegrationError
from cloudindex_provider.s3.notification_document import read_document
from tests.unit.s3.conftest import Answers

QUEUE = (
    "<QueueConfiguration><Id>q</Id><Queue>arn:aws:sqs:r:1:q</Queue><Event>s3:ObjectCreated:*</Event><Filter>{}</Filter>"
    "</QueueConfiguration>"
)
BY_KEY = "<S3Key><FilterRule><Name>prefix</Name><Value>docs/&lt;b&gt;</Value></FilterRule></S3Key>"
# Ceph's own filters, as its documentation of bucket notifications has them.
BY_TAGS = "<S3Tags><FilterRule><Name>team</Name><Value>docs</Value></FilterRule></S3Tags>"
KNOWN = [
    "",
    QUEUE.format(BY_KEY),
    "<TopicConfiguration><Id>t</Id><Topic>arn:aws:sns:r:1:t</Topic><Event>s3:TestEvent</Event></TopicConfiguration>",
    "<CloudFunctionConfiguration><CloudFunction>arn:aws:lambda:r:1:f</CloudFunction></CloudFunctionConfiguration>",
    "<EventBridgeConfiguration/>",
]


def answer(answers: Answers, inside: str) -> None:
    xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
    answers.body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<NotificationConfiguration xmlns="{xmlns}">{inside}</NotificationConfiguration>'
    ).encode()


@pytest.mark.parametrize("inside", KNOWN)
def test_what_boto3_knows_is_read_to_be_written(make_client: Callable[[], tuple[Any, Answers]], inside: str) -> None:
    client, answers = make_client()
    answer(answers, inside)
    document = read_document(client, "bucket", to_write=True)
    assert bool(document) is bool(inside)
    assert "ResponseMetadata" not in document


@pytest.mark.parametrize(
    ("inside", "name"),
    [(QUEUE.format(BY_KEY + BY_TAGS), "S3Tags"), ("<StreamConfiguration><Id>s</Id></StreamConfiguration>", "Stream")],
)
def test_what_boto3_would_drop_is_named_and_can_be_looked_at(
    make_client: Callable[[], tuple[Any, Answers]], inside: str, name: str
) -> None:
    client, answers = make_client()
    answer(answers, inside)
    with pytest.raises(S3IntegrationError, match=name) as caught:
        read_document(client, "bucket", to_write=True)
    assert caught.value.code == "NotificationsUnknown"
    assert isinstance(read_document(client, "bucket"), dict)
