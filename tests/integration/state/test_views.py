"""What a person looks at: the numbers, the lists and the pages of them, on every database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.state import approvals, outcomes, removals, runs, sources
from cloudindex_provider.state.approvals import Hold, HoldName
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import RunName
from cloudindex_provider.state.views.keys import KeyFilter, read_held, read_key, read_keys
from cloudindex_provider.state.views.numbers import read_numbers, read_reasons
from cloudindex_provider.state.views.overview import read_allowances, read_decision, read_runs, read_syncs
from cloudindex_provider.state.views.sorting import TooMany, read_sorted

Listed = Callable[..., Any]
State = Any  # of the conftest


def fail(state: State, *keys: str, why: str = "CloudIndex refused it") -> None:
    for row in state.claim():
        if row.key in keys:
            outcomes.record_failed(state.db, state.run, state.owner, row, Failure(why), max_attempts=9)


def every_key(db: Database, state: State, limit: int, **wanted: Any) -> list[str]:
    """All pages, one after the other."""
    found, after = [], None
    for _ in range(100):
        page = read_keys(db, state.source, KeyFilter(after=after, **wanted), limit=limit)
        found += [row.key for row in page.rows]
        after = page.after
        if after is None:
            return found
    raise AssertionError("there is no end")


def test_the_numbers_of_each_sync_are_its_own_and_add_up(state: State, make_state: Any, listed: Listed) -> None:
    """What is indexed is all that isn't in another status."""
    other = make_state(sync_id="other")
    other.detect(listed("z1"), listed("z2"))
    state.index(listed("a"), listed("b"))
    state.detect(listed("a"), listed("b"), listed("c"), listed("z1"), listed("z2"))
    fail(state, "c")
    numbers = read_numbers(state.db)
    assert numbers.of(state.source.id) == {"indexed": 2, "failed": 1}
    assert numbers.of(other.source.id) == {"pending": 2, "indexed": 0}
    assert numbers.of(999) == {}


def test_reasons_are_counted_by_status(state: State, listed: Listed) -> None:
    """The most frequent one first, and no more rows of a status are read than asked for."""
    state.detect(*(listed(key) for key in "abcd"))
    rows = {row.key: row for row in state.claim()}
    for key, why in (("a", "one"), ("b", "two"), ("c", "two")):
        outcomes.record_failed(state.db, state.run, state.owner, rows[key], Failure(why), max_attempts=9)
    found = read_reasons(state.db, state.source.id, ["failed", "quarantined"], lambda _, why: str(why)[:1])
    assert [(one.name, one.example, one.keys) for one in found] == [("t", "two", 2), ("o", "one", 1)]
    some = read_reasons(state.db, state.source.id, ["failed"], lambda key, _: key, most=2)
    assert sum(one.keys for one in some) == 2


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
@pytest.mark.parametrize("descending", [False, True])
def test_pages_show_every_key_once(state: State, listed: Listed, limit: int, descending: bool) -> None:
    """Whatever their size, in whichever order, and with whatever characters."""
    keys = ["a", "a/b", "a/c", "b<script>", "z\u202e", "\u00e9", "\U0001f600"]
    state.detect(*(listed(key) for key in keys))
    expected = sorted(keys, key=lambda key: key.encode(), reverse=descending)
    assert every_key(state.db, state, limit, descending=descending) == expected
    assert every_key(state.db, state, limit, descending=descending, prefix="a/") == [
        key for key in expected if key.startswith("a/")
    ]


def test_a_list_is_of_one_status_or_reason(state: State, listed: Listed) -> None:
    """A filter by reason finds its keys on whichever page they are."""
    state.index(listed("a"))
    state.detect(*(listed(key) for key in "abcde"))
    fail(state, "c", "e", why="broken")
    assert every_key(state.db, state, 1, status="indexed") == ["a"]
    assert every_key(state.db, state, 1, status="failed") == ["c", "e"]
    assert every_key(state.db, state, 1, status="failed", reason=lambda _, why: why == "broken") == ["c", "e"]
    assert every_key(state.db, state, 1, reason=lambda _, why: why == "other") == []
    assert every_key(state.db, state, 9, prefix="x") == []


