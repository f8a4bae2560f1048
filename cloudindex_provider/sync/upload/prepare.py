"""From a claimed row to a file part: the object opened at its ETag, small ones read ahead, and what needs no upload.

A request's length must be known before it is sent, and of an object that is stored with a Content-Encoding only a pass
over it tells how long its document is. A large one is therefore read twice: once for length and hash, which is kept,
and once more, pinned to the same ETag, while it is sent. That costs a second GET of bytes that are small because they
are compressed; a spool file would cost every worker disk for as many documents as it sends at once.

Writes nothing. Every way in which S3 may have changed since the listing is found here, before an upload's intent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import (
    AccessDeniedError,
    InvalidObjectStateError,
    NoSuchKeyError,
    S3IntegrationError,
    SourceChangedError,
)
from cloudindex_provider.s3.error_mapping import is_about_all
from cloudindex_provider.s3.object import DECODED_TOO_LARGE, UNKNOWN_CODING, S3Object
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import WorkRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.selection import SkipReason

__all__ = [
    "SMALL",
    "Broken",
    "Gone",
    "Prepared",
    "Ready",
    "SameBytes",
    "Skipped",
    "gone_or_changed",
    "may_be_opened",
    "may_be_same",
    "prepare",
    "source_failure",
]

SMALL = 1 << 20  # bytes up to which an object is held in memory
OPT_OUT = "cloudindex"  # x-amz-meta-cloudindex: skip
_LOOKS = 2  # at an object that isn't what was listed


@dataclass(slots=True, eq=False)
class Ready:
    """To be uploaded. ``sha256`` is known before the upload for small objects and decoded ones only."""

    row: WorkRow
    name: str
    object: S3Object
    size: int  # bytes of the document, which may be more than S3 stores
    data: bytes | None
    sha256: str | None
    ctx: SyncContext
    _used: bool = False

    def part(self) -> FilePart:
        """The file of the request."""
        return FilePart(self.name, self.size, self._open, self.object.content_type or "application/octet-stream")

    def _open(self) -> Iterator[bytes]:
        if self.data is not None:
            return iter((self.data,))
        if self._used:  # the first body is spent: a request that is sent again reads anew
            self.object = self.ctx.s3.open(self.row.key, etag=self.row.etag, size=self.row.size)
        self._used = True
        return self.object.chunks()

    def uploaded_sha256(self) -> str | None:
        """The hash of what was sent, after it was."""
        return self.object.sha256 or self.sha256

    def metadata(self) -> dict[str, Any]:
        """What CloudIndex's S3 guide sends along with a document."""
        facts = {
            "key": self.row.key,
            "etag": self.row.etag,
            "size": self.row.size,
            "lastModified": self.object.last_modified,
            "contentType": self.object.content_type,
            "contentEncoding": self.object.coding,
            "versionId": self.object.version_id,
        }
        return {name: value for name, value in facts.items() if value not in (None, "")}

    def open_anew(self) -> None:
        """Have the object opened again when it is read; nothing is left open until then."""
        if self.data is None:
            self.object.close()
            self._used = True

    def close(self) -> None:
        """Let go of a body that wasn't read."""
        self.object.close()


@dataclass(frozen=True, slots=True)
class SameBytes:
    """Another ETag, the indexed bytes."""

    row: WorkRow
    sha256: str


@dataclass(frozen=True, slots=True)
class Gone:
    """Deleted or changed since it was listed; ``now`` is what S3 has."""

    row: WorkRow
    now: ListedObject | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """The object itself, or the state that it is in, says that it isn't to be indexed."""

    row: WorkRow
    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Broken:
    """It can't be read for now, or not at all."""

    row: WorkRow
    error: S3IntegrationError


Prepared = Ready | SameBytes | Gone | Skipped | Broken

_SKIPS = {DECODED_TOO_LARGE: SkipReason.TOO_LARGE, UNKNOWN_CODING: SkipReason.ENCODED}  # by the error's code


def may_be_same(row: WorkRow) -> bool:
    """Whether the object may have the indexed bytes under another ETag, so that its hash is worth a read of its own."""
    return row.document_id is not None and row.indexed_sha256 is not None and row.size == row.indexed_size


