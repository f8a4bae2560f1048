"""The newest plan of a source: whole or not there, its first keys and all of its numbers, on every database."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.state import plans, runs, sources
from cloudindex_provider.state.plans import PlanKey, Planned
from cloudindex_provider.state.records import RunName
from cloudindex_provider.state.views.keys import KeyFilter
from cloudindex_provider.state.views.overview import read_syncs
from cloudindex_provider.state.views.plans import read_plan, read_plan_keys

State = Any  # of the conftest


def planned(*keys: str, action: str = "upload", size: int | None = 10) -> Planned:
    found = Planned()
    found.add(PlanKey(action, key, "new", size) for key in keys)
    return found


def save(state: State, made: Planned, plan_hash: str = "h", dag: str = "dag", run: str = "dry", **more: Any) -> None:
    values = {"held": None, "of_keys": None} | more
    plans.save_plan(state.db, state.source, RunName(dag, run, "t"), made, plan_hash=plan_hash, **values)


def test_a_plan_is_read_as_it_was_made(state: State) -> None:
    """Every action with its numbers, every key with what would be done and why."""
    made = planned("b", "a")
    made.add([PlanKey("delete", "c", "removed", 7), PlanKey("skip", "d", "skipped", 0, "empty")])
    save(state, made, held="too many")
    plan = read_plan(state.db, state.source.id)
    assert plan is not None
    assert {action: (one.keys, one.bytes) for action, one in plan.totals.items()} == {
        "upload": (2, 20), "delete": (1, 7), "skip": (1, 0),
    }  # fmt: skip
    assert (plan.hash, plan.dag_id, plan.run_id, plan.held, plan.ran) == ("h", "dag", "dry", "too many", None)
    page = read_plan_keys(state.db, state.source.id, plan.id, "skip", KeyFilter(), limit=5)
    assert list(page.rows) == [PlanKey("skip", "d", "skipped", 0, "empty")]


def test_the_keys_of_a_plan_come_in_pages(state: State) -> None:
    """In key order, by prefix, each once."""
    save(state, planned("a", "b/1", "b/2", "b/3", "c"))
    plan = read_plan(state.db, state.source.id)
    assert plan is not None

    def pages(prefix: str) -> list[list[str]]:
        found, after = [], None
        while True:
            wanted = KeyFilter(prefix=prefix, after=after)
            page = read_plan_keys(state.db, state.source.id, plan.id, "upload", wanted, limit=2)
            found.append([row.key for row in page.rows])
            after = page.after
            if after is None:
                return found

    assert pages("") == [["a", "b/1"], ["b/2", "b/3"], ["c"]]
    assert pages("b/") == [["b/1", "b/2"], ["b/3"]]
    assert pages("x") == [[]]


def test_a_new_plan_takes_the_place_of_the_last_one(state: State, make_state: Any) -> None:
    """Nothing of the old one stays, and another source's isn't touched."""
    other = make_state(sync_id="other")
    save(other, planned("z"), "theirs")
    save(state, planned("a", "b"), "first")
    save(state, planned("c"), "second")
    assert state.sql("SELECT key FROM plan_key ORDER BY key") == [("c",), ("z",)]
    assert state.sql("SELECT hash FROM plan ORDER BY hash") == [("second",), ("theirs",)]


def test_a_plan_that_isnt_whole_is_not_shown(state: State) -> None:
    """As one whose task was killed while it was written: the one before it is, until the next is whole."""
    save(state, planned("a"), "first")
    state.sql(
        "INSERT INTO plan (source_id, hash, made_at, dag_id, run_id, totals) VALUES (:source, 'torn', 1, '', '', '{}')",
        source=state.source.id,
    )
    plan = read_plan(state.db, state.source.id)
    assert plan is not None
    assert plan.hash == "first"
    save(state, planned("b"), "third")
    assert state.sql("SELECT hash FROM plan") == [("third",)]


def test_more_keys_than_are_kept_are_counted(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are of all, whatever is kept of each action."""
    monkeypatch.setattr(plans, "MOST_KEYS", 2)
    made = planned("a", "b", "c", "d")
    made.add([PlanKey("delete", "e", "removed", None)])
    save(state, made)
    plan = read_plan(state.db, state.source.id)
    assert plan is not None
    assert (plan.totals["upload"].keys, plan.totals["upload"].bytes, plan.totals["delete"].keys) == (4, 40, 1)
    assert state.sql("SELECT key FROM plan_key ORDER BY key") == [("a",), ("b",), ("e",)]


def test_a_plan_knows_which_run_has_done_it_and_that_it_is_overtaken(state: State) -> None:
    """A run of the same hash before it was made is none of them."""
    state.sql("UPDATE run SET plan_hash = 'h', started_at = 1 WHERE id = :id", id=state.run.id)
    save(state, planned("a"))
    plans.mark_overtaken(state.db, state.source, "another")
    plan = read_plan(state.db, state.source.id)
    assert plan is not None
    assert (plan.ran, plan.overtaken_at) == (None, None)
    plans.mark_overtaken(state.db, state.source, "h")
    state.begin("bound")
    state.sql("UPDATE run SET plan_hash = 'h' WHERE id = :id", id=state.run.id)
    plan = read_plan(state.db, state.source.id)
    assert plan is not None
    assert (plan.ran, plan.is_done) == (("dag", "bound"), False)
    assert plan.overtaken_at is not None
    runs.finish_run(state.db, state.run)
    plan = read_plan(state.db, state.source.id)
    assert plan is not None
    assert plan.is_done


def test_a_dry_runs_dag_is_one_of_the_syncs(state: State) -> None:
    """Who may read it sees the sync; a command has none."""
    save(state, planned("a"), dag="planner")
    [sync] = read_syncs(state.db)
    assert sync.dag_ids == ("dag", "planner")
    assert sync.is_planned
    save(state, planned("a"), dag="")
    [sync] = read_syncs(state.db)
    assert sync.dag_ids == ("dag",)


def test_a_source_is_forgotten_with_its_plan(state: State) -> None:
    save(state, planned("a"))
    sources.forget(state.db, state.source)
    assert state.sql("SELECT * FROM plan") == state.sql("SELECT * FROM plan_key") == []
