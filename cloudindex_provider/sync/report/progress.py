"""What the log says of a backlog: how long it takes, and once a minute how far the uploads are.

The pace is the service's quota where it is known, else what the run has really reached, else nothing is said of time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cloudindex_provider import words
from cloudindex_provider.state import claims, runs
from cloudindex_provider.state.records import Run
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import Detection
from cloudindex_provider.sync.log_pace import LogPace, per_second
from cloudindex_provider.sync.report.estimate import Estimate, pace
from cloudindex_provider.sync.report.numbers import tell_backlog
from cloudindex_provider.words import count

__all__ = ["UploadProgress", "accepted_requests", "estimate_left", "log_backlog"]

_SENT = ("uploaded", "adopted")
_SETTLED = (*_SENT, "same_bytes")


def log_backlog(ctx: SyncContext, found: Detection) -> None:
    """Say what a detection has found to upload, and how long that takes."""
    tell_backlog(ctx, found.backlog)
    if found.backlog:
        left = _estimate(ctx, found.backlog, found.backlog_bytes, measured=None)
        ctx.log.info("Backlog: %s.", left.backlog())
        _log_deferral(ctx, left, ctx.settings.limits.max_documents_per_run)


def estimate_left(ctx: SyncContext, run: Run) -> Estimate:
    """What is still to upload after a run, at the quota, or else at the pace that the run's uploads had."""
    requests = accepted_requests(ctx, run)
    begun = run.started_at if run.detected_at is None else run.detected_at
    ended = run.wait_started_at or run.started_at + runs.run_age(ctx.db, run)
    of = run if ctx.settings.keys is not None else None  # what waits beside named keys is another run's
    return _estimate(ctx, *claims.backlog(ctx.db, ctx.source, of), measured=pace(requests, ended - begun))


def accepted_requests(ctx: SyncContext, run: Run) -> int:
    """How many upload requests of this detection the service has taken, of all tasks, as far as they have noted it."""
    return runs.counts(ctx.db, run).get(_counter(run), 0)


@dataclass(slots=True)
class UploadProgress:
    """How far the run is, as one of its upload loops sees it.

    :param clock: seconds, from any beginning
    """

    clock: Callable[[], float] = time.monotonic
    _pace: LogPace = field(init=False)
    _counted: int = 0  # the loop's requests that the run's counter has
    _told: tuple[int, int] = (0, 0)  # the run's documents and bytes, by the last message
    _begun: tuple[float, int] | None = None  # by the clock, and the run's requests then
    _adopted: int = 0  # that needed no upload of this detection
    _backlog: tuple[int, int] | None = None  # documents and bytes, with those that the run had settled by then

    def __post_init__(self) -> None:
        self._pace = LogPace(self.clock)

    def note(self, ctx: SyncContext, run: Run, requests: int) -> None:
        """Count the loop's requests in the run, and say once a minute how far the run is.

        :param requests: those of this loop that the service has accepted so far
        """
        if requests > self._counted:
            with ctx.db.write() as connection:
                runs.add_counts(connection, run.id, {_counter(run): requests - self._counted})
            self._counted = requests
        passed = self._pace.due()
        if self._begun is None:
            counted = runs.counts(ctx.db, run)
            self._begun, self._adopted = (self._pace.now, counted.get(_counter(run), 0)), counted.get("adopted", 0)
            self._told = counted.get("uploaded", 0), counted.get("bytes", 0)
        elif passed is not None:
            self._log_progress(ctx, run, passed, *self._begun)

    def _log_progress(self, ctx: SyncContext, run: Run, passed: float, since: float, before: int) -> None:
        counted = runs.counts(ctx.db, run)
        counted["adopted"] = counted.get("adopted", 0) - self._adopted
        settled, size = sum(counted.get(name, 0) for name in _SETTLED), counted.get("bytes", 0)
        if self._backlog is None:  # once: it reads every row that is left
            documents, total = claims.backlog(ctx.db, ctx.source)
            self._backlog = documents + settled, total + size
        left = _estimate(
            ctx,
            max(0, self._backlog[0] - settled),
            max(0, self._backlog[1] - size),
            measured=pace(counted.get(_counter(run), 0) - before, self._pace.now - since),
        )
        tell_backlog(ctx, left.documents)
        sent, uploaded = sum(counted.get(name, 0) for name in _SENT), counted.get("uploaded", 0)
        ctx.log.info(
            "Uploaded %s of %s (%s of %s): %s documents/s, %s/s%s.",
            f"{sent:,}", count(sent + left.documents, "document"), words.size(size), words.size(size + left.size),
            per_second(uploaded - self._told[0], passed), words.size((size - self._told[1]) / passed),
            "".join(f"; {one}" for one in (left.time(" left"), _quota(ctx)) if one),
        )  # fmt: skip
        self._told = uploaded, size
        most = ctx.settings.limits.max_documents_per_run
        _log_deferral(ctx, left, None if most is None else most - settled)


def _quota(ctx: SyncContext) -> str:
    left = ctx.requests_left() if ctx.requests_left else None
    return "" if left is None else f"{count(left, 'request')} left of the quota until it renews"


def _estimate(ctx: SyncContext, documents: int, size: int, *, measured: float | None) -> Estimate:
    quota = ctx.requests_per_minute() if ctx.requests_per_minute else None
    return Estimate(
        documents,
        size,
        ctx.settings.limits.max_request_size,
        requests_per_minute=measured if quota is None else quota,
        shared=quota is not None,
    )


def _log_deferral(ctx: SyncContext, left: Estimate, max_documents: int | None) -> None:
    if text := left.deferral(ctx.time_left, max_documents):
        ctx.log.info("%s", text)


def _counter(run: Run) -> str:
    # Each detection's own: a repeated one begins the time anew from which the pace is told.
    return f"upload_requests:{run.detected_at or run.started_at:.3f}"
