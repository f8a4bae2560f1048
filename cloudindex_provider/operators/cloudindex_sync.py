"""The five steps of a sync as operators, for ``s3_to_cloudindex`` (``cloudindex_provider.transfers``).

Each only translates: settings in, counts out, errors up. XCom carries numbers, never keys; what a step hands to the
next is in the state.
"""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk.exceptions import AirflowSkipException

from cloudindex_provider.errors import SyncFailedError
from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator
from cloudindex_provider.operators.cloudindex_approval import ask_for_approval
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.polling import POLL_INTERVAL, QUICK_LOOKS, Poller
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.report.messages import log_detection, log_report
from cloudindex_provider.sync.report.progress import log_backlog
from cloudindex_provider.sync.report.report import dry_report, judge, make_report
from cloudindex_provider.sync.run import find_work, record_requests
from cloudindex_provider.sync.upload.loop import upload, upload_task_count
from cloudindex_provider.sync.wait import Progress, poll

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


class CloudIndexDetectChangesOperator(BaseS3ToCloudIndexOperator):
    """Lists S3, compares with the state and queues what differs.

    Returns a number for each upload task that the backlog is worth, because Airflow maps over return values only; the
    counts are in the XCom ``counts``.
    """

    def execute(self, context: Context) -> list[int]:
        with self._session(context) as ctx, record_requests(ctx):
            found = find_work(ctx)
            s3_requests = ctx.s3.take_calls()
            if not ctx.settings.dry_run:
                log_detection(self.log, ctx.settings, found)
                log_backlog(ctx, found)
        if ctx.settings.dry_run:
            report = dry_report(found, s3_requests)
            log_report(self.log, ctx.settings, report)
            context["ti"].xcom_push(COUNTS, report.as_dict())
            return []
        context["ti"].xcom_push(COUNTS, {**found.counts, "backlog": found.backlog})
        return list(range(upload_task_count(found.requests, ctx.settings.limits.upload_tasks)))


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
        if done.requests or done.failed:
            counts = (done.documents, done.requests, done.failed)
            self.log.info("Uploaded %d documents in %d requests; %d failed.", *counts)
        else:
            self.log.info("Nothing was left to upload: the other upload tasks have taken it.")
        return {"documents": done.documents, "requests": done.requests, "failed": done.failed}


class CloudIndexWaitForSyncOperator(BaseS3ToCloudIndexOperator):
    """Waits until CloudIndex has processed what was uploaded, or ``processing_timeout`` is over.

    Looks a few times by itself, because most documents take seconds; then gives its slot back between looks. No key,
    id or state goes to the triggerer: the trigger is Airflow's own clock.

    :param poll_interval: seconds between two looks, growing to 120
    :param deferrable: free the worker slot between looks
    """

    def __init__(self, *, poll_interval: float = POLL_INTERVAL, deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.poll_interval = poll_interval
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, int]:
        if self.is_dry_run:
            raise AirflowSkipException("A dry run uploads nothing, so there is nothing to wait for.")
        return self._wait(context, quick_looks=QUICK_LOOKS, indexed=0, failed=0)

    def execute_complete(
        self, context: Context, event: Any = None, *, indexed: int = 0, failed: int = 0
    ) -> dict[str, int]:
        """Look again after a trigger; everything that counts is in the state."""
        return self._wait(context, quick_looks=0, indexed=indexed, failed=failed)

    def _wait(self, context: Context, *, quick_looks: int, indexed: int, failed: int) -> dict[str, int]:
        with self._session(context) as ctx, record_requests(ctx):
            poller = self._poller(ctx, quick_looks)
            for look in itertools.count(1):
                seen = poll(ctx)
                indexed, failed = indexed + seen.indexed, failed + seen.failed
                pause = poller.after(waiting=seen.waiting, waited=seen.waited, look=look)
                if pause is None:
                    break
                if pause.defer:
                    what = (seen.waiting, pause.seconds)
                    self.log.info("%d documents are still processing; looking again in %.0f s.", *what)
                    self.defer(
                        trigger=TimeDeltaTrigger(timedelta(seconds=pause.seconds)),
                        method_name="execute_complete",
                        kwargs={"indexed": indexed, "failed": failed},
                    )
                ctx.sleep(pause.seconds)
        self._log_end(ctx, seen, indexed, failed)
        return {"indexed": indexed, "failed": failed, "processing": seen.waiting}

    def _poller(self, ctx: SyncContext, quick_looks: int) -> Poller:
        timeout = ctx.settings.limits.processing_timeout if ctx.settings.wait_for_processing else 0.0
        return Poller(self.poll_interval, timeout=timeout, deferrable=self.deferrable, quick_looks=quick_looks)

    def _log_end(self, ctx: SyncContext, seen: Progress, indexed: int, failed: int) -> None:
        self.log.info("CloudIndex has processed %d documents; %d failed.", indexed + failed, failed)
        if seen.waiting and ctx.settings.wait_for_processing:
            limit = ctx.settings.limits.processing_timeout
            self.log.warning(
                "%d documents still process after %.0f s (processing_timeout); the next run goes on with them.",
                seen.waiting,
                limit,
            )
        elif seen.waiting:
            self.log.info("%d documents still process; wait_for_processing is off.", seen.waiting)


