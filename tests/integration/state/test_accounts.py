"""What a run answers for is written when it is found, and its outcome where that is decided, whoever decides it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import accounts, blocks, outcomes, removals, runs, sources, sweep
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Owner, Run, SweepWrites
from cloudindex_provider.state.tally import read_tally
from cloudindex_provider.sync.detect.comparison import Comparison

Listed = Callable[..., ListedObject]
OTHER = Owner("other", 1)


def finders(state: Any) -> dict[str, int | None]:
    """key -> the run that its row names."""
    return dict(state.sql("SELECT key, queued_run FROM object"))


def fates(state: Any, run: Run) -> dict[str, int]:
    """What the report counts for the run's keys of work."""
    tally = read_tally(state.db, run)
    found = dict(tally.open)
    for (_, outcome), number in tally.outcomes.items():
        found[outcome] = found.get(outcome, 0) + number
    return found


def compared(state: Any, *items: ListedObject) -> SweepWrites:
    """What a detection finds out that has read the state just now, and not written yet."""
    rows = blocks.read_block(state.db, state.source, after=None, upto=None, limit=1000)
    return Comparison(state.source.id, lambda *_: None).block(sorted(items), rows)


def test_a_first_load_writes_the_finder_into_the_rows_and_nothing_beside(state: Any, listed: Listed) -> None:
    """New keys name the run that found them; the table of keys by run stays empty."""
    state.detect(*(listed(f"{number:03}") for number in range(50)))
    assert set(finders(state).values()) == {state.run.id}
    assert state.run_keys() == {}
    assert fates(state, state.run) == {"deferred": 50}


def test_an_unchanged_key_is_not_written(state: Any, listed: Listed) -> None:
    """A run that finds everything as it was changes no row and answers for none."""
    state.index(listed("a"), listed("b"))
    state.begin("r2")
    before = state.sql("SELECT * FROM object")
    state.detect(listed("a"), listed("b"))
    assert state.sql("SELECT * FROM object") == before
    assert (state.run_keys(), fates(state, state.run)) == ({}, {})


@pytest.mark.parametrize("kind", ["waiting", "in flight", "failed", "quarantined", "changed in flight"])
def test_what_waits_is_found_again_by_every_run(state: Any, listed: Listed, kind: str) -> None:
    """Work that earlier runs have left is this run's as well, whatever it waits for."""
    item = listed()
    if kind in ("in flight", "changed in flight"):
        state.send(item)
    else:
        state.detect(item)
    if kind in ("failed", "quarantined"):
        failure = Failure("x", permanent=kind == "quarantined")
        outcomes.record_failed(state.db, state.run, state.owner, state.claim()[0], failure, max_attempts=3)
    runs.finish_run(state.db, state.run)
    state.begin("r2")
    state.detect(item._replace(etag="e2") if kind == "changed in flight" else item)
    assert finders(state) == {"k.txt": state.run.id}
    assert fates(state, state.run) == {"quarantined" if kind == "quarantined" else "deferred": 1}


def test_a_run_claims_only_what_it_has_found(state: Any, listed: Listed) -> None:
    """What another run queued since this one's listing is left to that one."""
    first = state.run
    state.detect(listed("a"))
    second = state.begin("r2")
    state.detect(listed("a"), listed("b"))
    state.run = first
    assert [row.key for row in state.claim()] == ["a"]
    state.run = second
    assert [row.key for row in state.claim(OTHER)] == ["b"]


