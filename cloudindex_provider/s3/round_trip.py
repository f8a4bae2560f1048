"""A round trip from a bucket to a queue by S3's own test message, and back out of the queue.

S3 sends ``s3:TestEvent`` to every queue and topic of a configuration that is written, also of one that is as it was
("PutBucketNotificationConfiguration" in AWS's API reference). So nothing is written into the bucket: an object made for
a test would be seen by everybody else who listens, and stay as a version. By EventBridge and to functions S3 sends no
such message.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from cloudindex_provider.s3.event_chain import BROKEN, OK, UNKNOWN, Link
from cloudindex_provider.s3.event_queue import Delivery, EventQueue
from cloudindex_provider.s3.events import unwrapped
from cloudindex_provider.s3.notification_document import read_document, write_document
from cloudindex_provider.s3.notifications import Entry, entries
from cloudindex_provider.words import count

__all__ = ["RoundTrip"]

_TESTED = ("sqs", "sns")  # kinds of destinations that S3 tests
_SLACK = timedelta(seconds=5)  # between the clock of S3's answers and that of its messages
_MOST = 500  # messages of others that are looked at: each look is a delivery to the redrive policy
_RECEIVE = 10.0  # seconds that one receive waits


@dataclass(slots=True)
class RoundTrip:
    """From a bucket to a queue.

    :param queue: whose ``visibility`` outlasts the whole of it, so that each of its messages is seen once
    """

    s3: Any
    queue: EventQueue
    bucket: str
    clock: Callable[[], float] = time.monotonic

    def hearers(self) -> list[Entry]:
        """Who hears of a test: every queue and topic of the bucket's configuration, whoever has made it.

        :raises S3IntegrationError: when S3 refuses
        """
        return [entry for entry in entries(read_document(self.s3, self.bucket)) if entry.kind in _TESTED]

    def run(self, seconds: float) -> Link:
        """Write the configuration as it is, and wait for its message.

        :raises S3IntegrationError: when S3 refuses, which it does where a destination can't be sent to
        :raises EventQueueError: when SQS refuses
        """
        if not self.hearers():
            seen = "the bucket tells no queue and no topic, and S3 sends no test message by other ways"
            return Link("test event", UNKNOWN, seen, "Put an object under the prefix, and look at the consumer's log.")
        began = self._write() - _SLACK
        others: list[Delivery] = []
        try:
            return self._await(began, self.clock() + seconds, others)
        finally:
            self.queue.hide(others, 0.0)

    def _write(self) -> datetime:
        """Gives when that was, by S3's clock."""
        document = read_document(self.s3, self.bucket, to_write=True)
        answer = write_document(self.s3, self.bucket, document)
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def _await(self, began: datetime, until: float, others: list[Delivery]) -> Link:
        while (left := until - self.clock()) > 0 and len(others) < _MOST:
            for delivery in self.queue.receive(min(_RECEIVE, left)):
                if self._is_ours(delivery.body, began):
                    self.queue.delete([delivery])
                    return Link("test event", OK, f"S3's test message came {max(0.0, self._age(began)):.0f} s later")
                others.append(delivery)
        seen = f"S3's test message didn't come; {count(len(others), 'other message')} did"
        remedy = "Run `airflow cloudindex notifications check`. A consumer may have taken it: pause its DAG meanwhile."
        return Link("test event", BROKEN, seen, remedy)

    @staticmethod
    def _age(began: datetime) -> float:
        return (datetime.now(UTC) - began - _SLACK).total_seconds()

    def _is_ours(self, body: str, began: datetime) -> bool:
        """Whether a message is S3's test of this bucket, and no older one that waits in the queue."""
        try:
            content = unwrapped(json.loads(body))
        except (ValueError, RecursionError):
            return False
        if not isinstance(content, Mapping) or content.get("Event") != "s3:TestEvent":
            return False
        try:
            sent = datetime.fromisoformat(str(content.get("Time")))
        except ValueError:
            return False
        sent = sent if sent.tzinfo else sent.replace(tzinfo=UTC)
        return content.get("Bucket") == self.bucket and sent >= began
