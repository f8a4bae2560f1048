"""The client's calls over scripted answers: what is sent, what comes back, what is repeated, what never leaks."""

from __future__ import annotations

import json
import logging
import traceback

import httpx
import pytest

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.models import FileError, FilePart
from cloudindex_provider.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    CloudIndexError,
    ConfigurationError,
    ConflictError,
    InvalidAnswerError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnsupportedTypeError,
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


def test_every_request_carries_the_key_in_the_scheme_that_was_chosen(scripted):
    for scheme in ("ApiKey", "Bearer"):
        client, script = scripted({"document": {"id": "1", "fileName": "a"}}, auth_scheme=scheme)
        get(client)
        assert script.requests[0].headers["authorization"] == f"{scheme} {KEY}"


def test_ids_are_quoted_whole(scripted):
    client, script = scripted({"message": "gone"})
    client.delete_document("a/../b?c#d é", project_id="p/1")
    assert script.requests[0].url.raw_path == b"/public/v1/projects/p%2F1/documents/a%2F..%2Fb%3Fc%23d%20%C3%A9"


@pytest.mark.parametrize("bad", ["", " ", ".", "..", None, "\ud800"])
def test_an_id_that_would_reach_another_path_is_refused_before_anything_is_sent(scripted, bad):
    client, script = scripted({})
    with pytest.raises(ConfigurationError):
        client.delete_document(bad)
    assert script.requests == []


def test_a_missing_project_is_a_configuration_error_that_says_where_to_set_it(scripted):
    client, script = scripted({}, project_id=None)
    for call in (upload, get, CloudIndexClient.check, CloudIndexClient.iter_documents):
        with pytest.raises(ConfigurationError, match="extras"):
            call(client)
    assert script.requests == []


def test_an_upload_sends_its_fields_before_its_files(scripted):
    client, script = scripted(TAKEN)
    client.upload_documents([PART], metadata={"bucket": "b"}, options={"createVersion": True})
    body = script.requests[0].content
    fields = [body.index(b'name="%b"' % name) for name in (b"metadata", b"options", b"documents")]
    assert fields == sorted(fields)
    assert b'{"bucket":"b"}' in body
    assert b'{"createVersion":true}' in body
    assert int(script.requests[0].headers["content-length"]) == len(body)


def test_an_upload_result_keeps_what_the_service_said_about_each_file(scripted):
    said = TAKEN | {
        "errors": [
            {"fileName": "b.exe", "error": "no", "code": "c", "category": "v", "retryable": False, "details": None}
        ],
        "batch": {"id": "b1", "status": "processing", "totalFiles": 2, "progress": 0},
    }
    client, _ = scripted(httpx.Response(200, text=json.dumps(said), headers={"X-Request-ID": "r1"}))
    result = client.upload_documents([PART, FilePart("b.exe", 0, lambda: []), FilePart("c.txt", 0, lambda: [])])
    assert [(d.id, d.file_name, d.status, d.version) for d in result.documents] == [("d1", "a.txt", "pending", 2)]
    assert result.errors == (FileError("b.exe", "no", "c", "v", False),)
    assert (result.batch.id, result.batch.total_files, result.request_id) == ("b1", 2, "r1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"null",
        b"[]",
        b"{}",
        b'{"success": false}',
        b'{"success": false, "documents": []}',
        b'{"documents": null, "errors": null}',
        b'{"documents": [{"fileName": "a.txt"}]}',
        b'{"documents": {"id": "1"}}',
    ],
)
def test_an_upload_answer_that_says_nothing_leaves_the_outcome_unknown_and_is_not_repeated(scripted, body):
    client, script = scripted(httpx.Response(200, content=body))
    with pytest.raises(InvalidAnswerError) as caught:
        upload(client)
    assert caught.value.outcome_unknown
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "cause", [500, 502, 503, 504, httpx.ReadTimeout("x"), httpx.ReadError("x"), httpx.RemoteProtocolError("x")]
)
def test_an_upload_that_may_have_arrived_is_never_repeated(scripted, waits, cause):
    client, script = scripted(fail(cause, retry_after="1") if isinstance(cause, int) else cause)
    with pytest.raises(CloudIndexError) as caught:
        upload(client)
    assert caught.value.outcome_unknown
    assert (len(script.requests), waits) == (1, [])


@pytest.mark.parametrize("cause", [httpx.ConnectError("x"), fail(429, retry_after="2"), fail(429)])
def test_an_upload_that_was_not_done_for_sure_is_repeated_with_a_fresh_body(scripted, waits, cause):
    opened = []

    def chunks():
        opened.append(1)
        return [b"abc"]

    client, script = scripted(cause, TAKEN)
    assert client.upload_documents([FilePart("a.txt", 3, chunks)]).documents
    assert len(script.requests) == 2
    assert script.requests[1].content.count(b"\r\nabc\r\n") == 1
    assert len(opened) == 2
    assert len(waits) == 1


