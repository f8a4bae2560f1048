"""What an answer proves, and what it doesn't: files that it leaves out, documents of others, answered 5xx."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cloudindex_provider.api.models import Document, FilePart, UploadResult
from cloudindex_provider.errors import ServerError
from cloudindex_provider.state import claims
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.run import synchronize
from tests.support.mirror import Mirror, waiting
from tests.support.service_faults import BEHAVIOURS, upload


@dataclass
class Answering:
    """A client whose upload answers are changed on their way."""

    client: Any
    change: Callable[[UploadResult], UploadResult]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def upload_documents(self, files: Sequence[FilePart], **more: Any) -> UploadResult:
        return self.change(self.client.upload_documents(files, **more))


@dataclass
class Deduplicating:
    """A service that answers with the document that it has, where it has the bytes of a file already."""

    client: Any
    known: dict[str, Document] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def upload_documents(
        self, files: Sequence[FilePart], *, at_turn: Callable[[], None], metadata: Mapping[str, Any], options: Any
    ) -> UploadResult:
        digests = {part.file_name: hashlib.sha256(b"".join(part.open())).hexdigest() for part in files}
        old = [self.known[digests[part.file_name]] for part in files if digests[part.file_name] in self.known]
        fresh = [part for part in files if digests[part.file_name] not in self.known]
        if not fresh:
            at_turn()
            return UploadResult(tuple(old))
        result = self.client.upload_documents(fresh, at_turn=at_turn)
        for one in result.documents:
            self.known[digests[one.file_name]] = self.client.get_document(one.id).document
        return UploadResult((*result.documents, *old))

    def delete_document(self, document_id: str, **more: Any) -> bool:
        self.known = {digest: one for digest, one in self.known.items() if one.id != document_id}
        return bool(self.client.delete_document(document_id, **more))


# A file that the answer leaves out


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_file_that_the_answer_leaves_out_is_looked_up_before_it_is_sent_again(
    in_memory: Mirror, behaviour: Any
) -> None:
    """It was stored: it is found by name and hash, adopted, and sent once."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.put("a.txt", "a")
    mirror.put("b.txt", "b")

    def leave_out(result: UploadResult) -> UploadResult:
        return replace(result, documents=tuple(one for one in result.documents if "-a-" not in one.file_name))

    mirror.client = Answering(mirror.client, leave_out)
    report = mirror.run()
    mirror.assert_agreement()
    assert mirror.uploads == 2
    assert report.counts["adopted"] == 1


def test_a_file_that_every_answer_leaves_out_is_a_strike(in_memory: Mirror) -> None:
    """Looked up, not there, sent again: after three answers without a word about it, it has failed."""
    mirror = in_memory
    mirror.put("good.txt", "good")
    bad = mirror.put("bad.txt", "bad")
    mirror.cloud.faults.add(upload("missing_entries", match="bad-", times=None))
    (row,) = mirror.run().failures
    assert row["key"] == bad
    assert mirror.rows()[bad].attempts == 1
    assert mirror.uploads == 4


# Documents of others


def test_a_document_of_somebody_else_that_an_answer_names_is_not_deleted(in_memory: Mirror) -> None:
    """An answer that lists the folder names what isn't ours; it stays."""
    mirror = in_memory
    foreign = mirror.client.upload_documents([FilePart("contract.txt", 5, lambda: iter([b"hello"]))]).documents[0]
    mirror.client = Answering(mirror.client, lambda result: replace(result, documents=(*result.documents, foreign)))
    mirror.put("a.txt", "mine")
    mirror.run()
    mirror.run()
    mirror.assert_agreement(foreign={"contract.txt"})
    assert "contract.txt" in mirror.documents()


def test_a_document_of_somebody_else_with_our_bytes_is_not_taken_for_ours(in_memory: Mirror) -> None:
    """It has been there before the request, so the sync neither binds it nor deletes it with the key."""
    mirror = in_memory
    older = mirror.client.upload_documents([FilePart("theirs.txt", 4, lambda: iter([b"same"]))]).documents[0]
    older = mirror.client.get_document(older.id).document

    mirror.put("anchor.txt")
    mirror.run()

    def instead(result: UploadResult) -> UploadResult:
        return replace(result, documents=(older,))

    mirror.client = Answering(mirror.client, instead)
    key = mirror.put("a.txt", "same")
    mirror.run()
    assert mirror.rows()[key].document_id != older.id
    mirror.remove("a.txt")
    mirror.run()
    mirror.assert_agreement(foreign={"theirs.txt"})
    assert mirror.cloud.content(older.id) == b"same"


