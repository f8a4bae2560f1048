"""S3 to CloudIndex: a whole sync in one task, and the same as a group of tasks with mapped uploads.

from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

with DAG("handbook", schedule="@hourly", max_active_runs=1):
    s3_to_cloudindex(bucket="company-docs", prefix="handbook/")
"""

from __future__ import annotations

import glob
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.sdk import TaskGroup, TriggerRule, XComArg

from cloudindex_provider.airflow_compat import RetryingOperator
from cloudindex_provider.errors import DeletesHeldError
from cloudindex_provider.hooks.connections import check_aws_connection
from cloudindex_provider.hooks.s3 import named_s3_errors
from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator
from cloudindex_provider.operators.cloudindex_approval import ask_for_approval
from cloudindex_provider.operators.cloudindex_sync import (
    CloudIndexDeleteRemovedOperator,
    CloudIndexDetectChangesOperator,
    CloudIndexSyncReportOperator,
    CloudIndexUploadChangesOperator,
    CloudIndexWaitForSyncOperator,
)
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.s3.error_mapping import s3_errors
from cloudindex_provider.sync.polling import POLL_INTERVAL
from cloudindex_provider.sync.report.messages import log_report
from cloudindex_provider.sync.report.report import judge, make_report
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.settings import DEFAULT_LIMITS, SyncSettings

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

__all__ = ["S3ToCloudIndexOperator", "s3_to_cloudindex"]


class S3ToCloudIndexOperator(BaseS3ToCloudIndexOperator):
    """Keeps a CloudIndex project in step with an S3 prefix, or with some keys of it, in a single task.

    ``execute({})`` works outside a run too, with connections from ``AIRFLOW_CONN_...``. Returns the report: the counts
    ``listed, unchanged, new, changed, removed, skipped, uploaded, adopted, drifted, indexed, failed, quarantined,
    deferred, gone, elsewhere, held, kept, excluded, stale, deleted, bytes, requests``, and the first failures and
    skips with key and reason; ``backlog``, the documents still to upload, and ``eta_seconds`` and
    ``requests_per_minute``, ``None`` where they aren't known. For the arguments see
    :class:`BaseS3ToCloudIndexOperator`.

    :raises SyncFailedError: when more documents failed than ``max_failed_documents``
    :raises DeletesHeldError: when a mass delete is held and ``on_mass_delete`` is ``fail``
    """

    def execute(self, context: Context) -> dict[str, Any]:
        with self._session(context) as ctx:
            try:
                report = synchronize(ctx)
            except DeletesHeldError:
                log_report(self.log, ctx.settings, make_report(ctx))
                raise
            log_report(self.log, ctx.settings, report)
            if not report.dry_run:
                judge(report, max_failed_documents=ctx.settings.limits.max_failed_documents)
                where = {"state_conn_id": self.state_conn_id, "state_url": self.state_url}
                ask_for_approval(ctx, context, result=report.as_dict(), **where)
        return report.as_dict()


class _DocumentsSensor(RetryingOperator, S3KeySensor):
    """An S3KeySensor for any key under a prefix, whose errors are as clear and as rarely retried as the sync's."""

    def __init__(self, *, retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(), **kwargs: Any) -> None:  # noqa: B008 - frozen, so it can be shared
        super().__init__(retry_policy=retry_policy, **kwargs)

    def poke(self, context: Context) -> Any:
        bucket, prefix = str(self.bucket_name), str(self.bucket_key).removesuffix("*")
        SyncSettings(project_id="unused", bucket=bucket, prefix=prefix).validate()
        check_aws_connection(self.aws_conn_id)
        with named_s3_errors(self.aws_conn_id), s3_errors("ListObjectsV2", bucket):
            return super().poke(context)


def s3_to_cloudindex(
    *,
    bucket: str,
    prefix: str = "",
    group_id: str = "s3_to_cloudindex",
    wait_for_documents: bool = False,
    sensor_timeout: float = 60.0,
    sensor_poke_interval: float = 20.0,
    pool: str | None = None,
    upload_tasks: int | str = DEFAULT_LIMITS.upload_tasks,
    poll_interval: float = POLL_INTERVAL,
    deferrable: bool = True,
    retries: int = 5,
    retry_delay: timedelta = timedelta(seconds=60),
    **settings: Any,
) -> TaskGroup:
    """A sync as tasks: detect_changes, upload_documents (mapped), wait_until_processed, delete_removed, report.

    :param wait_for_documents: begin with an S3KeySensor for any key of the prefix. It skips softly after
        ``sensor_timeout`` seconds, and detection runs after a skip too: an emptied prefix must not hide removals
    :param pool: the pool of the upload tasks
    :param settings: every other argument of :class:`BaseS3ToCloudIndexOperator`
    """
    shared: dict[str, Any] = {
        "bucket": bucket, "prefix": prefix, "upload_tasks": upload_tasks, "retries": retries,
        "retry_delay": retry_delay, **settings,
    }  # fmt: skip
    with TaskGroup(group_id, tooltip="S3 prefix to CloudIndex project") as group:
        shared["run_scope"] = group.group_id
        found = CloudIndexDetectChangesOperator(
            task_id="detect_changes", trigger_rule=TriggerRule.NONE_FAILED, **shared
        )
        if wait_for_documents:
            _DocumentsSensor(
                task_id="wait_for_documents",
                bucket_name=bucket,
                bucket_key=f"{prefix if '{{' in prefix else glob.escape(prefix)}*",
                wildcard_match=True,
                aws_conn_id=settings.get("aws_conn_id", "aws_default"),
                timeout=sensor_timeout,
                poke_interval=sensor_poke_interval,
                soft_fail=True,
                deferrable=False,  # deferred, its timeout would fail the run instead of skipping
                retries=retries,
                retry_delay=retry_delay,
            ).set_downstream(found)
        uploads = CloudIndexUploadChangesOperator.partial(
            task_id="upload_documents", **({"pool": pool} if pool else {}), **shared
        ).expand(worker=XComArg(found))
        processed = CloudIndexWaitForSyncOperator(
            task_id="wait_until_processed",
            trigger_rule=TriggerRule.NONE_FAILED,
            poll_interval=poll_interval,
            deferrable=deferrable,
            **shared,
        )
        deleted = CloudIndexDeleteRemovedOperator(
            task_id="delete_removed", trigger_rule=TriggerRule.NONE_FAILED, **shared
        )
        report = CloudIndexSyncReportOperator(
            task_id="report", trigger_rule=TriggerRule.ALL_DONE, **{**shared, "retries": 2}
        )
        found >> uploads >> processed >> deleted >> report
    return group
