"""One run, told in five places: the page, the state, the report, the log's table and the metrics say the same."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from starlette.testclient import TestClient

from cloudindex_provider.state.counts import CUMULATIVE, QUANTITIES, REPORTED
from cloudindex_provider.sync.metrics import metric_of
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex
from tests.integration.airflow.conftest import Ran, World
from tests.support.statsd_server import StatsdServer

SETTINGS: dict[str, Any] = {"retries": 0, "max_failed_documents": 5, "max_documents_per_run": 6}
IN_TABLE = [name for name in REPORTED if name not in QUANTITIES]
ROW = re.compile(r"\] +(\w+) +([\d,]+)(?:  | \[)")  # of the table, as the console shows it


def a_group(world: World) -> DAG:
    with DAG("agreeing", schedule=None) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", **SETTINGS)
    return dag


def a_task(world: World) -> DAG:
    with DAG("agreeing_alone", schedule=None) as dag:
        S3ToCloudIndexOperator(task_id="report", bucket=world.bucket, prefix="documents/", **SETTINGS)
    return dag


def make_a_mess(world: World) -> None:
    """What a bucket is like: something of every outcome that a run can leave behind by itself."""
    world.put(*[f"documents/{n}.txt" for n in range(9)])
    world.sync()
    world.put("documents/0.txt", body=b"changed")
    world.put("documents/1.txt", body=b"the text of documents/1.txt")  # nothing new
    world.remove("documents/2.txt", "documents/3.txt")
    world.put("documents/a/1.txt", "documents/a/2.txt")
    S3ToCloudIndexOperator(task_id="other", bucket=world.bucket, prefix="documents/a/").execute({})
    world.put("documents/b-broken.txt", *[f"documents/c{n}.txt" for n in range(8)], "documents/z.bin")
    world.ci.settings.fail_processing = ["b-broken"]


def in_the_state(path: Path, source: int) -> dict[str, int]:
    """Counted from the keys themselves, of the last run."""
    with sqlite3.connect(path) as state:
        [run] = state.execute("SELECT max(id) FROM run WHERE source_id = ?", [source]).fetchone()
        outcomes = dict(
            state.execute("SELECT outcome, count(*) FROM run_key WHERE run_id = ? GROUP BY 1", [run]).fetchall()
        )
        rows = dict(
            state.execute("SELECT status, count(*) FROM object WHERE source_id = ? GROUP BY 1", [source]).fetchall()
        )
    return {
        "indexed": outcomes.get("indexed", 0),
        "failed": outcomes.get("failed", 0),
        "deleted": outcomes.get("deleted", 0),
        "deferred": rows.get("pending", 0),
        "unchanged": rows.get("indexed", 0) - outcomes.get("indexed", 0),
    }


def in_the_log(ran: Ran) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in ran.log.splitlines():
        row = ROW.search(re.sub(r"\x1b\[[\d;]*m", "", line))
        if row is not None and row[1] in IN_TABLE:
            found[row[1]] = int(row[2].replace(",", ""))
    return found


@pytest.mark.parametrize("make", [a_group, a_task])
def test_page_state_report_log_and_metrics_agree(
    make: Callable[[World], DAG],
    world: World,
    run: Callable[..., Ran],
    sign_in: Callable[[str | None], TestClient],
    statsd: StatsdServer,
    tmp_path: Path,
) -> None:
    """Each of them counted in its own way, and none of them empty."""
    make_a_mess(world)
    statsd.settle()
    before = dict(statsd.counters)
    ran = run(make(world))
    assert ran.state == "success"
    report = ran.value("report", "report")
    counts = {name: report[name] for name in REPORTED}
    told = {name for name in IN_TABLE if counts[name]}
    assert told >= {"listed", "unchanged", "new", "changed", "removed", "skipped", "uploaded", "indexed", "failed"}
    assert told >= {"deferred", "deleted"}

    assert in_the_log(ran) == {name: counts[name] for name in told}

    statsd.settle()
    metrics = {}
    for name in REPORTED:
        metric = f"airflow.{metric_of(name)}"
        added = statsd.counters.get(metric, 0) - before.get(metric, 0)
        metrics[name] = added if name in CUMULATIVE else statsd.gauges.get(metric, 0)
    assert metrics == counts

    admin = sign_in("admin")
    syncs = {one["prefix"]: one for one in admin.get("/cloudindex/api/syncs").json()["syncs"]}
    sync = syncs["documents/"]
    shown = sync["last_run"]["counts"]
    assert {name: shown.get(name, 0) for name in REPORTED} == counts
    assert (sync["objects"], sync["failed"], sync["underway"]) == (
        counts["listed"], counts["failed"], counts["deferred"],
    )  # fmt: skip
    assert sync["indexed"] == counts["unchanged"] + counts["indexed"]
    page = admin.get(f"/cloudindex/api/syncs/{sync['id']}").json()
    skipped = {group["reason"]: group["keys"] for group in page["groups"] if group["status"] == "skipped"}
    assert skipped == report["skipped_by_reason"] == {"owned_by_other": 2, "unsupported_type": 1}

    state = in_the_state(tmp_path / "state.db", sync["id"])
    assert state == {name: counts[name] for name in state}
    assert len(world.names) == sync["indexed"] + 2  # the other sync's
    for name, keys in (("uploaded", 5), ("indexed", 5), ("deleted", 2)):
        assert len(report[f"{name}_keys"]) == keys <= counts[name]
    assert [row["key"] for row in report["failures"]] == ["documents/b-broken.txt"]
