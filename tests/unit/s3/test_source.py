"""Reading S3: order, tokens, proofs of absence, and bytes that are what S3 announced."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody
from moto import mock_aws

from cloudindex_provider import errors
from cloudindex_provider.s3.object import CHUNK
from cloudindex_provider.s3.source import S3Source

DAY = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


class FakeS3:
    """Answers from a script, in boto3's shapes; remembers what it was asked."""

    def __init__(self, *pages: dict[str, Any], get: Any = None, head: Any = None) -> None:
        self.pages, self.get, self.head = list(pages), get, head
        self.asked: list[dict[str, Any]] = []

    def _answer(self, request: dict[str, Any], answer: Any) -> Any:
        self.asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def list_objects_v2(self, **request: Any) -> Any:
        return self._answer(dict(request), self.pages.pop(0))

    def get_object(self, **request: Any) -> Any:
        return self._answer(request, self.get)

    def head_object(self, **request: Any) -> Any:
        return self._answer(request, self.head)


def refusal(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "X")


def page(*keys: str, token: str | None = None, **more: Any) -> dict[str, Any]:
    rows = [{"Key": key, "ETag": '"e"', "Size": 1, "LastModified": DAY} for key in keys]
    return {"Contents": rows, "IsTruncated": token is not None, "NextContinuationToken": token, **more}


def keys_of(source: S3Source, **more: Any) -> list[str]:
    return [row.key for rows in source.pages(**more) for row in rows]


def test_pages_are_read_to_the_end() -> None:
    """Every page is asked for by the token of the one before, and an empty page in between ends nothing."""
    s3 = FakeS3(page("pa", "pb", token="t1"), page(token="t2"), page("pc"))
    source = S3Source(s3, "docs")
    assert keys_of(source, prefix="p") == ["pa", "pb", "pc"]
    assert [ask.get("ContinuationToken") for ask in s3.asked] == [None, "t1", "t2"]
    assert {(ask["Bucket"], ask["Prefix"]) for ask in s3.asked} == {("docs", "p")}
    assert source.take_calls() == {"ListObjectsV2": 3}
    assert source.take_calls() == {}


def test_an_empty_bucket_has_no_pages() -> None:
    """Nothing listed is no page, not an empty one."""
    assert list(S3Source(FakeS3(page()), "docs").pages()) == []


def test_utf8_order_is_order() -> None:
    """U+FFEE sorts before an emoji in UTF-8, though not in UTF-16."""
    keys = ["A", "Z", "a", "a b", "a+b", "a/b", "\u00e9", "\uffee", "\U0001f600"]
    assert keys_of(S3Source(FakeS3(page(*keys)), "docs")) == keys


@pytest.mark.parametrize(
    "pages",
    [
        [page("b", "a")],
        [page("a", "c", "a")],
        [page("a", "c", token="t"), page("c", "b")],
        [page("a", "b", token="t"), page("a")],
        [page("\U0001f600", "\uffee")],  # UTF-16's order
    ],
)
def test_disorder_is_an_error_that_names_both_keys(pages: list[dict[str, Any]]) -> None:
    """Two keys out of order, also across pages, stop the listing."""
    with pytest.raises(errors.SourceOrderError) as caught:
        keys_of(S3Source(FakeS3(*pages), "docs"))
    assert caught.value.previous >= str(caught.value.key)
    assert repr(caught.value.key) in str(caught.value)
    assert repr(caught.value.previous) in str(caught.value)


def test_a_key_that_comes_twice_side_by_side_comes_once() -> None:
    """In a page the newest of them; over a page's edge, and where a listing begins, the first."""
    rows = [
        {"Key": "b", "ETag": f'"{etag}"', "Size": 1, "LastModified": DAY + dt.timedelta(days=day)}
        for day, etag in enumerate(["old", "new", "older"], 1)
    ]
    rows[2]["LastModified"] = DAY
    first = {"Contents": [*page("a")["Contents"], *rows], "IsTruncated": True, "NextContinuationToken": "t"}
    source = S3Source(FakeS3(first, page("b", "c", "c", token="u"), page("c", token="v"), page("c", "d")), "docs")
    assert [(row.key, row.etag) for rows in source.pages(start_after="a") for row in rows] == [
        ("b", "new"), ("c", "e"), ("d", "e"),
    ]  # fmt: skip


