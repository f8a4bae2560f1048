"""Everything that CloudIndex can do wrong, before, during and after its work: no document is lost, none is double."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from cloudindex_provider.api.errors import (
    AuthenticationError,
    BadRequestError,
    CloudIndexError,
    NotFoundError,
    RateLimitedError,
    ServerError,
)
from cloudindex_provider.api.models import FilePart
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.sync.detect import detect
from cloudindex_provider.sync.errors import UnsettledUploadsError
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.remove import remove
from tests.support.mirror import Mirror
from tests.support.s3_fault_proxy import S3Fault, S3FaultProxy

BEHAVIOURS = ["duplicate", "version", "replace"]


@dataclass(frozen=True)
class Row:
    """A fault of an upload, and how many files the service reads in all until the sync agrees."""

    name: str
    faults: list[Fault]
    again: int = 0  # files sent again, because they had not arrived
    again_without_hash: int = 3  # where the list doesn't show hashes, nothing can be adopted
    kept: dict[str, int] = field(default_factory=dict)


def upload(kind: Any, **more: Any) -> Fault:
    return Fault(operation="upload", kind=kind, **more)


ROWS = [
    Row("before: cut", [upload("cut_before")], again=3),
    Row("before: 503", [upload("status", status=503)], again=3),
    Row("before: 500", [upload("status", status=500)], again=3),
    Row("before: a web page with 502", [upload("html", status=502)], again=3),
    Row("before: a web page with 200", [upload("html", status=200)], again=3),
    Row("before: 429", [upload("429", retry_after=0)], again=3),
    Row("during: answer cut in the middle", [upload("cut_body")]),
    Row("during: answer that is no JSON", [upload("garbage")]),
    Row("after: cut", [upload("cut_after")]),
    Row("after: commits late", [upload("late_commit", delay=0.03)]),
    Row("twice: cut before, then after", [upload("cut_before"), upload("cut_after")], again=3),
    Row(
        "one file refused for now",
        [upload("partial_errors", match="a-", retryable=True)],
        again=1,
        again_without_hash=1,
    ),
    Row("one file not in the answer", [upload("missing_entries", match="a-")], again=1, again_without_hash=1),
    Row("all files not in the answer", [upload("missing_entries")], again=3),
    Row("slow", [upload("delay", delay=0.1)], again_without_hash=0),
]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_upload_that_goes_wrong_leaves_one_document_of_each_key(in_memory: Mirror, row: Row, behaviour: Any) -> None:
    """What had arrived is adopted and not sent again; what had not is; and nothing is double at the end."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    for name in "abc":
        mirror.put(f"{name}.txt", f"text of {name}")
    mirror.cloud.faults.add(*row.faults)
    mirror.run_to_the_end()
    mirror.assert_agreement()
    assert mirror.uploads == 3 + row.again
    assert mirror.run().counts["unchanged"] == 3


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "late_commit"])
def test_without_hashes_a_file_is_rather_sent_twice_than_lost(in_memory: Mirror, kind: str, behaviour: Any) -> None:
    """Where the list shows no hashes nothing can be adopted: it is sent again, and the copy is removed."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.cloud.settings.list_content_hash = False
    mirror.put("a.txt", "first")
    mirror.run()
    mirror.put("a.txt", "second")
    mirror.put("b.txt", "b")
    mirror.cloud.faults.add(upload(kind, delay=0.03 if kind == "late_commit" else 0))
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize("behaviour", ["duplicate", "version"])
@pytest.mark.parametrize("operation", ["list", "get", "delete"])
@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "cut_body", "garbage", "html", "status", "429"])
def test_other_requests_that_go_wrong_cost_nothing_but_a_try(
    in_memory: Mirror, operation: Any, kind: Any, behaviour: Any
) -> None:
    """Lists, looks and deletes are repeated, and what they had done already is done."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.cloud.settings.processing_delay = 0.05
    keys = mirror.put_many(8)
    mirror.run()
    mirror.put("0000.txt", "changed")
    mirror.put("0001.txt", "changed as well")
    mirror.remove("0007.txt")
    uploads = mirror.uploads
    mirror.cloud.faults.add(Fault(operation=operation, kind=kind, retry_after=0, times=2))
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()
    assert mirror.uploads == uploads + 2
    assert mirror.of(keys[7]) == []


