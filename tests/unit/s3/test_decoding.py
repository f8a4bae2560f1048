"""Content-Encoding: the document's bytes, whatever was made of them on the way, and never more than a piece at once."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudindex_provider.s3.decoding import PIECE, Decoder, DecodingError, coding_of, is_known

TEXT = b"<html>" + b"many words " * 1000 + b"</html>"

compressed = partial(gzip.compress, mtime=0)  # the same bytes in every process, as tests are named by them


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


def decoded(coding: str, data: bytes, step: int = 1 << 20) -> bytes:
    decoder = Decoder(coding)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), step):
            yield from decoder.decode(data[start : start + step])
        yield from decoder.end()

    return b"".join(pieces())


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("coding", "stored"),
    [
        ("gzip", compressed(TEXT)),
        ("x-gzip", compressed(TEXT)),
        ("gzip", compressed(TEXT[:50]) + compressed(TEXT[50:])),  # members, as `cat a.gz b.gz` makes
        ("gzip", compressed(TEXT) + b"\0" * 512),  # padding
        ("gzip", compressed(TEXT) + b"garbage"),  # which gzip itself warns of and ignores
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("gzip", TEXT),  # marked, and plain: the store decodes, or a person was wrong
        ("deflate", TEXT),
    ],
    ids=["gzip", "x-gzip", "members", "padding", "garbage", "zlib", "raw", "plain", "plain deflate"],
)
def test_the_document_is_what_the_bytes_mean(coding: str, stored: bytes, step: int) -> None:
    """In whatever pieces they come."""
    assert decoded(coding, stored, step if coding != "deflate" else max(step, 7)) == TEXT


@given(data=st.binary(max_size=300), step=st.integers(1, 50))
def test_any_bytes_come_back(data: bytes, step: int) -> None:
    """Empty ones and those that look like a header, too."""
    assert decoded("gzip", compressed(data), step) == data


@pytest.mark.parametrize("stored", [compressed(TEXT)[:-9], compressed(TEXT)[:30], compressed(TEXT)[:12] + b"x" * 50])
def test_what_is_cut_or_damaged_is_an_error(stored: bytes) -> None:
    """Half a document never passes for one."""
    with pytest.raises(DecodingError):
        decoded("gzip", stored)


def test_a_bomb_comes_in_pieces() -> None:
    """Ten million bytes of nothing in ten thousand: no piece is larger than any other's."""
    bomb = compressed(b"\0" * (10 << 20))
    assert max(map(len, Decoder("gzip").decode(bomb))) <= PIECE


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, ""), ("", ""), ("identity", ""), ("aws-chunked", ""), ("utf-8", ""), ("UTF-8", ""), ("iso-8859-1", ""),
        ("gzip", "gzip"), (" GZIP ", "gzip"), ("aws-chunked,gzip", "gzip"), ("gzip, aws-chunked", "gzip"),
        ("br", "br"), ("gzip, gzip", "gzip, gzip"), ("zstd", "zstd"),
    ],
)  # fmt: skip
def test_the_header_is_read_as_it_is_written(header: str | None, coding: str) -> None:
    """What SDKs leave in it and character sets are no codings."""
    assert coding_of(header) == coding
    assert is_known(coding) == (coding == "gzip")
