"""A bucket's notifications by an AWS connection: looked at, changed in our entry alone, and taken back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.hooks.aws import aws_client
from cloudindex_provider.hooks.s3 import named_s3_errors
from cloudindex_provider.hooks.sqs import event_queue
from cloudindex_provider.s3.aws_policies import with_statement
from cloudindex_provider.s3.event_chain import Chain, Link
from cloudindex_provider.s3.event_queue import queue_errors, queue_region
from cloudindex_provider.s3.notification_document import read_document, write_document
from cloudindex_provider.s3.notifications import Target, filter_value, queue_statement, with_target, without_ours
from cloudindex_provider.s3.place import is_of_aws
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
    if arn.endswith(".fifo"):
        raise SettingsError(
            f"target {arn} is FIFO, which S3 doesn't send to.",
            field="target",
            hint="Use a standard queue or topic; order doesn't matter here. EventBridge can send to a FIFO queue.",
        )
    return Target(parts[2], arn, prefix, suffix)


@dataclass(slots=True)
class BucketNotifications:
    """One bucket's. Errors name the connection."""

    bucket: str
    aws_conn_id: str | None = "aws_default"
    _clients: dict[tuple[str, str | None], Any] = field(default_factory=dict)

    def client(self, service: str, region_name: str | None = None) -> Any:
        """A boto3 client of a service, in a region where the connection's isn't meant."""
        if (service, region_name) not in self._clients:
            self._clients[service, region_name] = aws_client(service, self.aws_conn_id, region_name=region_name)
        return self._clients[service, region_name]

    def links(self, *, prefix: str, queue_url: str) -> list[Link]:
        """Each link of the chain from the prefix to the queue, whose region is that of its URL."""
        region_name = queue_region(queue_url)

        def client(service: str) -> Any:
            return self.client(service, None if service == "s3" else region_name)

        return Chain(client, self.bucket, prefix, queue_url).links()

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
        before, target = self._document(), self._written(target)
        change = Change(before, with_target(before, target))
        if queue_policy and target.kind == "sqs":
            change = self._with_policy(change, target, account)
        if write:
            if change.policy != change.policy_before:
                with queue_errors("SetQueueAttributes", target.arn):
                    url = self._queue_url(target.arn)
                    self._sqs(target.arn).set_queue_attributes(QueueUrl=url, Attributes={"Policy": change.policy})
            self._write(change)
        return change

    def remove(self, target: Target | None = None, *, write: bool) -> Change:
        """Take back what ``apply`` has made: for one target, or all of it. Everybody else's stays."""
        before = self._document()
        change = Change(before, without_ours(before, self._written(target) if target else None))
        if write:
            self._write(change)
        return change

    def _document(self) -> dict[str, Any]:
        with named_s3_errors(self.aws_conn_id):
            return read_document(self.client("s3"), self.bucket, to_write=True)

    def _write(self, change: Change) -> None:
        if change.after == change.before:
            return
        with named_s3_errors(self.aws_conn_id):
            write_document(self.client("s3"), self.bucket, change.after)

    def _written(self, target: Target) -> Target:
        """The target as the document writes its filter."""
        of_aws = is_of_aws(self.client("s3"))
        prefix, suffix = (filter_value(text, of_aws=of_aws) for text in (target.prefix, target.suffix))
        return replace(target, prefix=prefix, suffix=suffix)

    def _sqs(self, arn: str) -> Any:
        """A client in the queue's own region."""
        return self.client("sqs", arn.split(":")[3] or None)

    def _with_policy(self, change: Change, target: Target, account: str | None) -> Change:
        with queue_errors("GetQueueAttributes", target.arn):
            answer = self._sqs(target.arn).get_queue_attributes(
                QueueUrl=self._queue_url(target.arn), AttributeNames=["Policy"]
            )
        old = answer.get("Attributes", {}).get("Policy")
        new = with_statement(old, queue_statement(target.arn, self.bucket, account))
        return Change(change.before, change.after, new, old)

    def _queue_url(self, arn: str) -> str:
        account, name = arn.split(":")[4:6]
        found = self._sqs(arn).get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
        return str(found["QueueUrl"])
