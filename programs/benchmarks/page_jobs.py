"""The jobs of ``page``: ``python -m programs.benchmarks.page_jobs NAME JSON``, in a process of their own."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from programs.benchmarks.jobs import peak_memory

CALLS = 20
RUNS, REMOVED, EVENTS = 500, 50_000, 40
SITE = "http://airflow.bench"
# A million keys: most of them indexed, a backlog, some that failed for a hundred reasons, some that are skipped.
_KEYS = (
    "INSERT INTO object (scope_id, key, source_id, status, reason, etag, size, last_modified, storage_class,"
    " document_id, file_name, indexed_etag, indexed_size, indexed_sha256, attempts)"
    " SELECT :scope, 'documents/' || n, :source,"
    " CASE WHEN n % 1000 = 1 THEN 'failed' WHEN n % 1000 = 2 THEN 'quarantined' WHEN n % 50 = 3 THEN 'skipped'"
    " WHEN n % 100 = 56 THEN 'deleting' WHEN n % 10 = 4 THEN 'pending' ELSE 'indexed' END,"
    " CASE WHEN n % 1000 IN (1, 2) THEN 'CloudIndex could not read it: cause ' || (n % 7) || ' (request ' || n || ')'"
    " WHEN n % 50 = 3 THEN 'unsupported_type' END,"
    " 'd41d8cd98f00b204e9800998' || n, 12345, '2026-01-01T00:00:00Z', 'STANDARD',"
    " CASE WHEN n % 10 <> 4 THEN '00000000-0000-4000-8000-' || n END, 'documents_' || n || '_5f3a9c.pdf',"
    " CASE WHEN n % 10 <> 4 THEN 'd41d8cd98f00b204e9800998' || n END, 12345,"
    " 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b' || n, 0 FROM {series}"
)
_SERIES = {
    "sqlite": "(WITH RECURSIVE counted(n) AS (SELECT {low} UNION ALL SELECT n + 1 FROM counted WHERE n < {high})"
    " SELECT n FROM counted) AS numbers",
    "postgresql": "generate_series({low}, {high}) AS numbers(n)",
}


def calls(_began: float, url: str, home: str, keys: int) -> dict[str, Any]:
    """A state of so many keys, and every route ``CALLS`` times: (median, p95) in milliseconds."""
    from cloudindex_provider.state.db.database import Database

    started = time.perf_counter()
    db = Database(url)
    source = _build(db, keys)
    built = time.perf_counter() - started
    browser = _browser(Path(home), db)
    routes = {}
    for name, call in _routes(browser, source, keys):
        took = []
        for _ in range(CALLS):
            start = time.perf_counter()
            answer = call()
            took.append((time.perf_counter() - start) * 1000)
            assert answer.status_code == 200, (name, answer.status_code, answer.text[:500])
        routes[name] = (statistics.median(took), sorted(took)[int(CALLS * 0.95) - 1])
    db.close()
    return {"routes": routes, "seconds": built}


def _build(db: Any, keys: int) -> int:
    import sqlalchemy as sa

    from cloudindex_provider.state import drifts, plans, runs, sources, sweep
    from cloudindex_provider.state.approvals import Hold
    from cloudindex_provider.state.records import RunName

    source = sources.open_source(db, project_id="p", bucket="b", prefix="documents/")
    values = {"scope": source.scope_id, "source": source.id}
    for low in range(0, keys, 50_000):
        series = _SERIES[db.dialect].format(low=low, high=min(keys, low + 50_000) - 1)
        with db.write() as connection:
            connection.execute(sa.text(_KEYS.format(series=series)), values)
    for number in range(RUNS):
        run = runs.start_run(db, source, RunName("bench", f"run {number}", "sync"))
        if number < RUNS - 1:
            runs.finish_run(db, run, {"listed": keys, "new": number, "indexed": number, "bytes": number})
    with db.write() as connection:
        made = (
            "INSERT INTO run_key (run_id, key, class, outcome, reason) SELECT :run, key, 'removed', 'held', 'many'"
            " FROM object WHERE source_id = :source AND status = 'indexed' ORDER BY key LIMIT :removed"
        )
        connection.execute(sa.text(made), {**values, "run": run.id, "removed": REMOVED})
        event = (
            "INSERT INTO history (source_id, key, at, event) SELECT :source, key, :at, 'indexed' FROM object LIMIT 5000"
        )
        for number in range(EVENTS):
            connection.execute(sa.text(event), {**values, "at": float(number)})
        drifts.note_drift(connection, source.id, [f"documents/{number}" for number in range(1000)], "changed")
    planned = plans.Planned()
    planned.add(plans.PlanKey("upload", f"documents/{number}", "new", 9) for number in range(keys))
    plans.save_plan(db, source, RunName("bench", "dry", "sync"), planned, plan_hash="h", held=None, of_keys=None)
    sweep.finish(db, run, fingerprint="f", verdict=sweep.Verdict(removed=REMOVED, live=keys, hold=Hold("many")))
    db.analyze()  # as a detection does
    return source.id


def _browser(home: Path, db: Any) -> Any:
    """A client of Airflow's own application, signed in."""
    home.mkdir(parents=True)
    os.environ.update(
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR",
        AIRFLOW__API__BASE_URL=SITE,
        AIRFLOW__API_AUTH__JWT_SECRET="s" * 64,
    )
    if db.is_sqlite:
        os.environ["AIRFLOW__CLOUDINDEX__STATE_PATH"] = str(db.url.database)
    else:
        fields = {"conn_type": "postgres", "login": db.url.username, "schema": db.url.database}
        place = {"host": db.url.query["host"], "port": int(db.url.query["port"])}
        os.environ["AIRFLOW_CONN_BENCH_STATE"] = json.dumps(fields | place)
        os.environ["AIRFLOW__CLOUDINDEX__STATE_CONN_ID"] = "bench_state"
    from airflow.utils.db import initdb

    initdb()
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from starlette.testclient import TestClient

    with create_session() as session:
        session.add(DagBundleModel(name="dags-folder"))
        session.flush()
        place = {"bundle_name": "dags-folder", "fileloc": "x", "relative_fileloc": "x"}
        session.add(DagModel(dag_id="bench", **place))  # type: ignore[no-untyped-call]  # Airflow's own
    headers = {"Origin": SITE, "Sec-Fetch-Site": "same-origin"}
    client = TestClient(create_app(apps="core"), base_url=SITE, headers=headers)
    client.cookies.set("_token", get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="a", role="admin")))
    return client


