"""What starts a function to messages, and what has become of them to the function's answer. Pure.

SQS gives up to 10,000 messages, and takes an answer that names those which must come again
(``ReportBatchItemFailures``).
SNS, S3 itself and EventBridge start the function with one event and take no answer: an error makes Lambda try again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cloudindex_provider.s3.event_queue import Delivery

__all__ = ["Invocation", "read_invocation"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """The messages of one start. ``answers``: single ones can be asked for again, as those of SQS can."""

    deliveries: tuple[Delivery, ...]
    answers: bool

    def answer(self, again: Iterable[Delivery]) -> dict[str, Any]:
        """What the function returns."""
        if not self.answers:
            return {}
        return {"batchItemFailures": [{"itemIdentifier": one.message_id} for one in again]}


def read_invocation(event: Any) -> Invocation:
    """The messages of what Lambda calls the event. Whether they can be read isn't asked here."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list) or not records or not all(isinstance(one, Mapping) for one in records):
        return Invocation((_whole(event),), answers=False)
    if all(one.get("eventSource") == "aws:sqs" for one in records):
        return Invocation(tuple(map(_of_sqs, records)), answers=True)
    if all(one.get("EventSource") == "aws:sns" for one in records):
        return Invocation(tuple(map(_of_sns, records)), answers=False)
    return Invocation((_whole(event),), answers=False)


def _of_sqs(record: Mapping[str, Any]) -> Delivery:
    return Delivery(str(record.get("messageId", "")), str(record.get("receiptHandle", "")), str(record.get("body", "")))


def _of_sns(record: Mapping[str, Any]) -> Delivery:
    content = record.get("Sns")
    content = content if isinstance(content, Mapping) else {}
    return Delivery(str(content.get("MessageId", "")), "", str(content.get("Message", "")))


def _whole(event: Any) -> Delivery:
    """S3's and EventBridge's are the message themselves, and so is what nobody can read."""
    return Delivery("", "", json.dumps(event, default=str))
