"""How the client behaves around a request: redirects, pacing, logging, secrets and what it refuses to send."""

from __future__ import annotations

import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.models import FilePart
from cloudindex_provider.api.ratelimit import RateLimit
from cloudindex_provider.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConnectError,
    InterruptedRequestError,
    InvalidAnswerError,
    NotFoundError,
    RateLimitedError,
)

KEY = "key-0123456789"
PART = FilePart("a.txt", 3, lambda: [b"abc"])
TAKEN = {"documents": [{"id": "d1", "fileName": "a.txt", "status": "pending", "version": 2}], "errors": []}


def upload(client):
    return client.upload_documents([PART])


def get(client):
    return client.get_document("d1")


def fail(status, body=None, **headers):
    return httpx.Response(status, json=body or {}, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize(
    "location", ["https://evil.test/x", "http://api.test/public/v1", "//evil.test", "https://api.test:444/"]
)
def test_a_redirect_to_another_origin_is_an_error_and_the_key_stays(scripted, location):
    client, script = scripted(httpx.Response(302, headers={"Location": location}))
    with pytest.raises(BadRequestError, match="redirect"):
        get(client)
    assert len(script.requests) == 1


def test_a_redirect_on_the_same_origin_is_followed_for_a_get_only(scripted):
    moved = httpx.Response(308, headers={"Location": "/public/v2/x"})
    client, script = scripted(moved, {"document": {"id": "1", "fileName": "a"}})
    assert get(client).document.id == "1"
    assert str(script.requests[1].url) == "https://api.test/public/v2/x"
    client, script = scripted(moved)
    with pytest.raises(BadRequestError):
        upload(client)
    with pytest.raises(BadRequestError):
        client.query("x")
    assert len(script.requests) == 2


def test_redirects_in_a_circle_end(scripted):
    client, script = scripted(httpx.Response(302, headers={"Location": "/again"}))
    with pytest.raises(BadRequestError):
        get(client)
    assert len(script.requests) == 4


def test_a_redirect_from_http_to_https_says_use_https(scripted):
    client, _ = scripted(httpx.Response(301, headers={"Location": "https://api.test/x"}), base_url="http://api.test/v1")
    with pytest.raises(BadRequestError, match="Use https in the connection's host"):
        upload(client)


class Body(httpx.SyncByteStream):
    """A body that says whether it was closed, and fails where it is read beyond its chunks."""

    def __init__(self, *chunks):
        self.chunks = chunks
        self.closed = False

    def __iter__(self):
        yield from self.chunks
        raise AssertionError("read on")

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    "chunks", [[b'[{"id":"1","fileName":"a"},'], [b'{"documents":[', b'{"id":"1",', b'"fileName":"a"},']]
)
def test_a_check_reads_as_far_as_the_first_document(scripted, chunks):
    """A project of millions costs no more."""
    body = Body(*chunks)
    client, script = scripted(httpx.Response(200, stream=body))
    client.check()
    assert body.closed
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "empty", [[], {"documents": []}, {"data": [], "total": 0}, {"documents": [], "pagination": {}}]
)
def test_a_check_accepts_an_empty_project(scripted, empty):
    """In each shape of the list."""
    client, _ = scripted(empty)
    client.check()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(200, html="<html><title>Sign in</title></html>"), "web page"),
        (
            httpx.Response(200, content=b"<!doctype html><html>", headers={"Content-Type": "application/json"}),
            "not JSON",
        ),
        (httpx.Response(200, text="OK"), "not JSON"),
        (httpx.Response(200, content=b""), "cut short"),
        (httpx.Response(204), "cut short"),
        (httpx.Response(200, json={"status": "ok"}), "no list of documents"),
        (httpx.Response(200, json={"success": False, "documents": []}), "no list of documents"),
        (httpx.Response(200, json="ok"), "no list of documents"),
        (httpx.Response(200, json=[1, 2]), "something else than documents"),
        (httpx.Response(200, json=[{"login": "octocat", "url": "x"}]), "something else than documents"),
        (httpx.Response(200, stream=Body(b"[", *[b'{"a": "b"},' * 1000] * 25)), "hold no document"),
    ],
)
def test_a_check_knows_what_is_not_the_api(scripted, answer, says):
    """A captive portal, a login page, another API: though it says 2xx."""
    client, _ = scripted(answer)
    with pytest.raises(InvalidAnswerError, match=says):
        client.check()


