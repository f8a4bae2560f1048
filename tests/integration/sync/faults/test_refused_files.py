"""What CloudIndex refuses, can't process or loses costs no other file, and is not uploaded for ever."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from cloudindex_provider.api.models import FilePart, UploadResult
from cloudindex_provider.api.parse import decode, parse_details, parse_refusal
from cloudindex_provider.errors import (
    AuthenticationError,
    BadRequestError,
    CloudIndexError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    UnsettledUploadsError,
)
from cloudindex_provider.local.faults import Fault
from tests.support.mirror import Mirror
from tests.support.service_faults import BEHAVIOURS, upload


@pytest.mark.parametrize("status", [413, 415])
def test_a_refused_request_is_split_until_the_offender_is_alone(in_memory: Mirror, status: int) -> None:
    """One file too many bytes costs the others nothing; it is set aside until it changes."""
    mirror = in_memory
    mirror.put_many(11)
    bad = mirror.put("0005x.txt", "bad")
    mirror.cloud.faults.add(upload("status", status=status, match="-0005x-", times=None))
    report = mirror.run()
    mirror.assert_agreement(but={bad}, rows=False)
    assert (report.counts["indexed"], report.counts["quarantined"]) == (11, 1)
    assert bad in report.failures[0]["key"]  # type: ignore[operator]
    requests = mirror.requests("upload")
    mirror.run()
    assert mirror.requests("upload") == requests
    mirror.cloud.faults.clear()
    mirror.put("0005x.txt", "good")
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize("name", ["0000a.txt", "0009z.txt"], ids=["first", "last"])
def test_a_file_that_the_service_refuses_costs_no_other_and_ends_in_quarantine(
    in_memory: Mirror, status: int, name: str
) -> None:
    """Three strikes, none of which stops the others, wherever it stands in the order; then it is left alone."""
    mirror = in_memory
    mirror.put_many(9)
    bad = mirror.put(name, "bad")
    mirror.cloud.faults.add(upload("status", status=status, match=name.removesuffix(".txt") + "-", times=None))
    for outcome in ("failed", "failed", "quarantined"):
        report = mirror.run()
        assert report.counts[outcome] == 1
        mirror.time_passes(1000)
    mirror.assert_agreement(but={bad}, rows=False)
    requests = mirror.requests("upload")
    mirror.run()
    assert mirror.requests("upload") == requests


def test_an_api_that_refuses_everything_is_the_task_s_failure(in_memory: Mirror) -> None:
    """Where nothing was ever taken, a 400 speaks of the API and not of the documents."""
    in_memory.put_many(3)
    in_memory.cloud.faults.add(upload("status", status=400, times=None))
    with pytest.raises(BadRequestError):
        in_memory.run()
    assert {(row.status, row.attempts) for row in in_memory.rows().values()} == {("pending", 0)}
    in_memory.cloud.faults.clear()
    in_memory.run()
    in_memory.assert_agreement()


@pytest.mark.parametrize("number", [1, 2, 9])
def test_a_400_without_a_verdict_is_about_the_request_and_costs_three_requests_at_most(
    in_memory: Mirror, number: int
) -> None:
    """It says project, base path and the service's own text; no file is blamed."""
    mirror = in_memory
    mirror.put_many(number)
    mirror.cloud.faults.add(upload("status", status=400, times=None))
    with pytest.raises(BadRequestError) as caught:
        mirror.run()
    for fact in (mirror.project_id, "/public/v1", "A fault that was asked for"):
        assert fact in str(caught.value)
    assert mirror.requests("upload") <= 3
    assert {(row.status, row.attempts) for row in mirror.rows().values()} == {("pending", 0)}


def test_a_400_at_the_first_request_of_a_run_blames_nobody_where_documents_are_live(in_memory: Mirror) -> None:
    """An API that has changed refuses every request; yesterday's documents don't make that the files' fault."""
    mirror = in_memory
    mirror.put_many(3)
    mirror.run()
    mirror.put_many(9, start=10)
    requests = mirror.requests("upload")
    mirror.cloud.faults.add(upload("status", status=422, times=None))
    with pytest.raises(BadRequestError, match="refuses every upload"):
        mirror.run()
    assert mirror.requests("upload") == requests + 3
    assert {row.attempts for row in mirror.rows().values()} == {0}


@pytest.mark.parametrize("retryable", [None, False, True])
def test_a_400_that_names_files_is_a_verdict_about_them(in_memory: Mirror, retryable: bool | None) -> None:
    """Each gets its own reason, and the others of the request go without them, in one more request."""
    mirror = in_memory
    mirror.put_many(6)
    bad = mirror.put("bad.txt", "bad")
    mirror.client = Verdicts(mirror.client, retryable)
    (row,) = mirror.run().failures
    assert row["key"] == bad
    assert "It holds a virus" in str(row["reason"])
    mirror.assert_agreement(but={bad}, rows=False)
    assert mirror.requests("upload") == 1
    found = mirror.rows()[bad]
    expected = {None: ("failed", 1), False: ("quarantined", 1), True: ("failed", 0)}
    assert (found.status, found.attempts) == expected[retryable]


