"""Forgetting what is old of the history and the runs: what goes, what stays, and who waits for it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from cloudindex_provider.errors import StoppedError
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import approvals, history, pruning, runs
from cloudindex_provider.state.pruning import Extent

Listed = Callable[..., ListedObject]
MONTHS = 100 * 86400.0


def note(state: Any, *keys: str, events: int = 1) -> None:
    with state.db.write() as connection:
        happened = [(key, f"{number}", None) for key in keys for number in range(events)]
        history.note(state.db, connection, state.source.id, happened)


def ages(state: Any, seconds: float = MONTHS) -> None:
    """Everything that is there is so much older."""
    state.sql("UPDATE history SET at = at - :by", by=seconds)
    state.sql("UPDATE run SET started_at = started_at - :by", by=seconds)


def begin(state: Any, *, number: int) -> list[int]:
    """Runs, each with a counter and a key that it answers for."""
    ids = []
    for place in range(number):
        run = state.begin(f"run{place}")
        with state.db.write() as connection:
            runs.add_counts(connection, run.id, {"listed": 1})
        state.sql("INSERT INTO run_key (run_id, key, class) VALUES (:r, 'a', 'new')", r=run.id)
        ids.append(run.id)
    return ids


def of_runs(state: Any, table: str) -> list[int]:
    column = "id" if table == "run" else "run_id"
    return [one for (one,) in state.sql(f"SELECT DISTINCT {column} FROM {table} ORDER BY 1")]


# The history


def test_the_last_five_events_of_a_key_stay_while_it_is_there(state: Any, listed: Listed) -> None:
    """Old events go in blocks, but never the last five of a key that has a row."""
    state.detect(listed("a"), listed("b"))
    note(state, "a", events=8)
    note(state, "b", events=3)
    assert pruning.prune(state.db, state.source, Extent(1)) == (0, None)
    ages(state)
    note(state, "a")
    assert pruning.prune(state.db, state.source, Extent(1, block=2)) == (4, None)
    kept = [*(("a", f"{n}") for n in range(4, 8)), *(("b", f"{n}") for n in range(3)), ("a", "0")]
    assert sorted(state.history()) == sorted(kept)


def test_what_happened_to_keys_that_are_gone_is_forgotten_by_age_alone(
    state: Any, make_state: Callable[..., Any], listed: Listed
) -> None:
    """A key without a row, or whose row another sync has now, isn't kept for ever by its last five events."""
    other = make_state(prefix="docs/", sync_id="other")
    other.detect(listed("docs/moved.txt"))
    keys = [f"docs/log-{number}.txt" for number in range(50)]
    note(state, *keys, "docs/moved.txt", events=2)
    ages(state)
    note(state, keys[0])
    assert pruning.prune(state.db, state.source, Extent(90)).rows == 102
    assert state.history() == [(keys[0], "0")]


def test_the_last_decisions_about_a_source_stay(state: Any) -> None:
    """Approvals stand in the history without a key: they are no key that is gone."""
    approvals.approve(state.db, state.source.id, 10, "somebody")
    ages(state)
    assert pruning.prune(state.db, state.source, Extent(1)) == (0, None)


def test_another_source_s_history_is_not_pruned(make_state: Callable[..., Any]) -> None:
    """Pruning one source leaves the others alone, runs included."""
    first, second = make_state(prefix="a"), make_state(prefix="b")
    for one in (first, second):
        begin(one, number=3)
        note(one, "k")
    ages(first)
    assert pruning.prune(first.db, first.source, Extent(1, runs=1)).rows == 1 + 3 + 3
    assert first.sql("SELECT count(*) FROM history WHERE source_id = :s", s=second.source.id) == [(1,)]
    assert first.sql("SELECT count(*) FROM run WHERE source_id = :s", s=second.source.id) == [(4,)]


# Runs


def test_old_runs_go_with_their_counters_and_keys_and_the_last_ones_stay(state: Any) -> None:
    """Of the newest runs the counters stay, however old they are; what is younger than the history stays whole."""
    old = [state.run.id, *begin(state, number=9)]
    ages(state)
    young = state.begin("young").id
    state.sql("INSERT INTO run_key (run_id, key, class) VALUES (:r, 'a', 'new')", r=young)
    assert pruning.prune(state.db, state.source, Extent(90, runs=4, block=2)).rest is None
    assert of_runs(state, "run") == [*old[-3:], young]
    assert of_runs(state, "run_count") == old[-3:]
    assert of_runs(state, "run_key") == [young]


def test_the_newest_run_stays_whatever_is_asked_for(state: Any) -> None:
    """SQLite gives the highest id again once it is free: a new run would have the old one's documents and approvals."""
    (last,) = begin(state, number=1)
    ages(state)
    pruning.prune(state.db, state.source, Extent(0, runs=0))
    assert of_runs(state, "run") == [last]
    assert state.begin("next").id > last


