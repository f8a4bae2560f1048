"""Jobs of the benchmark of an old state, a process each: ``python -m programs.benchmarks.age_jobs NAME '{...}'``.

Prints one JSON object like ``jobs``. The state is made by SQL alone; everything measured is the package's own.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from programs.benchmarks.jobs import Clock, peak_memory

HOUR = 3600.0
DAYS = 90.0  # the default of history_days
HOT = 2000  # keys that change in one run after another
A_RUN = 20  # of them, in each run
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :number)"


def build(began: float, state: str, runs: int, events: int, keys: int) -> dict[str, Any]:
    """An hourly sync's state after so many runs: every key indexed, one sixth of the history's keys gone."""
    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.sources import open_source

    clock = Clock(began)
    db = Database(f"sqlite:///{state}")
    open_source(db, project_id="p", bucket="b", prefix="")
    db.close()
    connection = sqlite3.connect(state, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA cache_size=-500000")
    (index,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'history_by_key'").fetchone()
    shared = {"now": time.time(), "hour": HOUR, "runs": runs, "events": events, "keys": keys * 6 // 5}
    connection.execute("BEGIN")
    for number, insert in (
        (runs, "run (id, source_id, dag_id, run_id, task_id, started_at, finished_at, complete)"
         " SELECT i + 1, 1, 'dag', 'r' || i, 'sync', :now - :hour * (:runs - i), :now - :hour * (:runs - i) + 60, 1"),
        (runs * 8, "run_count (run_id, name, value) SELECT i / 8 + 1, 'c' || (i % 8), i"),
        (runs * A_RUN, "run_key (run_id, key, class, outcome) SELECT i / :a_run + 1,"
         " printf('docs/%07d.txt', (i * 37) % :hot), 'changed', 'indexed'"),
        (keys, "object (scope_id, key, source_id, status, etag, size, last_modified, storage_class, document_id,"
         " indexed_etag, indexed_size, indexed_sha256) SELECT 1, printf('docs/%07d.txt', i), 1, 'indexed', 'e', 1,"
         " '2026-01-01T00:00:00Z', 'STANDARD', 'd' || i, 'e', 1, hex(i)"),
        (events, "history (source_id, key, at, run_id, event) SELECT 1, printf('docs/%07d.txt', (i * 7919) % :keys),"
         " :now - :hour * (1.0 * (:events - i) * :runs / :events), i * :runs / :events + 1, 'indexed'"),
    ):  # fmt: skip
        if insert.startswith("history"):
            connection.execute("DROP INDEX history_by_key")  # and made again after it, in an eighth of the time
        values = {**shared, "number": number, "hot": HOT, "a_run": A_RUN}
        connection.execute(f"{_NUMBERS} INSERT OR IGNORE INTO {insert} FROM n", values)
    connection.execute(index)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return clock.result()


def outcomes(began: float, state: str, documents: int) -> dict[str, Any]:
    """The hot keys change once more: each is claimed, sent and processed in the state, as an upload does it."""
    from cloudindex_provider.s3.page import ListedObject
    from cloudindex_provider.state import claims, runs, sweep
    from cloudindex_provider.state import outcomes as results
    from cloudindex_provider.state.blocks import read_block
    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.records import Owner, RunName
    from cloudindex_provider.state.sources import open_source
    from cloudindex_provider.sync.detect.comparison import Comparison

    db = Database(f"sqlite:///{state}")
    source = open_source(db, project_id="p", bucket="b", prefix="")
    run, owner = runs.start_run(db, source, RunName("dag", f"now {time.time()}", "sync")), Owner("dag/task", 1)
    rows = read_block(db, source, after=None, upto=None, limit=documents)
    changed = [ListedObject(row.key, f"{row.etag}+", 1, "2026-06-01T00:00:00Z", "STANDARD") for row in rows]
    sweep.apply(db, run, Comparison(source.id, lambda *_: None).block(changed, rows))
    each: list[float] = []
    clock = Clock(began)
    while work := claims.claim_request(db, run, owner, lease=60.0, max_request_size=10**6, max_documents=None):
        claims.record_intent(db, run, owner, [(row, "name", "sha") for row in work], lease=60.0)
        sent = [results.Sent(row, f"doc-{row.key}-{row.etag}", 1, "sha") for row in work]
        results.record_all_sent(db, run, owner, sent)
    for row in results.processing_rows(db, source, limit=documents):
        start = time.perf_counter()
        results.record_processed(db, run, row, sha256=None, version=None)
        each.append(time.perf_counter() - start)
    found = clock.result(documents=len(each), each=statistics.median(each), slowest=max(each))
    runs.finish_run(db, run)
    db.close()
    assert len(each) == documents, len(each)
    return found


def prune(began: float, state: str) -> dict[str, Any]:
    """What one run's report does of it, and then the rest."""
    from cloudindex_provider.state import pruning
    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.sources import open_source

    db = Database(f"sqlite:///{state}")
    source = open_source(db, project_id="p", bucket="b", prefix="")
    clock = Clock(began)
    rows = pruning.prune_daily(db, source, days=DAYS)
    first = clock.result()["seconds"]
    rows += pruning.prune(db, source, pruning.Extent(DAYS)).rows
    found = clock.result(first=first, rows=rows)
    db.close()
    return found


def write(began: float, state: str) -> dict[str, Any]:
    """Another process's small writing transactions, until the input ends: how long the slowest took."""
    import threading

    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.runs import add_counts

    db = Database(f"sqlite:///{state}")
    over = threading.Event()

    def until_input_ends() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=until_input_ends, daemon=True).start()
    took: list[float] = []
    clock = Clock(began)
    while not over.is_set():
        start = time.perf_counter()
        with db.write() as connection:
            add_counts(connection, 1 << 40, {"benchmark": 1})
        took.append(time.perf_counter() - start)
        time.sleep(0.01)
    db.close()
    return clock.result(longest=max(took), writes=len(took), median=statistics.median(took))


JOBS: dict[str, Callable[..., dict[str, Any]]] = {job.__name__: job for job in (build, outcomes, prune, write)}


def main(name: str, arguments: str) -> None:
    began = time.perf_counter()
    found = JOBS[name](began, **json.loads(arguments))
    print(json.dumps({**found, "memory": peak_memory(), "cpu": time.process_time()}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
