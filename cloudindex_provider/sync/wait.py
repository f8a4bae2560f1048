"""Waiting until CloudIndex has processed what was uploaded. Only its word ``processed`` makes a key indexed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.errors import NotFoundError
from cloudindex_provider.state import budgets, outcomes, runs
from cloudindex_provider.state.budgets import ListCost
from cloudindex_provider.state.claims import live_documents
from cloudindex_provider.state.outcomes import Failure, Live
from cloudindex_provider.state.records import Run, WorkRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.doubt import look_once_more
from cloudindex_provider.sync.log_pace import LogPace
from cloudindex_provider.sync.pausing import rest
from cloudindex_provider.sync.polling import Pause, Poller
from cloudindex_provider.sync.processing import ALIKE, Look, Patience, Verdict, cause, is_outage, look_at
from cloudindex_provider.sync.settings import SyncSettings
from cloudindex_provider.words import count, duration

__all__ = ["Progress", "WaitLog", "list_is_cheaper", "poll", "wait"]

_REQUEST = 0.05  # seconds that a request costs while no rate limit is known
_READ_RATE = 60_000  # documents of a list that are parsed in a second
_BLOCK = 1000


@dataclass(slots=True)
class Progress:
    """One look at what is processing. ``waited`` is seconds since the run's first look."""

    waiting: int = 0
    indexed: int = 0
    failed: int = 0
    late: int = 0  # still processing as before the run began, so not waited for
    waited: float = 0.0
    oldest: float = 0.0  # seconds since the upload of the one that has waited longest


def poll(ctx: SyncContext, *, stuck_after: float | None = None) -> Progress:
    """Ask once about everything that is processing, and write what is decided.

    :param stuck_after: seconds; default: the setting's
    :raises CloudIndexError: when the service doesn't answer; nothing is changed by that
    """
    run = ctx.run()
    limits = ctx.settings.limits
    progress = Progress(waited=runs.mark_wait_started(ctx.db, run))
    rows = _all_processing(ctx, run)
    if rows:
        bound = limits.stuck_after if stuck_after is None else stuck_after
        patience = Patience(ctx.db.clock(), run.started_at, limits.processing_timeout, bound)
        _Polling(ctx, run, patience, progress).look_at(rows)
    if not progress.waiting or _is_last(ctx, progress):
        look_once_more(ctx, run)  # also beside documents that never end
    return progress


def wait(ctx: SyncContext) -> Progress:
    """Poll until nothing is processing or ``processing_timeout`` is over; what still processes then is deferred.

    A single look where ``wait_for_processing`` is off: what earlier runs have sent is followed all the same.
    """
    poller, log = Poller(ctx.poll_interval, timeout=_timeout(ctx)), WaitLog(ctx.log)
    if ctx.resumed:  # what was processed before the pause isn't seen again
        before = outcomes.read_fates(ctx.db, ctx.run())
        log.indexed, log.failed = before.indexed, sum(before.failed.values())
    progress = poll(ctx)
    log.add(progress)
    while pause := poller.after(waiting=progress.waiting, waited=progress.waited):
        log.note(progress, pause)
        rest(ctx, pause.seconds)
        progress = poll(ctx)
        log.add(progress)
    log.log_end(ctx.settings, progress)
    return progress


def _timeout(ctx: SyncContext) -> float:
    return ctx.settings.limits.processing_timeout if ctx.settings.wait_for_processing else 0.0


def _is_last(ctx: SyncContext, progress: Progress) -> bool:
    return progress.waited >= _timeout(ctx)


def _all_processing(ctx: SyncContext, run: Run) -> list[WorkRow]:
    """Everything of the source; in a run of named keys those alone, which waits for nothing of others."""
    found: list[WorkRow] = []
    while block := outcomes.processing_rows(ctx.db, ctx.source, after=found[-1].key if found else None, limit=_BLOCK):
        found += block
    if ctx.settings.keys is None:
        return found
    wanted = frozenset(ctx.settings.keys)
    return [row for row in found if row.key in wanted]


@dataclass(slots=True)
class WaitLog:
    """What a task's log says of its wait: how far CloudIndex is with what was sent to it.

    :param log: the task's
    :param clock: seconds, from any beginning
    """

    log: Any
    clock: Callable[[], float] = time.monotonic
    indexed: int = 0
    failed: int = 0
    _pace: LogPace = field(init=False)
    _begun: bool = False

    def __post_init__(self) -> None:
        self._pace = LogPace(self.clock)

    def add(self, seen: Progress) -> None:
        """Count a look."""
        self.indexed += seen.indexed
        self.failed += seen.failed

    def note(self, seen: Progress, pause: Pause) -> None:
        """Say how far it is: after the first look, before the slot is given back, and once a minute between them."""
        first, self._begun = not self._begun, True
        if self._pace.due() is None and not first and not pause.defer:
            return
        total = self.indexed + self.failed + seen.waiting
        self.log.info(
            "CloudIndex has processed %s of %s, %s failed; the oldest of the others has waited for %s. Looking again in"
            " %s%s.",
            f"{self.indexed:,}", count(total, "document"), f"{self.failed:,}", duration(seen.oldest),
            duration(pause.seconds), ", without a worker's slot until then" if pause.defer else "",
        )  # fmt: skip

    def log_end(self, settings: SyncSettings, seen: Progress) -> None:
        """Say what has become of all, and of what is still processing."""
        self.log.info("CloudIndex: %s processed, %s failed.", f"{self.indexed:,}", f"{self.failed:,}")
        if seen.late:
            what = count(seen.late, "document has", "documents have")
            self.log.warning("%s been processing since before this run began.", what)
        still = count(seen.waiting, "document still processes", "documents still process")
        if seen.waiting and settings.wait_for_processing:
            limit, goes = settings.limits.processing_timeout, "it" if seen.waiting == 1 else "them"
            what = "%s after %s (processing_timeout); the next run goes on with %s."
            self.log.warning(what, still, duration(limit), goes)
        elif seen.waiting:
            self.log.info("%s; wait_for_processing is off.", still)