@pytest.mark.parametrize("text", ["page 3: \ud83d", "Unexpected token \0 in JSON"])
def test_an_error_message_that_no_database_stores_blocks_nothing(in_memory: Mirror, text: str) -> None:
    """Half a surrogate pair, U+0000: the key fails for its own sake, and the other is indexed."""
    mirror = in_memory
    mirror.put("there.txt", "before")
    mirror.run()
    mirror.put("a.txt", "one")
    mirror.put("b.txt", "two")
    real = mirror.client

    class Odd:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def get_document(self, document_id: str) -> Any:
            found = real.get_document(document_id)
            if "-a-" not in found.document.file_name:
                return found
            body = {"id": document_id, "fileName": found.document.file_name, "status": "failed", "errorMessage": text}
            return parse_details(decode(json.dumps({"document": body}).encode()))

    mirror.client = Odd()
    mirror.execute("UPDATE document_list SET requests = 1000, documents = 10")  # single documents are asked for
    (row,) = mirror.run().failures
    assert "couldn't process it" in str(row["reason"])
    assert mirror.rows()["docs/b.txt"].status == "indexed"


@dataclass
class Verdicts:
    """A service that answers 400 and names the bad files, by the client's own reading of such a body."""

    client: Any
    retryable: bool | None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def upload_documents(self, files: Sequence[FilePart], *, at_turn: Callable[[], None], **more: Any) -> UploadResult:
        names = [part.file_name for part in files]
        bad = [
            {"fileName": one, "error": "It holds a virus", "retryable": self.retryable}
            for one in names
            if "-bad-" in one
        ]
        if not bad:
            return self.client.upload_documents(files, at_turn=at_turn, **more)
        at_turn()
        verdict = parse_refusal(json.dumps({"error": "Validation failed", "errors": bad}).encode(), names, None)
        assert verdict is not None
        return verdict


@pytest.mark.parametrize("kind", ["cut_before", "status"])
@pytest.mark.parametrize("number", [1, 4])
def test_a_file_that_breaks_the_service_costs_no_other_and_ends_in_quarantine(
    in_memory: Mirror, kind: Any, number: int
) -> None:
    """No answer to a request is told from no answer to one file: the others are sent without it."""
    mirror = in_memory
    mirror.put_many(9)
    bad = {mirror.put(f"0003-{n}poison.txt", "bad") for n in range(number)}
    mirror.cloud.faults.add(upload(kind, match="poison", status=500, times=None))
    for round_ in range(8):
        mirror.put(f"new{round_}.txt", f"new in round {round_}")
        mirror.run_to_the_end()
        mirror.time_passes(400)
        mirror.assert_agreement(but=bad, rows=False)
    assert {mirror.rows()[key].status for key in bad} == {"quarantined"}
    uploads = mirror.uploads
    mirror.run()
    assert mirror.uploads == uploads


def test_a_file_that_gets_no_answer_and_has_no_company_is_tried_once_a_run(in_memory: Mirror) -> None:
    """Whether it is the file or the service can't be told then: it is never set aside, and every run says so."""
    mirror = in_memory
    mirror.put("a.txt", "a")
    mirror.run()
    bad = mirror.put("poison.txt", "bad")
    mirror.cloud.faults.add(upload("cut_before", match="poison", times=None))
    for _ in range(5):
        report = mirror.run_to_the_end()
        assert [row["key"] for row in report.failures] == [bad]
        mirror.time_passes(3600)
    assert mirror.rows()[bad].status == "failed"
    mirror.cloud.faults.clear()
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()


def test_a_service_that_is_down_strikes_no_document(in_memory: Mirror) -> None:
    """However long the outage, nothing is set aside for it."""
    mirror = in_memory
    mirror.put_many(25)
    mirror.cloud.faults.add(upload("status", status=503, times=None))
    for _ in range(6):
        with pytest.raises((ServerError, UnsettledUploadsError)):
            mirror.run("outage")
        mirror.time_passes(10)
    assert "quarantined" not in {row.status for row in mirror.rows().values()}
    mirror.cloud.faults.clear()
    mirror.run_to_the_end("outage")
    mirror.time_passes(1000)
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_what_cannot_be_processed_is_uploaded_three_times_and_never_again(in_memory: Mirror, behaviour: Any) -> None:
    """Strikes are per ETag; then the document is set aside, and only another ETag brings it back."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    bad = mirror.put("bad.txt", "bad")
    mirror.put("good.txt", "good")
    mirror.cloud.settings.fail_processing = ["bad-"]
    outcomes = []
    for _ in range(6):
        report = mirror.run()
        outcomes += [name for name in ("failed", "quarantined") if report.counts[name]]
        mirror.time_passes(10_000)
    assert outcomes == ["failed", "failed", "quarantined", "quarantined", "quarantined", "quarantined"]
    assert mirror.uploads == 4
    mirror.assert_agreement(but={bad}, rows=False)
    mirror.cloud.settings.fail_processing = []
    mirror.put("bad.txt", "better")
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize("behaviour", ["duplicate"])
def test_a_failed_new_version_leaves_the_old_one_live(in_memory: Mirror, behaviour: Any) -> None:
    """The old document stays searchable, is shown as stale, and goes when a version is processed at last."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    key = mirror.put("a.txt", "first")
    mirror.run()
    mirror.put("a.txt", "second")
    mirror.cloud.settings.fail_processing = ["a-"]
    report = mirror.run()
    assert (report.counts["failed"], report.counts["stale"]) == (1, 1)
    assert mirror.bytes_of(key) == b"first"
    mirror.cloud.settings.fail_processing = []
    mirror.time_passes(1000)
    mirror.run()
    mirror.assert_agreement()


