"""Outcomes: a row's status, the run's outcome of its key and the counters change together or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import doubts, outcomes, superseded
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Owner, WorkRow

Listed = Callable[..., ListedObject]
STRANGER = Owner("stranger", 1)


def processed(state: Any, **more: Any) -> list[bool]:
    values = {"sha256": None, "version": None, **more}
    return [
        outcomes.record_processed(state.db, state.run, row, **values)
        for row in outcomes.processing_rows(state.db, state.source)
    ]


def begun(state: Any, *items: ListedObject) -> list[WorkRow]:
    """Detected, claimed, and with their intent written."""
    state.detect(*items)
    rows: list[WorkRow] = state.claim()
    state.intend(rows)
    return rows


def test_from_new_to_indexed(state: Any, listed: Listed) -> None:
    """A key's way: pending, uploading, processing, indexed; with outcome, counters and history."""
    row = begun(state, listed("k", "e1", 7))[0]
    assert outcomes.record_sent(state.db, state.run, state.owner, row, document_id="d", version=3, sha256="s")
    sent = state.row("k")
    assert (sent.status, sent.document_id, sent.upload_document_id, sent.claim_owner) == ("processing", None, "d", None)
    assert state.counts() == {"listed": 1, "new": 1, "uploaded": 1, "bytes": 7}
    assert state.run_keys() == {"k": ("new", None)}
    assert processed(state, sha256="s2", version=4) == [True]
    done = state.sql(
        "SELECT status, document_id, document_version, indexed_etag, indexed_size, indexed_sha256, upload_etag,"
        " upload_document_id, attempts FROM object"
    )
    assert done == [("indexed", "d", 4, "e1", 7, "s2", None, None, 0)]
    assert state.run_keys() == {"k": ("new", "indexed")}
    assert state.history() == [("k", "indexed")]
    assert state.superseded() == set()


def test_what_the_service_does_not_tell_is_kept(state: Any, listed: Listed) -> None:
    """Without a hash or version in the answer, those of the upload stand."""
    row = begun(state, listed())[0]
    outcomes.record_sent(state.db, state.run, state.owner, row, document_id="d", version=2, sha256="s")
    processed(state)
    assert state.sql("SELECT document_version, indexed_sha256 FROM object") == [(2, "s")]


def test_a_new_version_supersedes_the_old_after_it_is_processed(state: Any, listed: Listed) -> None:
    """The old document stays live while the new one is processed, and may go only then."""
    state.index(listed(etag="e1"))
    state.begin("r2")
    state.send(listed(etag="e2"))
    assert state.row().document_id == "doc-k.txt-e1"
    assert superseded.superseded_documents(state.db, state.run, limit=9) == []
    processed(state)
    assert state.row().document_id == "doc-k.txt-e2"
    found = superseded.superseded_documents(state.db, state.run, limit=9)
    assert [(one.document_id, one.reason) for one in found] == [("doc-k.txt-e1", "replaced")]
    assert state.run_keys() == {"k.txt": ("changed", "indexed")}


def test_a_version_under_the_same_id_supersedes_nothing(state: Any, listed: Listed) -> None:
    """A service that makes versions gives the same id again: the live document is never superseded."""
    state.index(listed(etag="e1"))
    state.begin("r2")
    row = begun(state, listed(etag="e2"))[0]
    outcomes.record_sent(state.db, state.run, state.owner, row, document_id="doc-k.txt-e1", version=2, sha256=None)
    processed(state)
    assert state.superseded() == set()
    state.begin("r3")
    row = begun(state, listed(etag="e3"))[0]
    outcomes.record_sent(state.db, state.run, state.owner, row, document_id="doc-k.txt-e1", version=3, sha256=None)
    for one in outcomes.processing_rows(state.db, state.source):
        outcomes.record_failed(state.db, state.run, None, one, Failure("bad"), max_attempts=3)
    assert state.superseded() == set()