@dataclass(slots=True)
class _Polling:
    """One look at everything that is processing."""

    ctx: SyncContext
    run: Run
    patience: Patience
    progress: Progress
    live: dict[str, Document] | None = None  # live documents of the rows, where one list has shown all of them
    failed: list[tuple[WorkRow, Verdict]] = field(default_factory=list)

    def look_at(self, rows: list[WorkRow]) -> None:
        for row, document in self._look_up(rows):
            verdict = look_at(row, document, self.patience)
            if verdict.look is Look.INDEXED and document is not None:
                self.progress.indexed += 1
                outcomes.record_processed(
                    self.ctx.db, self.run, row, sha256=document.content_hash, version=document.version
                )
            elif verdict.look is Look.FAILED:
                self.failed.append((row, verdict))
            else:
                self.progress.late += verdict.look is Look.LATE
                self.progress.waiting += verdict.look is Look.WAITING
                if verdict.look is Look.WAITING and row.intent_at is not None:
                    self.progress.oldest = max(self.progress.oldest, self.patience.now - row.intent_at)
        if self.failed:
            self._judge_failures()

    def _look_up(self, rows: list[WorkRow]) -> Iterator[tuple[WorkRow, Document | None]]:
        """(row, its document); ``None`` is a document that is proven to be gone. What isn't known isn't given."""
        ctx = self.ctx
        if not _by_list(ctx, len(rows)):
            for row in rows:
                yield row, _single(ctx, str(row.upload_document_id))
            return
        by_id: dict[str, list[WorkRow]] = {}
        for row in rows:
            by_id.setdefault(str(row.upload_document_id), []).append(row)
        live, wanted = dict[str, Document](), {row.document_id for row in rows}
        asked, seen = ctx.client.request_count, 0
        with ctx.client.iter_documents() as documents:
            for document in documents:
                seen += 1
                if document.id in wanted:
                    live[document.id] = document
                for row in by_id.pop(document.id, ()):
                    yield row, document
            complete = documents.complete
        cost = ListCost(max(1, ctx.client.request_count - asked), seen)
        budgets.record_list(ctx.db, ctx.settings.project_id, cost)
        self.live = live if complete else None
        for document_id, some in by_id.items():
            for row in some:
                # Absent from a list that isn't complete, or was begun before the upload, is unknown.
                yield row, _single(ctx, document_id) if complete else _unknown(row)

    def _judge_failures(self) -> None:
        """Write what failed, when it can be told whether it is the file's fault or the service's.

        It can't while what else was sent is still processing: then the failures wait, and are seen again.
        """
        fates = outcomes.read_fates(self.ctx.db, self.run)
        alike = Counter(cause(verdict.reason) for _, verdict in self.failed)
        for reason, number in fates.failed.items():
            alike[cause(reason)] += number
        undecided = self.progress.waiting > 0 and not _is_last(self.ctx, self.progress)
        for row, verdict in self.failed:
            number = alike[cause(verdict.reason)]
            if undecided and number > fates.indexed:
                self.progress.waiting += 1
            else:
                self._fail(row, verdict, outage=is_outage(number, fates.indexed))

    def _fail(self, row: WorkRow, verdict: Verdict, *, outage: bool) -> None:
        ctx = self.ctx
        reason = verdict.reason + (ALIKE if outage else "")
        failure = Failure(reason, strike=verdict.strike and not outage, live=self._live(row), ours=verdict.ours)
        limit = ctx.settings.limits.max_attempts
        self.progress.failed += 1
        outcome = outcomes.record_failed(ctx.db, self.run, None, row, failure, max_attempts=limit)
        ctx.log_failure(row.key, outcome, reason)

    def _live(self, row: WorkRow) -> Live:
        """What the failed upload has left of the key's live document."""
        if row.document_id is None:
            return Live.KNOWN
        if row.document_id == row.upload_document_id:
            return Live.UNKNOWN
        document = (self.live or {}).get(row.document_id) or _single(self.ctx, row.document_id)
        if document is None or document.phase is Phase.GONE:
            return Live.GONE
        digest = document.content_hash
        return Live.UNKNOWN if digest and row.indexed_sha256 and digest != row.indexed_sha256 else Live.KNOWN


def list_is_cheaper(waiting: int, listing: ListCost, *, spacing: float) -> bool:
    """Whether one list of everything takes less time than a get of each document that is waited for.

    :param listing: what a list takes
    :param spacing: seconds between requests under the rate limit; 0 where none is known
    """
    request = max(spacing, _REQUEST)
    return listing.requests * request + listing.documents / _READ_RATE < waiting * request


def _by_list(ctx: SyncContext, waiting: int) -> bool:
    if waiting == 1:  # no list takes less than one request
        return False
    # A list that nobody has seen yet is taken to be one answer with what the state knows.
    listing = budgets.last_list(ctx.db, ctx.settings.project_id) or ListCost(1, live_documents(ctx.db, ctx.source))
    return list_is_cheaper(waiting, listing, spacing=ctx.client.spacing)


def _single(ctx: SyncContext, document_id: str) -> Document | None:
    try:
        return ctx.client.get_document(document_id).document
    except NotFoundError:
        ctx.client.check()  # a 404 about the project says nothing of the document
        return None


def _unknown(row: WorkRow) -> Document:
    return Document(id=str(row.upload_document_id), file_name=row.file_name or "", status="unknown")
