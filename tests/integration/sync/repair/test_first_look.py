"""Before a source's first upload its project is looked at once: what is there is adopted, never uploaded again."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from cloudindex_provider.api import document_stream
from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import IncompleteListError, SourceUnavailableError
from cloudindex_provider.local import render
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.repair import first_look
from cloudindex_provider.sync.repair.index_copy import stage_index
from cloudindex_provider.sync.repair.rebuild import listed_digest
from cloudindex_provider.sync.report.progress import UploadProgress
from cloudindex_provider.sync.run import find_work
from tests.support.mirror import Mirror, waiting
from tests.support.service_faults import BEHAVIOURS


def lose(mirror: Mirror) -> None:
    """The state's file is gone."""
    mirror.db.close()
    name = mirror.db.name
    mirror.db = Database(f"sqlite:///{name}.new")


def send(mirror: Mirror, key: str, body: bytes, name: str | None = None) -> str:
    """Uploads bytes under the key's own name, past the sync; gives the document's id."""
    part = FilePart(name or file_name(mirror.bucket, key), len(body), lambda: iter((body,)))
    return mirror.client.upload_documents([part]).documents[0].id


def all_processed(mirror: Mirror) -> None:
    waiting(lambda: all(one["status"] == "processed" for some in mirror.documents().values() for one in some))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_lost_state_doubles_nothing(in_memory: Mirror, behaviour: str) -> None:
    """After the loss of the state the same documents are adopted by one list, and the next run changes nothing."""
    in_memory.cloud.settings.same_name = behaviour  # type: ignore[assignment]
    in_memory.put_many(30)
    in_memory.run()
    before, uploads, lists = in_memory.documents(), in_memory.uploads, in_memory.requests("list")
    lose(in_memory)
    report = in_memory.run()
    counts = report.counts
    assert (counts["new"], counts["adopted"], counts["indexed"], counts["uploaded"]) == (30, 30, 30, 0)
    assert in_memory.documents() == before
    assert (in_memory.uploads, in_memory.requests("list")) == (uploads, lists + 1)
    in_memory.assert_agreement()
    again = in_memory.run().counts
    assert (again["unchanged"], again["adopted"], in_memory.requests("list")) == (30, 0, lists + 1)


def test_an_empty_project_costs_one_request_and_is_not_looked_at_again(in_memory: Mirror) -> None:
    """A first run that uploads asks for the list once; one with nothing to upload doesn't ask at all."""
    in_memory.run()
    assert in_memory.requests("list") == 0
    in_memory.put("a.txt")  # one: its processing is asked for without a list
    in_memory.run("first")
    assert in_memory.log[0].operation == "list"
    in_memory.put("new.txt")
    in_memory.run()
    assert in_memory.requests("list") == 1
    in_memory.assert_agreement()