def test_prefixes_that_are_counted_as_keys_cost_nothing() -> None:
    """Directory buckets count the prefixes of multipart uploads under way; they are no objects."""
    some = page("a", CommonPrefixes=[{"Prefix": "b/"}], KeyCount=2)
    assert keys_of(S3Source(FakeS3(some), "docs")) == ["a"]


def test_a_listing_begins_after_a_key() -> None:
    """``start_after`` is S3's, and what comes before it is disorder."""
    s3 = FakeS3(page("c"))
    assert keys_of(S3Source(s3, "docs"), start_after="b") == ["c"]
    assert s3.asked[0]["StartAfter"] == "b"
    with pytest.raises(errors.SourceOrderError):
        keys_of(S3Source(FakeS3(page("a")), "docs"), start_after="b")


@pytest.mark.parametrize(
    "pages",
    [
        [page("a", IsTruncated=True)],
        [page("a", token="t"), page("b", token="t")],  # the same place again: it would never end
    ],
)
def test_a_listing_that_does_not_say_where_it_goes_on_is_not_complete(pages: list[dict[str, Any]]) -> None:
    """A truncated page without a new token is an error, never an end."""
    with pytest.raises(errors.S3IntegrationError) as caught:
        keys_of(S3Source(FakeS3(*pages), "docs"))
    assert caught.value.code == "ListingTokenMissing"


@pytest.mark.parametrize(
    "odd",
    [
        {"Contents": []},  # a web page, parsed
        {**page("a", "b"), "KeyCount": 3},
        page("a", "z"),  # a server that ignores the prefix
    ],
)
def test_a_page_that_is_not_whole_ends_no_listing(odd: dict[str, Any]) -> None:
    """A page that doesn't say whether it is the last, whose rows aren't those it says, or of other prefixes."""
    with pytest.raises(errors.SourceUnavailableError) as caught:
        keys_of(S3Source(FakeS3(odd), "docs", first_wait=0), prefix="a")
    assert caught.value.code == "ListingUnreadable"


def test_what_s3_could_not_answer_for_now_is_asked_again_twice() -> None:
    """The guide's retries: three attempts, one second and then two between them, for hiccups only."""
    for error, attempts in [
        (refusal("SlowDown", 503), 3),
        (refusal("InternalError", 500), 3),
        (refusal("AccessDenied", 403), 1),
    ]:
        slept: list[float] = []
        source = S3Source(FakeS3(head=error), "docs", sleep=slept.append)
        with pytest.raises(errors.S3IntegrationError):
            source.head("k")
        assert source.take_calls() == {"HeadObject": attempts}
        assert slept == [1.0, 2.0][: attempts - 1]


def test_a_failing_page_ends_the_listing_with_an_error() -> None:
    """What S3 refuses halfway is an error after the pages that came."""
    s3 = FakeS3(page("a", token="t"))
    s3.pages += [refusal("SlowDown", 503)] * 3
    pages = S3Source(s3, "docs", first_wait=0).pages()
    assert [row.key for row in next(pages)] == ["a"]
    with pytest.raises(errors.SourceUnavailableError):
        next(pages)


@pytest.mark.parametrize("etag", ['"0123"', "0123"])
def test_etags_have_no_quotes(etag: str) -> None:
    """Quoted or not, listed, by HEAD and by GET, an ETag is the same."""
    row = {"Key": "k", "ETag": etag, "Size": 4, "LastModified": DAY}
    answer = {"ETag": etag, "ContentLength": 4, "LastModified": DAY, "Body": io.BytesIO(b"text")}
    s3 = FakeS3({"Contents": [row], "IsTruncated": False}, head=answer, get=answer)
    source = S3Source(s3, "docs")
    listed = next(source.pages())[0]
    assert listed == source.head("k") == ("k", "0123", 4, "2026-01-02T03:04:05Z", "STANDARD")
    assert source.open("k", etag="0123", size=4).etag == "0123"
    assert s3.asked[-1]["IfMatch"] == '"0123"'