@pytest.mark.parametrize("behaviour", ["duplicate"])
@pytest.mark.parametrize("service", ["cut_before", "cut_after", "cut_body", "partial_errors"])
@pytest.mark.parametrize("source", ["truncate", "corrupt", "error", "reset_before", "etag"])
def test_both_sides_fail_in_one_run(
    proxied: Mirror, s3_proxy: S3FaultProxy, source: str, service: Any, behaviour: Any
) -> None:
    """A fault of S3 and one of CloudIndex, in one upload: both heal."""
    proxied.cloud.settings.same_name = behaviour
    for name in "abc":
        proxied.put(f"{name}.txt", f"text of {name}")
    s3_proxy.add(S3Fault(source, key="a.", times=2))
    proxied.cloud.faults.add(upload(service, match="b-"))
    proxied.run_to_the_end()
    proxied.time_passes(200)
    proxied.run()
    proxied.assert_agreement()


def test_a_short_list_decides_nothing(in_memory: Mirror) -> None:
    """A list that has fewer entries than it says proves no absence, so nothing is sent again because of it."""
    mirror = in_memory
    mirror.cloud.settings.list_style = "object"
    mirror.cloud.settings.list_total = True
    mirror.put_many(3)
    mirror.cloud.faults.add(upload("cut_after"), Fault(operation="list", kind="missing_entries", match="0001"))
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()
    assert mirror.uploads == 3


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_changed_names_and_order_bind_to_the_right_keys(in_memory: Mirror, behaviour: Any) -> None:
    """Documents that come back in another order and under other names are told by their hash, also equal ones."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.cloud.settings.shuffle_uploads = True
    mirror.cloud.faults.add(upload("rename", match="a-", rename_to="other-{name}", times=None))
    keys = [mirror.put(f"{name}.txt", body) for name, body in (("a", "a"), ("aa", "twin"), ("aaa", "twin"), ("b", "b"))]
    mirror.run()
    rows = mirror.rows()
    assert {row.status for row in rows.values()} == {"indexed"}
    assert len({row.document_id for row in rows.values()}) == len(mirror.cloud.documents(mirror.project_id)) == 4
    for key in keys:
        assert mirror.cloud.content(rows[key].document_id) == mirror.body(key)
    assert mirror.uploads == 4


def test_documents_of_no_file_of_ours_are_removed_again(in_memory: Mirror) -> None:
    """A document under another name whose hash can't be had is no one's, and isn't left behind."""
    mirror = in_memory
    mirror.cloud.settings.list_content_hash = False
    mirror.cloud.faults.add(upload("rename", match="a-"), Fault(operation="get", kind="status", status=404, times=1))
    mirror.put("a.txt", "a")
    mirror.put("b.txt", "b")
    mirror.run_to_the_end()
    mirror.time_passes(100)
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()


# One bad file


@pytest.mark.parametrize("status", [413, 415])
def test_a_refused_request_is_split_until_the_offender_is_alone(in_memory: Mirror, status: int) -> None:
    """One file too many bytes costs the others nothing; it is set aside until it changes."""
    mirror = in_memory
    mirror.put_many(11)
    bad = mirror.put("0005x.txt", "bad")
    mirror.cloud.faults.add(upload("status", status=status, match="0005x", times=None))
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
    mirror.cloud.faults.add(upload("status", status=status, match=name.removesuffix(".txt"), times=None))
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


def test_a_file_that_gets_no_answer_and_has_no_company_is_tried_ever_more_rarely(in_memory: Mirror) -> None:
    """Whether it is the file or the service can't be told then: it is never set aside, and no run is spoiled by it."""
    mirror = in_memory
    mirror.put("a.txt", "a")
    mirror.run()
    bad = mirror.put("poison.txt", "bad")
    mirror.cloud.faults.add(upload("cut_before", match="poison", times=None))
    waits = []
    for _ in range(5):
        mirror.run_to_the_end()
        (wait,) = mirror.execute("SELECT next_attempt_at - intent_at FROM object WHERE key = :key", key=bad)[0]
        waits.append(round(wait / 60))
        mirror.time_passes(86_400)
    assert waits == [1, 2, 4, 8, 16]
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
    mirror.cloud.faults.add(Fault(operation="delete", kind="status", status=500, match="0001", times=1))
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


