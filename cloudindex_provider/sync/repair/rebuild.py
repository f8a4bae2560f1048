"""Making the state again, where it was lost: from what S3 lists and what CloudIndex lists. Uploads and deletes nothing.

A document is taken for a key's own by its file name, and for its bytes by their SHA-256 alone. Rows are written when
everything is read: a rebuild that breaks off leaves the state as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.errors import (
    NoSuchKeyError,
    S3IntegrationError,
    SourceChangedError,
    SourceUnavailableError,
    StateError,
)
from cloudindex_provider.s3.error_mapping import is_about_all
from cloudindex_provider.s3.gathered import gathered
from cloudindex_provider.s3.page import ListedObject, ListedPage
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state import rebuilt, repairs, sources
from cloudindex_provider.state.conditions import Status
from cloudindex_provider.state.rebuilt import RebuiltRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.repair.index_copy import IndexCopy, Listed, stage_index
from cloudindex_provider.sync.selection import SkipReason, selector
from cloudindex_provider.words import count, quoted, size

__all__ = [
    "READERS", "Digest", "Rebuild", "Survey", "check_source", "choose", "listed_digest", "object_digest",
    "reading_seconds", "rebuild", "survey",
]  # fmt: skip

READERS = 8  # objects read at once
_BLOCK = 256
_WRITE_BLOCK = 2000
_BYTES_PER_SECOND = 50e6  # of all readers together, over a usual connection
_SECONDS_PER_KEY = 0.1  # a HEAD and a GET
_EXAMPLES = 10


@dataclass(slots=True)
class Survey:
    """What there is to read, before it is read."""

    listed: int = 0
    skipped: int = 0  # not selected, or owned by another sync
    documents: int = 0  # in CloudIndex, of whatever name
    keys: int = 0  # selected, with a document: their objects are to be read
    bytes: int = 0
    orphans: int = 0  # documents named like ours, of no listed key: not touched
    orphan_names: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """About how long the reading takes."""
        return reading_seconds(self.keys, self.bytes)


@dataclass(slots=True)
class Rebuild:
    """What was made."""

    indexed: int = 0  # keys whose document has their bytes
    processing: int = 0  # the same, but CloudIndex isn't done with it
    pending: int = 0  # keys whose document has other bytes, or none that are known: the next sync uploads them
    skipped: int = 0  # keys with a document that aren't selected
    copies: int = 0  # documents beside a key's live one: removed by the syncs once their key is indexed
    unreadable: int = 0  # among the pending ones
    bytes_read: int = 0
    checksums: int = 0  # keys for which S3's own SHA-256 was enough
    dropped: int = 0  # rows of the old state that weren't made again
    kept: int = 0  # such rows that have a document: the next sync decides about them
    unreadable_keys: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Digest:
    """An object's SHA-256; ``None`` where it has changed or can't be read (``problem``)."""

    sha256: str | None
    bytes_read: int = 0
    problem: str | None = None


def reading_seconds(keys: int, size: int) -> float:
    """About how long it takes to read so many objects of so many bytes."""
    return keys * _SECONDS_PER_KEY / READERS + size / _BYTES_PER_SECOND


def check_source(ctx: SyncContext, *, replace: bool) -> None:
    """Refuse a source that has rows, unless they are to be replaced, and one that a run works on.

    :raises StateError: saying which
    """
    number = rebuilt.count_rows(ctx.db, ctx.source)
    if number and not replace:
        raise StateError(
            f"Source {ctx.source.id} has {count(number, 'key')} in the state already.",
            hint="Use --replace to make them again; pause the DAG first.",
        )
    if busy := sources.claimed_rows(ctx.db, ctx.source):
        raise StateError(
            f"A run works on {count(busy, 'key')} of source {ctx.source.id} now.",
            hint="Pause its DAG and wait for its end.",
        )


def survey(ctx: SyncContext, copy: IndexCopy) -> Survey:
    """Stage CloudIndex's list and the part of S3's listing that has documents; reads no object.

    :raises IncompleteListError: or S3IntegrationError, when one of the two isn't whole
    """
    stage_index(ctx, copy)
    select = selector(ctx.settings.selection)
    found = Survey(documents=copy.documents())
    for page in _listed(ctx):
        others = rebuilt.keys_of_others(ctx.db, ctx.source, page[0].key, page[-1].key)
        staged = []
        for item in page:
            reason = (
                SkipReason.OWNED_BY_OTHER if item.key in others else select(item.key, item.size, item.storage_class)
            )
            found.skipped += reason is not None
            if reason not in (SkipReason.INVALID_KEY, SkipReason.OWNED_BY_OTHER):
                staged.append(Listed(*item, file_name(ctx.settings.bucket, item.key), reason))
        found.listed += len(page)
        copy.add_listed(one for one in staged if copy.has(one.name))
    copy.index_listed()
    for ids in repairs.known_documents(ctx.db, ctx.settings.project_id):
        copy.add_known(ids)
    found.keys, found.bytes = copy.selected()
    found.orphans, found.orphan_names = copy.orphans(_EXAMPLES)
    return found


def _listed(ctx: SyncContext) -> Iterator[ListedPage]:
    with gathered(ctx.s3, ctx.settings.prefix) as listing:  # a lost state doesn't know whether there is an order
        yield from listing.pages()


def rebuild(ctx: SyncContext, copy: IndexCopy, *, replace: bool = False) -> Rebuild:
    """Read what the survey found, then write the rows.

    :raises SourceUnavailableError: when S3 fails for longer than a hiccup; nothing is written then
    """
    done = Rebuild()
    after: str | None = None
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        while block := copy.listed_after(after, _BLOCK):
            digests = list(pool.map(lambda one: listed_digest(ctx, one), block))
            rows = [
                _count(done, one, digest, choose(one, digest.sha256, copy.named(one.name)))
                for one, digest in zip(block, digests, strict=True)
            ]
            copy.add_rebuilt((row.key, json.dumps(asdict(row))) for row in rows)
            after = block[-1].key
            ctx.log.info("Read %s, up to %s.", size(done.bytes_read), quoted(after))
    check_source(ctx, replace=replace)  # a run may have begun meanwhile
    _write(ctx, copy, done, replace=replace)
    return done


def _write(ctx: SyncContext, copy: IndexCopy, done: Rebuild, *, replace: bool) -> None:
    after: str | None = None
    while block := copy.rebuilt_after(after, _WRITE_BLOCK):
        rebuilt.write_rebuilt(ctx.db, ctx.source, [_row(text) for _, text in block])
        after = block[-1][0]
    if replace:
        done.dropped, done.kept = rebuilt.drop_others(ctx.db, ctx.source, copy.is_rebuilt, copy.has_id)
    rebuilt.set_fingerprint(ctx.db, ctx.source, ctx.settings.selection.fingerprint())


def _row(text: str) -> RebuiltRow:
    values: dict[str, Any] = json.loads(text)
    return RebuiltRow(**{**values, "copies": tuple(values["copies"])})


def _count(done: Rebuild, item: Listed, digest: Digest, row: RebuiltRow) -> RebuiltRow:
    setattr(done, row.status, getattr(done, row.status) + 1)
    done.copies += len(row.copies)
    done.bytes_read += digest.bytes_read
    done.checksums += digest.sha256 is not None and not digest.bytes_read
    if digest.problem:
        done.unreadable += 1
        if len(done.unreadable_keys) < _EXAMPLES:
            done.unreadable_keys.append({"key": item.key, "reason": digest.problem})
    return row


# One key


def choose(item: Listed, sha256: str | None, documents: Sequence[Document]) -> RebuiltRow:
    """The row of a key, given its object's hash (``None``: unknown) and the documents of its name. Pure.

    The live document is one that is processed, with the object's bytes before any other, then the newest. The others
    are superseded, which removes them only when the key is indexed.
    """
    ranked = sorted(documents, key=lambda one: (one.uploaded_at or "", one.version or 0), reverse=True)
    done = [one for one in ranked if one.phase is Phase.DONE]
    mine = [one for one in ranked if sha256 is not None and one.content_hash == sha256]
    live = next((one for one in mine if one.phase is Phase.DONE), done[0] if done else None)
    row = RebuiltRow(item.key, Status.PENDING, *item[1:5], file_name=item.name)
    if live is not None:
        row.document_id, row.document_version = live.id, live.version
        row.indexed_etag, row.indexed_size, row.indexed_sha256 = "", live.size, live.content_hash
    if item.reason is not None and not (item.reason == SkipReason.ARCHIVED and live in mine):
        row.status, row.reason = Status.SKIPPED, item.reason
    elif live in mine:
        row.status, row.indexed_etag, row.indexed_size = Status.INDEXED, item.etag, item.size
    elif waiting := [one for one in mine if one.phase is Phase.WAITING]:
        row.status, row.upload_document_id = Status.PROCESSING, waiting[0].id
        row.upload_etag, row.upload_size, row.upload_sha256 = item.etag, item.size, sha256
    else:
        row.reason = "its document has other bytes" if sha256 else "its bytes aren't known"
    row.copies = tuple(one.id for one in ranked if one.id not in (row.document_id, row.upload_document_id))
    return row


def listed_digest(ctx: SyncContext, item: Listed) -> Digest:
    """The SHA-256 of a listed object, where it is of use and can be told.

    :raises SourceUnavailableError: or CredentialsError, which aren't about one object
    """
    listed = ListedObject(*item[:5])
    try:
        if item.reason == SkipReason.ARCHIVED:
            return Digest(ctx.s3.stored_sha256(listed.key, etag=listed.etag, size=listed.size))
        # What isn't selected gets a row only to say which document it has.
        return Digest(None) if item.reason is not None else object_digest(ctx.s3, listed)
    except (SourceChangedError, NoSuchKeyError):
        return Digest(None)  # since it was listed; the next sync sees what it is
    except S3IntegrationError as error:
        if is_about_all(error) or isinstance(error, SourceUnavailableError):
            raise
        return Digest(None, problem=str(error))


def object_digest(s3: S3Source, item: ListedObject) -> Digest:
    """The SHA-256 of a listed object: S3's own where it has one of the whole object, else by reading it once.

    :raises S3IntegrationError: when it has changed since it was listed, or can't be read
    """
    stored = s3.stored_sha256(item.key, etag=item.etag, size=item.size)
    if stored is not None:
        return Digest(stored)
    return Digest(s3.sha256(item.key, etag=item.etag, size=item.size), bytes_read=item.size)