def test_a_run_that_goes_on_keeps_what_a_later_one_finds_too(state: Any, listed: Listed) -> None:
    """Both answer for the key and either may upload it; a run that has ended, or began days ago, isn't written for."""
    first = state.run
    state.detect(listed("a"))
    second = state.begin("r2")
    state.detect(listed("a"))
    assert state.sql("SELECT run_id, key, class, outcome FROM run_key") == [(first.id, "a", "new", None)]
    runs.finish_run(state.db, first)
    state.sql("UPDATE run SET started_at = started_at - 100000 WHERE id = :id", id=second.id)
    state.begin("r3")
    state.detect(listed("a"))
    assert [row[0] for row in state.sql("SELECT run_id FROM run_key")] == [first.id]
    row = state.claim()[0]
    outcomes.record_failed(state.db, state.run, state.owner, row, Failure("x"), max_attempts=3)
    assert state.sql("SELECT run_id, outcome FROM run_key ORDER BY run_id") == [
        (first.id, "failed"), (state.run.id, "failed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("listing", "fate"), [([], "gone"), (["e1"], "indexed"), (["e2"], "deferred")], ids=["gone", "restored", "again"]
)
def test_a_later_listing_decides_for_earlier_finders_too(
    state: Any, listed: Listed, listing: list[str], fate: str
) -> None:
    """What a later run finds gone, or as it was indexed, is an outcome for the run that had found it changed."""
    if fate != "gone":
        state.index(listed("k", "e1"))
        runs.finish_run(state.db, state.run)
        state.begin("r2")
    state.detect(listed("k", "e2"))
    first = state.run
    state.begin("r3")
    state.detect(*(listed("k", etag) for etag in listing))
    assert fates(state, first) == {fate: 1}
    assert fates(state, state.run) == ({"deferred": 1} if fate == "deferred" else {})


def test_a_selection_that_leaves_a_key_out_is_an_outcome_for_its_finder(state: Any, listed: Listed) -> None:
    """The run that had found the key learns that it is skipped by now."""
    first = state.run
    state.detect(listed("k"))
    state.begin("r2")
    writes = SweepWrites(skip=[(state.row("k"), listed("k"), "excluded")], counts={"listed": 1, "skipped": 1})
    sweep.apply(state.db, state.run, writes)
    assert fates(state, first) == {"skipped": 1}
    assert fates(state, state.run) == {}


@pytest.mark.parametrize("meanwhile", ["indexed", "forgotten", "found"])
def test_a_key_that_others_deal_with_between_look_and_write_is_answered_for(
    state: Any, listed: Listed, meanwhile: str
) -> None:
    """Counted as changed or new by the comparison, a key has an account, whatever the row is when it is written."""
    first = state.run
    if meanwhile == "found":
        late = compared(state, listed("k"))
        state.begin("r2")
        state.detect(listed("k"))
    else:
        state.detect(listed("k"))
        state.begin("r2")
        late = compared(state, listed("k"))
        state.run, second = first, state.run
        if meanwhile == "indexed":
            outcomes.record_same_bytes(state.db, first, state.owner, state.claim()[0], "s")
        else:
            sweep.apply(state.db, first, compared(state))
        first = second
    sweep.apply(state.db, first, late)
    fate = {"indexed": "elsewhere", "forgotten": "elsewhere", "found": "deferred"}[meanwhile]
    assert fates(state, first) == {fate: 1}
    assert runs.counts(state.db, first)["new"] == 1


def test_an_outcome_that_another_process_decides_is_the_finder_s(state: Any, listed: Listed) -> None:
    """A run that only looks at what processes writes the outcome for the run that found it, and answers for none."""
    finder = state.run
    state.send(listed("k"))
    looker = state.begin("r2")
    for row in outcomes.processing_rows(state.db, state.source):
        outcomes.record_processed(state.db, looker, row, sha256=None, version=None)
    assert (fates(state, finder), fates(state, looker)) == ({"indexed": 1}, {})


@pytest.mark.parametrize("at_report", ["deleting", "deleted"])
def test_what_is_found_again_while_its_document_is_deleted_is_elsewhere(
    state: Any, listed: Listed, at_report: str
) -> None:
    """The run that deletes has the row; the one that finds the object again accounts for it, before and after."""
    state.index(listed("k"))
    deleting = state.begin("r2")
    state.detect()
    (removal,) = removals.removals(state.db, deleting, state.owner, after=None, limit=10)
    removal = removals.record_deleting(state.db, deleting, state.owner, removal, lease=60.0)
    finder = state.begin("r3")
    state.detect(listed("k"))
    if at_report == "deleted":
        removals.record_deleted(state.db, deleting, state.owner, removal, ["doc-k-e1"])
    assert fates(state, finder) == {"elsewhere": 1}


def test_what_is_handed_to_another_sync_is_elsewhere(make_state: Any, listed: Listed) -> None:
    """``sources adopt`` takes keys away from a run that goes on; its sum still holds."""
    giver, taker = make_state(prefix="a/"), make_state(prefix="a/b/")
    giver.detect(listed("a/b/k"), listed("a/k"))
    sources.adopt(giver.db, taker.source, giver.source)
    assert fates(giver, giver.run) == {"elsewhere": 1, "deferred": 1}


def test_eight_loops_never_claim_more_than_the_run_may(state: Any, listed: Listed) -> None:
    """``max_documents_per_run`` holds however many claim at once."""
    state.detect(*(listed(f"{number:03}") for number in range(200)))
    gate = threading.Barrier(8)

    def work(number: int) -> int:
        gate.wait()
        owner, claimed = Owner(f"task/{number}", 1), 0
        while rows := state.claim(owner, max_documents=50, max_request_size=70):
            claimed += len(rows)
        return claimed

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 50


def test_a_class_is_what_the_key_was_before(state: Any, listed: Listed) -> None:
    """An object that was never indexed, or whose delete had begun, is new; anything else is changed."""
    state.index(listed("k"))
    assert accounts.key_class(state.row("k")) == "changed"
    state.sql("UPDATE object SET status = 'deleting'")
    assert accounts.key_class(state.row("k")) == "new"
    state.detect(listed("k"), listed("n"))
    assert accounts.key_class(state.row("n")) == "new"


def others(state: Any, run: Any, keys: list[str], since: float) -> set[str]:
    """The keys that other runs have found since then."""
    found = accounts.found_later(state.db, state.source, run, keys, since=since)
    assert accounts.has_later_runs(state.db, state.source, run, since=since) or not found
    return found


def test_keys_that_others_have_found_since_are_told(state: Any, listed: Listed) -> None:
    """New ones by their row, removed ones by the run's list; not what had been found before, nor one's own."""
    state.index(listed("early"), listed("gone"))
    with state.db.write() as connection:
        connection.execute(sa.text("UPDATE run SET complete = 1, detected_at = 1.0"))
    since = state.db.clock()
    mine = state.run
    state.begin("other")
    state.detect(listed("early"), listed("new"))
    keys = ["early", "gone", "new", "never"]
    found = others(state, mine, keys, since)
    assert found == {"gone", "new"}
    assert others(state, None, keys, since) == {"gone", "new"}
    assert others(state, state.run, keys, since) == set()
    with state.db.write() as connection:
        before = {"at": since - 1}
        connection.execute(sa.text("UPDATE run SET complete = 1, detected_at = :at WHERE run_id = 'other'"), before)
    assert others(state, mine, keys, since) == set()
