"""One pass over an object, and its hashes: SHA-256 of what it gives, MD5 of what is stored where its ETag is one.

What is stored with a Content-Encoding is decoded on the way: the document is what the bytes mean. The reader learns of
a mismatch (length, MD5) before it has passed on the object's end.

MD5 costs more than twice what SHA-256 does on a CPU with instructions for the latter, more than everything else in an
upload together. For large objects it is computed in a thread beside the pass; hashing leaves the interpreter's lock.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudindex_provider.errors import S3IntegrationError, SourceIntegrityError
from cloudindex_provider.s3.decoding import Decoder, DecodingError, is_known
from cloudindex_provider.s3.error_mapping import s3_errors

__all__ = ["CHUNK", "DECODED_TOO_LARGE", "UNKNOWN_CODING", "Hashes", "Proofs", "S3Object"]

CHUNK = 1 << 20  # bytes read and passed on at a time
_THREAD_FROM = 4 << 20  # bytes of an object; below, a thread's start costs more than it saves
_QUEUED = 2  # chunks that the thread may be behind by: memory is bounded, and the pass waits for it


DECODED_TOO_LARGE = "DecodedTooLarge"  # codes of errors: there is nothing to be uploaded of such an object
UNKNOWN_CODING = "UnknownContentEncoding"


@dataclass(slots=True)
class Proofs:
    """What reading has shown of a storage whose ETags or lengths aren't those of the bytes that it sends.

    One such read may be a damaged one. Two in a row that gave the same bytes prove that they are what is there.
    """

    etags_are_md5: bool = True  # where they look like one
    _seen: dict[str, tuple[str, str]] = field(default_factory=dict)  # key -> ETag, SHA-256 of the last odd read

    def repeats(self, key: str, etag: str, sha256: str) -> bool:
        """Whether the last odd read of this object gave these very bytes."""
        before, self._seen[key] = self._seen.get(key), (etag, sha256)
        return before == (etag, sha256)


@dataclass(slots=True)
class S3Object:
    """An object opened for one pass over its bytes. ``sha256`` and ``sent`` are set when ``chunks`` has ended without
    an error: the hash and the number of the bytes that it gave.

    :param size: bytes that S3 stores, as it has listed
    :param coding: what they are coded with; empty: nothing
    :param length: bytes that S3 has announced to send; ``None``: it hasn't
    :param decoded_there: S3 says that it decodes the stored bytes while it sends them
    :param max_decoded: bytes that it may have when it is decoded; ``None``: any number
    """

    key: str
    etag: str
    size: int
    version_id: str | None
    metadata: Mapping[str, str]
    _body: Any
    _md5: str | None
    bucket: str
    sha256: str | None = None
    sent: int | None = None
    last_modified: str = ""
    content_type: str = ""
    coding: str = ""
    length: int | None = None
    decoded_there: bool = False
    max_decoded: int | None = None
    proofs: Proofs = field(default_factory=Proofs)

    @property
    def as_stored(self) -> bool:
        """Whether what ``chunks`` gives is surely ``size`` bytes; else only a pass over them tells how many."""
        return not self.coding and self.length == self.size

    def chunks(self) -> Iterator[bytes]:
        """The document's bytes, at most ``CHUNK`` at a time.

        :raises SourceIntegrityError: at the end, when they aren't what S3 announced; or when they can't be decoded
        :raises SourceUnavailableError: when S3 breaks off
        :raises S3IntegrationError: when it is coded with what can't be decoded, or too large when it is decoded
        """
        if self.coding and not is_known(self.coding):
            self.close()
            raise self._error(
                S3IntegrationError,
                UNKNOWN_CODING,
                f"is stored with Content-Encoding {self.coding}, which isn't decoded",
            )
        hashes = Hashes(self.size, md5=self._md5 is not None)
        decoder = Decoder(self.coding) if self.coding else None
        seen = sent = 0
        try:
            with s3_errors("GetObject", self.bucket, self.key):
                while chunk := self._body.read(CHUNK):
                    seen += len(chunk)
                    hashes.stored(chunk)
                    if self._is_too_long(seen):
                        break
                    for piece in (chunk,) if decoder is None else self._decoded(decoder.decode(chunk)):
                        sent = self._counted(sent, piece)
                        hashes.given(piece)
                        yield piece
        finally:
            self._body.close()
            hashes.close()
        sha256 = hashes.sha256()
        self._check(seen, hashes.md5(), sha256)
        for piece in () if decoder is None else self._decoded(decoder.end()):
            sent += len(piece)
            hashes.given(piece)
            yield piece
        self.sha256, self.sent = hashes.sha256(), sent

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

    def _is_too_long(self, seen: int) -> bool:
        return self.length is not None and seen > self.length

    def _decoded(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except DecodingError as error:
            raise self._error(
                SourceIntegrityError,
                "NotDecodable",
                f"is stored with Content-Encoding {self.coding}, but its bytes aren't {self.coding}: {error}",
            ) from None

    def _counted(self, sent: int, piece: bytes) -> int:
        sent += len(piece)
        if not self.as_stored and self.max_decoded is not None and sent > self.max_decoded:
            raise self._error(
                S3IntegrationError, DECODED_TOO_LARGE, f"has more than {self.max_decoded} bytes when it is decoded"
            )
        return sent

    def _check(self, seen: int, md5: str | None, sha256: str) -> None:
        if (seen == self.size and md5 == self._md5) or (self.decoded_there and seen == (self.length or seen)):
            return
        if md5 is not None and md5 == self._md5:
            return  # the ETag is the MD5 of just these bytes, whatever S3 says of their number
        cut = seen < self.size or (self.length is not None and seen != self.length)
        if not cut and self.proofs.repeats(self.key, self.etag, sha256):
            if seen == self.size:
                self.proofs.etags_are_md5 = False
            return
        if seen != self.size:
            raise self._error(SourceIntegrityError, "LengthMismatch", f"gave {seen} bytes of {self.size}")
        raise self._error(SourceIntegrityError, "ChecksumMismatch", "gave bytes with another MD5 than its ETag")

    def _error(self, kind: type[S3IntegrationError], code: str, what: str) -> S3IntegrationError:
        return kind(f"s3://{self.bucket}/{self.key} {what}.", code=code, key=self.key)


class Hashes:
    """Feed it every chunk, stored and given, then ask; ``close`` it in any case.

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

    def stored(self, chunk: bytes) -> None:
        """The next of the stored bytes, for their MD5."""
        if self._chunks is not None:
            self._chunks.put(chunk)
        elif self._md5 is not None:
            self._md5.update(chunk)

    def given(self, chunk: bytes) -> None:
        """The next of the bytes that are passed on, for their SHA-256."""
        self._sha256.update(chunk)

    def sha256(self) -> str:
        """Of all given so far, as lower-case hex."""
        return self._sha256.hexdigest()

    def md5(self) -> str | None:
        """Of all stored chunks, after the last one, as lower-case hex; ``None`` where it wasn't wanted."""
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
