"""The benchmark of the page: how long each route takes with a million keys in the state, on SQLite and on Postgres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from programs.benchmarks.measure import Measured, job
from programs.benchmarks.report import Part, Target
from tests.support.postgres import find_binaries, running_postgres

__all__ = ["measure"]

_JOBS = "programs.benchmarks.page_jobs"
_MEDIAN, _P95 = 300, 500  # milliseconds


def measure(keys: int, home: Path, say: Callable[[str], None]) -> Part:
    """Twenty calls of every route, through Airflow's own application, on each database."""
    part = Part()
    found = job("calls", _module=_JOBS, url=f"sqlite:///{home}/page.db", home=str(home / "sqlite"), keys=keys)
    _add(part, "SQLite", keys, found, say)
    binaries = find_binaries()
    if binaries is None:
        say("no PostgreSQL here: the page is measured on SQLite alone")
        return part
    with running_postgres(binaries, "-c shared_buffers=128MB -c fsync=off") as server:
        url = server.url("psycopg2", "state").render_as_string(hide_password=False)
        found = job("calls", _module=_JOBS, url=url, home=str(home / "postgres"), keys=keys)
    _add(part, "Postgres", keys, found, say)
    return part


def _add(part: Part, database: str, keys: int, found: dict[str, Any], say: Callable[[str], None]) -> None:
    for route, (median, p95) in found["routes"].items():
        say(f"{database}, {route}: {median:.0f} ms median, {p95:.0f} ms p95")
    slowest = max(found["routes"], key=lambda route: found["routes"][route][0])
    worst = max(found["routes"], key=lambda route: found["routes"][route][1])
    where = f"the page with {keys:,} keys on {database}"
    part.targets += [
        Target(f"{where}: ms of the slowest route ({slowest}), median", found["routes"][slowest][0], most=_MEDIAN),
        Target(f"{where}: ms of the slowest route ({worst}), p95 of 20", found["routes"][worst][1], most=_P95),
    ]
    part.facts.append(f"{where}: {len(found['routes'])} requests, {Measured('', [found]).memory / 1e6:.0f} MB")