def test_runs_that_a_person_has_to_do_with_stay_whole(state: Any) -> None:
    """The run of an open hold, and one that was allowed to delete, are there as they were; an ended hold keeps none."""
    held, allowed, ended, *_ = begin(state, number=8)
    state.sql(
        "INSERT INTO hold (source_id, run_id, removed, live, reason, at, ended_at)"
        " VALUES (:s, :held, 9, 9, 'many', 1.0, NULL), (:s, :ended, 9, 9, 'many', 1.0, 2.0)",
        s=state.source.id, held=held, ended=ended,
    )  # fmt: skip
    approval = approvals.approve(state.db, state.source.id, 10, "somebody")
    state.sql("UPDATE approval SET run_id = :run WHERE id = :id", run=allowed, id=approval.id)
    ages(state)
    pruning.prune(state.db, state.source, Extent(90, runs=1))
    assert of_runs(state, "run")[:-1] == [held, allowed]
    assert of_runs(state, "run_key") == [held, allowed]


def test_a_row_s_old_run_may_go(state: Any, listed: Listed) -> None:
    """What an old run has queued is found, claimed and accounted for by a later one as ever."""
    state.detect(listed())
    begin(state, number=3)
    ages(state)
    pruning.prune(state.db, state.source, Extent(90, runs=1))
    state.begin("next")
    state.index(listed())
    assert (state.row().status, state.run_keys()) == ("indexed", {"k.txt": ("new", "indexed")})


def test_a_run_that_begins_anew_while_it_is_pruned_keeps_what_it_has(state: Any) -> None:
    """A cleared run is as young as its new beginning."""
    cleared, *_ = begin(state, number=5)
    ages(state)
    state.sql("INSERT INTO run_key (run_id, key, class) VALUES (:r, 'b', 'new')", r=cleared)

    def clear(_: float) -> None:
        state.sql("UPDATE run SET started_at = :now WHERE id = :id", now=time.time(), id=cleared)

    pruning.prune(state.db, state.source, Extent(90, runs=1, block=1), sleep=clear)
    assert cleared in of_runs(state, "run")
    assert state.sql("SELECT key FROM run_key WHERE run_id = :r", r=cleared) == [("b",)]


# When, and for how long


def test_pruning_happens_once_a_day_and_to_the_end(make_state: Callable[..., Any]) -> None:
    """A run prunes everything that is due, and the next run of the same day doesn't look again."""
    state = make_state(prefix="daily")
    note(state, "k", events=12)
    ages(state)
    assert pruning.prune_daily(state.db, state.source, days=1) == 12
    note(state, "k")
    ages(state)
    assert pruning.prune_daily(state.db, state.source, days=1) == 0
    state.sql("UPDATE meta SET value = '0' WHERE name LIKE 'pruned:%'")
    assert pruning.prune_daily(state.db, state.source, days=1) == 1


def test_a_pass_that_has_had_its_time_is_gone_on_with_by_the_next_run(
    make_state: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not next day, and not from the beginning; at its end the day's pause begins."""
    state = make_state(prefix="long")
    note(state, *(f"k{number}" for number in range(5)), events=2)
    ages(state)
    monkeypatch.setattr(pruning, "Extent", lambda days, seconds: Extent(days, seconds=seconds, block=3, runs=30))
    clock = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    left = []
    while state.history():
        assert pruning.prune_daily(state.db, state.source, days=1, seconds=6, sleep=lambda _: None) < 10
        left.append(len(state.history()))
    assert len(left) > 1
    assert left == sorted(set(left), reverse=True)


def test_a_writer_gets_in_between_two_blocks(state: Any) -> None:
    """Nothing is open while pruning rests, so whoever waits is served: also a writer of another connection."""
    note(state, *(f"k{number}" for number in range(9)))
    ages(state)
    written: list[int] = []

    def write(_: float) -> None:
        state.sql("INSERT INTO meta (name, value) VALUES (:name, '')", name=f"test{len(written)}")
        written.append(len(state.history()))

    try:
        pruning.prune(state.db, state.source, Extent(1, block=3), sleep=write)
    finally:
        state.sql("DELETE FROM meta WHERE name LIKE 'test%'")
    assert written[-1] == 0
    assert len(written) >= 3


def test_a_task_that_is_stopped_ends_its_pruning(state: Any) -> None:
    """The rest between two blocks hears the stop; what is gone stays gone."""
    note(state, *(f"k{number}" for number in range(9)))
    ages(state)

    def stopped(_: float) -> None:
        raise StoppedError("The task is being stopped.")

    with pytest.raises(StoppedError):
        pruning.prune(state.db, state.source, Extent(1, block=3), sleep=stopped)
    assert 0 < len(state.history()) < 9


@pytest.fixture
def locked(state: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody else's writing transaction, which doesn't end."""
    with closing(sqlite3.connect(str(state.db.url.database), isolation_level=None)) as other:
        state.sql("PRAGMA busy_timeout = 50")
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("backend", ["sqlite"])  # Postgres locks rows
def test_a_busy_state_is_no_reason_to_fail_a_run_that_is_done(state: Any, locked: None) -> None:
    """Pruning comes back another time."""
    assert pruning.prune_daily(state.db, state.source, days=1) == 0


@pytest.mark.parametrize("backend", ["sqlite"])  # Postgres locks rows
def test_finding_what_is_old_waits_for_nobody_and_nobody_waits_for_it(state: Any, locked: None) -> None:
    """Victims are looked for outside of any writing transaction."""
    assert pruning.prune(state.db, state.source, Extent(1)) == (0, None)
