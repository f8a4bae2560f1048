"""Uploads of local files: what is sent, what a later try finds there, and what can't be read."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Context, task

from cloudindex_provider import errors
from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.errors import FilesNotTakenError, FilesRejectedError
from cloudindex_provider.local.faults import Fault
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
    step = CloudIndexUploadDocumentsOperator(task_id="t", files=files, retry_policy=None, **more)
    return step.execute(context or Context())


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


# A later try


NAMES = ["prüfung.txt", "straße.txt", "日本語.txt", 'the "best" of.txt', "a  b.txt", "plain.txt", "u\u0308.txt"]


@pytest.mark.parametrize("decode_percent", [False, True])
@pytest.mark.parametrize("same_name", ["duplicate", "version", "replace"])
def test_a_later_try_finds_each_file_by_the_name_that_the_server_has_made(
    ci, tmp_path, try_number, monkeypatch, decode_percent, same_name
):
    """The answer of the first try was lost: nothing is there twice, and nothing has a new version."""
    ci.settings.decode_percent = decode_percent
    ci.settings.same_name = same_name
    paths = [tmp_path / name for name in NAMES]
    for path in paths:
        path.write_text("the same text")
    lose_the_answer(monkeypatch, [str(path) for path in paths], try_number(1))
    forget(os.environ["AIRFLOW__CLOUDINDEX__STATE_PATH"])
    result = upload([str(path) for path in paths], try_number(2))
    assert len(set(result["document_ids"])) == len(NAMES)
    assert [(one["id"], one["version"]) for one in ci.documents()] == [
        (one["id"], one["version"]) for one in result["documents"]
    ]
    assert {one["version"] for one in ci.documents()} == {1}


def lose_the_answer(monkeypatch, paths, context):
    """A try that is killed when CloudIndex has taken the files."""
    real = CloudIndexClient.upload_documents

    def killed(self, files, **more):
        real(self, files, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CloudIndexClient, "upload_documents", killed)
        with pytest.raises(KeyboardInterrupt):
            upload(paths, context)


def forget(state_path):
    """The state is lost."""
    Path(state_path).unlink()


def ages(state_path, seconds):
    """Requests began so much earlier."""
    with sqlite3.connect(state_path) as connection:
        connection.execute("UPDATE step_item SET at = at - ?", [seconds])
    connection.close()


def test_a_document_that_the_list_gives_no_hash_of_is_proven_by_a_look(ci, files, try_number, monkeypatch):
    """One GET more, and no copy."""
    ci.settings.list_content_hash = False
    paths = files(2)
    lose_the_answer(monkeypatch, paths, try_number(1))
    result = upload(paths, try_number(2))
    assert [one["id"] for one in ci.documents()] == result["document_ids"]


def test_where_nothing_tells_the_bytes_the_answer_of_an_earlier_try_does(service, files, try_number, caplog):
    """CloudIndex gives no hash at all: what an answer has named is known, another document of the name isn't."""
    service.refuse["file-001.txt"] = {"error": "Busy", "retryable": True}
    with pytest.raises(FilesNotTakenError):
        upload(files(2), try_number(1))
    service.refuse.clear()
    result = upload(files(2), try_number(2))
    assert result["document_ids"] == ["id-of-file-000.txt", "id-of-file-001.txt"]
    assert b"file-000.txt" not in service.requests[-1][2]
    service.add("older", fileName="file-002.txt")
    upload(files(3), try_number(1, run_id="r2"))
    assert "may be there twice" not in caplog.text
    service.documents.pop("id-of-file-002.txt")
    forget(os.environ["AIRFLOW__CLOUDINDEX__STATE_PATH"])
    assert upload(files(3), try_number(2, run_id="r2"))["document_ids"][2] == "id-of-file-002.txt"
    assert "may be there twice" in caplog.text


def test_a_file_that_has_changed_since_the_earlier_try_is_uploaded_anew(ci, files, try_number, monkeypatch):
    """What counts is what is on the disk now."""
    (path,) = files(1)
    lose_the_answer(monkeypatch, [path], try_number(1))
    Path(path).write_text("other")
    ages(os.environ["AIRFLOW__CLOUDINDEX__STATE_PATH"], 600)
    (document_id,) = upload([path], try_number(2))["document_ids"]
    assert ci.content(document_id) == b"other"


