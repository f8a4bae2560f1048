"""Uploads whose outcome is unknown: look them up, adopt what is there, send the rest again.

A document is a row's own upload when it has the row's file name and the SHA-256 of the bytes that were sent. Where the
service lists no hash, nothing is adopted: a second upload costs less than a wrong document, and the copy is removed
once the key is indexed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.errors import NotFoundError, S3IntegrationError, SourceUnavailableError
from cloudindex_provider.state import doubts, outcomes
from cloudindex_provider.state.doubts import Doubtful
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Run, WorkRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.document_list import find_copies
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.words import count, quoted, verb

__all__ = ["Settled", "look_once_more", "resolve_doubts"]

_TOGETHER = 600.0  # seconds; a service that took another file so shortly before was up
_BEFORE_A_FILE_IS_NAMED = 2  # requests with it alone and without an answer, after the first request of all
_AN_HOUR = 3600.0  # seconds; a fault that lasts longer is hardly the service's alone
_ALONE = "CloudIndex gives no answer to an upload of this file alone. Look at the file if others are taken."
_EITHER = (
    "CloudIndex gave no answer to its uploads, and took nothing else meanwhile: it may be CloudIndex's fault as well as"
    " the file's. It is tried again by the next run."
)


@dataclass(slots=True)
class Settled:
    """What became of uploads in doubt."""

    again: list[WorkRow] = field(default_factory=list)  # not there: pending, still claimed, and to be sent again
    unknown: list[WorkRow] = field(default_factory=list)  # still in doubt, because the list isn't whole


def resolve_doubts(ctx: SyncContext, run: Run, rows: Sequence[WorkRow]) -> Settled:
    """Decide about claimed rows in doubt, whose grace is over.

    The ``doubtful`` of those to be sent again is 1 where an answer was missing, 0 where only the try was interrupted.
    """
    names = {row.file_name or file_name(ctx.settings.bucket, row.key): row for row in rows}
    copies = find_copies(ctx, names)
    adopted, settled = 0, Settled()
    for name, row in names.items():
        candidates = copies.of(name)
        mine = _own_upload(ctx, row, candidates)
        if mine is not None:
            adopted += 1
            _adopt(ctx, run, row, mine, candidates)
        elif not copies.has_all(name):
            settled.unknown.append(row)
        elif _not_sent(ctx, run, row, candidates):
            settled.again.append(_pending(row, candidates))
    ctx.log.info(
        "Of %s in doubt, %s had arrived and %s adopted.",
        count(len(rows), "upload"), f"{adopted:,}", verb(adopted),
    )  # fmt: skip
    if settled.unknown:
        number = len(settled.unknown)
        what = (count(number, "upload"), verb(number, "stays", "stay"))
        ctx.log.warning("CloudIndex's list isn't whole: %s %s in doubt.", *what)
    return settled


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
    if not kept or row.unanswered < _BEFORE_A_FILE_IS_NAMED:
        return kept
    # Sent alone, and no answer again and again. That is the file's fault only where the service took others meanwhile.
    limit = ctx.settings.limits.max_attempts
    company = doubts.took_others(ctx.db, run, row, within=_TOGETHER)
    poisoned = company and row.unanswered >= limit
    reason = _ALONE if company or doubts.seconds_unanswered(ctx.db, row) >= _AN_HOUR else _EITHER
    failure = Failure(reason, permanent=poisoned, strike=poisoned)
    outcome = outcomes.record_failed(ctx.db, run, ctx.owner, row, failure, max_attempts=limit)
    ctx.log_failure(row.key, outcome, reason)
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
    of the live document, or gave it other bytes, the key is put right. What a list that isn't whole doesn't show is
    looked for again by the next run. So is what a run that doesn't wait has just sent: that look would come too early.
    A run of named keys looks for theirs: other keys' copies may take a list of the whole project to find.
    """
    before = None if ctx.settings.wait_for_processing else run.started_at
    rows = doubts.doubtful_indexed(ctx.db, run, before=before, keys=ctx.settings.keys)
    if not rows:
        return 0
    copies = find_copies(ctx, {row.file_name for row in rows})
    found = 0
    for row in rows:
        candidates = copies.of(row.file_name)
        extra = [one.id for one in candidates if one.id != row.document_id]
        found += len(extra)
        live = _live(ctx, row, candidates)
        if live is None or not _same_hash(live, row):
            _put_right(ctx, run, row, candidates)
        elif copies.has_all(row.file_name):
            doubts.clear_doubt(ctx.db, run, row, extra)
        else:
            what = "CloudIndex's list isn't whole: %s is looked at again by the next run."
            ctx.lines.tell(ctx.log.warning, "list", what, quoted(row.key))
    return found


def _live(ctx: SyncContext, row: Doubtful, candidates: Sequence[Document]) -> Document | None:
    """The key's live document, with its hash where the service tells it at all; ``None`` where it is gone."""
    listed = next((one for one in candidates if one.id == row.document_id), None)
    if listed is not None and listed.content_hash:
        return listed
    # Absent under its name, or listed without a hash: a list that tells no hash says nothing of the bytes.
    return _document(ctx, row.document_id)


def _same_hash(document: Document, row: Doubtful) -> bool:
    """Whether the document has the row's bytes, as far as both are known."""
    return not document.content_hash or not row.sha256 or document.content_hash == row.sha256


def _put_right(ctx: SyncContext, run: Run, row: Doubtful, candidates: Sequence[Document]) -> None:
    right = [one for one in candidates if one.phase is Phase.DONE and one.content_hash and _same_hash(one, row)]
    live_id = right[-1].id if right and row.sha256 else None
    others = [one.id for one in candidates if one.id != live_id]
    if live_id is not None:
        doubts.replace_live(ctx.db, run, row, live_id, others)
        what = "The live document of %s was replaced by a late upload: another is taken for it."
        ctx.lines.tell(ctx.log.warning, "late", what, quoted(row.key))
        return
    why = "its live document was deleted, or replaced by a late upload"
    doubts.lose_live(ctx.db, run, row, others, why=why, swept=ctx.settings.keys is None)
    ctx.lines.tell(ctx.log.warning, "again", "%s is uploaded again by the next run: %s.", quoted(row.key), why)


def _document(ctx: SyncContext, document_id: str) -> Document | None:
    """The document under whatever name the service gave it; ``None`` is its 404."""
    try:
        return ctx.client.get_document(document_id).document
    except NotFoundError:
        ctx.client.check()  # a 404 about the project says nothing of the document
        return None