def test_only_a_404_proves_that_a_key_is_gone() -> None:
    """HEAD's 404 is ``None``; every other refusal is an error that proves nothing."""
    assert S3Source(FakeS3(head=refusal("404", 404)), "docs").head("k") is None
    for error, expected in [
        (refusal("403", 403), errors.AccessDeniedError),
        (refusal("500", 500), errors.SourceUnavailableError),
        (refusal("NoSuchBucket", 404), errors.NoSuchBucketError),
        (refusal("NoSuchKey", 400), errors.NoSuchKeyError),  # a proxy's invention
        (ReadTimeoutError(endpoint_url="x"), errors.SourceUnavailableError),
    ]:
        with pytest.raises(expected):
            S3Source(FakeS3(head=error), "docs", first_wait=0).head("k")


# An object's bytes

Opener = Callable[..., Any]


class Body(io.BytesIO):
    """A body that counts how much was asked of it at once."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.sizes: list[int] = []

    def read(self, size: int | None = -1) -> bytes:
        self.sizes.append(-1 if size is None else size)
        return super().read(size)


@pytest.fixture
def opened() -> Opener:
    """An object opened by GET."""

    def open_(data: bytes, *, size: int | None = None, etag: str = "e", body: Any = None, **answer: Any) -> Any:
        size = len(data) if size is None else size
        full = {"ETag": f'"{etag}"', "ContentLength": size, "Body": Body(data) if body is None else body, **answer}
        return S3Source(FakeS3(get=full), "docs").open("k", etag=etag, size=size)

    return open_


def test_bytes_come_in_bounded_chunks(opened: Opener) -> None:
    """However large the object, no read is larger than a chunk; the hash is known at the end only."""
    data = bytes(range(256)) * (CHUNK // 256 * 2) + b"tail"
    body = Body(data)
    item = opened(data, body=body)
    chunks = item.chunks()
    first = next(chunks)
    assert item.sha256 is None
    got = [first, *chunks]
    assert b"".join(got) == data
    assert max(map(len, got)) <= CHUNK
    assert set(body.sizes) == {CHUNK}
    assert body.closed
    assert item.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("data", "size"), [(b"short", 6), (b"", 1), (b"longer", 5)])
def test_another_length_than_announced_is_an_error(opened: Opener, data: bytes, size: int) -> None:
    """A body that ends early or goes on too long never passes for the object."""
    item = opened(data, size=size)
    with pytest.raises(errors.SourceIntegrityError) as caught:
        list(item.chunks())
    assert (caught.value.code, caught.value.key) == ("LengthMismatch", "k")
    assert item.sha256 is None


def test_too_long_a_body_is_not_passed_on(opened: Opener) -> None:
    """No byte beyond the announced length reaches the reader."""
    item = opened(b"x" * (CHUNK + 5), size=CHUNK)
    chunks = item.chunks()
    assert len(next(chunks)) == CHUNK
    with pytest.raises(errors.SourceIntegrityError):
        next(chunks)


def test_a_streaming_body_works_and_its_short_end_is_an_error(opened: Opener) -> None:
    """botocore's own body type is read the same way, and a connection cut short is S3's failure."""
    whole = opened(b"text", body=StreamingBody(io.BytesIO(b"text"), 4))
    assert b"".join(whole.chunks()) == b"text"
    cut = opened(b"text", body=StreamingBody(io.BytesIO(b"te"), 4))
    with pytest.raises(errors.S3IntegrationError) as caught:
        list(cut.chunks())
    assert caught.value.retryable
    assert caught.value.key == "k"
    assert cut.sha256 is None


def test_a_read_that_fails_is_s3_s_failure_and_closes_the_body(opened: Opener) -> None:
    """A timeout in the middle of a body is typed, and the connection is let go."""

    class Failing(Body):
        def read(self, size: int | None = -1) -> bytes:
            raise ReadTimeoutError(endpoint_url="x")

    body = Failing(b"text")
    with pytest.raises(errors.SourceUnavailableError):
        list(opened(b"text", body=body).chunks())
    assert body.closed


MD5 = hashlib.md5(b"text", usedforsecurity=False).hexdigest()
WRONG = "0" * 32


@pytest.mark.parametrize(
    ("etag", "answer", "checked"),
    [
        (WRONG, {}, True),
        (WRONG, {"ServerSideEncryption": "AES256"}, True),
        (WRONG, {"ServerSideEncryption": "aws:kms"}, False),
        (WRONG, {"ServerSideEncryption": "aws:kms:dsse"}, False),
        (WRONG, {"SSECustomerAlgorithm": "AES256"}, False),
        (WRONG + "-2", {}, False),  # multipart
        (WRONG.replace("0", "A"), {}, False),  # 32 hex, but S3 writes MD5s in lower case
        (MD5, {}, False),  # right
    ],
)
def test_the_md5_is_checked_only_where_the_etag_is_one(
    opened: Opener, etag: str, answer: dict[str, Any], checked: bool
) -> None:
    """ETags of encrypted and of multipart objects look like MD5s or not, and are none."""
    item = opened(b"text", etag=etag, **answer)
    if checked:
        with pytest.raises(errors.SourceIntegrityError) as caught:
            list(item.chunks())
        assert caught.value.code == "ChecksumMismatch"
    else:
        assert b"".join(item.chunks()) == b"text"


@pytest.mark.parametrize(
    "answer",
    [
        {"ETag": '"other"', "ContentLength": 4},
        {"ETag": '"e"', "ContentLength": 3},
        {"ContentLength": 4},
    ],
)
def test_a_server_that_ignores_if_match_is_caught(answer: dict[str, Any]) -> None:
    """The answer's ETag and length are compared by us, too, and the body is let go."""
    body = Body(b"text")
    with pytest.raises(errors.SourceChangedError):
        S3Source(FakeS3(get={**answer, "Body": body}), "docs").open("k", etag="e", size=4)
    assert body.closed


