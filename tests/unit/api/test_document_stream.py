"""The list of all documents: every shape is read, none that is broken just ends, and memory stays flat."""

from __future__ import annotations

import json
import tracemalloc

import httpx
import pytest

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.document_stream import next_page
from cloudindex_provider.errors import AuthenticationError, InvalidAnswerError

ONE = {"id": "1", "fileName": "a.pdf", "processingStatus": "processed", "tags": [{"x": [1]}], "meta": {"id": "no"}}
TWO = {"id": "2", "fileName": "b.pdf", "status": "pending", "fileSize": 7, "contentHash": "AB", "version": None}


def ids(stream):
    return [document.id for document in stream]


@pytest.mark.parametrize(
    "shape",
    [
        [ONE, TWO],
        {"documents": [ONE, TWO]},
        {"data": [ONE, TWO], "extra": {"documents": 1}},
        {"success": True, "items": [ONE, TWO], "total": 2},
        {"pagination": {"hasMore": False, "total": 2}, "documents": [ONE, TWO], "other": [[1], {}]},
    ],
)
def test_every_shape_of_the_list_gives_the_same_documents(scripted, shape):
    client, _ = scripted(shape)
    stream = client.iter_documents()
    assert stream.complete is None
    first, second = stream
    assert (first.id, first.file_name, first.status) == ("1", "a.pdf", "processed")
    assert (second.size, second.content_hash, second.version, second.status) == (7, "ab", None, "pending")
    assert stream.complete is True


@pytest.mark.parametrize("shape", [[], {"documents": []}, {"documents": [], "total": 0}])
def test_an_empty_list_is_a_complete_one(scripted, shape):
    client, _ = scripted(shape)
    stream = client.iter_documents()
    assert ids(stream) == []
    assert stream.complete is True


@pytest.mark.parametrize(
    "shape",
    [
        {"documents": [ONE], "total": 2},
        {"documents": [ONE], "pagination": {"total": 0}},
        [ONE, {"id": "2"}],
        [ONE, {"fileName": "x"}],
        [ONE, None],
        [ONE, [TWO]],
        [ONE, "2"],
        {"documents": [ONE], "data": []},
        {"documents": [ONE], "pagination": {"hasMore": True}},
    ],
)
def test_a_list_that_may_miss_something_says_so(scripted, shape):
    client, _ = scripted(shape)
    stream = client.iter_documents()
    assert ids(stream) == ["1"]
    assert stream.complete is False


WHOLE = json.dumps([ONE, TWO]).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"3",
        b'"x"',
        b"<html>sign in</html>",
        b'{"documents": null}',
        b'{"documents": {}}',
        b'{"success": false, "documents": []}',
        b'{"error": "x"}',
        WHOLE + b"x",
        WHOLE + WHOLE,
        b'[{"id": "\xff", "fileName": "a"}]',
        b'{"documents": [',
    ],
)
def test_a_body_that_is_no_list_raises_without_repeating_it(scripted, body):
    client, _ = scripted(httpx.Response(200, content=body, headers={"X-Request-ID": "r1"}))
    with pytest.raises(InvalidAnswerError) as caught:
        list(client.iter_documents())
    assert caught.value.request_id == "r1"
    assert not caught.value.outcome_unknown
    assert "sign in" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_list_cut_anywhere_raises(scripted):
    for length in range(len(WHOLE)):
        client, _ = scripted(httpx.Response(200, content=WHOLE[:length]))
        stream = client.iter_documents()
        with pytest.raises(InvalidAnswerError):
            list(stream)
        assert stream.complete is None


def test_the_first_step_raises_the_services_error(scripted):
    client, script = scripted(httpx.Response(401, json={"error": "no", "code": "api_key/invalid"}))
    stream = client.iter_documents()
    assert script.requests == []
    with pytest.raises(AuthenticationError):
        next(stream)


def paged(facts):
    def page(number, has_more):
        return {
            "documents": [{"id": str(number), "fileName": "x"}],
            "pagination": facts(number) | {"hasMore": has_more},
        }

    return [page(1, True), page(2, True), page(3, False)]


@pytest.mark.parametrize(
    ("facts", "asked"),
    [
        (lambda n: {"page": n, "limit": 1, "total": 3}, [{}, {"limit": "1", "page": "2"}, {"limit": "1", "page": "3"}]),
        (lambda n: {"offset": n - 1}, [{}, {"offset": "1"}, {"offset": "2"}]),
        (lambda n: {"nextCursor": f"c{n}"}, [{}, {"cursor": "c1"}, {"cursor": "c2"}]),
    ],
)
def test_pages_are_followed_in_the_way_the_answer_counts(scripted, facts, asked):
    client, script = scripted(*paged(facts))
    stream = client.iter_documents()
    assert ids(stream) == ["1", "2", "3"]
    assert stream.complete is True
    assert [dict(request.url.params) for request in script.requests] == asked


@pytest.mark.parametrize("facts", [{"page": 1}, {"nextCursor": "same"}, {"offset": 0}])
def test_a_server_that_repeats_its_first_page_is_not_followed_for_ever(scripted, facts):
    client, script = scripted({"documents": [ONE], "pagination": facts | {"hasMore": True}})
    stream = client.iter_documents()
    assert len(ids(stream)) <= 2
    assert stream.complete is False
    assert len(script.requests) <= 2


def test_an_answer_that_counts_in_no_way_has_no_next_page():
    assert next_page({}, {"limit": 10, "page": True, "offset": "1", "cursor": ""}, 10) is None


def test_a_list_closed_early_frees_its_connection_and_is_not_called_complete():
    class Body(httpx.SyncByteStream):
        closed = False

        def __iter__(self):
            yield b'[{"id":"1","fileName":"a"},'
            yield b'{"id":"2","fileName":"b"},'
            raise AssertionError("read on after the close")

        def close(self):
            self.closed = True

    body = Body()

    class Transport(httpx.BaseTransport):
        def handle_request(self, request):
            return httpx.Response(200, stream=body)

    with CloudIndexClient("https://api.test/v1", "key-0123456789", project_id="p", transport=Transport()) as client:
        with client.iter_documents() as stream:
            assert next(stream).id == "1"
        assert body.closed
        assert stream.complete is None


def test_memory_stays_flat_over_many_documents():
    entry = json.dumps(ONE | {"fileName": "x" * 400}).encode()

    class Body(httpx.SyncByteStream):
        def __iter__(self):
            yield b"[" + entry
            for _ in range(199):
                yield b"".join((b"," + entry) for _ in range(100))
            yield b"]"

    class Transport(httpx.BaseTransport):
        def handle_request(self, request):
            return httpx.Response(200, stream=Body())

    with CloudIndexClient("https://api.test/v1", "key-0123456789", project_id="p", transport=Transport()) as client:
        tracemalloc.start()
        try:
            assert sum(1 for _ in client.iter_documents()) == 19_901
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({"id": "2"}, frozenset()),  # each upload of ours has a file name
        ({"fileName": "x"}, frozenset({"x"})),
        ({}, None),
        (None, None),
        ([TWO], None),
    ],
)
def test_an_unreadable_entry_says_which_names_it_may_have(scripted, entry, names):
    """What a list that isn't whole still proves: that some names stand in none of its unreadable entries."""
    client, _ = scripted([ONE, entry])
    stream = client.iter_documents()
    assert ids(stream) == ["1"]
    assert (stream.complete, stream.unread_names) == (False, names)