def test_a_failed_version_leaves_the_old_one_live(state: Any, listed: Listed) -> None:
    """The failed document may go at once; the row keeps what is live and waits for its next try."""
    state.index(listed(etag="e1"))
    state.begin("r2")
    state.send(listed(etag="e2"))
    for row in outcomes.processing_rows(state.db, state.source):
        assert outcomes.record_failed(state.db, state.run, None, row, Failure("bad"), max_attempts=3) == "failed"
    row = state.row()
    assert (row.status, row.document_id, row.indexed_etag) == ("failed", "doc-k.txt-e1", "e1")
    found = superseded.superseded_documents(state.db, state.run, limit=9)
    assert [(one.document_id, one.reason) for one in found] == [("doc-k.txt-e2", "failed")]
    assert state.run_keys() == {"k.txt": ("changed", "failed")}


def test_s3_has_moved_on_while_it_was_processed(state: Any, listed: Listed) -> None:
    """What was indexed is live, and the newer ETag is queued at once; the key has no outcome yet."""
    state.send(listed(etag="e1"))
    state.detect(listed(etag="e2"))
    processed(state)
    row = state.row()
    assert (row.status, row.document_id, row.indexed_etag, row.etag) == ("pending", "doc-k.txt-e1", "e1", "e2")
    assert state.run_keys() == {"k.txt": ("new", None)}
    assert [one.key for one in state.claim()] == ["k.txt"]


def test_processing_that_changed_meanwhile_is_left_alone(state: Any, listed: Listed) -> None:
    """A poll that decides over an old view of the row writes nothing."""
    state.send(listed())
    row = outcomes.processing_rows(state.db, state.source)[0]
    state.sql("UPDATE object SET revision = revision + 1")
    before = state.sql("SELECT * FROM object")
    assert not outcomes.record_processed(state.db, state.run, row, sha256=None, version=None)
    outcomes.record_failed(state.db, state.run, None, row, Failure("x"), max_attempts=3)
    assert state.sql("SELECT * FROM object") == before
    assert (state.history(), state.run_keys()["k.txt"][1]) == ([], None)


def test_processing_rows_come_in_blocks_and_are_the_finder_s(state: Any, listed: Listed) -> None:
    """What an earlier run sent comes in key order; the run whose detection finds it in flight answers for it."""
    items = [listed(key) for key in "cab"]
    state.send(*items)
    state.begin("r2")
    state.detect(*items)
    first = outcomes.processing_rows(state.db, state.source, limit=2)
    rest = outcomes.processing_rows(state.db, state.source, after=first[-1].key, limit=2)
    assert [row.key for row in (*first, *rest)] == ["a", "b", "c"]
    for row in (*first, *rest):
        outcomes.record_processed(state.db, state.run, row, sha256=None, version=None)
    assert state.run_keys() == dict.fromkeys("abc", ("new", "indexed"))


def test_an_outcome_is_written_for_every_run_that_waits_for_it(state: Any, listed: Listed) -> None:
    """Two runs that wait for the same key both learn its outcome; one that has it keeps it."""
    state.send(listed())
    first = state.run
    second = state.begin("r2")
    state.detect(listed())
    processed(state)
    for run in (first, second):
        state.run = run
        assert state.run_keys() == {"k.txt": ("new", "indexed")}


def test_the_same_bytes_cost_no_upload(state: Any, listed: Listed) -> None:
    """Another ETag of the indexed bytes makes the row indexed under it, with the document that is there."""
    state.index(listed(etag="e1"))
    state.begin("r2")
    state.detect(listed(etag="e2"))
    row = replace(state.claim()[0], etag="e3", size=11)  # newer than listed, as it was read
    outcomes.record_same_bytes(state.db, state.run, state.owner, row, "s")
    found = state.row()
    assert (found.status, found.etag, found.indexed_etag, found.indexed_size) == ("indexed", "e3", "e3", 11)
    assert found.document_id == "doc-k.txt-e1"
    assert state.counts()["same_bytes"] == 1
    assert state.run_keys() == {"k.txt": ("changed", "indexed")}


