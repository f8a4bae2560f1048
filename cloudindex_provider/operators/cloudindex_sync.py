"""The five steps of a sync as operators, for ``s3_to_cloudindex`` (``cloudindex_provider.transfers``).

Each only translates: settings in, counts out, errors up. XCom carries numbers; what a step hands to the next is in the
state. Only the report names keys, the first few of each outcome.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException

from cloudindex_provider.errors import SyncFailedError
from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator
from cloudindex_provider.operators.changes import tell_changes
from cloudindex_provider.operators.cloudindex_approval import ask_for_approval
from cloudindex_provider.operators.lineage import Lineage, TellsLineage
from cloudindex_provider.operators.reporting import conclude, problem_of, problems_of, publish, store
from cloudindex_provider.operators.steps import Steps, steps_before
from cloudindex_provider.state.counts import REPORTED
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.polling import POLL_INTERVAL, QUICK_LOOKS, Poller
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.report.messages import log_detection, log_problems
from cloudindex_provider.sync.report.progress import log_backlog
from cloudindex_provider.sync.report.report import SyncReport, dry_report, failure, make_report
from cloudindex_provider.sync.run import find_work, record_requests
from cloudindex_provider.sync.upload.loop import upload, upload_side_by_side
from cloudindex_provider.sync.upload.task_count import upload_tasks_for
from cloudindex_provider.sync.wait import WaitLog, poll
from cloudindex_provider.triggers.missing import NamesTriggerer
from cloudindex_provider.words import count

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context, XComArg

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

    _begins_run = True

    def execute(self, context: Context) -> list[int]:
        with self._session(context) as ctx, record_requests(ctx):
            found = find_work(ctx)
            s3_requests = ctx.s3.take_calls()
            if not ctx.settings.dry_run:
                log_detection(self.log, ctx.settings, found)
                log_backlog(ctx, found)
            tasks = 0 if ctx.settings.dry_run else upload_tasks_for(ctx, found.requests)
        if ctx.settings.dry_run:
            report = dry_report(ctx.settings, found, s3_requests)
            report.page_url = self.page_url
            context["ti"].xcom_push(COUNTS, publish(self, context, ctx.settings, report))
            return []
        context["ti"].xcom_push(COUNTS, {**found.counts, "backlog": found.backlog})
        return list(range(tasks))


class CloudIndexUploadChangesOperator(BaseS3ToCloudIndexOperator):
    """Uploads from the backlog until it is empty; mapped, every instance takes what is free. Returns its counts.

    Airflow's list of mapped instances says what each has done: "worker 3: 1,200 documents".

    :param worker: the number of the instance
    :param workers: what the detection returned: the task uploads as many times side by side, in threads. For where it
        can't be mapped, which is in a mapped task group
    """

    template_fields = (*BaseS3ToCloudIndexOperator.template_fields, "workers")

    def __init__(
        self,
        *,
        worker: int = 0,
        workers: Sequence[int] | XComArg | None = None,
        map_index_template: str | None = "{{ cloudindex_upload | default(task.label) }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(map_index_template=map_index_template, **kwargs)
        self.worker = worker
        self.workers = workers

    @property
    def label(self) -> str:
        """What the instance is called while it works; where it isn't mapped by itself, nothing of its own."""
        return f"worker {self.worker + 1}" if self.workers is None else ""

    def execute(self, context: Context) -> dict[str, int]:
        loops = 1 if self.workers is None else len(cast(Sequence[int], self.workers))
        if not loops:
            raise AirflowSkipException("There is nothing to upload.")
        with self._session(context) as ctx, record_requests(ctx):
            done = [upload(ctx)] if loops == 1 else upload_side_by_side(ctx, loops)
        documents, requests = sum(one.documents for one in done), sum(one.requests for one in done)
        failed = sum(one.failed for one in done)
        if self.label:
            context["cloudindex_upload"] = f"{self.label}: {count(documents, 'document')}"  # type: ignore[typeddict-unknown-key]  # for map_index_template, as Airflow's documentation has it
        if requests or failed:
            what = (count(documents, "document"), count(requests, "request"), f"{failed:,}")
            self.log.info("Uploaded %s in %s; %s failed.", *what)
        else:
            self.log.info("Nothing was left to upload: the other upload tasks have taken it.")
        return {"documents": documents, "requests": requests, "failed": failed}


class _SkippedWithDetection(BaseS3ToCloudIndexOperator):
    """A step that Airflow may run after a detection that was skipped: it looks for itself, and is skipped too.

    Airflow's rules can't see to it. They count another task's output among the settings as one more task before this
    one, and a report runs after everything.
    """

    _not_rendered: Exception | None = None

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """As Airflow does; an error is raised later, because templates of a skipped sync may have nothing to read."""
        try:
            super().render_template_fields(context, jinja_env)
        except Exception as error:  # noqa: BLE001 - raised by _steps
            self._not_rendered = error

    def _steps(self, context: Context) -> Steps:
        """The steps before this one.

        :raises AirflowSkipException: when the whole sync was skipped
        """
        steps = steps_before(self, context)
        if steps.skipped:
            raise AirflowSkipException("The sync was skipped with what comes before it.")
        if self._not_rendered is not None:
            raise self._not_rendered
        return steps


