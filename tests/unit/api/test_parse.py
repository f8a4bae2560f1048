"""Answers in both dialects become the same models."""

from __future__ import annotations

import json

import pytest

from cloudindex_provider.api.models import Document, FileError, Phase
from cloudindex_provider.api.parse import (
    decode,
    parse_details,
    parse_document,
    parse_query,
    parse_refusal,
    parse_upload,
    parse_versions,
)


def test_both_spellings_of_a_document_are_the_same():
    new = {"id": "1", "fileName": "a", "processingStatus": "pending", "uploadDate": "t", "fileSize": 3}
    old = {"id": 1, "fileName": "a", "status": "pending", "uploadedAt": "t", "fileSize": "3", "processingStatus": None}
    assert parse_document(new) == parse_document(old) == Document("1", "a", "pending", size=3, uploaded_at="t")


def test_null_is_absent():
    assert parse_document({"id": "1", "fileName": "a", "version": None, "contentHash": None}) == Document("1", "a")


def test_a_hash_is_compared_in_lower_case_without_its_prefix():
    assert parse_document({"id": "1", "fileName": "a", "contentHash": "SHA256:AbC"}).content_hash == "abc"


def test_an_unknown_status_is_waited_for():
    assert parse_document({"id": "1", "fileName": "a", "status": "resting"}).phase is Phase.WAITING


@pytest.mark.parametrize("bad", [None, [], "x", {}, {"id": "1"}, {"fileName": "a"}, {"id": "", "fileName": "a"}])
def test_a_document_without_identity_is_no_document(bad):
    with pytest.raises(ValueError, match="document"):
        parse_document(bad)


def test_details_carry_the_jobs_as_they_came():
    job = {"id": "j", "status": "completed"}
    found = parse_details({"document": {"id": "1", "fileName": "a"}, "processingJobs": [job, None]})
    assert found.jobs == (job,)
    assert parse_details({"id": "1", "fileName": "a"}).document.id == "1"


def test_versions_are_a_list_in_either_shape():
    assert parse_versions([{"v": 1}]) == parse_versions({"versions": [{"v": 1}, 3]}) == ({"v": 1},)
    with pytest.raises(ValueError, match="no versions"):
        parse_versions({})


def test_an_error_of_the_only_file_needs_no_name():
    found = parse_upload({"errors": ["too big", {"error": {"message": "m", "code": "c"}}, {}]}, ["a.txt"], None)
    assert found.errors == (
        FileError("a.txt", "too big"),
        FileError("a.txt", "m", "c"),
        FileError("a.txt", "The service gave no reason."),
    )
    assert parse_upload({"errors": ["x"]}, ["a", "b"], None).errors[0].file_name == ""


def test_a_refusal_that_names_its_files_is_an_answer():
    found = parse_upload(
        {"success": False, "errors": [{"fileName": "a", "error": "no", "retryable": True}]}, ["a"], "r"
    )
    assert found.errors == (FileError("a", "no", retryable=True),)
    assert (found.documents, found.request_id) == ((), "r")


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_said_without_repeating_it(body):
    with pytest.raises(ValueError, match="the body is") as caught:
        decode(body)
    assert caught.value.__cause__ is None


def test_a_byte_order_mark_is_no_obstacle():
    assert decode(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize("bad", ["page 3: \ud83d", "nul \0 here", "two\nlines", "esc \x1b[31m", "long " * 200])
def test_whatever_the_service_says_can_be_stored_and_shown(bad):
    """Half a surrogate pair, U+0000 and the like in any text of a document or of a file's error."""
    texts = dict.fromkeys(("errorMessage", "fileName", "status", "fileType", "uploadDate", "projectId"), bad)
    document = parse_document({"id": "1", **texts})
    error = parse_upload({"errors": [{"fileName": bad, "error": bad, "code": bad, "category": bad}, bad]}, ["a"], None)
    said = [document.error_message, document.file_name, document.status, document.file_type, document.uploaded_at]
    said += [text for one in error.errors for text in (one.file_name, one.message, one.code, one.category)]
    for text in filter(None, said):
        assert not set(text) & set("\0\n\x1b\ud83d")
        assert len(text) <= 1000
        text.encode()
    assert len(document.error_message or "") <= 300


def test_an_id_that_no_url_can_hold_is_no_document_s():
    """A cleaned id would name another document."""
    with pytest.raises(ValueError, match="id"):
        parse_document({"id": "a\0b", "fileName": "a"})


def test_a_hit_s_text_is_left_as_it_is():
    answer = {"scored_chunks": [{"id": "c", "text": "line\nline " * 100, "document_name": "n"}]}
    assert parse_query(answer).chunks[0].text == "line\nline " * 100


@pytest.mark.parametrize(
    "body",
    [
        {"error": "no", "errors": [{"fileName": "a", "error": "virus", "retryable": False}]},
        {"error": {"message": "no", "errors": [{"fileName": "a", "error": "virus", "retryable": False}]}},
        {"message": "no", "details": {"errors": [{"fileName": "a", "error": "virus", "retryable": False}]}},
    ],
)
def test_a_refusal_s_body_names_the_files_that_it_is_about(body):
    found = parse_refusal(json.dumps(body).encode(), ["a", "b"], "r")
    assert found is not None
    assert found.refused
    assert found.errors == (FileError("a", "virus", retryable=False),)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "x"}', b'{"errors": [{"fileName": "other"}, 3]}'])
def test_a_refusal_that_names_no_file_of_the_request_is_no_verdict(body):
    assert parse_refusal(body, ["a", "b"], None) is None