@pytest.mark.parametrize(("strikes", "ends"), [(1, "quarantined"), (2, "failed")])
def test_the_last_strike_sets_a_key_aside(state: Any, listed: Listed, strikes: int, ends: str) -> None:
    """A failure is a strike; the last one allowed is quarantine, which lasts a day."""
    row = begun(state, listed())[0]
    failure = Failure("too bad")
    assert outcomes.record_failed(state.db, state.run, state.owner, row, failure, max_attempts=strikes) == ends
    with state.db.read() as connection:
        now = state.db.now(connection)
    ((status, reason, attempts, after),) = state.sql("SELECT status, reason, attempts, next_attempt_at FROM object")
    assert (status, reason, attempts) == (ends, "too bad", 1)
    assert after == (pytest.approx(now + 86400, abs=20) if ends == "quarantined" else None)
    assert state.run_keys() == {"k.txt": ("new", ends)}
    assert state.history() == [("k.txt", ends)]


def test_a_few_of_what_was_set_aside_are_looked_at_again_after_a_day(state: Any, listed: Listed) -> None:
    """Twenty of them a run; what fails again is back in quarantine and no failure of the run that looked."""
    items = [listed(f"{number:02}") for number in range(25)]
    state.detect(*items)
    for _ in range(2):
        for row in state.claim():
            outcomes.record_failed(state.db, state.run, state.owner, row, Failure("x", permanent=True), max_attempts=3)
    state.begin("r2")
    state.detect(*items)
    assert state.claim() == []
    state.sql("UPDATE object SET next_attempt_at = 1.0")
    state.begin("r3")
    state.detect(*items)
    rows = state.claim()
    assert (len(rows), state.claim()) == (20, [])
    state.intend(rows[:1])
    outcomes.record_sent(state.db, state.run, state.owner, rows[0], document_id="d", version=1, sha256="s")
    processed(state)
    for row, failure in zip(rows[1:], [Failure("x"), Failure("y", strike=False), *[Failure("x")] * 17], strict=True):
        outcomes.record_failed(state.db, state.run, state.owner, row, failure, max_attempts=3)
    assert sorted(state.rows()[item.key].status for item in items) == ["indexed"] + ["quarantined"] * 24
    assert sorted({outcome for _, outcome in state.run_keys().values()}) == ["indexed", "set_aside"]
    state.begin("r4")
    state.detect(*items)
    assert len(state.claim()) == 5


def test_a_permanent_failure_is_set_aside_at_once(state: Any, listed: Listed) -> None:
    """What the same bytes would meet again isn't tried again."""
    row = begun(state, listed())[0]
    failure = Failure("type", permanent=True)
    assert outcomes.record_failed(state.db, state.run, state.owner, row, failure, max_attempts=9) == "quarantined"


@pytest.mark.parametrize("now_there", [None, ("e2", 20)])
def test_what_s3_no_longer_has_is_gone(state: Any, listed: Listed, now_there: tuple[str, int] | None) -> None:
    """A key that vanished or changed since the listing ends as gone in this run and is queued for the next."""
    state.detect(listed())
    row = state.claim()[0]
    there = listed("k.txt", *now_there) if now_there else None
    outcomes.record_gone(state.db, state.run, state.owner, row, there)
    found = state.row()
    assert (found.status, found.claim_owner) == ("pending", None)
    assert (found.etag, found.size) == (now_there or ("e1", 10))
    assert state.run_keys() == {"k.txt": ("new", "gone")}
    assert state.claim() == []  # not twice in one run


def test_an_object_that_opts_out_is_skipped(state: Any, listed: Listed) -> None:
    """The skip has its reason in the row, the run and the counters, and keeps the document that is there."""
    state.index(listed(etag="e1"))
    state.begin("r2")
    state.detect(listed(etag="e2"))
    outcomes.record_skipped(state.db, state.run, state.owner, state.claim()[0], "opted_out")
    row = state.row()
    assert (row.status, row.reason, row.document_id) == ("skipped", "opted_out", "doc-k.txt-e1")
    assert state.run_keys() == {"k.txt": ("changed", "skipped")}
    assert state.counts()["skipped:opted_out"] == 1