def test_what_get_says_is_kept(opened: Opener) -> None:
    """Version, metadata, type and time come from the GET."""
    item = opened(b"x", VersionId="v", Metadata={"a": "b"}, ContentType="text/x", LastModified=DAY)
    facts = (item.version_id, item.metadata, item.content_type, item.last_modified)
    assert facts == ("v", {"a": "b"}, "text/x", "2026-01-02T03:04:05Z")


def test_a_key_twice_across_pages_counts_once() -> None:
    """The last key of a page again at the head of the next."""
    assert keys_of(S3Source(FakeS3(page("a", "b", token="t"), page("b", "c")), "docs")) == ["a", "b", "c"]


def test_keys_that_are_no_utf8_disturb_neither_order_nor_count() -> None:
    """In S3's order of bytes they stand elsewhere than in Python's order of characters."""
    source = S3Source(FakeS3(page("a", "b\udc80", "b\u00e9", "c", KeyCount=4)), "docs")
    assert keys_of(source) == ["a", "b\u00e9", "c"]
    assert source.take_unreadable_keys() == ["b\udc80"]


class ByETag(FakeS3):
    """A server that takes an ETag in some spellings only, and gives it in one."""

    def __init__(self, given: str, *taken: str | None) -> None:
        super().__init__(head={"ETag": given, "ContentLength": 4, "LastModified": DAY})
        self.given, self.taken = given, taken

    def get_object(self, **request: Any) -> Any:
        refused = request.get("IfMatch") not in self.taken
        answer = {"ETag": self.given, "ContentLength": 4, "Body": io.BytesIO(b"text"), "LastModified": DAY}
        return self._answer(request, refusal("PreconditionFailed", 412) if refused else answer)


@pytest.mark.parametrize(("given", "taken"), [('W/"e"', "e"), ("e", "e"), ('W/"e"', None), ('"e"', '"e"')])
def test_a_412_for_the_very_etag_of_head_is_asked_otherwise(given: str, taken: str | None) -> None:
    """Unquoted, then without a condition; what was learned is remembered, and the answer is compared all the same."""
    s3 = ByETag(given, taken)
    source = S3Source(s3, "docs")
    for _ in range(2):
        assert b"".join(source.open("k", etag="e", size=4).chunks()) == b"text"
    assert [ask.get("IfMatch") for ask in s3.asked][-1] == taken
    assert source.take_calls()["GetObject"] <= 4
    with pytest.raises(errors.SourceChangedError):
        source.open("k", etag="other", size=4)


@pytest.mark.parametrize("answer", [{}, {"ContentLength": "4, 4"}])
def test_an_answer_without_a_length_is_counted(answer: dict[str, Any]) -> None:
    """Neither GET nor HEAD needs a Content-Length; HEAD's is told by a listing of that key."""
    full = {"ETag": '"e"', "LastModified": DAY, **answer}
    s3 = FakeS3(page("k", "kk"), get={**full, "Body": io.BytesIO(b"text")}, head=full)
    source = S3Source(s3, "docs")
    assert b"".join(source.open("k", etag="e", size=4).chunks()) == b"text"
    found = source.head("k")
    assert found is not None
    assert (found.key, found.size) == ("k", 4 if answer else 1)


