"""From a claimed row to a file part: the object opened at its ETag, small ones read ahead, and what needs no upload.

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
    CredentialsError,
    InvalidObjectStateError,
    NoSuchKeyError,
    S3IntegrationError,
    SourceChangedError,
    SourceIntegrityError,
    SourceUnavailableError,
)
from cloudindex_provider.s3.object import S3Object
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import WorkRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.naming import file_name

__all__ = [
    "SMALL",
    "Broken",
    "Gone",
    "OptedOut",
    "Prepared",
    "Ready",
    "SameBytes",
    "may_be_same",
    "prepare",
    "source_failure",
]

SMALL = 1 << 20  # bytes up to which an object is held in memory
OPT_OUT = "cloudindex"  # x-amz-meta-cloudindex: skip
_LOOKS = 2  # at an object that isn't what was listed


@dataclass(slots=True, eq=False)
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
        """What CloudIndex's S3 guide sends along with a document."""
        facts = {
            "key": self.row.key,
            "etag": self.row.etag,
            "size": self.row.size,
            "lastModified": self.object.last_modified,
            "contentType": self.object.content_type,
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
class OptedOut:
    """Its metadata says that it isn't to be indexed."""

    row: WorkRow


@dataclass(frozen=True, slots=True)
class Broken:
    """It can't be read for now, or not at all."""

    row: WorkRow
    error: S3IntegrationError


Prepared = Ready | SameBytes | Gone | OptedOut | Broken

# What is about one object; anything else (no such bucket, bad credentials) is about the whole task and goes up.
_OF_ONE_OBJECT = (SourceIntegrityError, AccessDeniedError, InvalidObjectStateError, SourceUnavailableError)


def may_be_same(row: WorkRow) -> bool:
    """Whether the object may have the indexed bytes under another ETag, so that its hash is worth a read of its own."""
    return row.document_id is not None and row.indexed_sha256 is not None and row.size == row.indexed_size


def prepare(ctx: SyncContext, row: WorkRow) -> Prepared:
    """Look at the row's object: a small one is read, a large one opened. Safe to use from any thread.

    :raises S3IntegrationError: when S3 fails in a way that isn't about one object
    """
    for look in range(1, _LOOKS + 1):  # what has changed since the listing is taken as it is now, once
        try:
            return ctx.s3.read(row.key, partial(_looked_at, ctx, row), etag=row.etag, size=row.size)
        except (SourceChangedError, NoSuchKeyError) as error:
            now = ctx.s3.head(row.key)
            if now is None or now.size > ctx.settings.selection.max_file_size or not now.size:
                return Gone(row, now)
            if look == _LOOKS:
                return _restless(row, now, error)
            row = replace(row, etag=now.etag, size=now.size, last_modified=now.last_modified)
        except CredentialsError:
            raise
        except _OF_ONE_OBJECT as error:
            return Broken(row, error)
    raise AssertionError("the last look returns")


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
        return OptedOut(row)
    data, sha256 = None, None
    if row.size <= SMALL:
        data = b"".join(opened.chunks())
        sha256 = opened.sha256
    elif may_be_same(row):
        sha256 = opened.read_sha256()  # one more read of S3 costs less than an upload and its processing
    if sha256 is not None and sha256 == row.indexed_sha256 and may_be_same(row):
        return SameBytes(row, sha256)
    name = file_name(ctx.settings.bucket, row.key)
    return Ready(row, name, opened, data, sha256, ctx, _used=sha256 is not None)
