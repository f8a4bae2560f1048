"""From a claimed row to a file part: the object opened at its ETag, small ones read ahead, and what needs no upload.

Writes nothing. Every way in which S3 may have changed since the listing is found here, before an upload's intent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.errors import (
    AccessDeniedError,
    InvalidObjectStateError,
    NoSuchKeyError,
    SourceChangedError,
    SourceIntegrityError,
    SourceUnavailableError,
)
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.source import ListedObject, S3Object
from cloudindex_provider.sync.state.outcomes import Failure
from cloudindex_provider.sync.state.records import WorkRow

__all__ = ["Broken", "Gone", "OptedOut", "Prepared", "Ready", "SameBytes", "prepare", "source_failure"]

SMALL = 1 << 20  # bytes up to which an object is read ahead
READERS = 8  # objects read ahead at once, by one upload loop
OPT_OUT = "cloudindex"  # x-amz-meta-cloudindex: skip


@dataclass(slots=True)
class Ready:
    """To be uploaded. ``sha256`` is known before the upload for small objects only."""

    row: WorkRow
    name: str
    object: S3Object
    data: bytes | None
    sha256: str | None
    ctx: SyncContext
    _used: bool = False

    def part(self) -> FilePart:
        """The file of the request."""
        return FilePart(self.name, self.row.size, self._open, self.object.content_type or "application/octet-stream")

    def _open(self) -> Iterator[bytes]:
        if self.data is not None:
            return iter((self.data,))
        if self._used:  # the first body is spent: a request that is sent again reads anew
            self.object = self.ctx.s3.open(self.row.key, etag=self.row.etag, size=self.row.size)
        self._used = True
        return self.object.chunks()

    def uploaded_sha256(self) -> str | None:
        """The hash of what was sent, after it was."""
        return self.sha256 or self.object.sha256

    def metadata(self) -> dict[str, Any]:
        """What the seed's guide sends along with a document."""
        facts = {
            "key": self.row.key,
            "etag": self.row.etag,
            "size": self.row.size,
            "lastModified": self.object.last_modified,
            "contentType": self.object.content_type,
            "versionId": self.object.version_id,
        }
        return {name: value for name, value in facts.items() if value not in (None, "")}

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
class OptedOut:
    """Its metadata says that it isn't to be indexed."""

    row: WorkRow


@dataclass(frozen=True, slots=True)
class Broken:
    """It can't be read for now, or not at all."""

    row: WorkRow
    failure: Failure


Prepared = Ready | SameBytes | Gone | OptedOut | Broken

# What is about one object; anything else (no such bucket, S3 unreachable) is about the whole task and goes up.
_OF_ONE_OBJECT = (SourceIntegrityError, AccessDeniedError, InvalidObjectStateError, SourceUnavailableError)


def prepare(ctx: SyncContext, rows: Sequence[WorkRow]) -> list[Prepared]:
    """Open the rows' objects, several at once, in the rows' order.

    :raises S3IntegrationError: when S3 fails in a way that isn't about one object
    """
    with ThreadPoolExecutor(max_workers=min(READERS, len(rows))) as pool:
        return list(pool.map(lambda row: _prepare(ctx, row), rows))


def _prepare(ctx: SyncContext, row: WorkRow) -> Prepared:
    for _ in range(2):  # what has changed since the listing is taken as it is now, once
        try:
            return _read(ctx, row)
        except (SourceChangedError, NoSuchKeyError):
            now = ctx.s3.head(row.key)
            if now is None or (now.etag, now.size) == (row.etag, row.size):
                return Gone(row, now)
            if now.size > ctx.settings.selection.max_file_size or not now.size:
                return Gone(row, now)
            row = replace(row, etag=now.etag, size=now.size, last_modified=now.last_modified)
        except _OF_ONE_OBJECT as error:
            return Broken(row, source_failure(error))
    return Gone(row, now)


def source_failure(error: Exception) -> Failure:
    """A strike against one key for S3's sake. Archived and denied ones are looked at again at most daily."""
    patient = isinstance(error, AccessDeniedError | InvalidObjectStateError)
    return Failure(str(error), delay=3600.0 if patient else 60.0)


def _read(ctx: SyncContext, row: WorkRow) -> Prepared:
    opened = ctx.s3.open(row.key, etag=row.etag, size=row.size)
    if str(opened.metadata.get(OPT_OUT, "")).lower() == "skip":
        opened.close()
        return OptedOut(row)
    data, sha256 = None, None
    may_be_same = row.indexed_sha256 is not None and row.size == row.indexed_size
    if row.size <= SMALL:
        data = b"".join(opened.chunks())
        sha256 = opened.sha256
    elif may_be_same:
        for _ in opened.chunks():  # one more read of S3 costs less than an upload and its processing
            pass
        sha256 = opened.sha256
    if may_be_same and sha256 == row.indexed_sha256 and sha256 is not None:
        return SameBytes(row, sha256)
    name = file_name(ctx.settings.bucket, row.key)
    return Ready(row, name, opened, data, sha256, ctx, _used=sha256 is not None)
