"""What runs often finds its rows by an index: no statement reads all of a state with a million rows.

The statements are those that the package itself runs, taken as they are sent, and asked of SQLite's own planner.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.state import (
    accounts,
    blocks,
    citations,
    claims,
    doubts,
    outcomes,
    pruning,
    removals,
    runs,
    sources,
    superseded,
    sweep,
)
from cloudindex_provider.state.conditions import KeyClass, Outcome
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.first_keys import read_first_keys, read_former_sources, read_other_owner
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Owner, Run, RunName, SweepWrites
from cloudindex_provider.state.tally import read_tally
from cloudindex_provider.state.upload_queue import UploadQueue
from cloudindex_provider.state.views.keys import KeyFilter, read_held, read_key, read_keys
from cloudindex_provider.state.views.numbers import read_reasons

LARGE = ("object", "run_key", "history")
OWNER = Owner("o", 1)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[Database, Run]]:
    """A state of 3,000 rows, most of them indexed, whose statistics SQLite has never gathered, as in life."""
    db = Database(f"sqlite:///{tmp_path}/state.db")
    source = sources.open_source(db, project_id="p", bucket="b", prefix="")
    found = runs.start_run(db, source, RunName("d", "r", "t"))
    with db.write() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO object (scope_id, key, source_id, status, etag, size, last_modified, storage_class,"
                " queued_run) VALUES (:scope, :key, :source, :status, 'e', 1, 't', 'STANDARD', :run)"
            ),
            [
                {"scope": source.scope_id, "source": source.id, "key": f"{n:05}",
                 "status": "indexed" if n % 100 else "pending", "run": found.id}
                for n in range(3000)
            ],
        )  # fmt: skip
    yield db, found
    db.close()


def plans_of(db: Database, work: Callable[[], Any]) -> list[tuple[str, str]]:
    """(statement, line of its plan) of everything that ``work`` runs."""
    sent: list[tuple[str, Any]] = []

    def remember(_c: Any, _cursor: Any, sql: str, values: Any, _x: Any, many: bool) -> None:
        sent.append((sql, values[0] if many else values))

    sa.event.listen(sa.Engine, "before_cursor_execute", remember)
    try:
        work()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", remember)
    lines = []
    with db.read() as connection:
        for sql, values in sent:
            if sql.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT"):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
                lines += [(sql, row[3]) for row in plan]
    return lines


def claimed(db: Database, run: Run) -> list[Any]:
    return claims.claim_request(db, run, OWNER, lease=60.0, max_request_size=10**6, max_documents=None)


def claimed_newest(db: Database, run: Run) -> list[Any]:
    return UploadQueue().claim(
        db, run, OWNER, order="newest", lease=60.0, max_request_size=10**6, max_documents=None
    )  # fmt: skip


def claim_and_send(db: Database, run: Run) -> None:
    rows = claimed(db, run)
    claims.record_intent(db, run, OWNER, [(row, "n", None) for row in rows], lease=60.0)
    claims.withdraw(db, run, OWNER, rows[:1])
    claims.give_back(db, run, OWNER, rows[:1])
    doubts.record_unknown(db, run, OWNER, rows[1:2], "x")
    doubts.doubtful_uploads(db, run, OWNER, lease=60.0)
    for row in rows[2:4]:
        outcomes.record_sent(db, run, OWNER, row, document_id="d", version=1, sha256=None)
    outcomes.record_failed(db, run, OWNER, rows[4], Failure("x"), max_attempts=3)
    for row in outcomes.processing_rows(db, run.source):
        outcomes.record_processed(db, run, row, sha256=None, version=None)


def found_again(db: Database, run: Run) -> None:
    rows = blocks.read_block(db, run.source, after=None, upto="00500", limit=1000)
    later = runs.start_run(db, run.source, RunName("d", "r2", "t"))
    sweep.apply(db, later, SweepWrites(underway=[row for row in rows if row.status == "pending"]))


def remove_one(db: Database, run: Run) -> None:
    row = blocks.read_block(db, run.source, after="02000", upto=None, limit=1)[0]
    sweep.apply(db, run, SweepWrites(removed=[row]))
    one = removals.removals(db, run, OWNER, after=None, limit=9)[0]
    removals.removals(db, run, OWNER, after="0", limit=9)
    begun = removals.record_deleting(db, run, OWNER, one, lease=60.0)
    removals.record_deleted(db, run, OWNER, begun, ["d"])
    superseded.superseded_documents(db, run, limit=9)
    superseded.document_ids_of(db, run, "k")
    doubts.doubtful_indexed(db, run)
    removals.record_held(db, run, "x")


def report_first_keys(db: Database, run: Run) -> None:
    names = ("indexed", "uploaded", "adopted", "deleted", "held")
    read_first_keys(db, run, names, limit=20)
    with db.write() as connection:
        connection.execute(
            sa.text("INSERT INTO source (id, scope_id, prefix, sync_id) VALUES (99, :scope, '', 'other')"),
            {"scope": run.source.scope_id},
        )
    assert read_other_owner(db, run.source, 99, limit=3) is not None
    read_former_sources(db, run)


def sweep_block(db: Database, run: Run) -> None:
    for after, upto in ((None, None), ("00100", None), (None, "00100"), ("00100", "00900")):
        blocks.read_block(db, run.source, after=after, upto=upto, limit=5000)
    blocks.read_keys(db, run.source, ["00001"])


def prune_all(db: Database, run: Run) -> None:
    with db.write() as connection:
        old = {"source": run.source.id, "run": run.id}
        event = "INSERT INTO history (source_id, key, at, event) VALUES (:source, :key, 1.0, 'e')"
        connection.execute(sa.text(event), [{**old, "key": f"{n}"} for n in range(9)])
        connection.execute(sa.text("INSERT INTO run_key (run_id, key, class) VALUES (:run, 'k', 'new')"), old)
        connection.execute(sa.text("UPDATE run SET started_at = 1.0 WHERE id = :run"), old)
    runs.start_run(db, run.source, RunName("d", "newest", "t"))
    pruning.prune(db, run.source, pruning.Extent(90, runs=1, block=3), after="0")


def look(db: Database, run: Run) -> None:
    """What a page asks, but for the count of all rows, which it keeps for a while."""
    for wanted in (KeyFilter(), KeyFilter(after="00100"), KeyFilter(status="failed"), KeyFilter(status="indexed")):
        read_keys(db, run.source, wanted, limit=50)
    read_key(db, run.source, "00001")
    read_held(db, run.source, run.id, KeyFilter(after="00100"), limit=50)
    read_reasons(db, run.source.id, ["failed"], lambda key, _: key)


WORK: dict[str, Callable[[Database, Run], Any]] = {
    "claim": claimed,
    "claim newest": claimed_newest,
    "backlog": lambda db, run: claims.backlog(db, run.source),
    "renew": lambda db, run: claims.renew(db, OWNER, run.source, 60.0),
    "block": sweep_block,
    "tally": read_tally,
    "upload": claim_and_send,
    "remove": remove_one,
    "found again": found_again,
    "history": prune_all,
    "first keys": report_first_keys,
    "looking": look,
}


@pytest.mark.parametrize("name", WORK)
def test_no_statement_reads_a_whole_table(run: tuple[Database, Run], name: str) -> None:
    """Every access to a table that grows is a search by an index or the primary key."""
    db, one = run
    lines = [(sql, line) for sql, line in plans_of(db, lambda: WORK[name](db, one)) if _is_large(line)]
    assert lines
    assert [entry for entry in lines if not entry[1].startswith("SEARCH")] == []


def test_what_is_gone_of_a_cited_key_is_found_without_reading_the_runs(run: tuple[Database, Run]) -> None:
    """The rows are read once for all hits; whether each key is gone is a search."""
    db, _ = run
    with db.write() as connection:
        connection.execute(sa.text("UPDATE object SET document_id = key WHERE key < '00003'"))
    lines = [line for _, line in plans_of(db, lambda: citations.cite(db, ["00000", "00001", "00002"]))]
    assert [line for line in lines if "run_key" in line and not line.startswith("SEARCH")] == []
    assert sum("run_key" in line for line in lines) == 3
    assert sum(line.startswith("SCAN object") for line in lines) == 1


def _is_large(line: str) -> bool:
    words = line.split()
    return words[0] in ("SCAN", "SEARCH") and words[1] in LARGE


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claim", "USING INDEX object_work (source_id=? AND status=?)"),
        ("claim newest", "USING INDEX object_work (source_id=? AND status=?)"),
        ("claim newest", "USING PRIMARY KEY (scope_id=? AND key=?)"),
        ("backlog", "USING INDEX object_work (source_id=?"),
        ("renew", "USING INDEX object_claimed (claim_owner=?)"),
        ("block", "USING PRIMARY KEY (scope_id=? AND key>? AND key<?)"),
        ("tally", "USING INDEX object_work (source_id=? AND status=?)"),
        ("upload", "USING INDEX run_key_open (key=?)"),
    ],
)
def test_the_index_that_was_made_for_it_is_used(run: tuple[Database, Run], name: str, index: str) -> None:
    """The planner takes the index that the schema has for the query, unasked."""
    db, one = run
    assert any(index in line for _, line in plans_of(db, lambda: WORK[name](db, one)))


def steps_of_an_outcome(db: Database, run: Run, key: str) -> int:
    """What SQLite's machine does for one key's outcome; told more exactly than any time."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with db.write() as connection:
        accounts.note_found(connection, run, {key: KeyClass.CHANGED})
        accounts.note_claimed(connection, run, {key: KeyClass.CHANGED})
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_progress_handler(count, 1)
        accounts.record_outcome(connection, run.source, key, KeyClass.CHANGED, Outcome.INDEXED)
        driver.set_progress_handler(None, 0)
    return steps