def prepare(ctx: SyncContext, row: WorkRow) -> Prepared:
    """Look at the row's object: a small one is read, a large one opened. Safe to use from any thread.

    :raises S3IntegrationError: only where it is proven to be about all objects; any other is this object's failure
    """
    try:
        return _prepared(ctx, row)
    except InvalidObjectStateError:  # also a class that is listed like any other, in an archive tier
        return Skipped(row, SkipReason.ARCHIVED)
    except S3IntegrationError as error:
        if is_about_all(error):
            raise
        reason = _SKIPS.get(error.code)
        return Broken(row, error) if reason is None else Skipped(row, reason)


def _prepared(ctx: SyncContext, row: WorkRow) -> Prepared:
    for look in range(1, _LOOKS + 1):  # what has changed since the listing is taken as it is now, once
        try:
            return ctx.s3.read(row.key, partial(_looked_at, ctx, row), etag=row.etag, size=row.size)
        except (SourceChangedError, NoSuchKeyError) as error:
            now = ctx.s3.head(row.key)
            if now is None or now.size > ctx.settings.selection.max_file_size or not now.size:
                return Gone(row, now)
            if look == _LOOKS:
                return _restless(row, now, error)
            row = _as_it_is(row, now)
    raise AssertionError("the last look returns")


def _as_it_is(row: WorkRow, now: ListedObject) -> WorkRow:
    """The row at what HEAD says. Of the same time, it is the listed object with another ETag or size than the listing
    gives it: what was listed is kept beside it, so that the next listing is known to mean this."""
    same = bool(now.last_modified) and now.last_modified == row.last_modified
    listed = (row.listed_etag or row.etag, row.size if row.listed_size is None else row.listed_size)
    listed_etag, listed_size = listed if same and (now.etag, now.size) != listed else (None, None)
    return replace(
        row,
        etag=now.etag,
        size=now.size,
        last_modified=now.last_modified,
        listed_etag=listed_etag,
        listed_size=listed_size,
    )


def gone_or_changed(ctx: SyncContext, row: WorkRow) -> Gone | Broken:
    """What has become of an object that is no longer the one that was listed.

    :raises S3IntegrationError: only where it is proven to be about all objects
    """
    try:
        return Gone(row, ctx.s3.head(row.key))
    except S3IntegrationError as error:
        if is_about_all(error):
            raise
        return Broken(row, error)


def may_be_opened(ctx: SyncContext, row: WorkRow) -> bool:
    """Whether S3 lets the object be read, whatever else it says of it.

    :raises S3IntegrationError: only where it is proven to be about all objects
    """
    try:
        ctx.s3.open(row.key, etag=row.etag, size=row.size).close()
    except AccessDeniedError as error:
        if is_about_all(error):
            raise
        return False
    except S3IntegrationError as error:
        if is_about_all(error):
            raise
    return True


def _restless(row: WorkRow, now: ListedObject, error: S3IntegrationError) -> Prepared:
    """It changes faster than it can be read; or HEAD says the same again and GET doesn't, which no sweep would mend."""
    if (now.etag, now.size) != (row.etag, row.size):
        return Gone(row, now)
    hint = "This storage's GET and HEAD disagree about the object; it is tried again later."
    return Broken(row, error.saying(error.message, hint=hint))


def source_failure(error: S3IntegrationError) -> Failure:
    """A failure of one key for S3's sake. It says nothing about the document, so it is no strike against it."""
    return Failure(str(error), strike=False)


def _looked_at(ctx: SyncContext, row: WorkRow, opened: S3Object) -> Prepared:
    if str(opened.metadata.get(OPT_OUT, "")).lower() == "skip":
        opened.close()
        return Skipped(row, SkipReason.OPTED_OUT)
    data = None
    if row.size <= SMALL or not opened.as_stored:
        data = _small(opened)
    elif may_be_same(row):
        opened.read_sha256()  # one more read of S3 costs less than an upload and its processing
    sha256, size = opened.sha256, row.size if opened.sent is None else opened.sent
    if sha256 is not None and row.document_id is not None and sha256 == row.indexed_sha256:
        return SameBytes(row, sha256)
    if not size:
        return Skipped(row, SkipReason.EMPTY)
    if size > ctx.settings.selection.max_file_size:
        return Skipped(row, SkipReason.TOO_LARGE)
    name = file_name(ctx.settings.bucket, row.key)
    return Ready(row, name, opened, size, data, sha256, ctx, _used=sha256 is not None)


def _small(opened: S3Object) -> bytes | None:
    """The document, read to its end; ``None`` where it is too large to be held."""
    held: list[bytes] | None = []
    size = 0
    for piece in opened.chunks():
        size += len(piece)
        if size > SMALL:
            held = None
        elif held is not None:
            held.append(piece)
    return None if held is None else b"".join(held)