# Late uploads


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("same", [True, False], ids=["same bytes", "older bytes"])
def test_an_upload_that_commits_after_it_was_given_up_is_put_right(
    in_memory: Mirror, behaviour: Any, same: bool
) -> None:
    """Later than the grace allows for: the late copy is removed, and where it replaced the live document, that is made
    again."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    key = mirror.put("a.txt", "first")
    mirror.put("b.txt", "b")
    mirror.cloud.faults.add(upload("cut_before"))
    if not same:
        mirror.put("a.txt", "second")
    mirror.run_to_the_end(wait_for_processing=False)
    _late(mirror, key, b"first")
    for _ in range(3):
        mirror.run()
        mirror.time_passes(1000)
    mirror.assert_agreement()


def _late(mirror: Mirror, key: str, body: bytes) -> None:
    """What the cut request would have committed."""
    mirror.client.upload_documents([FilePart(file_name(mirror.bucket, key), len(body), lambda: [body])])


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_an_object_that_changes_while_its_upload_is_in_doubt(in_memory: Mirror, behaviour: Any) -> None:
    """The upload in doubt is adopted as what it was, and the newer bytes follow."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    key = mirror.put("a.txt", "first")
    mirror.cloud.faults.add(upload("cut_after", times=1))
    with pytest.raises(Exception, match="unknown"):
        mirror.run(max_run_time=None) if _long_grace(mirror) else None
    mirror.put("a.txt", "second")
    mirror.time_passes(1000)
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()
    assert mirror.bytes_of(key) == b"second"
    assert mirror.uploads == 2


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
@pytest.mark.parametrize("hashes", [True, False])
def test_an_object_that_goes_back_while_its_upload_is_in_doubt(
    in_memory: Mirror, behaviour: Any, kind: Any, hashes: bool
) -> None:
    """S3 has the indexed bytes again, but the service may have others by now: that is not taken for unchanged."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.cloud.settings.list_content_hash = hashes
    mirror.put("a.txt", "first")
    mirror.run()
    mirror.put("a.txt", "other")
    mirror.cloud.faults.add(upload(kind, times=1))
    _long_grace(mirror)
    with pytest.raises(Exception, match="unknown"):
        mirror.run()
    mirror.put("a.txt", "first")
    mirror.time_passes(1000)
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
def test_an_object_that_vanishes_while_its_upload_is_in_doubt(in_memory: Mirror, behaviour: Any, kind: Any) -> None:
    """Nothing of it is left, neither in the state nor in the index, and nothing is deleted before the grace is over."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.put("anchor.txt")
    mirror.run()
    mirror.put("a.txt", "first")
    mirror.cloud.faults.add(upload(kind, times=1))
    _long_grace(mirror)
    with pytest.raises(Exception, match="unknown"):
        mirror.run("first")
    mirror.remove("a.txt")
    with pytest.raises(Exception, match="unknown"):
        mirror.run("first")
    assert mirror.requests("delete") == 0
    mirror.time_passes(1000)
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()


def test_a_key_whose_upload_may_still_arrive_is_not_forgotten(in_memory: Mirror) -> None:
    """Deleting waits for the grace, also as a task of its own: what commits until then is found and deleted."""
    mirror = in_memory
    mirror.put("anchor.txt")
    mirror.run()
    key = mirror.put("a.txt", "first")
    mirror.cloud.faults.add(upload("cut_before", times=1))
    _long_grace(mirror)
    with pytest.raises(UnsettledUploadsError):
        mirror.run("run")
    mirror.remove("a.txt")
    ctx = mirror.context("run")
    detect(ctx)
    assert remove(ctx).deleted == 0
    _late(mirror, key, b"first")
    mirror.time_passes(1000)
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()


def _long_grace(mirror: Mirror) -> bool:
    """A grace that no task sleeps through; the state is told that it has passed."""
    mirror.doubt_grace = 100
    return True
