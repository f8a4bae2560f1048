"""The fast reading of a listing: botocore's rows, or none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from cloudindex_provider import errors
from cloudindex_provider.s3.botocore_shortcuts import ROWS, fast_list
from cloudindex_provider.s3.list_xml import parse_page
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.s3.source import S3Source
from tests.unit.s3.conftest import SERVERS, Entry, Server

ODD = [
    "a b.txt", "a%2Bb.txt", "a+b.txt", "a&amp;.txt", "<&>\"'.txt", "caf\u00e9.txt", "cafe\u0301.txt", "n\nl.txt",
    "x//y.txt", "]]>.txt", "tab\t.txt", "\u00a0", "\U0001f600.txt", "%", "%zz", "+",
]  # fmt: skip
PLAIN = [("a.txt", "0" * 32, 1), ("b.txt", "1" * 32 + "-2", 0), ("c/d.txt", "e", 5 * 10**12)]


def read(client: Any) -> Any:
    """The rows of a listing, or the error that it ends with."""
    try:
        return [row for rows in S3Source(client, "docs", sleep=lambda _: None).pages() for row in rows]
    except errors.S3IntegrationError as error:
        # botocore takes what is no XML for a 500; called through us, it is called unreadable.
        return type(error), "AnswerUnreadable" if error.code == "500" else error.code
    except Exception as error:  # noqa: BLE001 - what botocore itself stumbles over is compared, too
        return (type(error),)


def slowly(client: Any) -> Any:
    """The same client where nothing can be registered, so that botocore reads every page."""
    return SimpleNamespace(list_objects_v2=client.list_objects_v2)


def test_every_known_server_is_read_fast(server: Server, make_client: Callable[..., Any]) -> None:
    """What real servers write differs in quotes, times, checksums, owners and spaces; the rows are botocore's."""
    client, answers = make_client()
    answers.body = server.page(PLAIN)
    page = parse_page(answers.body)
    assert page is not None
    storage_class = (server.storage_class or "STANDARD") + (",RESTORED" if "RestoreExpiry" in server.after else "")
    expected = [(key, etag, size, "2026-01-02T03:04:05Z", storage_class) for key, etag, size in PLAIN]
    assert list(page.rows) == read(client) == read(slowly(client)) == expected
    assert all(type(row) is ListedObject for row in read(client))


@pytest.mark.parametrize("url", [True, False])
def test_odd_keys_are_botocore_s(make_client: Callable[..., Any], url: bool) -> None:
    """Keys with spaces, signs, controls, both normal forms and emoji, encoded for a URL or not."""
    client, answers = make_client()
    keys = sorted(ODD)
    answers.body = Server(url=url).page([(key, "e", 1) for key in keys])
    assert [row.key for row in read(slowly(client))] == keys if url else True
    assert read(client) == read(slowly(client))
    if url:
        assert parse_page(answers.body) is not None


def test_rows_of_a_page_may_differ(make_client: Callable[..., Any]) -> None:
    """Objects with and without checksums, restored and owned, in one page."""
    client, answers = make_client()
    known = [one for one in SERVERS.values() if one.url]
    rows = "".join(one._row((f"{at:03d}", "e", at)) for at, one in enumerate(known))
    answers.body = known[0].page([]).replace(b"</Li", rows.encode() + b"</Li").replace(
        b"<KeyCount>0", f"<KeyCount>{len(known)}".encode()
    )  # fmt: skip
    assert parse_page(answers.body) is not None
    assert read(client) == read(slowly(client))