def test_a_cursor_says_where_to_go_on_where_a_window_had_no_match(
    state: State, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty page that isn't the last one has a cursor."""
    monkeypatch.setattr("cloudindex_provider.state.views.keys.WINDOW", 2)
    state.detect(*(listed(key) for key in "abcde"))
    fail(state, "e", why="broken")
    wanted = KeyFilter(reason=lambda _, why: why == "broken")
    page = read_keys(state.db, state.source, wanted, limit=5)
    assert (list(page.rows), page.after) == ([], "b")
    assert every_key(state.db, state, 5, reason=lambda _, why: why == "broken") == ["e"]


def test_a_sync_under_a_prefix_shows_no_key_of_others(make_state: Any, listed: Listed) -> None:
    """A shorter prefix than the sync's own is the sync's own, and another one finds nothing."""
    inner, outer = make_state(prefix="docs/"), make_state(sync_id="o")
    inner.detect(listed("docs/a"))
    outer.detect(listed("docs/a"), listed("x"))
    for prefix in ("", "d", "docs/"):
        assert every_key(inner.db, inner, 5, prefix=prefix) == ["docs/a"]
    assert every_key(inner.db, inner, 5, prefix="e") == []
    assert every_key(inner.db, outer, 5) == ["x"]
    assert read_key(inner.db, outer.source, "docs/a") is None


@pytest.mark.parametrize("key", ["k\0", "\0"])
def test_a_key_that_no_state_can_hold_is_not_there(state: State, listed: Listed, key: str) -> None:
    """U+0000 is no error, in whichever place."""
    state.detect(listed("k"))
    assert read_key(state.db, state.source, key) is None
    assert every_key(state.db, state, 5, prefix=key) in ([], ["k"])


def test_held_keys_are_those_that_would_go(state: State, listed: Listed) -> None:
    """With the size of the document, in pages, and none that has gone since."""
    state.index(listed("a"), listed("b"), listed("c", size=77))
    state.begin("r2")
    state.detect(listed("a"), hold=Hold("too many"))
    removals.record_held(state.db, state.run, "too many")
    [sync] = read_syncs(state.db)
    assert sync.hold is not None
    assert sync.held_run == state.run.id
    first = read_held(state.db, state.source, state.run.id, KeyFilter(), limit=1)
    assert ([row.key for row in first.rows], first.after) == (["b"], "b")
    second = read_held(state.db, state.source, state.run.id, KeyFilter(after="b"), limit=1)
    assert [(row.key, row.indexed_size, row.document_id) for row in second.rows] == [("c", 77, "doc-c-e1")]
    assert second.after is None
    assert not read_held(state.db, state.source, state.run.id, KeyFilter(prefix="a"), limit=9).rows


def test_a_sync_names_the_dags_that_ran_it(state: State, make_state: Any, listed: Listed) -> None:
    """Of its runs and of its selections; not those of others, and not what a command did."""
    make_state(sync_id="other")
    state.detect(listed("a"))
    runs.start_run(state.db, state.source, RunName("second", "r", "t"))
    runs.start_run(state.db, state.source, RunName("", "r", "t"))
    found = {sync.source.sync_id: sync.dag_ids for sync in read_syncs(state.db)}
    assert found == {"": ("dag", "second"), "other": ("dag",)}
    [one] = read_syncs(state.db, state.source.id)
    assert one.dag_ids == ("dag", "second")
    assert read_syncs(state.db, 999) == []


def test_a_run_has_the_numbers_of_its_report(state: State, listed: Listed) -> None:
    """While it goes on, those that it has counted so far; a report made again replaces the first."""
    state.detect(listed("a"))
    assert read_runs(state.db, [state.source.id], limit=5)[state.source.id][0].counts["new"] == 1
    runs.finish_run(state.db, state.run, {"new": 1, "failed": 1})
    runs.finish_run(state.db, state.run, {"new": 1, "indexed": 1, "failed": 0})
    [run] = read_runs(state.db, [state.source.id], limit=5)[state.source.id]
    assert run.counts == {"new": 1, "indexed": 1}
    assert run.finished_at is not None
    assert (run.dag_id, run.run_id, run.complete) == ("dag", "r1", True)


def test_runs_come_newest_first_and_in_pages(state: State) -> None:
    """``before`` goes on where the last page ended."""
    for number in range(2, 6):
        state.begin(f"r{number}")
        state.sql("UPDATE run SET started_at = :at WHERE id = :id", at=float(number), id=state.run.id)
    state.sql("UPDATE run SET started_at = 1.0 WHERE run_id = 'r1'")
    first = read_runs(state.db, [state.source.id], limit=3)[state.source.id]
    assert [run.run_id for run in first] == ["r5", "r4", "r3"]
    rest = read_runs(state.db, [state.source.id], limit=3, before=first[-1].started_at)[state.source.id]
    assert [run.run_id for run in rest] == ["r2", "r1"]
    assert read_runs(state.db, [], limit=3) == {}


def hold_name(state: State) -> HoldName:
    [sync] = read_syncs(state.db, state.source.id)
    assert sync.hold is not None
    return HoldName(str(sync.hold.token), "p", "b", "")


def test_kept_deletes_are_not_allowed_any_more(state: State, listed: Listed) -> None:
    """What a person allowed before is withdrawn, nobody is asked again, and the word is remembered."""
    state.index(listed("a"), listed("b"))
    state.begin("r2")
    state.detect(hold=Hold("too many"))
    approvals.approve_hold(state.db, hold_name(state), 5, "ann")
    assert approvals.find_approval(state.db, state.run, 2) is not None
    approvals.keep_hold(state.db, hold_name(state), "bob")
    assert approvals.find_approval(state.db, state.run, 2) is None
    assert approvals.unasked_hold(state.db, state.source.id) is None
    said = read_decision(state.db, state.source.id)
    assert said is not None
    assert said.event == "deletes kept"
    assert str(said.reason).endswith(", by bob")


def test_an_allowance_is_told_of_each_budget(state: State, make_state: Any) -> None:
    """And a sync knows which of them is its own: that of its last task."""
    assert read_allowances(state.db) == {}
    columns = "next_at, closed_until, allowed, length, length_at, window_from, window_ends, step, remaining, sliding,"
    columns += " hourly, hourly_until, slots, slots_until"
    for name, left in (("one", 42), ("two", 7)):
        state.sql(
            f"INSERT INTO pace (name, {columns}) VALUES (:name, 0, 0, 100, 60, 0, 0, :end, 0.6, :left, 0, 0, 0, 0, 0)",
            name=name, end=state.db.clock() + 30, left=left,
        )  # fmt: skip
    found = read_allowances(state.db)
    assert {name: one.remaining for name, one in found.items()} == {"one": 42, "two": 7}
    assert found["one"].requests_per_minute == pytest.approx(99, abs=1)
    make_state(sync_id="other")
    sources.note_budget(state.db, state.source, "one")
    sources.note_budget(state.db, state.source, "two")
    assert {sync.source.sync_id: sync.budget for sync in read_syncs(state.db)} == {"": "two", "other": None}


SIZES = {"a": 30, "b": 10, "c": 20, "d": 10, "e/1": 5, "e/2": 40}


def every_sorted(state: State, order: Any, limit: int, **wanted: Any) -> list[str]:
    """All pages of a sorted list, one after the other."""
    found, after = [], None
    for _ in range(20):
        page = read_sorted(state.db, state.source, KeyFilter(after=after, **wanted), order, limit=limit)
        assert not isinstance(page, TooMany)
        found += [row.key for row in page.rows]
        after = page.after
        if after is None:
            return found
    raise AssertionError("there is no end")


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_keys_are_sorted_by_size_in_pages(state: State, listed: Listed, limit: int) -> None:
    """Each once, those of one size by key; also those of a prefix, a status or a reason alone."""
    state.detect(*(listed(key, size=size) for key, size in SIZES.items()))
    assert every_sorted(state, "size", limit) == ["e/1", "b", "d", "c", "a", "e/2"]
    assert every_sorted(state, "size", limit, descending=True) == ["e/2", "a", "c", "d", "b", "e/1"]
    assert every_sorted(state, "size", limit, prefix="e/") == ["e/1", "e/2"]
    fail(state, "a", "b", why="broken")
    assert every_sorted(state, "size", limit, status="failed") == ["b", "a"]
    assert every_sorted(state, "size", limit, reason=lambda _, why: why == "broken") == ["b", "a"]


def test_keys_are_sorted_by_time(state: State, listed: Listed) -> None:
    """As S3 has it."""
    state.detect(listed("a"), listed("b"), listed("c"))
    for key, year in (("a", 2026), ("b", 2024), ("c", 2025)):
        state.sql("UPDATE object SET last_modified = :at WHERE key = :key", at=f"{year}-01-01T00:00:00Z", key=key)
    assert every_sorted(state, "last_modified", 2) == ["b", "c", "a"]
    assert every_sorted(state, "last_modified", 1, descending=True) == ["a", "c", "b"]


def test_more_keys_than_can_be_sorted_are_not(state: State, listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have to be narrowed first; so many as can be are sorted."""
    monkeypatch.setattr("cloudindex_provider.state.views.sorting.MOST", 2)
    state.detect(*(listed(key) for key in ("a", "b", "c/1")))
    assert read_sorted(state.db, state.source, KeyFilter(), "size", limit=9) == TooMany(2)
    assert every_sorted(state, "size", 9, prefix="c/") == ["c/1"]


def test_a_cursor_of_another_list_is_refused(state: State) -> None:
    with pytest.raises(SettingsError, match="by size"):
        read_sorted(state.db, state.source, KeyFilter(after="docs/a"), "size", limit=9)
