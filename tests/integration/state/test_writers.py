"""Many writers at once: nobody fails, nothing is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.errors import StateUnavailableError
from cloudindex_provider.state import claims, runs, sources
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import RunName

WRITERS, TRANSACTIONS = 8, 200


def write(db: Database, run_id: int) -> int:
    """Transactions that read first and then write, which a deferred BEGIN makes fail; gives how many failed."""
    failed = 0
    for _ in range(TRANSACTIONS):
        try:
            with db.write() as connection:
                count = connection.execute(
                    sa.text("SELECT coalesce(max(value), 0) FROM run_count WHERE run_id = :run"), {"run": run_id}
                ).scalar_one()
                runs.add_counts(connection, run_id, {"written": 1})
                connection.execute(
                    sa.text("INSERT INTO history (source_id, key, at, event) VALUES (1, 'k', 1.0, :event)"),
                    {"event": str(count)},
                )
        except StateUnavailableError:
            failed += 1
    return failed


def write_alone(url: str, run_id: int) -> int:
    """The same in a process of its own."""
    db = Database(url)
    try:
        return write(db, run_id)
    finally:
        db.close()


def check(db: Database, run_id: int, failures: list[int]) -> None:
    assert failures == [0] * WRITERS
    with db.read() as connection:
        values = {"run": run_id}
        written = connection.execute(sa.text("SELECT value FROM run_count WHERE run_id = :run"), values).scalar_one()
        events = connection.execute(sa.text("SELECT event FROM history")).scalars().all()
    assert written == WRITERS * TRANSACTIONS
    # Each transaction saw the count that the one before had left: they ran one after another.
    assert sorted(map(int, events)) == list(range(WRITERS * TRANSACTIONS))


@pytest.fixture
def sqlite_run(tmp_path: Path) -> Any:
    """(state, run id) on SQLite."""
    db = Database(f"sqlite:///{tmp_path}/state.db")
    source = sources.open_source(db, project_id="p", bucket="b", prefix="")
    yield db, runs.start_run(db, source, RunName("d", "r", "t")).id
    db.close()


def test_eight_threads_write_without_a_failure(sqlite_run: tuple[Database, int]) -> None:
    """1,600 read-then-write transactions of 8 threads on SQLite, none of them refused or lost."""
    db, run_id = sqlite_run
    with ThreadPoolExecutor(WRITERS) as pool:
        check(db, run_id, list(pool.map(lambda _: write(db, run_id), range(WRITERS))))


def test_eight_processes_write_without_a_failure(sqlite_run: tuple[Database, int], process_context: Any) -> None:
    """1,600 read-then-write transactions of 8 processes on SQLite, none of them refused or lost."""
    db, run_id = sqlite_run
    with ProcessPoolExecutor(WRITERS, mp_context=process_context) as pool:
        url = db.url.render_as_string(hide_password=False)
        check(db, run_id, list(pool.map(write_alone, [url] * WRITERS, [run_id] * WRITERS)))


def test_a_reader_doesn_t_wait_for_a_writer(state: Any, listed: Any) -> None:
    """A long writing transaction blocks no reader, and shows it nothing before its end."""
    state.detect(listed())
    with state.db.write() as connection:
        connection.execute(sa.text("UPDATE object SET size = 99"))
        done = threading.Event()
        seen: list[Any] = []

        def read() -> None:
            with state.db.read() as reader:
                seen.append(reader.execute(sa.text("SELECT size FROM object")).scalar_one())
            done.set()

        threading.Thread(target=read).start()
        assert done.wait(10)
    assert seen == [10]


def _delete_and_fail(connection: sa.Connection) -> None:
    connection.execute(sa.text("DELETE FROM run"))
    raise ZeroDivisionError


def test_a_failing_transaction_leaves_the_state_usable(state: Any, listed: Any) -> None:
    """After an error inside a transaction it is rolled back, its lock is free, and the next one works."""
    with pytest.raises(ZeroDivisionError), state.db.write() as connection:
        _delete_and_fail(connection)
    state.detect(listed())
    assert list(state.rows()) == ["k.txt"]


def test_a_renewal_and_an_intent_don_t_block_each_other(state: Any, listed: Any) -> None:
    """The claim keeper's thread and the upload's change the same rows at once, over and over, without a deadlock."""
    state.detect(*(listed(f"{number:02}") for number in range(20)))
    rows = state.claim()
    stop = threading.Event()

    def renew() -> int:
        times = 0
        while not stop.is_set():
            claims.renew(state.db, state.owner, state.source, 60.0)
            times += 1
        return times

    with ThreadPoolExecutor(1) as pool:
        renewals = pool.submit(renew)
        try:
            for _ in range(15):
                state.intend(list(reversed(rows)))
                claims.withdraw(state.db, state.run, state.owner, rows)
        finally:
            stop.set()
        assert renewals.result(30) > 0
