"""Uploads of local files: what is sent, what a later try finds there, and what can't be read."""

from __future__ import annotations

import hashlib
import json

import pytest

from cloudindex_provider import errors
from cloudindex_provider.errors import FilesNotTakenError, FilesRejectedError
from cloudindex_provider.operators.cloudindex import CloudIndexUploadDocumentsOperator

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")


@pytest.fixture
def files(tmp_path):
    def make(count=1, size=3):
        paths = [tmp_path / f"file-{number:03}.txt" for number in range(count)]
        for path in paths:
            path.write_bytes(b"x" * size)
        return [str(path) for path in paths]

    return make


def upload(files, context=None, **more):
    return CloudIndexUploadDocumentsOperator(task_id="t", files=files, **more).execute(context or {})


def test_files_go_up_twenty_at_a_time_and_ids_come_back(service, files):
    paths = files(43)
    result = upload(paths)
    assert len(service.paths("POST")) == 3
    assert len(set(result["document_ids"])) == 43
    assert result["documents"][0] == {
        "id": "id-of-file-000.txt",
        "file_name": "file-000.txt",
        "path": paths[0],
        "status": "pending",
        "version": None,
    }
    assert result["errors"] == []
    json.dumps(result)


def test_a_request_stays_below_the_connections_limit(service, connect, files):
    connect(max_request_size=10)
    upload(files(5, size=4))
    assert len(service.paths("POST")) == 3


def test_a_file_above_the_limit_is_refused_without_being_sent(service, connect, files):
    connect(max_file_size=2)
    with pytest.raises(FilesRejectedError, match="3 bytes are more than"):
        upload(files(1))
    assert service.paths("POST") == []


def test_no_files_are_no_requests(service):
    assert upload([])["document_ids"] == []
    assert service.requests == []


def test_files_can_be_renamed_and_must_be_told_apart(service, files, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file-000.txt").write_text("other")
    both = [*files(1), str(tmp_path / "more" / "file-000.txt")]
    with pytest.raises(errors.ConfigurationError, match=r"would be named 'file-000\.txt'"):
        upload(both)
    assert upload(both, file_names=["a.txt", "b.txt"])["document_ids"] == ["id-of-a.txt", "id-of-b.txt"]
    with pytest.raises(errors.ConfigurationError, match="2 files, but 1 file_names"):
        upload(both, file_names=["a.txt"])


def test_a_refused_file_fails_the_task_for_good_and_is_named(service, files):
    service.refuse["file-001.txt"] = {"error": "Corrupt", "code": "file/corrupt", "retryable": False}
    with pytest.raises(FilesRejectedError, match=r"file-001\.txt: Corrupt") as caught:
        upload(files(2))
    assert caught.value.retryable is False
    assert "cloudindex_default" in str(caught.value)


def test_a_file_that_may_be_taken_later_is_retried(service, files):
    service.refuse["file-001.txt"] = {"error": "Busy", "retryable": True}
    with pytest.raises(FilesNotTakenError) as caught:
        upload(files(2))
    assert caught.value.retryable is True


def test_refused_files_can_be_allowed_and_are_returned(service, files):
    service.refuse["file-001.txt"] = {"error": "Corrupt", "code": "file/corrupt", "retryable": False}
    result = upload(files(2), allow_file_errors=True)
    assert result["document_ids"] == ["id-of-file-000.txt"]
    assert result["errors"][0]["code"] == "file/corrupt"


def test_a_file_of_which_the_answer_says_nothing_counts_as_not_taken(service, files):
    service.prepare(200, {"documents": [{"id": "1", "fileName": "file-000.txt", "status": "pending"}], "errors": []})
    with pytest.raises(FilesNotTakenError, match=r"file-001\.txt: CloudIndex answered without a word"):
        upload(files(2))


def test_a_second_try_sends_only_what_is_not_there_yet(service, files, try_number):
    digest = hashlib.sha256(b"xxx").hexdigest()
    service.add("there", fileName="file-000.txt", contentHash=digest)
    service.add("old bytes", fileName="file-001.txt", contentHash="0" * 64)
    service.add("failed", "failed", fileName="file-002.txt", contentHash=digest)
    result = upload(files(3), try_number(2))
    assert result["document_ids"] == ["there", "id-of-file-001.txt", "id-of-file-002.txt"]
    assert len(service.paths("POST")) == 1


def test_the_first_try_asks_for_no_list(service, files):
    upload(files(1))
    assert service.paths("GET") == []


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, errors.AuthenticationError, "refused the API key"),
        (404, errors.NotFoundError, "does not know project"),
        (503, errors.ServerError, "no"),
    ],
)
def test_failures_keep_their_type_and_name_the_connection(service, files, status, kind, says):
    service.stay(status, {"error": "no"}, headers={"Retry-After": "600"})
    with pytest.raises(kind, match=says) as caught:
        upload(files(1))
    assert "connection 'cloudindex_default'" in str(caught.value)
    assert service.key not in str(caught.value)
