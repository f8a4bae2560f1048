"""Waiting until CloudIndex has processed what was uploaded. Only its word ``processed`` makes a key indexed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.errors import NotFoundError
from cloudindex_provider.state import budgets, outcomes, runs
from cloudindex_provider.state.budgets import ListCost
from cloudindex_provider.state.claims import live_documents
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Run, WorkRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.doubt import look_once_more
from cloudindex_provider.sync.polling import Poller

__all__ = ["Progress", "list_is_cheaper", "poll", "wait"]

_REQUEST = 0.05  # seconds that a request costs while no rate limit is known
_READ_RATE = 60_000  # documents of a list that are parsed in a second
_BLOCK = 1000


@dataclass(slots=True)
class Progress:
    """One look at what is processing. ``waited`` is seconds since the run's first look."""

    waiting: int = 0
    indexed: int = 0
    failed: int = 0
    waited: float = 0.0


def poll(ctx: SyncContext) -> Progress:
    """Ask once about everything that is processing, and write what is decided.

    :raises CloudIndexError: when the service doesn't answer; nothing is changed by that
    """
    run = ctx.run()
    progress = Progress(waited=runs.mark_wait_started(ctx.db, run))
    rows = _all_processing(ctx, run)
    if rows:
        for row, document in _look_up(ctx, rows):
            _decide(ctx, run, row, document, progress)
    if not progress.waiting or progress.waited >= ctx.settings.limits.processing_timeout:
        look_once_more(ctx, run)  # also beside documents that never end
    return progress


def wait(ctx: SyncContext) -> Progress:
    """Poll until nothing is processing or ``processing_timeout`` is over; what still processes then is deferred."""
    poller = Poller(ctx.poll_interval, timeout=ctx.settings.limits.processing_timeout)
    progress = poll(ctx)
    while pause := poller.after(waiting=progress.waiting, waited=progress.waited):
        ctx.sleep(pause.seconds)
        progress = poll(ctx)
    return progress


def _all_processing(ctx: SyncContext, run: Run) -> list[WorkRow]:
    found: list[WorkRow] = []
    while block := outcomes.processing_rows(ctx.db, ctx.source, after=found[-1].key if found else None, limit=_BLOCK):
        found += block
    return found


def _look_up(ctx: SyncContext, rows: list[WorkRow]) -> Iterator[tuple[WorkRow, Document | None]]:
    """(row, its document); ``None`` is a document that is proven to be gone. What isn't known isn't given."""
    if not _by_list(ctx, len(rows)):
        for row in rows:
            yield row, _single(ctx, row)
        return
    by_id = {row.upload_document_id: row for row in rows}
    asked, seen = ctx.client.request_count, 0
    with ctx.client.iter_documents() as documents:
        for document in documents:
            seen += 1
            if document.id in by_id:
                yield by_id.pop(document.id), document
        complete = documents.complete
    cost = ListCost(max(1, ctx.client.request_count - asked), seen)
    budgets.record_list(ctx.db, ctx.settings.project_id, cost)
    for row in by_id.values():
        # Absent from a list that isn't complete, or was begun before the upload, is unknown.
        yield row, _single(ctx, row) if complete else _unknown(row)


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


def _single(ctx: SyncContext, row: WorkRow) -> Document | None:
    try:
        return ctx.client.get_document(str(row.upload_document_id)).document
    except NotFoundError:
        ctx.client.check()  # a 404 about the project says nothing of the document
        return None


def _unknown(row: WorkRow) -> Document:
    return Document(id=str(row.upload_document_id), file_name=row.file_name or "", status="unknown")


def _decide(ctx: SyncContext, run: Run, row: WorkRow, document: Document | None, progress: Progress) -> None:
    phase = Phase.GONE if document is None else document.phase
    if phase is Phase.WAITING or (document and _older_version(row, document)):
        progress.waiting += 1
        return
    digest = document.content_hash if document else None
    if phase is Phase.DONE and not _other_bytes(row, digest):
        progress.indexed += 1
        outcomes.record_processed(ctx.db, run, row, sha256=digest, version=document.version if document else None)
        return
    progress.failed += 1
    reason = {
        Phase.DONE: "CloudIndex indexed other bytes than were sent. It is uploaded again.",
        Phase.GONE: "The document vanished from CloudIndex while it was processed. It is uploaded again.",
        Phase.FAILED: f"CloudIndex couldn't process it: {(document and document.error_message) or 'no reason given'}."
        " Change the object or leave it out with exclude.",
    }[phase]
    limits = ctx.settings.limits
    outcome = outcomes.record_failed(ctx.db, run, None, row, Failure(reason), max_attempts=limits.max_attempts)
    ctx.log.error("s3://%s/%s %s: %s", ctx.settings.bucket, row.key, outcome, reason)


def _other_bytes(row: WorkRow, digest: str | None) -> bool:
    return bool(digest and row.upload_sha256 and digest != row.upload_sha256)


def _older_version(row: WorkRow, document: Document) -> bool:
    """The service still shows the version before the upload, whose processing says nothing about the new one."""
    if document.id != row.document_id:
        return False
    if document.version is not None and row.document_version is not None:
        return document.version < row.document_version
    known = document.content_hash is not None and document.content_hash == row.indexed_sha256
    return known and _other_bytes(row, document.content_hash)