WHOLE = SERVERS["s3"].page(PLAIN)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        WHOLE + b"<x/>",
        WHOLE.replace(b"<KeyCount>3", b"<KeyCount>4"),
        WHOLE.replace(b"<KeyCount>3</KeyCount>", b"<KeyCount>3</KeyCount><KeyCount>3</KeyCount>"),
        WHOLE.replace(b"<IsTruncated>false</IsTruncated>", b""),
        WHOLE.replace(b"<IsTruncated>false", b"<IsTruncated>no"),
        WHOLE.replace(b"ListBucketResult", b"ListVersionsResult"),
        WHOLE.replace(b"</ListB", b"<CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes></ListB"),
        WHOLE.replace(b"<Contents>", b"<!-- x --><Contents>", 1),
        WHOLE.replace(b"</Contents><Contents>", b"</Contents>x<Contents>", 1),
        WHOLE.replace(b"<Size>1</Size>", b""),
        WHOLE.replace(b"<Size>1</Size>", b"<Size>1</Size><Size>2</Size>"),
        WHOLE.replace(b"<Size>1<", b"<Size>-1<"),
        WHOLE.replace(b"<Size>1<", b"<Size>" + b"9" * 5000 + b"<"),
        WHOLE.replace(b"<Key>a.txt</Key>", b"<Key></Key>"),
        WHOLE.replace(b"<Key>a.txt</Key>", b"<Key><![CDATA[a.txt]]></Key>"),
        WHOLE.replace(b"a.txt", b"a&#46;txt"),
        WHOLE.replace(b"a.txt", b"a&nbsp;txt"),
        WHOLE.replace(b"a.txt", b"a]]>txt"),
        WHOLE.replace(b"a.txt", b"a\rtxt"),
        WHOLE.replace(b"a.txt", b"a\x00txt"),
        WHOLE.replace(b"a.txt", "a\uffffb".encode()),
        WHOLE.replace(b"UTF-8", b"latin-1"),
        WHOLE.replace(b"UTF-8", b"UTF-16"),
        WHOLE.replace(b"&quot;e&quot;", b"W/&quot;e&quot;"),
        WHOLE.replace(b"2026-01-02T03:04:05.000Z", b"Fri, 02 Jan 2026 03:04:05 GMT"),
        WHOLE.replace(b"2026-01-02T03:04:05.000Z", b"2026-01-02T03:04:05+01:00"),
        WHOLE.replace(b"<Contents>", b"<x:Contents>").replace(b"</Contents>", b"</x:Contents>"),
        WHOLE.replace(b"</StorageClass>", b"</StorageClass><New>1</New>"),
        WHOLE.replace(b"url</Enc", b"base64</Enc"),
    ],
)
def test_anything_unexpected_is_left_to_botocore(make_client: Callable[..., Any], body: bytes) -> None:
    """Not whole, counted otherwise or written otherwise: botocore's rows or botocore's error."""
    assert body != WHOLE
    assert parse_page(body) is None
    client, answers = make_client()
    answers.body = body
    assert read(client) == read(slowly(client))


@pytest.mark.parametrize(
    ("url", "key"), [(True, b"a%FF.txt"), (False, b"a\xff.txt"), (True, b"a%ED%A0%80.txt")], ids=str
)
def test_a_key_that_is_no_utf8_is_set_apart_and_costs_no_other(
    make_client: Callable[..., Any], url: bool, key: bytes
) -> None:
    """Neither the page is lost, nor does botocore's U+FFFD stand for another key; its count is the page's."""
    client, answers = make_client()
    answers.body = Server(url=url).page(PLAIN).replace(b"a.txt", key)
    source = S3Source(client, "docs")
    assert [row.key for rows in source.pages() for row in rows] == ["b.txt", "c/d.txt"]
    (odd,) = source.take_unreadable_keys()
    assert "\udc80" <= odd[1] <= "\udcff"
    assert source.take_unreadable_keys() == []


@pytest.mark.parametrize(
    "empty", [b"<LastModified></LastModified>", b"<LastModified/>", b"<LastModified>-</LastModified>"]
)
@pytest.mark.parametrize("odd", [b"", b"<New>1</New>"], ids=["fast", "botocore's"])
def test_an_empty_time_costs_no_row(make_client: Callable[..., Any], empty: bytes, odd: bytes) -> None:
    """The object is listed without a time, and its neighbours with theirs."""
    client, answers = make_client()
    page = Server().page(PLAIN).replace(b"<LastModified>2026-01-02T03:04:05.000Z</LastModified>", empty, 1)
    answers.body = page.replace(b"</Contents></L", odd + b"</Contents></L")
    rows = read(client)
    assert [(row.key, row.last_modified) for row in rows] == [
        ("a.txt", ""), ("b.txt", "2026-01-02T03:04:05Z"), ("c/d.txt", "2026-01-02T03:04:05Z"),
    ]  # fmt: skip


