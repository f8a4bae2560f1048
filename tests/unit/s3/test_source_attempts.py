"""Which requests to S3 are made again: one loop for all, also for reading an object and for its stored hash."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloudindex_provider import errors
from cloudindex_provider.s3.source import S3Source


class ScriptedS3:
    """Answers GETs and HEADs one after the other: with an error, or with bytes of an object whose size is 4."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers, self.asked, self.bodies = list(answers), list[dict[str, Any]](), list[io.BytesIO]()

    def get_object(self, **request: Any) -> Any:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.bodies.append(io.BytesIO(answer))
        return {"ETag": '"e"', "ContentLength": 4, "Body": self.bodies[-1]}

    head_object = get_object

    def list_objects_v2(self, **request: Any) -> Any:
        raise AssertionError("nothing is listed here")


def refusal(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "X")


@pytest.fixture
def slept() -> list[float]:
    """The waits between attempts."""
    return []


@pytest.fixture
def source_of(slept: list[float]) -> Callable[[ScriptedS3], S3Source]:
    """A source with the guide's waits, which take no time."""
    return lambda s3: S3Source(s3, "docs", sleep=slept.append)


def test_an_object_whose_bytes_break_off_or_are_wrong_is_opened_and_read_anew(
    source_of: Callable[[ScriptedS3], S3Source], slept: list[float]
) -> None:
    """What is made of an object is made of whole bytes, and no body is left open."""
    s3 = ScriptedS3(b"tex", b"texts", b"text")
    read = source_of(s3).read("k", lambda one: b"".join(one.chunks()), etag="e", size=4)
    assert (read, slept) == (b"text", [1.0, 2.0])
    assert all(body.closed for body in s3.bodies)


def test_opening_and_reading_an_object_have_three_attempts_together(
    source_of: Callable[[ScriptedS3], S3Source], slept: list[float]
) -> None:
    """A GET that is refused and a body that breaks off are hiccups of one operation, which is given up after three."""
    source = source_of(ScriptedS3(refusal("SlowDown", 503), b"t", refusal("SlowDown", 503), b"text"))
    with pytest.raises(errors.SourceUnavailableError):
        source.sha256("k", etag="e", size=4)
    assert (source.take_calls(), slept) == ({"GetObject": 3}, [1.0, 2.0])


def test_what_no_further_attempt_would_mend_is_raised_at_once(
    source_of: Callable[[ScriptedS3], S3Source], slept: list[float]
) -> None:
    """A reader's own error, and an object that has changed."""
    source = source_of(ScriptedS3(b"text", b"text"))
    with pytest.raises(ZeroDivisionError):
        source.read("k", lambda _: 1 // 0, etag="e", size=4)
    with pytest.raises(errors.SourceChangedError):
        source.sha256("k", etag="other", size=4)
    assert (source.take_calls(), slept) == ({"GetObject": 2}, [])


def test_the_hash_of_an_object_is_that_of_the_listed_bytes(source_of: Callable[[ScriptedS3], S3Source]) -> None:
    """Read to the end, pinned to the ETag."""
    s3 = ScriptedS3(b"text")
    assert source_of(s3).sha256("k", etag="e", size=4) == hashlib.sha256(b"text").hexdigest()
    assert s3.asked == [{"Bucket": "docs", "Key": "k", "IfMatch": '"e"'}]


def test_asking_for_the_stored_hash_is_counted_and_retried_like_every_request(
    source_of: Callable[[ScriptedS3], S3Source], slept: list[float]
) -> None:
    """A HEAD with ChecksumMode; S3's hiccups are waited out, and its 404 is an error here."""
    s3 = ScriptedS3(*[refusal("503", 503)] * 3, refusal("404", 404))
    source = source_of(s3)
    with pytest.raises(errors.SourceUnavailableError):
        source.stored_sha256("k", etag="e", size=4)
    assert (source.take_calls(), slept) == ({"HeadObject": 3}, [1.0, 2.0])
    assert s3.asked[0] == {"Bucket": "docs", "Key": "k", "ChecksumMode": "ENABLED"}
    with pytest.raises(errors.NoSuchKeyError):
        source.stored_sha256("k", etag="e", size=4)