def test_a_document_that_vanishes_while_it_is_processed_is_uploaded_again(in_memory: Mirror) -> None:
    """What a person deleted meanwhile is not waited for for ever."""
    mirror = in_memory
    key = mirror.put("a.txt", "a")
    mirror.cloud.settings.processing_delay = 5
    mirror.run(wait_for_processing=False)
    mirror.client.delete_document(mirror.of(key)[0]["id"])
    mirror.cloud.settings.processing_delay = 0
    assert mirror.run().counts["failed"] == 1
    mirror.time_passes(1000)
    mirror.run()
    mirror.assert_agreement()


def test_a_project_that_is_not_found_for_a_while_strikes_no_document(in_memory: Mirror) -> None:
    """A 404 of everything is the task's failure, not a vanished document."""
    mirror = in_memory
    mirror.put("a.txt", "a")
    mirror.cloud.settings.processing_delay = 1.0
    mirror.run(wait_for_processing=False)
    mirror.cloud.faults.add(
        Fault(operation="get", kind="status", status=404), Fault(operation="list", kind="status", status=404)
    )
    with pytest.raises(NotFoundError):
        mirror.run("run")
    assert {row.attempts for row in mirror.rows().values()} == {0}
    mirror.run("run")
    mirror.assert_agreement()
    assert mirror.uploads == 1


def test_a_delete_that_fails_costs_no_other(in_memory: Mirror) -> None:
    """A document that can't be deleted is said, and the others are deleted all the same."""
    mirror = in_memory
    mirror.put_many(8)
    mirror.run()
    mirror.remove("0001.txt", "0002.txt", "0003.txt")
    mirror.cloud.faults.add(Fault(operation="delete", kind="status", status=500, match="-0001-", times=1))
    with pytest.raises(ServerError):
        mirror.run()
    assert len(mirror.documents()) == 6
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize(
    ("status", "error"), [(401, AuthenticationError), (404, NotFoundError), (429, RateLimitedError)]
)
def test_what_is_about_the_whole_service_gives_the_rows_back(
    in_memory: Mirror, status: int, error: type[CloudIndexError]
) -> None:
    """A wrong key, a wrong project, a full hour: nothing is marked or claimed, and the error says what to do."""
    in_memory.put_many(3)
    fault = upload("429", retry_after=3000) if status == 429 else upload("status", status=status)
    in_memory.cloud.faults.add(fault)
    with pytest.raises(error) as caught:
        in_memory.run()
    assert caught.value.hint or caught.value.retry_after
    rows = in_memory.rows().values()
    assert {(row.status, row.attempts, row.claim_owner) for row in rows} == {("pending", 0, None)}
    in_memory.run()
    in_memory.assert_agreement()


FAULTS = {
    **{str(status): upload("status", status=status, match="bad-", times=None) for status in (400, 409, 413, 415, 422)},
    "refused in the answer": upload("partial_errors", match="bad-", times=None, retryable=False),
    "refused for now": upload("partial_errors", match="bad-", times=None, retryable=True),
    "not in the answer": upload("missing_entries", match="bad-", times=None),
}


@pytest.mark.parametrize("name", [*FAULTS, "processing"])
def test_every_failed_file_is_named_with_cause_and_remedy_in_log_and_report(
    in_memory: Mirror, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who reads the task's log or its report learns which key failed, why, and what to do."""
    mirror = in_memory
    mirror.put_many(3)
    bad = mirror.put("bad.txt", "bad")
    if name == "processing":
        mirror.cloud.settings.fail_processing = ["bad-"]
    else:
        mirror.cloud.faults.add(FAULTS[name])
    (row,) = mirror.run().failures
    reason = row["reason"] or ""
    assert row["key"] == bad
    assert "CloudIndex" in reason or name in reason
    assert any(word in reason for word in ("exclude", "tried again", "max_file_size", "file_types", "Retry")), reason
    assert any(bad in line and reason in line for line in caplog.messages)
