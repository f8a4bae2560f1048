"""A state that is put back from a backup: as docs/operating.md says, made by its own command."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.integration.sync.repair.conftest import Cli
from tests.support.guide_blocks import blocks
from tests.support.mirror import Mirror

GUIDE = Path(__file__).parents[4] / "docs" / "operating.md"
DAY = 86_400


def back_up(mirror: Mirror, folder: Path) -> Path:
    """By the guide's own line where there is SQLite's shell, else by the same function of its library."""
    [line] = [block.text for block in blocks(GUIDE) if block.text.startswith("sqlite3 ")]
    copy = folder / "backup.db"
    if shutil.which("sqlite3"):
        line = line.replace("$AIRFLOW_HOME/cloudindex/state.db", mirror.db.name)
        line = line.replace("/backup/cloudindex-state.db", str(copy))
        subprocess.run(["bash", "-c", line], check=True, timeout=60)
    else:
        into(copy, Path(mirror.db.name))
    return copy


def into(there: Path, source: Path) -> None:
    with sqlite3.connect(source) as one, sqlite3.connect(there) as other:
        one.backup(other)
    one.close()
    other.close()


@pytest.fixture
def restored(mirror: Mirror, tmp_path: Path) -> Mirror:
    """A sync whose state is that of before its last run, which has uploaded, replaced and deleted."""
    mirror.put("same.txt", "same")
    mirror.put("changed.txt", "old")
    mirror.put("gone.txt", "gone")
    mirror.run()
    copy = back_up(mirror, tmp_path)
    mirror.put("changed.txt", "new")
    mirror.put("added.txt", "added")
    mirror.remove("gone.txt")
    mirror.run()
    mirror.assert_agreement()
    into(Path(mirror.db.name), copy)
    return mirror


def test_what_came_after_the_backup_is_there_twice_until_the_next_comparison(restored: Mirror) -> None:
    """Which a run makes once a day."""
    restored.run()
    twice = [key for key in ("same.txt", "changed.txt", "added.txt") if len(restored.of(restored.prefix + key)) > 1]
    assert twice == ["changed.txt", "added.txt"]
    restored.time_passes(DAY + 1)
    restored.run()
    restored.assert_agreement()


def test_a_rebuild_before_the_first_run_uploads_nothing_twice(restored: Mirror, cli: Cli) -> None:
    """What CloudIndex has already is found by its bytes."""
    uploads = restored.uploads
    place = ("--bucket", restored.bucket, "--prefix", restored.prefix)
    answer = cli("rebuild", *place, "--replace", "--yes")
    assert answer.code == 0, answer.err
    restored.run()
    restored.assert_agreement()
    assert restored.uploads == uploads
