"""A whole sync in one process: detect, upload, wait, remove, report; and what belongs to finding the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cloudindex_provider.state import runs
from cloudindex_provider.state.counts import is_detected
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import Detection, count_backlog, detect, detected_before
from cloudindex_provider.sync.detect.kept_plan import keep_plan
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.repair.drift import heal_drift
from cloudindex_provider.sync.repair.first_look import Looked, look_first, preview_first_look
from cloudindex_provider.sync.report.progress import log_backlog
from cloudindex_provider.sync.report.report import SyncReport, dry_report, make_report
from cloudindex_provider.sync.upload.loop import upload_side_by_side
from cloudindex_provider.sync.upload.task_count import upload_tasks_for
from cloudindex_provider.sync.wait import wait

__all__ = [
    "find_work",
    "record_requests",
    "synchronize",
]


def synchronize(ctx: SyncContext) -> SyncReport:
    """Detect, upload, wait, remove and report.

    :raises SyncError: or CloudIndexError, of the step that failed; the state holds what was done until then
    """
    with record_requests(ctx):
        found = find_work(ctx)
    if ctx.settings.dry_run:
        return dry_report(ctx.settings, found, ctx.s3.take_calls())
    counts = ", ".join(f"{name} {number:,}" for name, number in found.counts.items() if number and ":" not in name)
    ctx.log.info("Found %s.", counts or "nothing")
    log_backlog(ctx, found)
    with record_requests(ctx):
        _work(ctx, found)
    return make_report(ctx)


def find_work(ctx: SyncContext) -> Detection:
    """Detect, adopt what a project has before anything is uploaded to it, and heal what has drifted.

    :raises ProviderError: when S3's listing, or the project's before a first upload, doesn't reach its end
    """
    if ctx.settings.dry_run:
        found = preview_first_look(ctx)
        keep_plan(ctx, found)
        return found
    found = (detected_before(ctx) if ctx.resumed else None) or detect(ctx)
    run = ctx.run()
    looked = look_first(ctx, run, found.backlog)
    if heal_drift(ctx, run) or looked is not Looked.BEFORE:
        found.counts |= {name: number for name, number in runs.counts(ctx.db, run).items() if is_detected(name)}
        count_backlog(ctx, run, found)
    if looked is Looked.IN_PART:
        found.requests = 0  # what nobody has looked for yet may be there already
    return found


@contextmanager
def record_requests(ctx: SyncContext) -> Iterator[None]:
    """Count the block's requests to CloudIndex in the run's counters, also when it fails; a dry run writes nothing."""
    before = ctx.client.request_count
    try:
        yield
    finally:
        run = None if ctx.settings.dry_run else runs.find_run(ctx.db, ctx.source, ctx.name)
        if run is not None and ctx.client.request_count > before:
            with ctx.db.write() as connection:
                runs.add_counts(connection, run.id, {"requests": ctx.client.request_count - before})


def _work(ctx: SyncContext, found: Detection) -> None:
    upload_side_by_side(ctx, upload_tasks_for(ctx, found.requests))
    wait(ctx)
    remove(ctx)