@pytest.mark.parametrize("etag", ["", "&quot;&quot;"])
def test_an_object_without_an_etag_is_told_apart_by_its_time(make_client: Callable[..., Any], etag: str) -> None:
    """By the fast way and by botocore's, and the source knows that its storage gives none."""
    client, answers = make_client()
    answers.body = Server(quote=etag).page([("a.txt", "", 1)]).replace(etag.encode() * 2, etag.encode())
    for one in (client, slowly(client)):
        source = S3Source(one, "docs")
        assert [row.etag for rows in source.pages() for row in rows] == ["@2026-01-02T03:04:05Z"]
        assert source.has_no_etags


@pytest.mark.parametrize("written", ["W/&quot;e&quot;", "W/e", "&quot;e&quot;", "e", '"e"', 'W/"e"'])
def test_an_etag_is_the_same_however_it_is_written(make_client: Callable[..., Any], written: str) -> None:
    """Weak, quoted, unquoted."""
    client, answers = make_client()
    answers.body = Server(quote="").page([("a.txt", written, 1)])
    assert [row.etag for row in read(client)] == [row.etag for row in read(slowly(client))] == ["e"]


@pytest.mark.parametrize("rows", [["a", "b", "b", "c"], ["a", "a"], ["a", "b", "b"]])
def test_a_key_listed_twice_side_by_side_counts_once(make_client: Callable[..., Any], rows: list[str]) -> None:
    """A gateway that shows an object's two versions, or one part of a key space twice."""
    client, answers = make_client()
    answers.body = Server().page([(key, "e", 1) for key in rows])
    assert [row.key for row in read(client)] == sorted(set(rows))


def test_restored_copies_are_asked_for_once_where_the_storage_does_not_know_the_question(
    make_client: Callable[..., Any],
) -> None:
    """R2 answers 501 to headers that it doesn't know: asked without it then, and for good."""
    client, answers = make_client()
    asked: list[bool] = []

    def refuse(request: Any, **_: Any) -> None:
        asked.append("x-amz-optional-object-attributes" in request.headers)
        answers.status = 501 if asked[-1] else 200
        answers.body = b"<Error><Code>NotImplemented</Code></Error>" if asked[-1] else Server().page(PLAIN)

    client.meta.events.register("before-sign.s3.ListObjectsV2", refuse)
    source = S3Source(client, "docs", sleep=lambda _: None)
    for _ in range(2):
        assert [row.key for rows in source.pages() for row in rows] == [key for key, _, _ in PLAIN]
    assert asked == [True, False, False]


def test_only_a_200_is_read(make_client: Callable[..., Any]) -> None:
    """A listing under any other status is no listing."""
    client, answers = make_client()
    answers.body = WHOLE
    for status in (403, 404, 500):
        answers.status = status
        assert read(client)[0] is read(slowly(client))[0]


def test_tokens_and_truncation_are_kept(make_client: Callable[..., Any]) -> None:
    """What the page says besides its rows is botocore's reading of it."""
    client, answers = make_client()
    answers.body = Server().page(PLAIN, token="x&amp;y=")
    answer = fast_list(client)(Bucket="docs")
    plain = client.list_objects_v2(Bucket="docs")
    assert (answer["IsTruncated"], answer["NextContinuationToken"], answer["KeyCount"]) == (True, "x&y=", 3)
    assert {name for name in plain if answer.get(name) != plain[name]} == {"Contents"}
    assert len(answer[ROWS]) == 3


