"""The benchmark of an old state, at a size that takes seconds: it measures what it says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from programs.benchmarks import age_jobs
from programs.benchmarks.age import Age, measure


def test_an_old_state_is_measured_and_pruned(tmp_path: Path) -> None:
    """Outcomes in both states, and a pruning beside a writer. How long they take is for a quiet machine to say."""
    said: list[str] = []
    part = measure(Age(runs=3000, events=20_000, keys=2000), 1, tmp_path, said.append)
    (table,) = part.tables
    assert [row.runs[0].get("documents") for row in table.rows] == [1000, 1000, None]
    assert table.rows[-1].runs[0]["rows"] > 10_000
    assert all(target.value > 0 for target in part.targets)
    assert list(tmp_path.iterdir()) == []


def test_the_state_that_is_built_is_as_old_as_it_says(tmp_path: Path) -> None:
    """An hour between two runs, events over all of that time, and keys in the history that are gone."""
    state = str(tmp_path / "old.db")
    age_jobs.build(0.0, state=state, runs=100, events=1000, keys=50)
    with closing(sqlite3.connect(state)) as connection:
        ask = connection.execute
        assert ask("SELECT count(*), max(started_at) - min(started_at) FROM run").fetchone() == (100, 99 * 3600)
        assert ask("SELECT count(*), count(DISTINCT key), count(DISTINCT run_id) FROM history").fetchone() == (
            1000, 60, 100,
        )  # fmt: skip
        assert ask("SELECT count(*) FROM object WHERE status = 'indexed'").fetchone() == (50,)
        assert ask("SELECT count(*) FROM run_key WHERE outcome IS NOT NULL").fetchone() == (2000,)
        assert ask("SELECT name FROM sqlite_master WHERE name = 'history_by_key'").fetchone()
