"""Metrics as they leave an Airflow: a real StatsD server sees a run's numbers."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG

from cloudindex_provider.hooks import metrics
from cloudindex_provider.state.counts import CUMULATIVE, REPORTED
from cloudindex_provider.sync.metrics import METRICS, metric_of
from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex
from tests.integration.airflow.conftest import Ran, World
from tests.support.airflow_versions import stats_as_in_tasks
from tests.support.statsd_server import StatsdServer


def make_dag(world: World) -> DAG:
    with DAG("told_in_numbers") as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/ü, =/")
    return dag


def test_a_statsd_server_sees_the_numbers_of_the_report(
    world: World, run: Callable[..., Ran], statsd: StatsdServer, caplog: pytest.LogCaptureFixture
) -> None:
    """All tasks of a group; each value with the sync's tags, of characters that StatsD takes."""
    world.put(*(f"documents/ü, =/{i}.txt" for i in range(3)))
    ran = run(make_dag(world))
    report = ran.value("report")
    statsd.settle()
    for name in REPORTED:
        told = statsd.counters if name in CUMULATIVE else statsd.gauges
        assert told.get(f"airflow.{metric_of(name)}", 0) == report[name], name
    assert report["indexed"] == 3
    assert statsd.tags["airflow.cloudindex.documents.indexed"] == {
        "dag_id=told_in_numbers", "sync=s3_to_cloudindex", f"bucket={world.bucket}", "prefix=documents/_/",
    }  # fmt: skip
    assert statsd.tags["airflow.cloudindex.request.upload_documents"] == {"conn_id=cloudindex_default"}
    seen = {
        name for name in (*statsd.counters, *statsd.gauges, *statsd.timers) if name.startswith("airflow.cloudindex.")
    }
    assert seen <= {f"airflow.{one.name}" for one in METRICS}
    assert not [text for text in caplog.messages if "nvalid" in text]


def test_an_airflow_without_metrics_is_told_nothing(world: World, run: Callable[..., Ran]) -> None:
    """Then no lag is computed either."""
    world.put("documents/ü, =/1.txt")
    with StatsdServer() as server, stats_as_in_tasks():
        assert run(make_dag(world)).state == "success"
        server.settle()
        assert set(server.counters) == {"settled"}


def test_a_backend_that_fails_costs_no_document(
    world: World,
    run: Callable[..., Ran],
    statsd: StatsdServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever it raises, it is said once."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError("no metrics today")

    monkeypatch.setattr(metrics, "Stats", SimpleNamespace(incr=broken, gauge=broken, timing=broken))
    world.put("documents/ü, =/1.txt")
    assert run(make_dag(world)).state == "success"
    assert caplog.messages.count("Metrics can't be sent: ValueError: no metrics today") == 1
