"""A whole sync in one process: detect, upload, wait, remove, report; and the upload loops side by side."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from cloudindex_provider.state import runs
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import Detection, detect
from cloudindex_provider.sync.detect.guard import upload_task_count
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.report.progress import tell_backlog
from cloudindex_provider.sync.report.report import SyncReport, dry_report, make_report
from cloudindex_provider.sync.upload.loop import UploadSummary, upload
from cloudindex_provider.sync.wait import wait

__all__ = ["record_requests", "synchronize", "upload_side_by_side"]


def synchronize(ctx: SyncContext) -> SyncReport:
    """Detect, upload, wait, remove and report.

    :raises SyncError: or CloudIndexError, of the step that failed; the state holds what was done until then
    """
    found = detect(ctx)
    if ctx.settings.dry_run:
        return dry_report(found, ctx.s3.take_calls())
    ctx.log.info("Found %s.", ", ".join(f"{name} {number}" for name, number in found.counts.items() if number))
    tell_backlog(ctx, found)
    with record_requests(ctx):
        _work(ctx, found)
    return make_report(ctx)


@contextmanager
def record_requests(ctx: SyncContext) -> Iterator[None]:
    """Count the block's requests to CloudIndex in the run's counters, also when it fails."""
    before = ctx.client.request_count
    try:
        yield
    finally:
        run = runs.find_run(ctx.db, ctx.source, ctx.name)
        if run is not None and ctx.client.request_count > before:
            with ctx.db.write() as connection:
                runs.add_counts(connection, run.id, {"requests": ctx.client.request_count - before})


def _work(ctx: SyncContext, found: Detection) -> None:
    upload_side_by_side(ctx, upload_task_count(found.requests, ctx.settings.limits.upload_tasks))
    if ctx.settings.wait_for_processing:
        wait(ctx)
    remove(ctx)


def upload_side_by_side(ctx: SyncContext, loops: int) -> list[UploadSummary]:
    """Run upload loops in threads, each an owner of its own; the first error of any is raised when all have ended."""
    if loops <= 1:
        return [upload(ctx)] if loops else []
    owners = [replace(ctx.owner, worker=number) for number in range(loops)]
    pool = ThreadPoolExecutor(max_workers=loops)
    try:
        results = list(pool.map(lambda owner: _outcome(replace(ctx, owner=owner)), owners))
    except BaseException:
        # The task is being stopped: the loops end after the request they are at, which nobody waits for.
        ctx.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    errors = [one for one in results if isinstance(one, Exception)]
    # What can't be mended by another try says more than what can.
    for error in sorted(errors, key=lambda one: getattr(one, "retryable", False)):
        raise error
    return [one for one in results if isinstance(one, UploadSummary)]


def _outcome(ctx: SyncContext) -> UploadSummary | Exception:
    try:
        return upload(ctx)
    except Exception as error:  # noqa: BLE001 - raised by the caller, when the other loops have ended
        return error
