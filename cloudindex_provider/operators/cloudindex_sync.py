"""The five steps of a sync as operators, for ``s3_to_cloudindex`` (``cloudindex_provider.transfers``).

Each only translates: settings in, counts out, errors up. XCom carries numbers, never keys; what a step hands to the
next is in the state.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk.exceptions import AirflowSkipException

from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect import detect
from cloudindex_provider.sync.errors import SyncFailedError
from cloudindex_provider.sync.plan import upload_task_count
from cloudindex_provider.sync.processing import Progress, poll
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.report import dry_report, judge, make_report
from cloudindex_provider.sync.steps import record_requests
from cloudindex_provider.sync.upload import upload

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = [
    "CloudIndexDeleteRemovedOperator",
    "CloudIndexDetectChangesOperator",
    "CloudIndexSyncReportOperator",
    "CloudIndexUploadChangesOperator",
    "CloudIndexWaitForSyncOperator",
]

COUNTS = "counts"  # XCom: what a detection counted; a dry run's whole report
_SHORTEST_TRIGGER = 10.0  # seconds; Airflow 3.3 may fail a task falsely whose trigger fires at once


class CloudIndexDetectChangesOperator(BaseS3ToCloudIndexOperator):
    """Lists S3, compares with the state and queues what differs.

    Returns a number for each upload task that the backlog is worth, because Airflow maps over return values only; the
    counts are in the XCom ``counts``.
    """

    def execute(self, context: Context) -> list[int]:
        with self._session(context) as ctx, record_requests(ctx):
            found = detect(ctx)
            s3_requests = ctx.s3.take_calls()
        self.log.info("Found %s.", ", ".join(f"{name} {number}" for name, number in sorted(found.counts.items())))
        if self.is_dry_run:
            report = dry_report(found, s3_requests)
            self.log.info("Dry run, nothing is written: %s", report.summary())
            for what, keys in report.plan.items():
                self.log.info("Would %s, among others: %s", what, ", ".join(map(repr, keys)) or "nothing")
            context["ti"].xcom_push(COUNTS, report.as_dict())
            return []
        context["ti"].xcom_push(COUNTS, {**found.counts, "backlog": found.backlog})
        return list(range(upload_task_count(found.requests, self.upload_tasks)))


class CloudIndexUploadChangesOperator(BaseS3ToCloudIndexOperator):
    """Uploads from the backlog until it is empty; mapped, every instance takes what is free. Returns its counts.

    :param worker: the number of the instance
    """

    def __init__(self, *, worker: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.worker = worker

    def execute(self, context: Context) -> dict[str, int]:
        with self._session(context) as ctx, record_requests(ctx):
            done = upload(ctx)
        self.log.info("Uploaded %d documents in %d requests; %d failed.", done.documents, done.requests, done.failed)
        return {"documents": done.documents, "requests": done.requests, "failed": done.failed}


class CloudIndexWaitForSyncOperator(BaseS3ToCloudIndexOperator):
    """Waits until CloudIndex has processed what was uploaded, or ``processing_timeout`` is over.

    Looks a few times by itself, because most documents take seconds; then gives its slot back between looks.

    :param poll_interval: seconds between two looks, growing to 120
    :param deferrable: free the worker slot between looks
    """

    def __init__(self, *, poll_interval: float = 10.0, deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.poll_interval = poll_interval
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, int]:
        if self.is_dry_run:
            raise AirflowSkipException("A dry run uploads nothing, so there is nothing to wait for.")
        with self._session(context) as ctx, record_requests(ctx):
            return self._wait(ctx)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, int]:
        """Look again after a trigger; everything that counts is in the state."""
        return self.execute(context)

    def _wait(self, ctx: SyncContext) -> dict[str, int]:
        indexed = failed = looks = 0
        while True:
            seen = poll(ctx)
            looks += 1
            indexed, failed = indexed + seen.indexed, failed + seen.failed
            remaining = ctx.settings.limits.processing_timeout - seen.waited
            if not seen.waiting or remaining <= 0 or not self.wait_for_processing:
                break
            self.log.info("%d documents are still processing.", seen.waiting)
            self._pause(ctx, seen, remaining, looks)
        if seen.waiting:
            self.log.warning("%d documents still process; the next run goes on with them.", seen.waiting)
        return {"indexed": indexed, "failed": failed, "processing": seen.waiting}

    def _pause(self, ctx: SyncContext, seen: Progress, remaining: float, looks: int) -> None:
        pause = seen.next_poll(self.poll_interval)
        if self.deferrable and looks > 3:
            delta = timedelta(seconds=max(_SHORTEST_TRIGGER, min(pause, remaining)))
            self.defer(trigger=TimeDeltaTrigger(delta), method_name="execute_complete")
        ctx.sleep(min(1.0 * looks if self.deferrable else pause, remaining))


class CloudIndexDeleteRemovedOperator(BaseS3ToCloudIndexOperator):
    """Deletes superseded documents, and those of keys that S3 has no more. Returns its counts."""

    def execute(self, context: Context) -> dict[str, int]:
        if self.is_dry_run:
            raise AirflowSkipException("A dry run deletes nothing.")
        with self._session(context) as ctx, record_requests(ctx):
            done = remove(ctx)
        self.log.info("Deleted the documents of %d keys; %d held, %d kept.", done.deleted, done.held, done.kept)
        return {"deleted": done.deleted, "superseded": done.superseded, "held": done.held, "kept": done.kept}


class CloudIndexSyncReportOperator(BaseS3ToCloudIndexOperator):
    """Accounts for the run and fails it when a step or too many documents failed. Returns the report."""

    def __init__(self, *, retries: int | None = 2, **kwargs: Any) -> None:
        super().__init__(retries=retries, **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        failed = self._failed_upstream(context)
        if self.is_dry_run:
            if failed:
                raise _failed_steps(failed, None)
            raise AirflowSkipException("A dry run's report is that of its detection.")
        if any(name.endswith("detect_changes") for name in failed):
            raise _failed_steps(failed, None)
        with self._session(context) as ctx:
            report = make_report(ctx)
        self.log.info("Report: %s", report.summary())
        for row in report.failures:
            self.log.error("%s %s: %s", row["outcome"], row["key"], row["reason"])
        if report.quarantined:
            self.log.warning("%d keys are quarantined, the first: %s", len(report.quarantined), report.quarantined[0])
        if failed:
            raise _failed_steps(failed, report.as_dict())
        judge(report, max_failed_documents=ctx.settings.limits.max_failed_documents)
        return report.as_dict()

    def _failed_upstream(self, context: Context) -> list[str]:
        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=sorted(self.upstream_names()))
        found = states.get(ti.run_id, {})
        return sorted(name for name, state in found.items() if state in ("failed", "upstream_failed"))

    def upstream_names(self) -> set[str]:
        """Every step before this one."""
        return self.get_flat_relative_ids(upstream=True)


def _failed_steps(failed: list[str], report: dict[str, Any] | None) -> SyncFailedError:
    return SyncFailedError(
        f"The sync isn't complete, because these tasks failed: {', '.join(failed)}.",
        report=report,
        hint="Their logs say why. What was done is kept, and the next run goes on from there.",
    )