@pytest.mark.parametrize(
    ("location", "hint"),
    [
        ("/login", "Check the connection's host and path."),
        ("https://api.test/public/v1/projects/p1/documents/", "Check the connection's host and path."),
        ("https://login.test/?from=x", "If https://login.test is the CloudIndex API, use it as the connection's host."),
    ],
)
def test_a_check_takes_a_redirect_for_none(scripted, location, hint):
    """An upload isn't redirected, so what a GET would find there proves nothing."""
    client, script = scripted(httpx.Response(302, headers={"Location": location}), [])
    with pytest.raises(BadRequestError, match="a redirect") as caught:
        client.check()
    assert caught.value.hint == hint
    assert len(script.requests) == 1


def test_a_check_names_an_unknown_project(scripted):
    client, _ = scripted(fail(404))
    with pytest.raises(NotFoundError, match="project_id"):
        client.check()


def test_a_key_that_has_changed_is_tried_once(scripted):
    """The request is sent again with the new one, which all later requests have; an upload too."""
    keys = iter(["key-of-tomorrow", "key-of-next-week"])
    client, script = scripted(fail(401), TAKEN, {"document": {"id": "1", "fileName": "a"}}, new_key=lambda: next(keys))
    assert upload(client).documents
    get(client)
    sent = [request.headers["Authorization"] for request in script.requests]
    assert sent == [f"ApiKey {KEY}", "ApiKey key-of-tomorrow", "ApiKey key-of-tomorrow"]


@pytest.mark.parametrize("known", [None, KEY, "key-that-is-as-wrong"])
def test_a_refused_key_fails_where_there_is_no_better_one(scripted, known):
    """The same key isn't sent twice, and a new one once."""
    client, script = scripted(fail(401, {"error": f"bad {known}"}), new_key=lambda: known)
    with pytest.raises(AuthenticationError) as caught:
        get(client)
    assert len(script.requests) == (2 if known == "key-that-is-as-wrong" else 1)
    assert not known or known not in str(caught.value)


def test_the_threads_of_a_client_ask_once_for_a_new_key(scripted):
    """Each of them sends its request again with it."""
    asked, together = [], threading.Barrier(4)

    def new_key():
        asked.append(1)
        return "key-of-tomorrow"

    def answer(request):
        if request.headers["Authorization"].endswith(KEY):
            together.wait(5)
            return fail(401)
        return httpx.Response(200, json={"document": {"id": "1", "fileName": "a"}})

    client, script = scripted(answer, new_key=new_key)
    with ThreadPoolExecutor(4) as pool:
        assert len([*pool.map(lambda _: get(client), range(4))]) == 4
    assert asked == [1]
    assert len(script.requests) == 8


@pytest.mark.parametrize("chunks", [[b"<html><title>x</title>"], [b"  \n<p>"], [b"\xef\xbb\xbf<!doctype html>"]])
def test_an_error_that_is_a_web_page_is_marked_as_foreign(scripted, chunks):
    """Whoever wrote it, it isn't the API."""
    client, _ = scripted(httpx.Response(404, content=b"".join(chunks)))
    with pytest.raises(NotFoundError) as caught:
        get(client)
    assert caught.value.foreign
    client, _ = scripted(fail(404, {"error": "no <b>"}))
    with pytest.raises(NotFoundError) as caught:
        get(client)
    assert not caught.value.foreign