class CloudIndexWaitForSyncOperator(_SkippedWithDetection, NamesTriggerer):
    """Waits until CloudIndex has processed what was uploaded, or ``processing_timeout`` is over.

    Looks a few times by itself, because most documents take seconds; then gives its slot back between looks. No key,
    id or state goes to the triggerer: the trigger is Airflow's own clock.

    :param poll_interval: seconds between two looks, growing to 120
    :param deferrable: wait in the triggerer between looks, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``
    """

    def __init__(self, *, poll_interval: float = POLL_INTERVAL, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.poll_interval = poll_interval
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, int]:
        self._steps(context)
        if self.is_dry_run:
            raise AirflowSkipException("A dry run uploads nothing, so there is nothing to wait for.")
        return self._wait(context, quick_looks=QUICK_LOOKS, indexed=0, failed=0)

    def execute_complete(
        self, context: Context, event: Any = None, *, indexed: int = 0, failed: int = 0
    ) -> dict[str, int]:
        """Look again after a trigger; everything that counts is in the state."""
        if self._not_rendered is not None:
            raise self._not_rendered
        return self._wait(context, quick_looks=0, indexed=indexed, failed=failed)

    def _wait(self, context: Context, *, quick_looks: int, indexed: int, failed: int) -> dict[str, int]:
        log = WaitLog(self.log, indexed=indexed, failed=failed)
        with self._session(context) as ctx, record_requests(ctx):
            poller = self._poller(ctx, quick_looks)
            for look in itertools.count(1):
                seen = poll(ctx)
                log.add(seen)
                pause = poller.after(waiting=seen.waiting, waited=seen.waited, look=look)
                if pause is None:
                    break
                log.note(seen, pause)
                if pause.defer:
                    self.defer(
                        trigger=TimeDeltaTrigger(timedelta(seconds=pause.seconds)),
                        method_name="execute_complete",
                        kwargs={"indexed": log.indexed, "failed": log.failed},
                        timeout=timedelta(seconds=poller.trigger_timeout(pause, waited=seen.waited)),
                    )
                ctx.sleep(pause.seconds)
            log.log_end(ctx.settings, seen)
        return {"indexed": log.indexed, "failed": log.failed, "processing": seen.waiting + seen.late}

    def _poller(self, ctx: SyncContext, quick_looks: int) -> Poller:
        timeout = ctx.settings.limits.processing_timeout if ctx.settings.wait_for_processing else 0.0
        deferrable = self.deferrable
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        return Poller(self.poll_interval, timeout=timeout, deferrable=deferrable, quick_looks=quick_looks)


class CloudIndexDeleteRemovedOperator(BaseS3ToCloudIndexOperator):
    """Deletes superseded documents, and those of keys that S3 has no more. Returns its counts."""

    def execute(self, context: Context) -> dict[str, int]:
        if self.is_dry_run:
            raise AirflowSkipException("A dry run deletes nothing.")
        with self._session(context) as ctx:
            with record_requests(ctx):
                done = remove(ctx)
            what = (count(done.deleted, "key"), f"{done.held:,}", f"{done.kept:,}")
            self.log.info("Deleted the documents of %s; %s held, %s kept.", *what)
            counts = {"deleted": done.deleted, "superseded": done.superseded, "held": done.held, "kept": done.kept}
            where = {"state_conn_id": self.state_conn_id, "state_url": self.state_url}
            ask_for_approval(ctx, context, result=counts, **where)
        return counts


class CloudIndexSyncReportOperator(_SkippedWithDetection, TellsLineage):
    """Accounts for the run and fails it when a step or too many documents failed. Returns the report.

    It runs whatever became of the steps before it, and judges those of its own task group. It is skipped when they all
    were.
    """

    _tells_changes = True

    def __init__(self, *, retries: int | None = 2, **kwargs: Any) -> None:
        super().__init__(retries=retries, **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        steps = self._steps(context)
        if self.is_dry_run and steps.detected and not steps.failed:
            raise AirflowSkipException("A dry run's report is in the log of its detect_changes task.")
        if self.is_dry_run or not steps.detected:
            raise self._undetected(context, steps)
        with self._session(context) as ctx:
            report = make_report(ctx)
            self.lineage = Lineage.of(ctx, report.counts)
            limit = ctx.settings.limits.max_failed_documents
            error = _incomplete(steps) if steps.failed else failure(report, max_failed_documents=limit)
            error = error or self._unread_events(context)
            if error is None:
                tell_changes(ctx, context, self._scope, report.counts)
        report.page_url = self.page_url
        more = problems_of(context, steps.failed) if steps.failed else ()
        return conclude(self, context, ctx.settings, report, error, more=more)

    def _undetected(self, context: Context, steps: Steps) -> SyncFailedError:
        """The error of a run without a detection, whose report says why. Nothing is connected for it: what keeps the
        detection from its connections may well be the reason."""
        report = SyncReport(counts=dict.fromkeys(REPORTED, 0), dry_run=self.is_dry_run)
        report.bucket, report.prefix, report.project_id = (
            value if isinstance(value, str) else "" for value in (self.bucket, self.prefix, self.project_id)
        )
        error = _incomplete(steps)
        report.problems = [problem_of(error), *problems_of(context, steps.failed)]
        error.report = store(self, context, report)
        log_problems(self.log, report)
        return error


def _incomplete(steps: Steps) -> SyncFailedError:
    if steps.blocked and not steps.failed:
        return SyncFailedError(
            "The sync didn't run, because a task before it failed.",
            hint="The log of that task says why. Nothing was done, and the next run makes up for it.",
        )
    return SyncFailedError(
        f"The sync isn't complete, because of {', '.join(steps.failed) or 'a detection that did not run'}.",
        hint="The log there says why. What was done is kept, and the next run goes on from there.",
    )