class CloudIndexDeleteRemovedOperator(BaseS3ToCloudIndexOperator):
    """Deletes superseded documents, and those of keys that S3 has no more. Returns its counts."""

    def execute(self, context: Context) -> dict[str, int]:
        if self.is_dry_run:
            raise AirflowSkipException("A dry run deletes nothing.")
        with self._session(context) as ctx:
            with record_requests(ctx):
                done = remove(ctx)
            self.log.info("Deleted the documents of %d keys; %d held, %d kept.", done.deleted, done.held, done.kept)
            counts = {"deleted": done.deleted, "superseded": done.superseded, "held": done.held, "kept": done.kept}
            where = {"state_conn_id": self.state_conn_id, "state_url": self.state_url}
            ask_for_approval(ctx, context, result=counts, **where)
        return counts


class CloudIndexSyncReportOperator(BaseS3ToCloudIndexOperator):
    """Accounts for the run and fails it when a step or too many documents failed. Returns the report."""

    def __init__(self, *, retries: int | None = 2, **kwargs: Any) -> None:
        super().__init__(retries=retries, **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        states = self._upstream_states(context)
        failed = [name for name, state in states.items() if state == "failed"]
        failed = failed or [name for name, state in states.items() if state == "upstream_failed"]
        if self.is_dry_run:
            if failed:
                raise _failed_steps(failed, None)
            raise AirflowSkipException("A dry run's report is in the log of its detect_changes task.")
        if not any(state == "success" and _is_detection(name) for name, state in states.items()):
            raise _failed_steps(failed, None)
        with self._session(context) as ctx:
            report = make_report(ctx)
        log_report(self.log, ctx.settings, report)
        if failed:
            raise _failed_steps(failed, report.as_dict())
        judge(report, max_failed_documents=ctx.settings.limits.max_failed_documents)
        return report.as_dict()

    def _upstream_states(self, context: Context) -> dict[str, str | None]:
        """The states of all tasks before this one, by name, mapped ones as ``task[2]``."""
        ti, names = context["ti"], self.get_flat_relative_ids(upstream=True)
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=sorted(names)).get(ti.run_id, {})
        return {
            name if name in names else "{}[{}]".format(*name.rsplit("_", 1)): states[name] for name in sorted(states)
        }


def _is_detection(name: str) -> bool:
    return name.rpartition(".")[2] == "detect_changes"


def _failed_steps(failed: list[str], report: dict[str, Any] | None) -> SyncFailedError:
    return SyncFailedError(
        f"The sync isn't complete, because of {', '.join(failed) or 'a detection that did not run'}.",
        report=report,
        hint="The log there says why. What was done is kept, and the next run goes on from there.",
    )