def test_an_unknown_outcome_stays_ours(state: Any, listed: Listed) -> None:
    """In doubt, a row stays uploading and claimed: it is neither sent again nor given away."""
    rows = begun(state, listed("a"), listed("b"))
    doubts.record_unknown(state.db, state.run, state.owner, rows, "timeout")
    assert {(r.status, r.doubtful, r.reason, r.claim_owner) for r in state.rows().values()} == {
        ("uploading", 1, "timeout", "task")
    }
    assert state.claim(Owner("task", 2)) == []


def test_what_did_not_arrive_may_be_sent_again_and_stays_doubtful(state: Any, listed: Listed) -> None:
    """A lookup without a find queues the key; what lies under its name is superseded, but never the live document."""
    state.index(listed(etag="e1"))
    state.begin("r2")
    row = begun(state, listed(etag="e2"))[0]
    doubts.record_unknown(state.db, state.run, state.owner, [row], "timeout")
    doubts.record_not_sent(state.db, state.run, state.owner, row, extra_ids=["doc-k.txt-e1", "stray"])
    found = state.row()
    assert (found.status, found.doubtful, found.upload_etag, found.document_id) == ("pending", 1, None, "doc-k.txt-e1")
    assert state.superseded() == {("stray", "copy")}


def test_an_adopted_upload_counts_no_bytes(state: Any, listed: Listed) -> None:
    """What had arrived is taken over: counted as adopted, its copies superseded."""
    row = begun(state, listed())[0]
    outcomes.record_sent(
        state.db, state.run, state.owner, row, document_id="d", version=1, sha256="s", adopted=True, extra_ids=["c"]
    )
    assert {name: state.counts().get(name, 0) for name in ("adopted", "uploaded", "bytes")} == {
        "adopted": 1,
        "uploaded": 0,
        "bytes": 0,
    }
    assert state.superseded() == {("c", "copy")}


def test_a_document_of_a_lost_claim_is_not_forgotten(state: Any, listed: Listed) -> None:
    """Whoever lost the row still notes the document that its request made, so that it can be deleted."""
    row = begun(state, listed())[0]
    assert not outcomes.record_sent(state.db, state.run, STRANGER, row, document_id="lost", version=1, sha256=None)
    assert state.row().status == "uploading"
    assert state.superseded() == {("lost", "copy")}
    assert "uploaded" not in state.counts()


WRITERS: dict[str, Callable[..., Any]] = {
    "same bytes": lambda s, o, r: outcomes.record_same_bytes(s.db, s.run, o, r, "s"),
    "unknown": lambda s, o, r: doubts.record_unknown(s.db, s.run, o, [r], "x"),
    "not sent": lambda s, o, r: doubts.record_not_sent(s.db, s.run, o, r),
    "failed": lambda s, o, r: outcomes.record_failed(s.db, s.run, o, r, Failure("x"), max_attempts=3),
    "gone": lambda s, o, r: outcomes.record_gone(s.db, s.run, o, r, None),
    "skipped": lambda s, o, r: outcomes.record_skipped(s.db, s.run, o, r, "opted_out"),
}


def _everything(state: Any) -> list[Any]:
    tables = ("object", "run_key", "run_count", "history", "superseded")
    return [sorted(state.sql(f"SELECT * FROM {table}"), key=repr) for table in tables]


@pytest.mark.parametrize("name", WRITERS)
def test_without_the_claim_nothing_is_written(state: Any, listed: Listed, name: str) -> None:
    """A worker whose claim is lost changes no row, no outcome, no counter and no history."""
    row = begun(state, listed())[0]
    before = _everything(state)
    WRITERS[name](state, STRANGER, row)
    assert _everything(state) == before
    WRITERS[name](state, state.owner, row)
    assert _everything(state) != before


@pytest.mark.parametrize("name", ["same bytes", "failed", "gone", "skipped"])
def test_an_outcome_is_one_transaction(state: Any, listed: Listed, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after the row's change and before the outcome, nothing has happened."""

    def cut(*_: Any, **__: Any) -> None:
        raise RuntimeError("power cut")

    row = begun(state, listed())[0]
    before = _everything(state)
    monkeypatch.setattr(outcomes, "record_outcome", cut)
    with pytest.raises(RuntimeError):
        WRITERS[name](state, state.owner, row)
    assert _everything(state) == before
