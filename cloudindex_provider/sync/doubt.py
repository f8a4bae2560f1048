"""Uploads whose outcome is unknown: look them up, adopt what is there, send the rest again.

A document is a row's own upload when it has the row's file name and the SHA-256 of the bytes that were sent. Where the
service lists no hash, nothing is adopted: a second upload costs less than a wrong document, and the copy is removed
once the key is indexed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.errors import NotFoundError, S3IntegrationError, SourceUnavailableError
from cloudindex_provider.state import doubts, outcomes
from cloudindex_provider.state.doubts import Doubtful
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Run, WorkRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.document_list import find_copies
from cloudindex_provider.sync.naming import file_name

__all__ = ["look_once_more", "resolve_doubts"]

_TOGETHER = 600.0  # seconds; a service that took another file so shortly before was up


def resolve_doubts(ctx: SyncContext, run: Run, rows: Sequence[WorkRow]) -> list[WorkRow]:
    """Decide about claimed rows in doubt, whose grace is over; gives those to be sent again, pending and still claimed.

    Their ``doubtful`` is 1 where the service had given no answer, 0 where only the try was interrupted.
    """
    names = {row.file_name or file_name(ctx.settings.bucket, row.key): row for row in rows}
    copies = find_copies(ctx, names)
    adopted, again = 0, []
    for name, row in names.items():
        candidates = copies.get(name, [])
        mine = _own_upload(ctx, row, candidates)
        if mine is not None:
            adopted += 1
            _adopt(ctx, run, row, mine, candidates)
        elif _not_sent(ctx, run, row, candidates):
            again.append(_pending(row, candidates))
    ctx.log.info("Of %d uploads in doubt, %d had arrived and are adopted.", len(rows), adopted)
    return again


def _adopt(ctx: SyncContext, run: Run, row: WorkRow, mine: Document, candidates: Sequence[Document]) -> None:
    outcomes.record_sent(
        ctx.db,
        run,
        ctx.owner,
        row,
        document_id=mine.id,
        version=mine.version,
        sha256=mine.content_hash,
        adopted=True,
        extra_ids=[one.id for one in candidates if one.id != mine.id],
    )


def _not_sent(ctx: SyncContext, run: Run, row: WorkRow, candidates: Sequence[Document]) -> bool:
    """Write that the upload isn't there; true where it is to be sent again."""
    # What is there under our name, and isn't the live document, is an upload of other bytes.
    kept = doubts.record_not_sent(
        ctx.db,
        run,
        ctx.owner,
        row,
        extra_ids=[one.id for one in candidates],
        live_is_known=_live_is_known(row, candidates),
    )
    if not kept or not row.attempts:
        return kept
    # Sent alone, and no answer again. That is the file's fault only where the service took others at the time.
    limit = ctx.settings.limits.max_attempts
    poisoned = row.attempts >= limit and doubts.took_others(ctx.db, run, row, within=_TOGETHER)
    reason = "CloudIndex gives no answer to an upload of this file alone. Look at the file if others are taken."
    failure = Failure(reason, permanent=poisoned, strike=poisoned)
    outcome = outcomes.record_failed(ctx.db, run, ctx.owner, row, failure, max_attempts=limit)
    ctx.log.error("s3://%s/%s %s: %s", ctx.settings.bucket, row.key, outcome, reason)
    return False


def _live_is_known(row: WorkRow, candidates: Sequence[Document]) -> bool:
    """Whether the live document still has the bytes that we know of; a service that makes versions gives it others."""
    if row.document_id is None:
        return True
    return any(
        one.id == row.document_id and one.content_hash and one.content_hash == row.indexed_sha256 for one in candidates
    )


def _pending(row: WorkRow, candidates: Sequence[Document]) -> WorkRow:
    row = replace(row, status="pending", upload_etag=None, upload_size=None, upload_sha256=None)
    if _live_is_known(row, candidates):
        return row
    return replace(row, indexed_etag=None, indexed_size=None, indexed_sha256=None)


def _own_upload(ctx: SyncContext, row: WorkRow, candidates: Sequence[Document]) -> Document | None:
    hashed = [one for one in candidates if one.content_hash]
    if not hashed:
        return None
    sha256 = row.upload_sha256 or _sha256_now(ctx, row)
    mine = [one for one in hashed if one.content_hash == sha256]
    # One that failed is ours as well: sending it again would only fail again, and this way it is a strike.
    mine.sort(key=lambda one: (one.phase is not Phase.FAILED, one.phase is Phase.DONE, one.version or 0))
    return mine[-1] if mine else None


def _sha256_now(ctx: SyncContext, row: WorkRow) -> str | None:
    """The hash of the object that was being uploaded, read again; ``None`` when S3 has it no more."""
    if row.upload_etag is None or row.upload_size is None:
        return None
    try:
        return ctx.s3.sha256(row.key, etag=row.upload_etag, size=row.upload_size)
    except SourceUnavailableError:
        raise
    except S3IntegrationError:
        return None


def look_once_more(ctx: SyncContext, run: Run) -> int:
    """After they are processed, look again for copies of what was in doubt: a cut request may commit late.

    Gives how many copies were found; they are removed with the superseded documents. Where the late one took the place
    of the live document, or gave it other bytes, the key is put right.
    """
    rows = doubts.doubtful_indexed(ctx.db, run)
    if not rows:
        return 0
    copies = find_copies(ctx, {row.file_name for row in rows})
    found = 0
    for row in rows:
        candidates = copies.get(row.file_name, [])
        extra = [one.id for one in candidates if one.id != row.document_id]
        found += len(extra)
        live = next((one for one in candidates if one.id == row.document_id), None) or _document(ctx, row.document_id)
        if live is not None and _same_hash(live, row):
            doubts.clear_doubt(ctx.db, run, row, extra)
        else:
            _put_right(ctx, run, row, candidates)
    return found


def _same_hash(document: Document, row: Doubtful) -> bool:
    """Whether the document has the row's bytes, as far as both are known."""
    return not document.content_hash or not row.sha256 or document.content_hash == row.sha256


def _put_right(ctx: SyncContext, run: Run, row: Doubtful, candidates: Sequence[Document]) -> None:
    right = [one for one in candidates if one.phase is Phase.DONE and one.content_hash and _same_hash(one, row)]
    live_id = right[-1].id if right and row.sha256 else None
    others = [one.id for one in candidates if one.id != live_id]
    doubts.replace_live(ctx.db, run, row, live_id, others)
    what = "another document is taken for it" if live_id else "it is uploaded again"
    ctx.log.warning("The live document of %r was replaced by a late upload: %s.", row.key, what)


def _document(ctx: SyncContext, document_id: str) -> Document | None:
    """The document under whatever name the service gave it; ``None`` is its 404."""
    try:
        return ctx.client.get_document(document_id).document
    except NotFoundError:
        return None
