"""Content-Encoding: from the bytes that S3 stores to the document that they are. A piece at a time, so that a few
kilobytes which decode to gigabytes never take more memory than a piece.

gzip and deflate are Python's own. Brotli and zstd would each need a library for a few objects in the world's buckets:
they are told apart here, and skipped by who reads.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

__all__ = ["Decoder", "DecodingError", "coding_of", "is_known"]

PIECE = 1 << 20  # bytes given at a time, at most
_GZIP = frozenset({"gzip", "x-gzip"})
# No codings: what SDKs leave behind, and character sets and other words that people write into the wrong header.
_NONE = re.compile(
    r"|identity|none|aws-chunked|binary|[78]bit|charset=.*|utf-?(?:8|16|32).*|us-ascii|ascii|iso-8859-\d+|windows-\d+"
    r"|latin-?1|text/.*|application/.*"
)
_GZIP_MAGIC = b"\x1f\x8b"
_ANY_WRAP, _RAW = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS


class DecodingError(Exception):
    """The bytes begin as their coding says and go on otherwise, or end too early."""


def coding_of(header: object) -> str:
    """What the stored bytes are coded with, by the header; empty where by nothing."""
    words = (word.strip().lower() for word in str(header or "").split(","))
    return ", ".join(word for word in words if not _NONE.fullmatch(word))


def is_known(coding: str) -> bool:
    """Whether ``Decoder`` can decode it."""
    return coding in _GZIP or coding == "deflate"


class Decoder:
    """Decodes one object. Bytes that don't begin as their coding says are no such bytes, and are given as they are:
    people mark plain files, and some storages decompress while they send."""

    def __init__(self, coding: str) -> None:
        self._deflate = coding == "deflate"
        self._head = b""
        self._plain = False
        self._ended = False  # a whole member has been read, so the stream may end here
        self._stream: zlib._Decompress | None = None
        self._begun = False

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """What the next stored bytes give.

        :raises DecodingError: when they aren't what their beginning promised
        """
        if not self._begun:
            self._head += chunk
            if len(self._head) < 2:
                return
            chunk, self._head = self._head, b""
            self._begin(chunk)
        if self._plain:
            yield chunk
            return
        try:
            yield from self._inflate(chunk)
        except zlib.error as error:
            raise DecodingError(str(error)) from None

    def end(self) -> Iterator[bytes]:
        """What is left when the stored bytes have ended.

        :raises DecodingError: when more of them should have come
        """
        if self._head:
            yield self._head  # a single byte is no coding
        elif self._begun and not self._plain and not self._ended:
            raise DecodingError("they end too early")

    def _begin(self, first: bytes) -> None:
        self._begun = True
        if not self._deflate:
            self._plain = not first.startswith(_GZIP_MAGIC)
            self._stream = zlib.decompressobj(_ANY_WRAP)
            return
        wrapped = first[0] & 0x0F == 8 and int.from_bytes(first[:2], "big") % 31 == 0
        wbits = zlib.MAX_WBITS if wrapped else _RAW  # servers have always disagreed about what deflate is
        self._plain = not _inflates(first, wbits)
        self._stream = zlib.decompressobj(wbits)

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._stream is None:
                data = data.lstrip(b"\0")  # padding between members or after the last
                if self._deflate or not data or not data.startswith(_GZIP_MAGIC[: len(data)]):
                    return  # whatever follows the last member is no part of it
                self._stream, self._ended = zlib.decompressobj(_ANY_WRAP), False
            piece = self._stream.decompress(data, PIECE)
            if piece:
                yield piece
            if self._stream.eof:
                data, self._stream, self._ended = self._stream.unused_data, None, True
                continue
            data = self._stream.unconsumed_tail
            if not data and len(piece) < PIECE:
                return


def _inflates(first: bytes, wbits: int) -> bool:
    try:
        zlib.decompressobj(wbits).decompress(first, 1)
    except zlib.error:
        return False
    return True
