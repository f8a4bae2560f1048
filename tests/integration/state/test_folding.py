"""Many short runs of a task become one: nothing of what they did is lost, and what somebody may ask about stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import accounts, outcomes, removals, runs
from cloudindex_provider.state.approvals import Hold
from cloudindex_provider.state.folding import fold_run
from cloudindex_provider.state.history import key_history
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import RunName

Listed = Callable[..., ListedObject]


def begin(state: Any, batch: str, run_id: str = "r1") -> None:
    state.run = runs.start_run(state.db, state.source, RunName("dag", run_id, f"task#{batch}"))


def fold(state: Any, *keys: str) -> bool:
    return fold_run(state.db, state.run, into="task#", keys=keys)


def all_runs(state: Any) -> list[str]:
    return [task for (task,) in state.sql("SELECT task_id FROM run WHERE task_id LIKE 'task%' ORDER BY id")]


def fail(state: Any, key: str) -> None:
    [row] = state.claim()
    assert row.key == key
    outcomes.record_failed(state.db, state.run, state.owner, row, Failure("no luck"), max_attempts=3)


def test_counters_add_up_and_keys_count_by_the_last_of_them(state: Any, listed: Listed) -> None:
    begin(state, "1")
    state.detect(listed("a"))
    fail(state, "a")
    runs.finish_run(state.db, state.run, {"failed": 1})
    assert fold(state, "a")
    begin(state, "2")
    state.index(listed("a", "e2"), listed("b"))
    runs.finish_run(state.db, state.run, {"indexed": 2})
    assert fold(state, "a", "b")
    assert all_runs(state) == ["task#"]
    state.run = runs.find_run(state.db, state.source, RunName("dag", "r1", "task#"))
    assert state.run_keys() == {"a": ("new", "indexed"), "b": ("new", "indexed")}
    counts = state.counts()
    assert (counts["end:failed"], counts["end:indexed"], counts["uploaded"]) == (1, 2, 2)
    assert {event.run_id for key in "ab" for event in key_history(state.db, state.source, key)[1]} == {"r1"}


def test_what_was_found_last_counts_by_its_own_time_whichever_run_ends_last(state: Any, listed: Listed) -> None:
    """A batch whose document takes long ends after later ones, and is told by a listing that began between the two."""
    begin(state, "slow")
    state.index(listed("a"))
    slow = state.run
    since = state.db.clock()
    begin(state, "quick")
    state.index(listed("a"), listed("b"))
    runs.finish_run(state.db, state.run)
    ended = state.sql("SELECT finished_at FROM run WHERE task_id = 'task#quick'")
    assert fold(state, "b")
    state.run = slow
    state.sql("UPDATE run SET finished_at = 1.0 WHERE task_id = 'task#slow'")
    assert fold(state, "a")
    assert accounts.found_later(state.db, state.source, None, ["a", "b"], since=since) == {"a", "b"}
    assert state.sql("SELECT finished_at FROM run WHERE task_id = 'task#'") == ended


def test_each_airflow_run_has_its_own(state: Any, listed: Listed) -> None:
    for number, run_id in enumerate(("r1", "r2")):
        begin(state, "1", run_id)
        state.index(listed("a", f"e{number}"))
        runs.finish_run(state.db, state.run)
        assert fold(state, "a")
    assert all_runs(state) == ["task#", "task#"]


def test_what_is_not_done_is_found_as_the_whole_s(state: Any, listed: Listed) -> None:
    """A document that was still processing when its batch was over; the row names no run that isn't there."""
    begin(state, "1")
    state.send(listed("slow"))
    runs.finish_run(state.db, state.run)
    assert fold(state, "slow")
    [(queued,)] = state.sql("SELECT queued_run FROM object")
    [(whole,)] = state.sql("SELECT id FROM run WHERE task_id = 'task#'")
    assert queued == whole


def test_a_run_that_is_not_over_stays(state: Any, listed: Listed) -> None:
    begin(state, "1")
    state.index(listed("a"))
    assert not fold(state, "a")
    assert all_runs(state) == ["task#1"]


@pytest.mark.parametrize("hold", [None, Hold("too many")])
def test_removals_that_were_not_made_keep_their_run(state: Any, listed: Listed, hold: Hold | None) -> None:
    """Whoever asks which documents stay without their object asks by the time of that very look."""
    state.index(listed("a"), listed("b"))
    begin(state, "1")
    state.detect(listed("b"), hold=hold)
    runs.finish_run(state.db, state.run)
    assert not fold(state, "a")


def test_removals_of_long_runs_count_until_a_day_after_the_last(state: Any, listed: Listed) -> None:
    """The guard over a day sees too much rather than too little."""
    state.index(listed("a"), listed("b"))
    begin(state, "1")
    state.detect(listed("b"))
    state.sql("INSERT INTO run_count VALUES (:run, 'removed_by_name', 1)", run=state.run.id)
    state.sql("UPDATE run_key SET outcome = 'deleted' WHERE run_id = :run", run=state.run.id)
    runs.finish_run(state.db, state.run)
    assert fold(state, "a")
    state.sql("UPDATE run SET started_at = started_at - 100000")
    assert removals.removed_by_name(state.db, state.source, seconds=86400) == 1
    state.sql("UPDATE run SET finished_at = finished_at - 100000")
    assert removals.removed_by_name(state.db, state.source, seconds=86400) == 0