def _routes(browser: Any, source: int, keys: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(what is asked, the call); the first of them also counts for the first time."""
    here = f"/cloudindex/api/syncs/{source}"

    def get(path: str, **params: Any) -> Callable[[], Any]:
        return lambda: browser.get(path, params=params)

    yield "syncs", get("/cloudindex/api/syncs")
    yield "sync", get(here)
    yield "runs", get(f"{here}/runs")
    yield "keys", get(f"{here}/keys")
    yield "keys, in the middle", get(f"{here}/keys", after=f"documents/{keys // 2}")
    yield "keys, backwards", get(f"{here}/keys", descending=True)
    yield "keys by prefix", get(f"{here}/keys", prefix="documents/77")
    yield "keys by status", get(f"{here}/keys", status="failed", after="documents/5")
    yield "indexed keys", get(f"{here}/keys", status="indexed")
    yield "keys of a prefix, by size", get(f"{here}/keys", prefix="documents/777", sort="size", descending=True)
    yield "keys of a status, by time", get(f"{here}/keys", status="deleting", sort="last_modified")
    yield "keys, too many to sort", get(f"{here}/keys", sort="size")
    yield "drift", get(f"{here}/drift")
    yield "plan", get(f"{here}/plan")
    yield "keys of a plan", get(f"{here}/plan/keys", plan=1, action="upload", after="documents/5")
    group = browser.get(here).json()["groups"][-1]["reason"]
    yield "keys by reason", get(f"{here}/keys", status="failed", reason=group)
    yield "keys by a reason that none has", get(f"{here}/keys", reason="none has it")
    yield "held keys", get(f"{here}/held", after="documents/1")
    yield "key", get(f"{here}/key", key="documents/100")
    numbers = iter(range(1, keys, 1000))
    yield "retry of a key", lambda: browser.post(f"{here}/retry", json={"keys": [f"documents/{next(numbers)}"]})
    others = iter(range(5, keys, 10))
    yield "resync of a key", lambda: browser.post(f"{here}/resync", json={"keys": [f"documents/{next(others)}"]})
    token = browser.get(here).json()["hold"]["token"]
    yield "approve", lambda: browser.post(f"{here}/approve", json={"token": token, "ceiling": 5})
    yield "keep", lambda: browser.post(f"{here}/keep", json={"token": token})
    yield "a file", get("/cloudindex/static/page.js")


JOBS = {job.__name__: job for job in (calls,)}


def main(name: str, arguments: str) -> None:
    began = time.perf_counter()
    found = JOBS[name](began, **json.loads(arguments))
    print(json.dumps({**found, "memory": peak_memory(), "cpu": time.process_time()}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
