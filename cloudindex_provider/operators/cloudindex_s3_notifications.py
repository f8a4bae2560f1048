"""A bucket's notifications from a DAG, where there is no shell: looked at, tested, applied and taken back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cloudindex_provider.airflow_compat import RetryingOperator
from cloudindex_provider.errors import SettingsError, SyncFailedError
from cloudindex_provider.hooks.notifications import BucketNotifications, Change, target_of
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.s3.event_chain import BROKEN, Link
from cloudindex_provider.s3.notifications import Target
from cloudindex_provider.sync import arguments

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

__all__ = ["CloudIndexS3NotificationsOperator"]


class CloudIndexS3NotificationsOperator(RetryingOperator):
    """Looks after the way of S3's events to a queue: what ``airflow cloudindex notifications`` does, by the same core.

    ``check`` looks at each link of the chain and fails where one is broken; ``test`` has S3 send its test message and
    waits for it at the queue; ``apply`` lets the bucket tell a target, and ``remove`` takes that back. Nobody else's
    notification is touched. Without ``confirm`` the last three say what they would do. Returns ``{"links": [...]}`` of
    a check, ``{"heard_by", "link"}`` of a test, else ``{"changes", "written", "notification", "queue_policy"}``.

    :param action: ``check``, ``test``, ``apply`` or ``remove`` (templated)
    :param bucket: the S3 bucket's name (templated)
    :param prefix: only keys that start with it (templated)
    :param suffix: of ``apply`` and ``remove``: only keys that end with it (templated)
    :param queue_url: of ``check`` and ``test``: URL of the SQS queue (templated)
    :param target: of ``apply`` and ``remove``: ARN of an SQS queue, an SNS topic or a Lambda function, or
        ``eventbridge``; ``remove`` without one takes back all that was applied (templated)
    :param queue_policy: of ``apply``: also let S3 send to the queue, by its policy (templated)
    :param bucket_account: account of the bucket, for that policy (templated)
    :param aws_conn_id: the AWS connection (templated); ``None`` uses boto3's own credentials
    :param wait: of ``test``: seconds to wait for the message (templated)
    :param confirm: do it; without it nothing is written (templated)
    :param retries: tries after the first one
    :param retry_delay: seconds or timedelta between two tries
    :param retry_policy: Airflow's; ``CloudIndexRetryPolicy`` fails permanent errors at once
    """

    template_fields: Sequence[str] = (
        "action", "bucket", "prefix", "suffix", "queue_url", "target", "queue_policy", "bucket_account", "aws_conn_id",
        "wait", "confirm",
    )  # fmt: skip
    ui_color = "#d7e8ff"

    def __init__(
        self,
        *,
        bucket: str,
        action: str = "check",
        prefix: str = "",
        suffix: str = "",
        queue_url: str | None = None,
        target: str | None = None,
        queue_policy: bool | str = False,
        bucket_account: str | None = None,
        aws_conn_id: str | None = "aws_default",
        wait: float | str = 60.0,
        confirm: bool | str = False,
        retries: int | None = 2,
        retry_delay: timedelta | float = timedelta(seconds=30),
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen, so it can be shared
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, retry_policy=retry_policy, **kwargs)
        self.bucket = bucket
        self.action = action
        self.prefix = prefix
        self.suffix = suffix
        self.queue_url = queue_url
        self.target = target
        self.queue_policy = queue_policy
        self.bucket_account = bucket_account
        self.aws_conn_id = aws_conn_id
        self.wait = wait
        self.confirm = confirm

    def execute(self, context: Context) -> dict[str, Any]:
        """Do the action.

        :raises SettingsError: naming what is missing, or another's notification that would overlap
        :raises SyncFailedError: where a link is broken, or the test message doesn't come
        :raises S3IntegrationError: where S3 refuses
        :raises EventQueueError: where SQS refuses
        """
        actions = {"check": self._check, "test": self._test, "apply": self._apply, "remove": self._remove}
        if self.action not in actions:
            raise SettingsError(f"action is {self.action!r}.", field="action", hint=f"Use one of {', '.join(actions)}.")
        connection = arguments.optional(arguments.text, "aws_conn_id", self.aws_conn_id)
        bucket = BucketNotifications(arguments.text("bucket", self.bucket), connection)
        return actions[self.action](bucket, arguments.flag("confirm", self.confirm))

    def _check(self, bucket: BucketNotifications, confirmed: bool) -> dict[str, Any]:
        links = bucket.links(prefix=arguments.string("prefix", self.prefix), queue_url=self._required("queue_url"))
        for link in links:
            self._tell(link)
        return self._judged({"links": [asdict(link) for link in links]}, links)

    def _test(self, bucket: BucketNotifications, confirmed: bool) -> dict[str, Any]:
        wait = arguments.seconds("wait", self.wait)
        hearers, link = bucket.test(self._required("queue_url"), seconds=wait, write=confirmed)
        self.log.info("S3 tells %s of a test.", ", ".join(hearers) or "nobody")
        report = {"heard_by": hearers, "link": asdict(link) if link else None}
        if link is None:
            self.log.info("Nothing was sent. Use confirm to have it sent.")
            return report
        self._tell(link)
        return self._judged(report, [link])

    def _apply(self, bucket: BucketNotifications, confirmed: bool) -> dict[str, Any]:
        policy = arguments.flag("queue_policy", self.queue_policy)
        account = arguments.optional(arguments.text, "bucket_account", self.bucket_account)
        target = self._target(self._required("target"))
        return self._said(bucket.apply(target, queue_policy=policy, account=account, write=confirmed), confirmed)

    def _remove(self, bucket: BucketNotifications, confirmed: bool) -> dict[str, Any]:
        given = arguments.string("target", self.target)
        return self._said(bucket.remove(self._target(given) if given else None, write=confirmed), confirmed)

    def _target(self, arn: str) -> Target:
        prefix, suffix = arguments.string("prefix", self.prefix), arguments.string("suffix", self.suffix)
        return target_of(arn, prefix=prefix, suffix=suffix)

    def _required(self, name: str) -> str:
        if found := arguments.string(name, getattr(self, name)):
            return found
        raise SettingsError(f"{name} is empty.", field=name, hint=f"The action {self.action!r} needs it.")

    def _said(self, change: Change, confirmed: bool) -> dict[str, Any]:
        """What was written, or would be."""
        said = {"changes": change.is_one, "written": change.is_one and confirmed, "notification": change.after}
        if change.policy != change.policy_before:
            said["queue_policy"] = json.loads(change.policy or "{}")
        if not change.is_one:
            self.log.info("Nothing is to be changed.")
        else:
            done = "This was written" if confirmed else "Nothing was changed; with confirm this is written"
            self.log.info("%s:\n%s", done, json.dumps(said, indent=2))
        return said

    def _tell(self, link: Link) -> None:
        log = self.log.error if link.state == BROKEN else self.log.info
        log("%s: %s: %s%s", link.name, link.state, link.seen, f". {link.remedy}" if link.remedy else "")

    def _judged(self, report: dict[str, Any], links: Sequence[Link]) -> dict[str, Any]:
        broken = [link for link in links if link.state == BROKEN]
        if broken:
            first = broken[0]
            message = f"{first.name} is broken: {first.seen}."
            raise SyncFailedError(message, report=report, hint=first.remedy)
        return report