def test_a_project_of_others_is_left_alone(in_memory: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """Documents of other names, and those that are named like ours after no key of ours, are neither taken nor gone."""
    caplog.set_level(logging.INFO)
    other = file_name("another-bucket", "docs/0000.txt")
    send(in_memory, "", b"document number 0", "notes.txt")
    send(in_memory, "", b"document number 0", other)
    in_memory.put_many(2)
    counts = in_memory.run().counts
    assert (counts["adopted"], counts["uploaded"]) == (0, 2)
    in_memory.assert_agreement(foreign=["notes.txt", other])
    assert f"left alone: {other}" in caplog.text


def test_a_second_sync_of_a_filled_project_adopts_only_what_nobody_has(in_memory: Mirror) -> None:
    """Another state has filled the project: its documents are taken over. A document of another source's row isn't."""
    in_memory.put_many(4)
    in_memory.put("sub/a.txt", "a")
    in_memory.run()
    lose(in_memory)
    in_memory.run(prefix="docs/sub/")
    rows = in_memory.rows()
    counts = in_memory.run().counts
    assert (counts["adopted"], counts["skipped"], counts["uploaded"]) == (4, 1, 0)
    assert in_memory.rows()["docs/sub/a.txt"] == rows["docs/sub/a.txt"]
    assert in_memory.uploads == 5


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_other_bytes_under_our_name_stay_live_until_the_right_ones_are_processed(
    in_memory: Mirror, behaviour: str
) -> None:
    """What changed while the state was lost is uploaded, and the old document goes only when the new one is there."""
    key, same = in_memory.put("a.txt", "an old text"), in_memory.put("b.txt", "the same")
    in_memory.run()
    (old,) = in_memory.of(key)
    lose(in_memory)
    in_memory.cloud.settings.same_name = behaviour  # type: ignore[assignment]
    in_memory.put("a.txt", "a new text")
    find_work(in_memory.context("cut"))  # a run that gets no further
    row = in_memory.rows()[key]
    assert (row.status, row.document_id) == ("pending", old["id"])
    assert [one["id"] for one in in_memory.of(key)] == [old["id"]]
    counts = in_memory.run("cut").counts
    assert (counts["adopted"], counts["uploaded"], in_memory.rows()[same].status) == (1, 1, "indexed")
    in_memory.assert_agreement()


@pytest.mark.parametrize("right_is_newest", [True, False])
def test_of_two_documents_the_one_with_the_right_bytes_stays(in_memory: Mirror, right_is_newest: bool) -> None:
    """Both bear our name: the right one is adopted, the other is superseded and removed by the same run."""
    key = in_memory.put("a.txt", "the text")
    bodies = [b"another text", b"the text"] if right_is_newest else [b"the text", b"another text"]
    ids = {body: send(in_memory, key, body) for body in bodies}
    all_processed(in_memory)
    counts = in_memory.run().counts
    assert (counts["adopted"], counts["uploaded"]) == (1, 0)
    assert in_memory.rows()[key].document_id == ids[b"the text"]
    in_memory.assert_agreement()


def test_a_document_that_is_still_processed_is_waited_for(in_memory: Mirror) -> None:
    """The right bytes on their way are adopted, and count as indexed when they are."""
    key = in_memory.put("a.txt", "the text")
    in_memory.cloud.settings.processing_delay = 0.5
    send(in_memory, key, b"the text")
    counts = in_memory.run().counts
    assert (counts["adopted"], counts["uploaded"], counts["indexed"]) == (1, 0, 1)
    in_memory.assert_agreement()


def test_a_failed_document_is_no_document(in_memory: Mirror) -> None:
    """What CloudIndex couldn't process is uploaded again and removed."""
    key = in_memory.put("a.txt", "the text")
    in_memory.cloud.settings.fail_processing = ["docs-a"]
    send(in_memory, key, b"the text")
    waiting(lambda: in_memory.of(key)[0]["status"] == "failed")
    in_memory.cloud.settings.fail_processing = []
    counts = in_memory.run().counts
    assert (counts["adopted"], counts["uploaded"]) == (0, 1)
    in_memory.assert_agreement()


def test_without_hashes_nothing_is_taken_for_proven(in_memory: Mirror) -> None:
    """Where the list has no hash no object is read for it: all is uploaded, and the old documents go one by one."""
    in_memory.put_many(3)
    in_memory.run()
    lose(in_memory)
    in_memory.cloud.settings.list_content_hash = False
    report = in_memory.run()
    assert (report.counts["adopted"], report.counts["uploaded"]) == (0, 3)
    assert report.s3_requests["GetObject"] == 3
    in_memory.assert_agreement()


def test_keys_that_are_not_selected_keep_their_documents_known(in_memory: Mirror) -> None:
    """A lost state and a narrower selection: what is left out is bound, and selecting it later uploads nothing."""
    in_memory.put_many(2)
    in_memory.put("b.md", "# b")
    in_memory.run()
    uploads = in_memory.uploads
    lose(in_memory)
    selection = in_memory.settings().selection
    counts = in_memory.run(selection=replace(selection, exclude=("*.md",))).counts
    assert (counts["adopted"], counts["skipped"], counts["excluded"]) == (2, 1, 1)
    in_memory.run()
    in_memory.assert_agreement()
    assert in_memory.uploads == uploads


def test_a_document_whose_version_is_not_known_is_not_said_to_be_stale(in_memory: Mirror) -> None:
    """Without hashes nothing is known of the bytes of what isn't selected, and no run will look."""
    in_memory.cloud.settings.list_content_hash = False
    in_memory.put_many(2)
    in_memory.put("b.md", "# b")
    in_memory.run()
    lose(in_memory)
    selection = replace(in_memory.settings().selection, exclude=("*.md",))
    for _ in range(2):
        counts = in_memory.run(selection=selection).counts
        assert (counts["excluded"], counts["stale"]) == (1, 0)


def test_a_state_in_which_nothing_has_a_document_yet_is_looked_at(in_memory: Mirror) -> None:
    """Rows alone prove nothing: where everything has failed so far, what is there is adopted all the same."""
    keys = in_memory.put_many(2)
    find_work(in_memory.context("first"))
    in_memory.execute("UPDATE source SET looked_at = NULL")
    in_memory.execute("UPDATE object SET status = 'failed', attempts = 2, reason = 'it failed'")
    for number, key in enumerate(keys):
        send(in_memory, key, f"document number {number}".encode())
    all_processed(in_memory)
    counts = in_memory.run().counts
    assert (counts["adopted"], counts["uploaded"], counts["failed"]) == (2, 0, 0)
    in_memory.assert_agreement()


def test_an_unreadable_entry_that_is_none_of_ours_stops_no_first_upload(
    in_memory: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry without a file name is no upload of a sync's; one whose name could be ours may be a document of ours."""
    real = render.listing
    key = in_memory.put("a.txt", "a")
    for entry, name in (({"id": "note"}, None), ({"fileName": "notes.txt"}, None), ({"fileName": "ours"}, key)):
        bad = {**entry, "fileName": file_name(in_memory.bucket, name)} if name else entry
        monkeypatch.setattr(render, "listing", lambda *args, bad=bad: [*real(*args), bad])
        if name:
            lose(in_memory)
            with pytest.raises(IncompleteListError):
                in_memory.run()
        else:
            lose(in_memory)
            assert in_memory.run().counts["new"] == 1
    assert in_memory.uploads == 1


@pytest.mark.parametrize("fault", ["cut_body", "short"])
def test_a_list_that_is_not_whole_lets_nothing_be_uploaded(
    in_memory: Mirror, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a list lacks may be there: the run fails with a sentence, may be tried again, and doubles nothing then."""
    in_memory.put_many(3)
    in_memory.run()
    uploads = in_memory.uploads
    lose(in_memory)
    with monkeypatch.context() as patch:
        if fault == "short":
            patch.setattr(document_stream.DocumentStream, "complete", property(lambda _: False))
            patch.setattr(document_stream.DocumentStream, "unread_names", property(lambda _: None))
        else:
            in_memory.cloud.faults.add(Fault(operation="list", kind=fault, times=None))  # type: ignore[arg-type]
        with pytest.raises(Exception) as caught:  # noqa: PT011 - two types, whose fields are what matters
            in_memory.run("first")
        assert caught.value.retryable  # type: ignore[attr-defined]
        assert fault != "short" or "Nothing is uploaded before" in str(caught.value)
        assert in_memory.uploads == uploads
    in_memory.cloud.faults.clear()
    assert in_memory.run("first").counts["adopted"] == 3
    in_memory.assert_agreement()


def test_a_look_that_is_killed_goes_on_where_it_was(in_memory: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was adopted stays so, the rest is adopted by the next try, and the counts add up."""
    in_memory.put_many(10)
    in_memory.run()
    uploads = in_memory.uploads
    lose(in_memory)
    monkeypatch.setattr(first_look, "_BLOCK", 4)
    seen: list[str] = []

    def killed(ctx: Any, item: Any) -> Any:
        seen.append(item.key)
        if len(seen) > 6:
            raise SourceUnavailableError("killed here")
        return listed_digest(ctx, item)

    monkeypatch.setattr(first_look, "listed_digest", killed)
    with pytest.raises(SourceUnavailableError):
        in_memory.run("first")
    assert sum(row.status == "indexed" for row in in_memory.rows().values()) == 4
    monkeypatch.setattr(first_look, "listed_digest", listed_digest)
    counts = in_memory.run("first").counts
    assert (counts["adopted"], counts["unchanged"], counts["new"], counts["uploaded"]) == (10, 4, 6, 0)
    in_memory.assert_agreement()
    assert in_memory.uploads == uploads


def test_a_look_that_takes_longer_than_the_run_uploads_nothing(in_memory: Mirror) -> None:
    """Nothing is uploaded that hasn't been looked at; the next run goes on."""
    in_memory.put_many(3)
    in_memory.run()
    uploads = in_memory.uploads
    lose(in_memory)
    assert in_memory.run(max_run_time=0.0).counts["deferred"] == 3
    assert in_memory.run().counts["adopted"] == 3
    assert in_memory.uploads == uploads
    in_memory.assert_agreement()


def test_an_adoption_is_no_upload_of_the_limit(in_memory: Mirror) -> None:
    """max_documents_per_run bounds what is uploaded; what is adopted takes no room of it."""
    in_memory.put_many(4)
    in_memory.run()
    lose(in_memory)
    in_memory.put_many(5, start=4)
    counts = in_memory.run(max_documents_per_run=3).counts
    assert (counts["adopted"], counts["uploaded"], counts["deferred"]) == (4, 3, 2)


def test_named_keys_are_adopted_and_leave_the_look_to_a_whole_run(in_memory: Mirror) -> None:
    """A run of named keys adopts those; what else may be ours is still looked for by the first whole run."""
    keys = in_memory.put_many(3)
    in_memory.run()
    lose(in_memory)
    assert in_memory.run(keys=(keys[0],)).counts["adopted"] == 1
    assert in_memory.run(keys=(keys[1],)).counts["adopted"] == 1
    assert in_memory.run().counts["adopted"] == 1
    in_memory.assert_agreement()


def test_named_keys_of_a_project_without_others_look_once(in_memory: Mirror) -> None:
    """Where nothing in the project may be ours, runs of named keys don't list it again and again."""
    keys = in_memory.put_many(3)
    for key in keys:
        in_memory.run(keys=(key,))
    assert in_memory.requests("list") == 1
    in_memory.assert_agreement()


def test_a_dry_run_says_what_may_be_adopted_and_reads_no_object(in_memory: Mirror) -> None:
    """Its number and first keys, without a GET of S3 and without a row."""
    in_memory.put_many(3)
    in_memory.run()
    lose(in_memory)
    in_memory.put("new.txt")
    report = in_memory.run(dry_run=True)
    assert (report.counts["new"], report.counts["adopted"]) == (4, 3)
    assert report.plan["adopt"] == [f"docs/000{number}.txt" for number in range(3)]
    assert "GetObject" not in report.s3_requests
    assert in_memory.rows() == {}


def test_two_runs_at_once_look_once(in_memory: Mirror) -> None:
    """The second waits for the first one's look, and neither uploads what is there."""
    in_memory.put_many(20)
    in_memory.run()
    uploads, lists = in_memory.uploads, in_memory.requests("list")
    lose(in_memory)
    contexts = [in_memory.context(f"side {number}") for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(find_work, contexts))
    assert (in_memory.uploads, in_memory.requests("list")) == (uploads, lists + 1)
    in_memory.run()
    in_memory.assert_agreement()


def test_what_it_costs_is_said_before(in_memory: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the list, then the keys and bytes to read, then what was adopted."""
    caplog.set_level(logging.INFO)
    in_memory.put_many(2)
    in_memory.run()
    lose(in_memory)
    caplog.clear()
    in_memory.run()
    assert "are listed once" in caplog.text
    assert "up to 2 objects and 34 bytes of S3, about 1 s" in caplog.text
    assert "Adopted the documents of 2 keys" in caplog.text


def test_an_object_that_changes_meanwhile_is_not_taken_for_the_document(
    in_memory: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash of other bytes than the listed ones proves nothing; the new ones are uploaded."""
    key = in_memory.put("a.txt", "the text")
    in_memory.run()
    lose(in_memory)

    def changed(ctx: Any, item: Any) -> Any:
        in_memory.put("a.txt", "another text")
        return listed_digest(ctx, item)

    monkeypatch.setattr(first_look, "listed_digest", changed)
    counts = in_memory.run_to_the_end().counts
    assert counts["adopted"] == 0
    in_memory.run_to_the_end()
    assert in_memory.bytes_of(key) == b"another text"
    in_memory.assert_agreement()


@pytest.mark.parametrize("delay", [0.0, 0.5], ids=["processed", "processing"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_version_that_another_run_finds_meanwhile_replaces_the_document(
    in_memory: Mirror, behaviour: Any, delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is of the newer bytes by the time the old document is found: it is known all the same, and goes."""
    in_memory.cloud.settings.same_name = behaviour
    in_memory.cloud.settings.processing_delay = delay
    keys = in_memory.put_many(2)
    in_memory.run(processing_timeout=0.0 if delay else 60.0)
    lose(in_memory)
    in_memory.cloud.settings.processing_delay = 0

    def outdated(ctx: Any, item: Any) -> Any:
        digest = listed_digest(ctx, item)
        if item.key == keys[1]:
            in_memory.put("0001.txt", "newer bytes")
            detect(in_memory.context("other"))
        return digest

    monkeypatch.setattr(first_look, "listed_digest", outdated)
    in_memory.run_to_the_end()
    in_memory.run_to_the_end()
    all_processed(in_memory)
    in_memory.run_to_the_end()
    in_memory.assert_agreement()
    assert in_memory.uploads == 3


def test_what_another_run_finds_during_the_look_is_still_uploaded(
    in_memory: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that detects meanwhile and dies takes no work away from the one that goes on."""
    in_memory.put_many(3)

    def beside_another(*args: Any) -> None:
        detect(in_memory.context("dies"))
        stage_index(*args)

    monkeypatch.setattr(first_look, "stage_index", beside_another)
    counts = in_memory.run().counts
    assert (counts["new"], counts["indexed"], counts["deferred"]) == (3, 3, 0)
    in_memory.assert_agreement()


def test_what_was_adopted_is_not_said_to_be_uploaded(in_memory: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """The progress of the uploads counts those alone that are left after the look."""
    caplog.set_level(logging.INFO)
    in_memory.put_many(3)
    in_memory.run()
    lose(in_memory)
    in_memory.put_many(2, start=3)
    ctx = in_memory.context()
    find_work(ctx)
    clock = iter((0.0, 61.0))
    progress = UploadProgress(lambda: next(clock))
    progress.note(ctx, ctx.run(), 0)
    progress.note(ctx, ctx.run(), 0)
    assert "Uploaded 0 of 2 documents" in caplog.text