def test_what_may_still_arrive_is_waited_for_and_found(ci, files, try_number):
    """A request that was cut is committed late: the next try begins after that, and an earlier one sends nothing."""
    ci.faults.add(Fault(operation="upload", kind="late_commit", delay=1.5))
    with pytest.raises(errors.InterruptedRequestError) as caught:
        upload(files(1), try_number(1))
    assert caught.value.retry_after == 35  # the connection's read_timeout, and 30 s
    with pytest.raises(errors.UnsettledUploadsError) as unsettled:
        upload(files(1), try_number(2))
    left = unsettled.value.retry_after
    assert left is not None
    assert 25 < left < 35
    wait_for(lambda: ci.documents())
    assert upload(files(1), try_number(3))["document_ids"] == [one["id"] for one in ci.documents()]


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_never_arrived_is_sent_when_it_can_arrive_no_more(ci, files, try_number):
    """The request was cut before CloudIndex had it."""
    ci.faults.add(Fault(operation="upload", kind="cut_before"))
    with pytest.raises(errors.InterruptedRequestError):
        upload(files(1), try_number(1))
    ages(os.environ["AIRFLOW__CLOUDINDEX__STATE_PATH"], 36)
    assert len(upload(files(1), try_number(2))["document_ids"]) == len(ci.documents()) == 1


@pytest.mark.parametrize("status", [500, 503, 413, 429])
def test_a_request_that_cloudindex_itself_refused_is_over(service, files, try_number, status, state_path):
    """Nothing of it can arrive: the next try looks, and sends at once."""
    service.stay(status, {"error": "no"}, headers={"Retry-After": "20"})
    with pytest.raises(errors.ApiError):
        upload(files(1), try_number(1))
    service.always = None
    with sqlite3.connect(state_path) as connection:
        connection.execute("DELETE FROM pace")
    connection.close()
    assert upload(files(1), try_number(2))["document_ids"] == ["id-of-file-000.txt"]


def test_a_list_that_is_not_whole_proves_no_absence(service, files, try_number):
    """Nothing is sent twice because of it."""
    service.stay(503, {"error": "no"}, headers={"Retry-After": "20"})
    with pytest.raises(errors.ServerError):
        upload(files(1), try_number(1))
    service.always = None
    service.prepare(200, {"documents": [], "total": 1})
    with pytest.raises(errors.IncompleteListError) as caught:
        upload(files(1), try_number(2))
    assert caught.value.retryable
    assert len(service.paths("POST")) == 1  # of the first try


# What an answer says


def test_only_documents_of_the_files_are_returned(service, files):
    """An answer may name others: what is returned may be waited for, or deleted."""
    mine = {"id": "new", "fileName": "file-000.txt", "status": "pending", "version": 2}
    older = {"id": "old", "fileName": "file-000.txt", "status": "processed", "version": 1}
    other = {"id": "other", "fileName": "somebody-elses.txt", "status": "processed"}
    service.prepare(200, {"documents": [older, mine, other], "errors": []})
    assert upload(files(1))["document_ids"] == ["new"]


def test_documents_with_names_that_nobody_foresaw_are_the_files_one_by_one(service, files):
    """All were taken, whatever they are called now."""
    taken = [{"id": str(number), "fileName": f"x{number}", "status": "pending"} for number in range(2)]
    service.prepare(200, {"documents": taken, "errors": []})
    assert upload(files(2))["document_ids"] == ["0", "1"]


# Files of the disk


