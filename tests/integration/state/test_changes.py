"""What has changed is told once, and what a red run has changed isn't forgotten."""

from __future__ import annotations

from typing import Any

from cloudindex_provider.state import runs
from cloudindex_provider.state.changes import has_changes, take_changes


def test_nothing_is_told_of_a_run_that_changes_nothing(state: Any) -> None:
    runs.finish_run(state.db, state.run, {"listed": 5, "unchanged": 5, "failed": 1})
    assert not has_changes(state.db, state.source)
    assert take_changes(state.db, state.source) == {"indexed": 0, "deleted": 0}


def test_what_was_taken_is_not_there_any_more(state: Any) -> None:
    runs.finish_run(state.db, state.run, {"indexed": 3, "deleted": 1})
    assert has_changes(state.db, state.source)
    assert take_changes(state.db, state.source) == {"indexed": 3, "deleted": 1}
    assert not has_changes(state.db, state.source)


def test_changes_of_runs_that_told_nobody_add_up(state: Any) -> None:
    """They were red, or had nobody to tell."""
    runs.finish_run(state.db, state.run, {"indexed": 3})
    state.begin("r2")
    runs.finish_run(state.db, state.run, {"indexed": 2, "deleted": 1})
    assert take_changes(state.db, state.source) == {"indexed": 5, "deleted": 1}


def test_a_report_that_is_made_again_adds_what_is_new_alone(state: Any) -> None:
    runs.finish_run(state.db, state.run, {"indexed": 3})
    take_changes(state.db, state.source)
    runs.finish_run(state.db, state.run, {"indexed": 4})
    assert take_changes(state.db, state.source) == {"indexed": 1, "deleted": 0}


def test_a_cleared_run_keeps_what_it_has_not_told(state: Any) -> None:
    """Its detection begins anew: what it had indexed is unchanged then, and still untold."""
    runs.finish_run(state.db, state.run, {"indexed": 3})
    state.begin(state.run.name.run_id)
    runs.finish_run(state.db, state.run, {"indexed": 1})
    assert take_changes(state.db, state.source) == {"indexed": 4, "deleted": 0}


def test_another_source_s_changes_are_its_own(state: Any, make_state: Any) -> None:
    other = make_state(prefix="other/")
    runs.finish_run(state.db, state.run, {"indexed": 3})
    assert not has_changes(other.db, other.source)
    assert take_changes(other.db, other.source) == {"indexed": 0, "deleted": 0}
    assert has_changes(state.db, state.source)
