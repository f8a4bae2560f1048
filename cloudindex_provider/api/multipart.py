"""A multipart/form-data body as a stream of known length: measured without reading, made anew for every attempt.

Invariants: ``content_length`` is exact; file chunks are passed through, never collected; the closing boundary is made
only after every part's iterator has ended without raising and gave exactly ``size`` bytes. So a server that waits for
``Content-Length`` bytes never gets a complete request out of a part that failed, however late it failed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import PartSizeError

__all__ = ["BodyStream", "Multipart", "json_field", "quote"]

FILE_FIELD = "documents"
MAX_CHUNK = 1 << 20  # bytes; sockets copy the unsent rest of a chunk at every partial send, so giants are cut
SMALL = 1 << 16  # bytes; smaller pieces are joined, so that 20 small files aren't 60 small packets

_UNSAFE = re.compile(r'[\x00-\x1f\x7f"]')
_CONTENT_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;\s*[\w-]+=[\w.+-]+)*\Z", re.ASCII)


def quote(name: str) -> bytes:
    """``name`` as it may stand between the quotes of a header: UTF-8, with ``"``, CR and LF as %22, %0D and %0A.

    That is what browsers send (WHATWG HTML, multipart/form-data encoding algorithm). Other control characters, which
    make some servers fail the whole request, are written the same way.
    """
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name).encode("utf-8", "replace")


def json_field(value: Any) -> bytes:
    """A form field's JSON, in ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


class Multipart:
    """A request body: fields first, then files, so that a server that reads in order knows them before the bytes."""

    def __init__(
        self, files: Sequence[FilePart], *, fields: Mapping[str, bytes] | None = None, boundary: str | None = None
    ) -> None:
        self._boundary = (boundary or secrets.token_hex(16)).encode("ascii")
        self._fields = b"".join(
            self._head(b'name="%b"' % quote(name)) + value + b"\r\n" for name, value in (fields or {}).items()
        )
        self._files = [(part, self._file_head(part)) for part in files]
        self._end = b"--%b--\r\n" % self._boundary
        self.content_type = f"multipart/form-data; boundary={self._boundary.decode()}"
        self.content_length = (
            len(self._fields) + sum(len(head) + part.size + 2 for part, head in self._files) + len(self._end)
        )

    def stream(self) -> BodyStream:
        """A fresh body for one attempt."""
        return BodyStream(_join_small(self._pieces()))

    def _head(self, disposition: bytes, *lines: bytes) -> bytes:
        return b"\r\n".join(
            (b"--" + self._boundary, b"Content-Disposition: form-data; " + disposition, *lines, b"", b"")
        )

    def _file_head(self, part: FilePart) -> bytes:
        kind = part.content_type if _CONTENT_TYPE.match(part.content_type) else "application/octet-stream"
        disposition = b'name="%b"; filename="%b"' % (FILE_FIELD.encode(), quote(part.file_name))
        return self._head(disposition, b"Content-Type: " + kind.encode("ascii"))

    def _pieces(self) -> Generator[bytes, None, None]:
        yield self._fields
        for part, head in self._files:
            yield head
            yield from _exactly(part)
            yield b"\r\n"
        yield self._end


class BodyStream:
    """The bytes of one attempt; single use.

    ``failure`` is what a part raised, if one did. An HTTP library may wrap or swallow what a body raises; with this the
    caller can raise the very exception.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.failure = error
            raise

    def close(self) -> None:
        """Ends the part that is being read, if one is; its ``close`` is called where it has one."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


def _exactly(part: FilePart) -> Iterator[bytes]:
    """The part's chunks; raises ``PartSizeError`` before a byte too many, or at an end that comes too early."""
    source = iter(part.open())
    left = part.size
    try:
        for chunk in source:
            left -= len(chunk)
            if left < 0:
                raise PartSizeError(f"{part.file_name!r} gave more than the {part.size} bytes that were announced.")
            yield from _cut(chunk)
        if left:
            raise PartSizeError(
                f"{part.file_name!r} gave {part.size - left} of the {part.size} bytes that were announced."
            )
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


def _cut(chunk: bytes) -> Iterable[bytes]:
    if len(chunk) <= MAX_CHUNK:
        return (chunk,)
    return (chunk[start : start + MAX_CHUNK] for start in range(0, len(chunk), MAX_CHUNK))


def _join_small(pieces: Generator[bytes, None, None]) -> Iterator[bytes]:
    """The same bytes with small neighbours joined; large chunks pass through as they are."""
    held: list[bytes] = []
    size = 0
    with closing(pieces):
        for piece in pieces:
            if size and size + len(piece) > SMALL:
                yield b"".join(held)
                held, size = [], 0
            if len(piece) >= SMALL:
                yield piece
            else:
                held.append(piece)
                size += len(piece)
        if size:
            yield b"".join(held)