def test_a_body_without_a_length_that_is_cut_is_an_error() -> None:
    """Fewer bytes than are stored never pass, however often they come."""

    class Cut(FakeS3):
        def get_object(self, **request: Any) -> Any:
            return self._answer(request, {"ETag": "e", "Body": io.BytesIO(b"tex")})

    source = S3Source(Cut(), "docs", first_wait=0)
    with pytest.raises(errors.SourceIntegrityError, match="3 bytes of 4"):
        source.sha256("k", etag="e", size=4)
    assert source.take_calls() == {"GetObject": 3}


def test_two_identical_reads_prove_that_an_etag_is_no_md5() -> None:
    """One wrong read is a damaged one; the same bytes twice are what is there, and no ETag is compared after that."""

    bodies = [b"teXt", b"text", b"text", b"more"]

    class Odd(FakeS3):
        def get_object(self, **request: Any) -> Any:
            return self._answer(request, {"ETag": WRONG, "ContentLength": 4, "Body": io.BytesIO(bodies.pop(0))})

    source = S3Source(Odd(), "docs", first_wait=0)
    assert source.sha256("k", etag=WRONG, size=4) == hashlib.sha256(b"text").hexdigest()
    assert source.take_calls() == {"GetObject": 3}
    assert not source.proofs.etags_are_md5
    assert source.sha256("k2", etag=WRONG, size=4) == hashlib.sha256(b"more").hexdigest()


# A server

ODD = ["a b.txt", "a%2Bb.txt", "a+b.txt", "caf\u00e9.txt", "cafe\u0301.txt", "n\nl.txt", "x//y.txt", "\U0001f600.txt"]


@pytest.fixture
def bucket() -> Iterator[Any]:
    """A client of moto's S3 with the bucket ``docs``."""
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
        client.create_bucket(Bucket="docs")
        yield client


def test_odd_keys_survive_listing_and_reading(bucket: Any) -> None:
    """A real client lists odd keys in order and opens each by its listed ETag and size."""
    for key in ODD:
        bucket.put_object(Bucket="docs", Key=key, Body=key.encode())
    source = S3Source(bucket, "docs")
    rows = [row for rows in source.pages(page_size=3) for row in rows]
    assert [row.key for row in rows] == sorted(ODD, key=lambda key: key.encode())
    for row in rows:
        assert b"".join(source.open(row.key, etag=row.etag, size=row.size).chunks()).decode() == row.key


def test_an_overwritten_or_deleted_object_is_noticed(bucket: Any) -> None:
    """What was listed and is no more is told apart: changed, or gone."""
    bucket.put_object(Bucket="docs", Key="k", Body=b"one")
    source = S3Source(bucket, "docs")
    row = next(source.pages())[0]
    bucket.put_object(Bucket="docs", Key="k", Body=b"two")
    with pytest.raises(errors.SourceChangedError):
        source.open("k", etag=row.etag, size=row.size)
    bucket.delete_object(Bucket="docs", Key="k")
    with pytest.raises(errors.NoSuchKeyError):
        source.open("k", etag=row.etag, size=row.size)
    assert source.head("k") is None


def test_a_missing_bucket_is_named(bucket: Any) -> None:
    """Listing a bucket that isn't there says so."""
    with pytest.raises(errors.NoSuchBucketError):
        next(S3Source(bucket, "elsewhere").pages())


@pytest.mark.parametrize("answer", [{"Contents": [{"Size": 1}], "IsTruncated": False}, {"Contents": 5}, None])
def test_a_page_that_makes_no_sense_is_no_end_of_a_listing(answer: Any) -> None:
    class Client(FakeS3):
        def list_objects_v2(self, **_: Any) -> Any:
            return answer

    with pytest.raises(errors.SourceUnavailableError, match="can't be read") as caught:
        list(S3Source(Client(), "bucket", sleep=lambda _: None).pages("docs/"))
    assert caught.value.code == "ListingUnreadable"
