"""S3 to CloudIndex: a whole sync in one task, and the same as a group of tasks with mapped uploads.

from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

with DAG("handbook", schedule="@hourly", max_active_runs=1):
    s3_to_cloudindex(bucket="company-docs", prefix="handbook/")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cloudindex_provider.errors import ProviderError, StoppedError, SyncFailedError
from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator
from cloudindex_provider.operators.changes import tell_changes
from cloudindex_provider.operators.cloudindex_approval import ask_for_approval
from cloudindex_provider.operators.lineage import Lineage, TellsLineage
from cloudindex_provider.operators.reporting import conclude, publish, red_report
from cloudindex_provider.sync.arguments import KEYS_FROM_ASSET_EVENTS
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.report.report import failure
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.transfers.task_group import s3_to_cloudindex

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["KEYS_FROM_ASSET_EVENTS", "S3ToCloudIndexOperator", "s3_to_cloudindex"]


class S3ToCloudIndexOperator(BaseS3ToCloudIndexOperator, TellsLineage):
    """Keeps a CloudIndex project in step with an S3 prefix, or with some keys of it, in a single task.

    ``execute({})`` works outside a run too, with connections from ``AIRFLOW_CONN_...``. Returns the report: the counts
    ``listed, unchanged, new, changed, removed, skipped, uploaded, adopted, drifted, indexed, failed, quarantined,
    deferred, gone, elsewhere, held, kept, excluded, stale, deleted, bytes, requests``, and the first failures and
    skips with key and reason; ``backlog``, the documents still to upload, and ``eta_seconds`` and
    ``requests_per_minute``, ``None`` where they aren't known; ``summary``, a paragraph for people, and ``to_do``, what
    a person must do, the most urgent first. For the arguments see ``BaseS3ToCloudIndexOperator``.

    The same report is in the XCom ``report``, also when the task fails, as it is of the group's task ``report``: an
    ``on_failure_callback`` finds what to tell people in ``report["summary"]``.

    :raises SyncFailedError: when more documents failed than ``max_failed_documents``
    :raises DeletesHeldError: when a mass delete is held and ``on_mass_delete`` is ``fail``
    """

    _begins_run = _tells_changes = True

    def execute(self, context: Context) -> dict[str, Any]:
        with self._session(context) as ctx:
            report = synchronize(ctx)
            report.page_url = self.page_url
            self.lineage = Lineage.of(ctx, report.counts)
            limit = ctx.settings.limits.max_failed_documents
            error = failure(report, max_failed_documents=limit) or self._unread_events(context)
            result = conclude(self, context, ctx.settings, report, None if report.dry_run else error)
            if not report.dry_run:
                tell_changes(ctx, context, self._scope, report.counts)
                where = {"state_conn_id": self.state_conn_id, "state_url": self.state_url}
                ask_for_approval(ctx, context, result=result, **where)
        return result

    @contextmanager
    def _reporting(self, ctx: SyncContext, context: Context | Mapping[str, Any]) -> Iterator[None]:
        """A step that fails leaves a report of what was done until then. A pause is no failure."""
        try:
            yield
        except (StoppedError, SyncFailedError):  # nothing is at its end, or has its report already
            raise
        except ProviderError as error:
            report = red_report(ctx, error)
            self.lineage = Lineage.of(ctx, report.counts)
            report.page_url = self.page_url
            publish(self, context, ctx.settings, report)
            raise