def test_files_that_can_not_be_read_are_all_named_before_anything_is_sent(service, files, tmp_path):
    """A missing one, a folder, a link to nothing, a pipe: permanent, with the machine's name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    bad = [str(tmp_path / name) for name in ("missing.txt", "folder", "link", "pipe")]
    with pytest.raises(errors.ConfigurationError) as caught:
        upload([*files(1), *bad, "x" * 300])
    for words in (
        "missing.txt' doesn't exist",
        "folder' is a folder",
        "link' doesn't exist",
        "no regular file",
        "File name too long",
    ):
        assert words in caught.value.message
    assert caught.value.retryable is False
    assert service.requests == []


def test_an_empty_file_is_refused_like_one_that_is_too_large(service, files, tmp_path):
    """The others go on."""
    empty = tmp_path / "empty.txt"
    empty.touch()
    with pytest.raises(FilesRejectedError, match=r"empty\.txt: it is empty"):
        upload([*files(1), str(empty)])
    result = upload([*files(1), str(empty)], allow_file_errors="true")
    assert result["document_ids"] == ["id-of-file-000.txt"]
    assert result["errors"][0]["file_name"] == "empty.txt"


@pytest.mark.parametrize("change", ["longer", "shorter"])
def test_a_file_that_changes_while_it_is_sent_is_sent_again(ci, files, monkeypatch, change):
    """Half of the old and half of the new is nobody's file: the request is withdrawn, and another try reads anew."""
    (path,) = files(1, size=300_000)
    real = CloudIndexClient.upload_documents

    def changed(self, parts, **more):
        os.truncate(path, 400_000 if change == "longer" else 10)
        return real(self, parts, **more)

    monkeypatch.setattr(CloudIndexClient, "upload_documents", changed)
    with pytest.raises(errors.PartSizeError) as caught:
        upload([path])
    assert caught.value.retryable
    assert ci.documents() == []


@pytest.mark.parametrize("name", ["..", "folder/", "a\\.."])
def test_a_name_that_the_server_drops_is_refused(service, files, name):
    """It would be dropped without a word."""
    with pytest.raises(errors.ConfigurationError, match="drops a file named"):
        upload(files(1), file_names=[name])


def test_names_that_the_server_would_make_the_same_are_refused(service, files):
    """Two folders, one name."""
    with pytest.raises(errors.ConfigurationError, match=r"'b/x.txt', as 'a/x.txt' is"):
        upload(files(2), file_names=["a/x.txt", "b/x.txt"])


# Arguments as tasks get them


@pytest.mark.parametrize("native", [False, True])
def test_templates_and_upstream_tasks_give_files_metadata_and_options(run_dag, service, files, native):
    """A list, the text of a list, JSON text, and None for what may be left out."""
    paths = files(3)
    with DAG(f"upload_{native}", schedule=None, render_template_as_native_obj=native) as dag:

        @task
        def give() -> dict[str, Any]:
            return {"paths": paths, "metadata": {"team": "it's ours"}, "none": None}

        given: Any = give()
        pull = "ti.xcom_pull(task_ids='give')"
        CloudIndexUploadDocumentsOperator(
            task_id="output", files=given["paths"], metadata=given["metadata"], options=given["none"]
        )
        given >> [
            CloudIndexUploadDocumentsOperator(
                task_id="text",
                files=f"{{{{ {pull}['paths'] }}}}",
                metadata=f"{{{{ {pull}['metadata'] | tojson }}}}",
                options=f"{{{{ {pull}['none'] }}}}",
                file_names=f"{{{{ {pull}['none'] }}}}",
                project_id=f"{{{{ {pull}['none'] }}}}",
            ),
            CloudIndexUploadDocumentsOperator(
                task_id="python", files=paths[0], metadata=f"{{{{ {pull}['metadata'] }}}}"
            ),
        ]
        CloudIndexUploadDocumentsOperator(task_id="none", files=given["none"])
    states = run_dag(dag)
    assert {name: state for (name, _), (state, _) in states.items()} == {
        "give": "success", "output": "success", "text": "success", "python": "success", "none": "failed",
    }  # fmt: skip
    bodies = [body for method, _, body in service.requests if method == "POST"]
    assert len(bodies) == 3
    for body in bodies:
        assert json.dumps({"team": "it's ours"}, separators=(",", ":")).encode() in body
        assert b'name="options"' not in body


@pytest.mark.parametrize("value", [7, ["a"], "no json", "[1]", b"x", {"at": datetime.now(UTC)}])
def test_metadata_that_is_no_object_is_refused_before_anything_is_sent(service, files, value):
    """The field is named, and what it holds isn't."""
    for field in ("metadata", "options"):
        with pytest.raises(errors.ConfigurationError, match=field) as caught:
            upload(files(1), **{field: value})
        assert caught.value.retryable is False
    assert service.requests == []


def test_paths_may_be_path_objects(service, tmp_path):
    """As Python has them."""
    path = tmp_path / "one.txt"
    path.write_text("x")
    assert upload(path)["document_ids"] == ["id-of-one.txt"]
    assert upload([path], file_names="two.txt")["document_ids"] == ["id-of-two.txt"]
