"""Hashes of one pass: the same numbers whether a thread helps or not, and no thread is left."""

from __future__ import annotations

import hashlib
import io
import threading
from typing import Any

import pytest

from cloudindex_provider.errors import SourceIntegrityError
from cloudindex_provider.s3.object import Hashes
from cloudindex_provider.s3.source import S3Source

MIB = 1 << 20
CHUNKS = [bytes([number]) * (MIB - number) for number in range(9)]
DATA = b"".join(CHUNKS)


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "cloudindex-md5"]


@pytest.mark.parametrize("size", [0, len(DATA)], ids=["inline", "beside"])
@pytest.mark.parametrize("md5", [False, True])
def test_hashes_are_those_of_all_chunks_in_order(size: int, md5: bool) -> None:
    """``size`` decides about the thread, never about the result."""
    hashes = Hashes(size, md5=md5)
    assert len(threads()) == int(md5 and size > 0)
    for chunk in CHUNKS:
        hashes.stored(chunk)
        hashes.given(chunk)
    assert hashes.sha256() == hashlib.sha256(DATA).hexdigest()
    assert hashes.md5() == (hashlib.md5(DATA, usedforsecurity=False).hexdigest() if md5 else None)
    assert threads() == []


class _S3:
    """One object, given as it is under an ETag that may be another's."""

    def __init__(self, data: bytes, etag: str) -> None:
        self.data, self.etag = data, etag

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"ETag": f'"{self.etag}"', "ContentLength": len(self.data), "Body": io.BytesIO(self.data)}


def opened(etag: str) -> Any:
    return S3Source(_S3(DATA, etag), "b").open("k", etag=etag, size=len(DATA))  # type: ignore[arg-type]


def test_a_large_object_is_checked_against_its_etag() -> None:
    """An MD5 that is computed beside the pass is still checked before the pass has ended."""
    right = opened(hashlib.md5(DATA, usedforsecurity=False).hexdigest())
    assert b"".join(right.chunks()) == DATA
    assert right.sha256 == hashlib.sha256(DATA).hexdigest()
    with pytest.raises(SourceIntegrityError, match="MD5"):
        list(opened("0" * 32).chunks())
    assert threads() == []


def test_a_pass_that_is_given_up_leaves_no_thread() -> None:
    """As when CloudIndex refuses the request in the middle of the body."""
    chunks = opened("0" * 32).chunks()
    next(chunks)
    assert len(threads()) == 1
    chunks.close()
    assert threads() == []