def test_the_pacer_is_asked_and_told_around_every_attempt(scripted):
    class Pacer:
        def __init__(self):
            self.calls = []

        def before(self, operation):
            self.calls.append(operation)

        def after(self, limit, *, status, retry_after, code):
            self.calls.append((limit, status, retry_after, code))

    pacer = Pacer()
    limited = {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "0"}
    slow = fail(429, {"code": "rate_limit/exceeded"}, retry_after="1", **limited)
    client, _ = scripted(slow, httpx.ReadError("cut"), {"document": {"id": "1", "fileName": "a"}}, pacer=pacer)
    get(client)
    limit = RateLimit(60, 0, None)
    asked = "get document"
    assert pacer.calls == [
        asked, (limit, 429, 1.0, "rate_limit/exceeded"), asked, (None, 0, None, None), asked, (None, 200, None, None),
    ]  # fmt: skip


def test_what_the_pacer_raises_comes_out_at_once_and_nothing_is_sent(scripted, waits):
    class Pacer:
        def before(self, operation):
            raise RateLimitedError("later", retry_after=30.0)

        def after(self, limit, *, status, retry_after, code):
            raise AssertionError("nothing was sent")

    client, script = scripted({}, pacer=Pacer())
    with pytest.raises(RateLimitedError):
        upload(client)
    assert (script.requests, waits) == ([], [])


def test_a_part_that_raises_tells_the_pacer_and_frees_its_slot(scripted):
    client, _ = scripted(TAKEN, max_concurrency=1)

    def broken():
        yield from ()
        raise LookupError("gone")

    for _ in range(2):
        with pytest.raises(LookupError, match="gone"):
            client.upload_documents([FilePart("a.txt", 1, broken)])
    assert upload(client).documents


def test_one_line_a_request_is_logged_without_headers_or_bodies(scripted, caplog):
    caplog.set_level(logging.DEBUG, logger="cloudindex_provider.api.transport")
    client, _ = scripted(httpx.Response(200, json=TAKEN, headers={"X-Request-ID": "r-77"}))
    client.upload_documents([PART], metadata={"who": "private"})
    (record,) = [r for r in caplog.records if r.name == "cloudindex_provider.api.transport"]
    line = record.getMessage()
    assert line.startswith("POST upload documents: 200 in ")
    assert "r-77" in line
    assert "private" not in line
    assert KEY not in line


@pytest.mark.parametrize("cause", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.ReadError("x")])
def test_no_transport_error_is_chained_to_a_request(scripted, cause):
    client, _ = scripted(cause)
    with pytest.raises((ConnectError, InterruptedRequestError)) as caught:
        get(client)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert again.fields() == caught.value.fields()
    assert type(again) is type(caught.value)


def test_a_timeout_that_was_slow_is_not_waited_for_again(scripted, waits, monkeypatch):
    moments = iter(range(0, 10_000, 20))
    monkeypatch.setattr("cloudindex_provider.api.transport.time.monotonic", lambda: float(next(moments)))
    client, script = scripted(httpx.ReadTimeout("x"))
    with pytest.raises(InterruptedRequestError):
        get(client)
    assert (len(script.requests), waits) == (1, [])


def test_an_answer_too_large_to_read_whole_is_invalid(scripted, monkeypatch):
    monkeypatch.setattr("cloudindex_provider.api.transport.MAX_ANSWER", 100)
    client, _ = scripted({"document": {"id": "x" * 200}})
    with pytest.raises(InvalidAnswerError, match="more than 100 bytes"):
        get(client)


@pytest.mark.parametrize("files", [[], [PART] * 2, [FilePart(str(n), 0, lambda: []) for n in range(21)]])
def test_a_request_that_the_service_would_refuse_is_not_sent(scripted, files):
    client, script = scripted(TAKEN)
    with pytest.raises(ConfigurationError):
        client.upload_documents(files)
    assert script.requests == []


@pytest.mark.parametrize("key", ["", "  ", "a b", "a\nb", "é" * 9])
def test_a_key_that_no_header_can_hold_is_refused_without_being_repeated(key):
    with pytest.raises(ConfigurationError) as caught:
        CloudIndexClient("https://api.test/v1", key)
    assert len(key.strip()) < 2 or key not in str(caught.value)


def test_the_client_shows_no_key(scripted):
    client, _ = scripted({})
    assert KEY not in repr(client)
    assert KEY not in repr(vars(vars(client)["_http"])["_http"].headers)