def test_an_outcome_costs_the_same_however_many_runs_there_were(run: tuple[Database, Run]) -> None:
    """Neither the runs of the source nor those in which this very key had an outcome are read for it."""
    db, first = run
    young = steps_of_an_outcome(db, first, "00100")
    with db.write() as connection:
        for number in range(500):
            values = {"id": 1000 + number, "source": first.source.id}
            made = (
                "INSERT INTO run (id, source_id, dag_id, run_id, task_id, started_at) VALUES (:id, :source, 'd', :id,"
            )
            connection.execute(sa.text(f"{made} 't', 1.0)"), values)
            done = "INSERT INTO run_key (run_id, key, class, outcome) VALUES (:id, '00200', 'changed', 'indexed')"
            connection.execute(sa.text(done), values)
    old = steps_of_an_outcome(db, first, "00200")
    assert young > 0
    assert old <= young * 1.2


def steps_of(db: Database, work: Callable[[], Any]) -> int:
    """What SQLite's machine does for reading."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with db.read() as connection:  # the pool gives it out again
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
    driver.set_progress_handler(count, 1)
    work()
    driver.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("status", [None, "pending"])
def test_a_page_of_keys_costs_the_same_wherever_it_is(
    run: tuple[Database, Run], descending: bool, status: str | None
) -> None:
    """The rows before the cursor aren't read again."""
    db, one = run
    pages = [
        KeyFilter(status=status, descending=descending, after=after) for after in (None, "01500")
    ]  # fmt: skip
    first, middle = (steps_of(db, partial(read_keys, db, one.source, page, limit=10)) for page in pages)
    assert 0 < middle <= first * 1.5


def test_nothing_is_sorted_to_claim_or_to_read_a_block(run: tuple[Database, Run]) -> None:
    """The first 20 of a long backlog come off the index in order."""
    db, one = run
    for name in ("claim", "block"):
        assert not [line for _, line in plans_of(db, partial(WORK[name], db, one)) if "TEMP B-TREE" in line]