def test_another_key_s_live_document_in_an_answer_stays_that_key_s(in_memory: Mirror) -> None:
    """Without a hash it can't be told to be a file of the request; it is neither bound nor a stray."""
    mirror = in_memory
    other = mirror.put("z.txt", "live and indexed")
    mirror.run()
    live = mirror.client.get_document(mirror.rows()[other].document_id).document
    live = replace(live, content_hash=None, uploaded_at="2999-01-01T00:00:00.000Z")
    real = mirror.client
    mirror.client = Answering(real, lambda result: replace(result, documents=(*result.documents, live)))
    mirror.put("a.txt", "new")
    mirror.run()
    mirror.client = real
    mirror.run()
    mirror.assert_agreement()


def test_one_document_is_never_bound_to_two_keys(in_memory: Mirror) -> None:
    """A service that keeps one document for equal bytes: removing one key doesn't take the other's document."""
    mirror = in_memory
    mirror.client = Deduplicating(mirror.client)
    first = mirror.put("a.txt", "the same bytes")
    mirror.run()
    second = mirror.put("b.txt", "the same bytes")
    (failure,) = mirror.run().failures
    assert failure["key"] == second
    assert "one document for the same bytes" in str(failure["reason"])
    assert mirror.rows()[second].document_id is None
    assert mirror.of(first)
    mirror.remove("a.txt")
    mirror.run()
    mirror.run()
    mirror.assert_agreement()
    assert mirror.of(second)


def test_a_document_that_two_rows_hold_goes_with_the_last_of_them(in_memory: Mirror) -> None:
    """As an older version of the state may have it, also where another sync of the project holds it."""
    mirror = in_memory
    keys = [mirror.put(f"{name}.txt", name) for name in "abc"]
    mirror.run()
    shared = mirror.rows()[keys[0]].document_id
    other = mirror.rows()[keys[1]].document_id
    mirror.client.delete_document(other)
    mirror.execute("UPDATE object SET document_id = :id WHERE key = :k", id=shared, k=keys[1])
    mirror.remove("a.txt")
    assert mirror.run().counts["deleted"] == 1
    assert shared in [one["id"] for one in mirror.of(keys[0])]
    mirror.remove("b.txt")
    mirror.run()
    assert mirror.of(keys[0]) == []


# An answered 5xx


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("before", [True, False], ids=["not taken", "taken"])
def test_an_answered_5xx_is_looked_up_at_once(in_memory: Mirror, behaviour: Any, status: int, before: bool) -> None:
    """It costs seconds and no try of Airflow's, whether the files were taken or not; none is lost or double."""
    mirror = in_memory
    mirror.request_timeout, mirror.doubt_grace = 2.0, 1000.0
    mirror.cloud.settings.same_name = behaviour
    key = mirror.put("a.txt", "first")
    mirror.run()
    mirror.put("a.txt", "second")
    mirror.put_many(3)
    if before:
        mirror.cloud.faults.add(upload("status", status=status, retry_after=1))
    else:
        mirror.client = _Failing(mirror.client, status)
    waits: list[float] = []
    ctx = mirror.context("run")
    ctx.sleep = waits.append
    report = synchronize(ctx)
    assert report.counts["indexed"] == 4
    assert sum(waits) < 8
    mirror.assert_agreement()
    assert mirror.bytes_of(key) == b"second"
    assert mirror.uploads == (9 if before else 5)


@dataclass
class _Failing:
    """The first upload is taken, and answered by an error."""

    client: Any
    status: int
    left: int = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def upload_documents(self, files: Sequence[FilePart], **more: Any) -> UploadResult:
        result: UploadResult = self.client.upload_documents(files, **more)
        if self.left:
            self.left -= 1
            raise ServerError("It broke.", status=self.status, retry_after=1, outcome_unknown=True)
        return result


def test_a_copy_that_an_answered_5xx_leaves_late_is_removed_by_the_next_run(in_memory: Mirror) -> None:
    """The doubt is kept until no request can commit any more, so a copy that comes still later is found."""
    mirror = in_memory
    mirror.doubt_grace = 1000.0
    key = mirror.put("a.txt", "a")
    mirror.cloud.faults.add(upload("status", status=503))
    ctx = mirror.context("run")
    ctx.sleep = lambda _: None
    synchronize(ctx)
    mirror.client.upload_documents([FilePart(file_name(mirror.bucket, key), 1, lambda: iter([b"a"]))])
    assert len(mirror.of(key)) == 2
    mirror.run()
    mirror.assert_agreement()
    mirror.time_passes(2000)
    mirror.run()
    assert mirror.rows()[key].doubtful == 0


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_s_5xx_is_a_cut_line(in_memory: Mirror, status: int) -> None:
    """The service behind it may be at work still, so the long grace holds."""
    mirror = in_memory
    mirror.doubt_grace = 1000.0
    mirror.put("a.txt", "a")
    mirror.cloud.faults.add(upload("status", status=status))
    with pytest.raises(Exception, match="is unknown"):
        mirror.run("run")
    assert mirror.uploads == 1


