"""A bucket's notifications by an AWS connection: looked at, changed in our entry alone, and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.hooks.aws import aws_client
from cloudindex_provider.hooks.s3 import named_s3_errors
from cloudindex_provider.hooks.sqs import event_queue
from cloudindex_provider.s3.aws_policies import with_statement
from cloudindex_provider.s3.error_mapping import s3_errors
from cloudindex_provider.s3.event_chain import Chain, Link
from cloudindex_provider.s3.event_queue import queue_errors
from cloudindex_provider.s3.notifications import Target, queue_statement, with_target, without_ours
from cloudindex_provider.s3.round_trip import RoundTrip

__all__ = ["BucketNotifications", "Change", "target_of"]

_TEST_MARGIN = 60.0  # seconds for which others' messages stay hidden beyond a test: each is looked at once
_KINDS = ("sqs", "sns", "lambda")  # of targets, as their ARNs call the service


@dataclass(frozen=True, slots=True)
class Change:
    """What is, or would be, written. ``policy`` is the queue's new policy, where it was asked for."""

    before: dict[str, Any]
    after: dict[str, Any]
    policy: str | None = None
    policy_before: str | None = None

    @property
    def is_one(self) -> bool:
        return self.before != self.after or self.policy != self.policy_before


def target_of(arn: str, *, prefix: str = "", suffix: str = "") -> Target:
    """The target that an ARN, or the word ``eventbridge``, names.

    :raises SettingsError: where it is neither
    """
    if arn.lower() == "eventbridge":
        return Target("eventbridge")
    parts = arn.split(":")
    if len(parts) < 6 or parts[0] != "arn" or parts[2] not in _KINDS:
        raise SettingsError(
            f"target is {arn!r}.",
            field="target",
            hint="Give the ARN of an SQS queue, an SNS topic or a Lambda function, or the word eventbridge.",
        )
    return Target(parts[2], arn, prefix, suffix)


@dataclass(slots=True)
class BucketNotifications:
    """One bucket's. Errors name the connection."""

    bucket: str
    aws_conn_id: str | None = "aws_default"
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A boto3 client of a service."""
        if service not in self._clients:
            self._clients[service] = aws_client(service, self.aws_conn_id)
        return self._clients[service]

    def links(self, *, prefix: str, queue_url: str) -> list[Link]:
        """Each link of the chain from the prefix to the queue."""
        return Chain(self.client, self.bucket, prefix, queue_url).links()

    def test(self, queue_url: str, *, seconds: float, write: bool) -> tuple[list[str], Link | None]:
        """Who hears of S3's test message; and whether it comes to the queue within so many seconds.

        :param write: have it sent, by writing the configuration as it is; without it only who would hear is told
        :raises S3IntegrationError: where S3 refuses
        :raises EventQueueError: where SQS refuses
        """
        queue = event_queue(queue_url, self.aws_conn_id, visibility=seconds + _TEST_MARGIN)
        trip = RoundTrip(self.client("s3"), queue, self.bucket)
        with named_s3_errors(self.aws_conn_id):
            hearers = [entry.arn for entry in trip.hearers()]
            return hearers, trip.run(seconds) if write else None

    def apply(self, target: Target, *, queue_policy: bool = False, account: str | None = None, write: bool) -> Change:
        """Let the bucket tell the target; writes nothing where it does so already.

        :param queue_policy: let S3 send to the queue, by a statement in its policy, which S3 wants to see first
        :param account: that the bucket belongs to, for the policy
        :param write: false: only say what would be written
        :raises SettingsError: where another entry tells the same events
        :raises S3IntegrationError: where S3 refuses
        """
        before = self._document()
        change = Change(before, with_target(before, target))
        if queue_policy and target.kind == "sqs":
            change = self._with_policy(change, target, account)
        if write:
            if change.policy != change.policy_before:
                with queue_errors("SetQueueAttributes", target.arn):
                    url = self._queue_url(target.arn)
                    self.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": change.policy})
            self._write(change)
        return change

    def remove(self, target: Target | None = None, *, write: bool) -> Change:
        """Take back what ``apply`` has made: for one target, or all of it. Everybody else's stays."""
        before = self._document()
        change = Change(before, without_ours(before, target))
        if write:
            self._write(change)
        return change

    def _document(self) -> dict[str, Any]:
        with named_s3_errors(self.aws_conn_id), s3_errors("GetBucketNotificationConfiguration", self.bucket):
            found: Mapping[str, Any] = self.client("s3").get_bucket_notification_configuration(Bucket=self.bucket)
        return {name: value for name, value in found.items() if name != "ResponseMetadata"}

    def _write(self, change: Change) -> None:
        if change.after == change.before:
            return
        with named_s3_errors(self.aws_conn_id), s3_errors("PutBucketNotificationConfiguration", self.bucket):
            self.client("s3").put_bucket_notification_configuration(
                Bucket=self.bucket, NotificationConfiguration=change.after
            )

    def _with_policy(self, change: Change, target: Target, account: str | None) -> Change:
        with queue_errors("GetQueueAttributes", target.arn):
            answer = self.client("sqs").get_queue_attributes(
                QueueUrl=self._queue_url(target.arn), AttributeNames=["Policy"]
            )
        old = answer.get("Attributes", {}).get("Policy")
        new = with_statement(old, queue_statement(target.arn, self.bucket, account))
        return Change(change.before, change.after, new, old)

    def _queue_url(self, arn: str) -> str:
        account, name = arn.split(":")[4:6]
        found = self.client("sqs").get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
        return str(found["QueueUrl"])
