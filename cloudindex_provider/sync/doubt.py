"""Uploads whose outcome is unknown: look them up, adopt what is there, send the rest again.

A document is a row's own upload when it has the row's file name and the SHA-256 of the bytes that were sent. Where the
service lists no hash, nothing is adopted: a second upload costs less than a wrong document, and the copy is removed
once the key is indexed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.errors import S3IntegrationError, SourceUnavailableError, SyncError
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.state import outcomes, removals
from cloudindex_provider.sync.state.leases import lease
from cloudindex_provider.sync.state.records import Run, WorkRow

__all__ = ["find_copies", "look_once_more", "settle"]

_LIST_SECONDS = 600.0  # the longest that a list of all documents may take


def find_copies(ctx: SyncContext, names: Collection[str]) -> dict[str, list[Document]]:
    """The live documents that have one of these file names, by one list of the project.

    :raises SyncError: when the list doesn't end as it should, because then nothing is known of what it left out
    """
    wanted = set(names)
    found: dict[str, list[Document]] = {}
    held = lease(
        ctx.db,
        f"list:{ctx.settings.project_id}",
        f"{ctx.owner.name}#{ctx.owner.attempt}",
        seconds=_LIST_SECONDS,
        patience=_LIST_SECONDS,
        sleep=ctx.sleep,
    )
    with held, ctx.client.iter_documents() as documents:
        for document in documents:
            if document.file_name in wanted and document.phase is not Phase.GONE:
                found.setdefault(document.file_name, []).append(document)
        complete = documents.complete
    if complete is False:
        raise IncompleteListError("CloudIndex's list of documents has fewer entries than it says.")
    return found


class IncompleteListError(SyncError):
    """The list of documents can't be relied on for what it doesn't show."""

    retryable = True
    default_hint = "Nothing was decided by it; the next try lists again."


def settle(ctx: SyncContext, run: Run, rows: Sequence[WorkRow]) -> int:
    """Decide about claimed rows in doubt, whose grace is over; gives how many were adopted."""
    names = {row.file_name or file_name(ctx.settings.bucket, row.key): row for row in rows}
    copies = find_copies(ctx, names)
    adopted = 0
    for name, row in names.items():
        candidates = copies.get(name, [])
        mine = _own_upload(ctx, row, candidates)
        if mine is None:
            # What is there under our name, and isn't the live document, is an upload of other bytes.
            outcomes.record_not_sent(ctx.db, run, ctx.owner, row, extra_ids=[one.id for one in candidates])
            continue
        adopted += 1
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
    ctx.log.info("Of %d uploads in doubt, %d had arrived and are adopted.", len(rows), adopted)
    return adopted


def _own_upload(ctx: SyncContext, row: WorkRow, candidates: Sequence[Document]) -> Document | None:
    hashed = [one for one in candidates if one.content_hash and one.phase is not Phase.FAILED]
    if not hashed:
        return None
    sha256 = row.upload_sha256 or _sha256_now(ctx, row)
    mine = [one for one in hashed if one.content_hash == sha256]
    # The live document has the same bytes only where the same content came back; it is no upload in doubt.
    mine.sort(key=lambda one: (one.phase is Phase.DONE, one.version or 0, one.uploaded_at or ""))
    return mine[-1] if mine else None


def _sha256_now(ctx: SyncContext, row: WorkRow) -> str | None:
    """The hash of the object that was being uploaded, read again; ``None`` when S3 has it no more."""
    if row.upload_etag is None or row.upload_size is None:
        return None
    try:
        opened = ctx.s3.open(row.key, etag=row.upload_etag, size=row.upload_size)
        for _ in opened.chunks():
            pass
    except SourceUnavailableError:
        raise
    except S3IntegrationError:
        return None
    return opened.sha256


def look_once_more(ctx: SyncContext, run: Run) -> int:
    """After they are processed, look again for copies of what was in doubt: a cut request may commit late.

    Gives how many copies were found; they are removed with the superseded documents.
    """
    rows = removals.doubtful_indexed(ctx.db, run)
    if not rows:
        return 0
    copies = find_copies(ctx, {row.file_name for row in rows})
    found = 0
    for row in rows:
        extra = [one.id for one in copies.get(row.file_name, []) if one.id != row.document_id]
        found += len(extra)
        removals.clear_doubt(ctx.db, run, row, extra)
    return found