def test_other_calls_never_notice(make_client: Callable[..., Any]) -> None:
    """Who lists with the same client, or another, without asking for rows has botocore's answer; nothing piles up."""
    client, answers = make_client()
    other, others = make_client()
    answers.body = others.body = WHOLE
    for _ in range(3):
        assert ROWS in fast_list(client)(Bucket="docs")
    for one in (client, other):
        answer = one.list_objects_v2(Bucket="docs")
        assert ROWS not in answer
        assert [row["Key"] for row in answer["Contents"]] == [key for key, _, _ in PLAIN]
    assert len([one for one in handlers(client) if one.__module__.startswith("cloudindex")]) == 1
    assert not [one for one in handlers(other) if one.__module__.startswith("cloudindex")]


def handlers(client: Any) -> list[Any]:
    seen: list[Any] = []
    client.meta.events.register_first("before-parse.s3.ListObjectsV2", lambda **_: None)
    emitter = client.meta.events._emitter
    for group in emitter._handlers.prefix_search("before-parse.s3.ListObjectsV2"):
        seen.append(group)
    return seen


def test_threads_share_a_client(make_client: Callable[..., Any]) -> None:
    """One thread's fast listing doesn't change another's calls, and a listing that fails leaves nothing behind."""
    client, answers = make_client()
    answers.body = WHOLE
    wrong: list[Any] = []

    def fast() -> None:
        for _ in range(30):
            if ROWS not in fast_list(client)(Bucket="docs"):
                wrong.append("slow")

    def plain() -> None:
        for _ in range(30):
            if ROWS in client.list_objects_v2(Bucket="docs"):
                wrong.append("rows")

    threads = [threading.Thread(target=one) for one in (fast, plain, fast, plain)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []
    answers.status, answers.body = 403, b"<Error><Code>AccessDenied</Code></Error>"
    assert read(client)[0] is errors.AccessDeniedError
    answers.status, answers.body = 200, WHOLE
    assert ROWS not in client.list_objects_v2(Bucket="docs")


def test_a_real_server_s_listing_is_read_fast() -> None:
    """moto's pages take the fast path, and give what botocore gives."""
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
        client.create_bucket(Bucket="docs")
        for key in ODD:
            client.put_object(Bucket="docs", Key=key, Body=key.encode())
        assert ROWS in fast_list(client)(Bucket="docs")
        assert [row.key for row in read(client)] == sorted(ODD)
        assert read(client) == read(slowly(client))


characters = st.characters(exclude_categories=["Cs"]) | st.sampled_from(
    "%+&<>\"' /\n\r\t\u00e9\u0301\ufffe\uffff\x00;#a"
)
key_names = st.text(characters, min_size=1, max_size=12)
etags = st.text("0123456789abcdef-", min_size=1, max_size=34) | st.text(st.characters(codec="ascii"), max_size=5)
entries = st.tuples(key_names, etags, st.integers(0, 10**13))


@pytest.fixture(scope="module")
def one_client(make_client: Callable[..., Any]) -> Any:
    return make_client()


@given(
    rows=st.lists(entries, min_size=1, max_size=6, unique_by=lambda entry: entry[0]),
    server=st.sampled_from(list(SERVERS.values())),
    cut=st.none() | st.integers(1, 200),
)
@example(rows=[("]]>", "e", 1)], server=Server(url=False), cut=None)
@example(rows=[("a\nb", "e", 1), ("c", "e", 1)], server=Server(), cut=None)
@example(rows=[("a", 'e"', 1)], server=Server(url=False), cut=None)
@settings(max_examples=300, deadline=None)
def test_the_rows_are_always_botocore_s(one_client: Any, rows: list[Entry], server: Server, cut: int | None) -> None:
    """Any listing at all, whole or cut short: the same rows, or the same error, as without the fast path."""
    client, answers = one_client
    answers.body = server.page(sorted(rows))[: -cut if cut else None]
    assert read(client) == read(slowly(client))


@given(st.lists(key_names.filter(lambda key: "\r" not in key), min_size=1, max_size=6, unique=True))
@settings(max_examples=100, deadline=None)
def test_keys_encoded_for_urls_are_always_read_fast(keys: list[str]) -> None:
    """No key makes a page of S3's slow."""
    page = parse_page(SERVERS["s3"].page([(key, "e", 1) for key in keys]))
    assert page is not None
    assert list(page.rows.keys) == keys
