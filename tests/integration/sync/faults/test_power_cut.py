"""What a power cut mustn't take: the intent before a request, and before a delete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.state.db.database import Database
from tests.support.memory_s3 import MemoryS3
from tests.support.mirror import Mirror

FULL, NORMAL = 2, 1


@pytest.fixture
def commits(tmp_path: Path) -> Iterator[tuple[Database, list[tuple[int, str]]]]:
    """A state, and of each of its commits whether it waits for the disk, with the statements that it has."""
    db = Database(f"sqlite:///{tmp_path}/state.db")
    found: list[tuple[int, str]] = []
    open_: dict[int, list[str]] = {}

    def executed(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        open_.setdefault(id(connection), []).append(statement)

    def committed(connection: Any) -> None:
        mode = connection.connection.cursor().execute("PRAGMA synchronous").fetchone()[0]
        found.append((mode, "; ".join(open_.pop(id(connection), []))))

    sa.event.listen(sa.Engine, "before_cursor_execute", executed)
    sa.event.listen(sa.Engine, "commit", committed)
    yield db, found
    sa.event.remove(sa.Engine, "before_cursor_execute", executed)
    sa.event.remove(sa.Engine, "commit", committed)
    db.close()


def test_intents_and_deletes_wait_for_the_disk_and_nothing_else_does(
    commits: tuple[Database, list[tuple[int, str]]], tmp_path: Path, cloud: Any
) -> None:
    """In WAL with synchronous NORMAL a power cut loses the last commits: none that a request was sent after."""
    db, found = commits
    s3 = MemoryS3()
    mirror = Mirror(tmp_path, cloud, s3, s3, db=db)
    mirror.put_many(3)
    mirror.put("a.txt", "one")
    mirror.run()
    mirror.put("a.txt", "two")
    mirror.remove("0001.txt")
    mirror.run()
    mirror.assert_agreement()
    mirror.client.close()
    intents = [mode for mode, text in found if "SET status = 'uploading'" in text]
    deletes = [mode for mode, text in found if "status = 'deleting', claim_owner" in text or "<> :id" in text]
    assert intents == [FULL] * 2
    assert FULL in deletes
    assert {mode for mode, text in found if "status = 'processing'," in text} == {NORMAL}


def test_a_durable_write_leaves_the_others_as_quick_as_before(tmp_path: Path) -> None:
    """The mode is the transaction's, not the connection's."""
    db = Database(f"sqlite:///{tmp_path}/state.db")
    for durable in (True, False, True, False):
        with db.write_durably() if durable else db.write() as connection:
            mode = connection.execute(sa.text("PRAGMA synchronous")).scalar_one()
        assert mode == (FULL if durable else NORMAL)
    db.close()