@pytest.mark.parametrize("status", [502, 503, 504, 429])
@pytest.mark.parametrize("call", [get, lambda c: c.query("x"), lambda c: c.delete_document("d")])
def test_a_hiccup_of_a_safe_request_is_repeated_three_times_in_all(scripted, waits, status, call):
    client, script = scripted(fail(status))
    with pytest.raises(ApiError) as caught:
        call(client)
    assert caught.value.status == status
    assert (len(script.requests), waits) == (3, [0.5, 1.0])
    assert client.request_count == 3


@pytest.mark.parametrize("call", [get, upload])
def test_a_long_wait_is_raised_instead_of_slept(scripted, waits, call):
    client, script = scripted(fail(429, retry_after="60"))
    with pytest.raises(RateLimitedError) as caught:
        call(client)
    assert caught.value.retry_after == 60
    assert caught.value.retryable
    assert (len(script.requests), waits) == (1, [])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422, 500])
def test_what_would_fail_again_is_not_repeated(scripted, waits, status):
    client, _ = scripted(fail(status))
    with pytest.raises(ApiError):
        get(client)
    assert waits == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (422, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, PayloadTooLargeError),
        (415, UnsupportedTypeError),
        (429, RateLimitedError),
        (500, ServerError),
        (503, ServerError),
    ],
)
def test_the_status_decides_the_type_whatever_the_body_says(scripted, status, kind):
    client, _ = scripted(fail(status, {"code": "api_key/invalid", "message": "x"}))
    with pytest.raises(kind) as caught:
        upload(client)
    assert type(caught.value) is kind
    assert caught.value.outcome_unknown is (status >= 500)


def test_deleting_what_is_not_there_is_false_also_after_a_cut(scripted):
    client, _ = scripted(fail(404))
    assert client.delete_document("d1") is False
    client, _ = scripted(httpx.ReadError("cut"), fail(404))
    assert client.delete_document("d1") is False
    client, _ = scripted({"message": "gone"})
    assert client.delete_document("d1") is True


def test_versions_that_are_not_offered_are_none(scripted):
    client, script = scripted({"versions": [{"version": 1}]})
    assert client.document_versions("d1", limit=5, offset=2) == ({"version": 1},)
    assert dict(script.requests[0].url.params) == {"limit": "5", "offset": "2"}
    client, _ = scripted(fail(404))
    assert client.document_versions("d1") is None


def test_a_query_sends_only_what_was_given_and_reads_its_chunks(scripted):
    hit = {"id": "c", "text": "t", "score": 1, "document_id": "d", "document_name": "n", "document_metadata": None}
    client, script = scripted({"scored_chunks": [hit], "metadata": {"total_chunks": 3}})
    result = client.query("what?", options={"limit": 1})
    assert json.loads(script.requests[0].content) == {"query": "what?", "options": {"limit": 1}}
    assert script.requests[0].url.path == "/public/v1/query"
    assert (result.chunks[0].score, result.chunks[0].document_name, result.metadata["total_chunks"]) == (1.0, "n", 3)


@pytest.mark.parametrize("answer", [{}, [], {"scored_chunks": {}}])
def test_a_query_answer_without_chunks_is_invalid_but_its_outcome_is_no_question(scripted, answer):
    client, _ = scripted(answer)
    with pytest.raises(InvalidAnswerError) as caught:
        client.query("x")
    assert not caught.value.outcome_unknown


def test_credentials_of_an_integration_are_sent_and_never_shown(scripted, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "AWS-SECRET-VALUE"
    client, script = scripted(
        lambda r: httpx.Response(400, json={"error": f"bad {secret} for {r.headers['authorization']}"})
    )
    with pytest.raises(BadRequestError) as caught:
        client.configure_integration(type="s3", credentials={"k": {"s": secret}}, settings={}, path="/integrations")
    assert json.loads(script.requests[0].content) == {"type": "s3", "credentials": {"k": {"s": secret}}, "settings": {}}
    shown = (
        str(caught.value)
        + repr(caught.value.fields())
        + caplog.text
        + "".join(traceback.format_exception(caught.value))
    )
    assert secret not in shown
    assert KEY not in shown
    assert "bad *** for" in str(caught.value)


@pytest.mark.parametrize("path", ["", "/", "https://evil.test/x", "//evil.test", "/../x", "a/./b"])
def test_an_integration_path_that_leaves_the_base_url_is_refused(scripted, path):
    client, script = scripted({})
    with pytest.raises(ConfigurationError):
        client.configure_integration(type="s3", credentials={}, settings={}, path=path)
    assert script.requests == []


@pytest.mark.parametrize("status", [400, 422])
def test_a_400_that_names_files_is_an_answer_and_one_that_names_none_an_error(scripted, status):
    """What it says of a file is a verdict; what it says of the request keeps the service's own text."""
    body = {"error": "Validation failed", "errors": [{"fileName": "a.txt", "error": "It holds a virus"}]}
    parts = [FilePart(name, 1, lambda: [b"x"]) for name in ("a.txt", "b.txt")]
    client, _ = scripted(httpx.Response(status, json=body))
    result = client.upload_documents(parts)
    assert (result.refused, [one.file_name for one in result.errors]) == (True, ["a.txt"])
    client, _ = scripted(httpx.Response(status, json={"error": "Malformed project id"}))
    with pytest.raises(BadRequestError, match="Malformed project id"):
        client.upload_documents(parts)