# Innocent files


def test_two_500s_in_a_row_name_no_file(in_memory: Mirror) -> None:
    """The service failed twice and then took it: nobody is blamed and the run is green."""
    mirror = in_memory
    key = mirror.put("a.txt", "a")
    mirror.cloud.faults.add(upload("status", status=500, times=2))
    report = mirror.run()
    assert report.failures == []
    mirror.assert_agreement()
    assert mirror.rows()[key].attempts == mirror.rows()[key].unanswered == 0


def test_an_interrupted_upload_of_a_key_with_an_old_strike_is_not_called_broken(in_memory: Mirror) -> None:
    """A worker that was killed after the intent says nothing about the file."""
    mirror = in_memory
    mirror.put("a.txt", "one")
    mirror.put("b.txt", "two")
    mirror.cloud.settings.fail_processing = ["docs-a"]
    mirror.run("r1")
    mirror.cloud.settings.fail_processing = []
    mirror.put("b.txt", "two changed")
    ctx = mirror.context("r2")
    detect(ctx)
    run, owner = ctx.run(), ctx.owner
    rows = claims.claim_request(mirror.db, run, owner, lease=60, max_request_size=10**7, max_documents=None)
    intents = [(row, file_name(mirror.bucket, row.key), None) for row in rows]
    claims.record_intent(mirror.db, run, owner, intents, lease=60)
    mirror.time_passes(200)
    report = mirror.run("r2")
    assert report.failures == []
    mirror.assert_agreement()


def test_without_company_a_file_is_named_as_unanswered_and_not_blamed_for_an_hour(in_memory: Mirror) -> None:
    """Nothing else was taken, so it may be the service; an hour later the report says that it gets no answer alone."""
    mirror = in_memory
    bad = mirror.put("poison.txt", "bad")
    mirror.cloud.faults.add(upload("cut_before", match="poison", times=None))
    (row,) = mirror.run_to_the_end().failures
    assert row["key"] == bad
    assert "may be CloudIndex's fault" in str(row["reason"])
    mirror.time_passes(3700)
    (row,) = mirror.run_to_the_end().failures
    assert "this file alone" in str(row["reason"])
    assert mirror.rows()[bad].attempts == 0


# A list that can't be read to the last entry


