"""One pass over an object's bytes, and its hashes: SHA-256 always, MD5 where its ETag is one.

The reader learns of a mismatch (length, MD5) before it has passed on the object's end.

MD5 costs more than twice what SHA-256 does on a CPU with instructions for the latter, more than everything else in an
upload together. For large objects it is computed in a thread beside the pass; hashing leaves the interpreter's lock.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloudindex_provider.errors import SourceIntegrityError
from cloudindex_provider.s3.error_mapping import s3_errors

__all__ = ["CHUNK", "Hashes", "S3Object"]

CHUNK = 1 << 20  # bytes read and passed on at a time
_THREAD_FROM = 4 << 20  # bytes of an object; below, a thread's start costs more than it saves
_QUEUED = 2  # chunks that the thread may be behind by: memory is bounded, and the pass waits for it


@dataclass(slots=True)
class S3Object:
    """An object opened for one pass over its bytes. ``sha256`` is set when ``chunks`` has ended without an error."""

    key: str
    etag: str
    size: int
    version_id: str | None
    metadata: Mapping[str, str]
    _body: Any
    _md5: str | None
    bucket: str
    sha256: str | None = None
    last_modified: str = ""
    content_type: str = ""

    def chunks(self) -> Iterator[bytes]:
        """The bytes, at most ``CHUNK`` at a time.

        :raises SourceIntegrityError: at the end, when they aren't what S3 announced
        :raises SourceUnavailableError: when S3 breaks off
        """
        hashes = Hashes(self.size, md5=self._md5 is not None)
        seen = 0
        try:
            with s3_errors("GetObject", self.bucket, self.key):
                while chunk := self._body.read(CHUNK):
                    seen += len(chunk)
                    hashes.update(chunk)
                    if seen > self.size:
                        break
                    yield chunk
        finally:
            self._body.close()
            hashes.close()
        self._check(seen, hashes.md5())
        self.sha256 = hashes.sha256()

    def read_sha256(self) -> str:
        """The SHA-256 of the bytes, which are read to their end and dropped.

        :raises S3IntegrationError: as ``chunks`` does
        """
        for _ in self.chunks():
            pass
        return str(self.sha256)

    def close(self) -> None:
        """Let go of the connection; harmless after the end."""
        self._body.close()

    def _check(self, seen: int, md5: str | None) -> None:
        if seen != self.size:
            raise SourceIntegrityError(
                f"s3://{self.bucket}/{self.key} gave {seen} bytes of {self.size}.", code="LengthMismatch", key=self.key
            )
        if md5 != self._md5:
            raise SourceIntegrityError(
                f"s3://{self.bucket}/{self.key} gave bytes with another MD5 than its ETag.",
                code="ChecksumMismatch",
                key=self.key,
            )


class Hashes:
    """Feed it every chunk, then ask; ``close`` it in any case.

    :param size: bytes that are announced
    :param md5: whether the MD5 is wanted
    """

    def __init__(self, size: int, *, md5: bool) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._chunks: queue.Queue[bytes | None] | None = None
        if self._md5 is not None and size >= _THREAD_FROM:
            self._chunks = queue.Queue(_QUEUED)
            self._thread = threading.Thread(
                target=_feed, args=(self._chunks, self._md5.update), name="cloudindex-md5", daemon=True
            )
            self._thread.start()

    def update(self, chunk: bytes) -> None:
        if self._chunks is not None:
            self._chunks.put(chunk)
        elif self._md5 is not None:
            self._md5.update(chunk)
        self._sha256.update(chunk)

    def sha256(self) -> str:
        """Of all chunks so far, as lower-case hex."""
        return self._sha256.hexdigest()

    def md5(self) -> str | None:
        """Of all chunks, after the last one, as lower-case hex; ``None`` where it wasn't wanted."""
        self.close()
        return self._md5.hexdigest() if self._md5 is not None else None

    def close(self) -> None:
        """End the thread, if there is one, after the chunks that it has; a few milliseconds at most."""
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            chunks.put(None)
            self._thread.join()


def _feed(chunks: queue.Queue[bytes | None], update: Callable[[bytes], None]) -> None:
    while (chunk := chunks.get()) is not None:
        update(chunk)
