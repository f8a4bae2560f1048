"""The crash test of the consumer of S3 events: the process that follows a queue is killed at a step or at any moment.

Every round has a bucket whose events go to a queue of its own. At the end the queue must be empty, and S3, state and
index must agree, without any full run.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.sync.events.consumer import EventConsumer
from programs.soak.child import VISIBILITY, Try
from programs.soak.crash import CrashTest
from tests.support.mirror import DisagreementError, Mirror, sqs_client

__all__ = ["EventsCrashTest"]

_PATIENCE = 30.0  # seconds until a queue must be empty
_COUNTS = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]


class EventsCrashTest(CrashTest):
    """``CrashTest`` of a process that follows events."""

    def __enter__(self) -> EventsCrashTest:
        super().__enter__()
        self.sqs = sqs_client(self.s3_url)
        self.queues: dict[str, str] = {}  # by bucket
        return self

    def first_run(self, mirror: Mirror) -> None:
        """The bucket's events go to a queue from its first object on."""
        url = self.sqs.create_queue(QueueName=mirror.bucket)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events: list[Any] = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
        self.s3.put_bucket_notification_configuration(
            Bucket=mirror.bucket, NotificationConfiguration={"QueueConfigurations": events}
        )
        self.queues[mirror.bucket] = url
        mirror.run_to_the_end("first")

    def make_try(self, mirror: Mirror, attempt: int, tasks: int, die_at: int | None) -> Try:
        return replace(super().make_try(mirror, attempt, tasks, die_at), queue_url=self.queues[mirror.bucket])

    def recover(self, mirror: Mirror, what: str) -> None:
        """The next try, and then consumers until the queue is empty."""
        began = time.monotonic()
        url = self.queues[mirror.bucket]
        try:
            for name in ("crashing", None, None, None):
                contexts = [mirror.context(name, dag="dag")]
                EventConsumer(
                    EventQueue(self.sqs, url, VISIBILITY), contexts, idle=2 * VISIBILITY, first_look=0.02
                ).run(_PATIENCE)
                if not self._left(url):
                    break
            if left := self._left(url):
                self.figures.wrong.append(f"{what}: {left} messages are left")
            mirror.assert_agreement()
        except (AssertionError, DisagreementError) as error:
            self.figures.wrong.append(f"{what}: {error}")
        self.figures.longest_recovery = max(self.figures.longest_recovery, time.monotonic() - began)

    def _left(self, url: str) -> int:
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)["Attributes"]
        return sum(int(found[name]) for name in _COUNTS)