def test_an_unreadable_entry_of_the_list_blocks_no_doubt(in_memory: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read proves presence; a note without a file name is no upload of ours, so absence is proven as well."""
    mirror = in_memory
    mirror.put_many(3)
    mirror.run()
    _add_entry(monkeypatch, {"id": "note", "processingStatus": "processed"})
    mirror.put("y.txt", "taken")
    mirror.cloud.faults.add(upload("cut_after"))
    mirror.run_to_the_end()
    mirror.put("z.txt", "not taken")
    mirror.cloud.faults.add(upload("cut_before"))
    mirror.run_to_the_end()
    monkeypatch.undo()
    mirror.assert_agreement()
    assert mirror.uploads == 6


def test_an_entry_that_may_be_anything_lets_presence_count_and_absence_not(
    in_memory: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is adopted; what isn't stays in doubt, is named, and stops no other upload."""
    mirror = in_memory
    mirror.put("x.txt", "there before")
    mirror.run()
    mirror.put("y.txt", "taken")
    mirror.cloud.faults.add(upload("cut_after"))
    _add_entry(monkeypatch, None)
    mirror.run_to_the_end()
    mirror.put("z.txt", "not taken")
    mirror.cloud.faults.add(upload("cut_before"))
    with pytest.raises(Exception, match=r"z\.txt"):
        mirror.run("r")
    mirror.time_passes(1000)
    other = mirror.put("other.txt", "other")
    with pytest.raises(Exception, match="can't be read"):
        mirror.run("r2")
    assert mirror.of(other)
    monkeypatch.undo()
    mirror.time_passes(1000)
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()


def _add_entry(monkeypatch: pytest.MonkeyPatch, entry: Any) -> None:
    from cloudindex_provider.local import render

    real = render.listing
    monkeypatch.setattr(render, "listing", lambda *args: [*real(*args), entry])


# Most of what was sent fails alike


def test_an_outage_of_processing_strikes_no_document(in_memory: Mirror) -> None:
    """However many runs it lasts: they are red, and nothing is set aside; afterwards all is well by itself."""
    mirror = in_memory
    mirror.put_many(6)
    mirror.cloud.settings.fail_processing = ["docs-"]
    for _ in range(4):
        report = mirror.run()
        assert report.counts["failed"] == 6
        assert "CloudIndex's fault" in str(report.failures[0]["reason"])
    assert {(row.status, row.attempts) for row in mirror.rows().values()} == {("failed", 0)}
    mirror.cloud.settings.fail_processing = []
    mirror.run()
    mirror.assert_agreement()


def test_few_files_that_fail_beside_others_get_their_strikes(in_memory: Mirror) -> None:
    """Where most are processed, a failure is the file's."""
    mirror = in_memory
    mirror.put_many(6)
    bad = [mirror.put(f"bad{number}.txt", "bad") for number in range(4)]
    mirror.cloud.settings.fail_processing = ["docs-bad"]
    mirror.run()
    assert {mirror.rows()[key].attempts for key in bad} == {1}


def test_a_refusal_for_now_never_leads_to_quarantine(in_memory: Mirror) -> None:
    """The service says itself that it may be tried again."""
    mirror = in_memory
    mirror.put_many(4)
    mirror.cloud.faults.add(upload("partial_errors", retryable=True, times=None))
    for _ in range(5):
        assert mirror.run().counts["failed"] == 4
    mirror.cloud.faults.clear()
    mirror.run()
    mirror.assert_agreement()


# Old bytes


def test_old_bytes_that_come_late_are_seen_where_the_list_shows_no_hash(in_memory: Mirror) -> None:
    """The document itself is asked for, where the list is silent."""
    mirror = in_memory
    mirror.cloud.settings.same_name = "version"
    mirror.cloud.settings.list_content_hash = False
    key = mirror.put("a.txt", "first")
    mirror.run()
    real = mirror.client

    class LateCommit:
        lists = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def iter_documents(self) -> Any:
            self.lists += 1
            if self.lists == 2:  # the look after the key was indexed: the cut request is committed just before it
                real.upload_documents([FilePart(file_name(mirror.bucket, key), 5, lambda: iter([b"first"]))])
                waiting(lambda: all(one["status"] == "processed" for one in mirror.of(key)))
            return real.iter_documents()

    mirror.client = LateCommit()
    mirror.put("a.txt", "second")
    mirror.cloud.faults.add(upload("cut_before"))
    mirror.run_to_the_end()
    for _ in range(2):
        mirror.run()
    assert mirror.client.lists >= 2
    mirror.assert_agreement()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_old_content_that_comes_back_after_a_failed_version_is_made_live_again(
    in_memory: Mirror, behaviour: Any
) -> None:
    """The service has versioned or replaced the old document away, so it isn't unchanged."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.put("a.txt", "first")
    mirror.put("b.txt", "b")
    mirror.run()
    mirror.put("a.txt", "second")
    mirror.cloud.settings.fail_processing = ["docs-a-"]
    mirror.run()
    mirror.cloud.settings.fail_processing = []
    mirror.put("a.txt", "first")
    mirror.run()
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize("version", [True, False], ids=["with versions", "without"])
def test_an_old_version_shown_first_is_no_strike(in_memory: Mirror, version: bool) -> None:
    """A service that shows the version before for a moment is waited for."""
    mirror = in_memory
    mirror.cloud.settings.same_name = "version"
    key = mirror.put("a.txt", "first")
    mirror.run()
    real = mirror.client
    old = real.get_document(mirror.rows()[key].document_id)
    if not version:
        old = replace(old, document=replace(old.document, version=None))

    class Late:
        shown = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def upload_documents(self, files: Sequence[FilePart], **more: Any) -> UploadResult:
            result: UploadResult = real.upload_documents(files, **more)
            return replace(result, documents=tuple(replace(one, version=None) for one in result.documents))

        def get_document(self, document_id: str) -> Any:
            self.shown += 1
            return old if self.shown <= 2 else real.get_document(document_id)

    mirror.client = Late()
    mirror.put("a.txt", "second")
    report = mirror.run()
    assert report.failures == []
    mirror.assert_agreement()
