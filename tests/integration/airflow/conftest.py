"""Real DAG runs in this process: an S3 server, the embedded CloudIndex, and what Airflow stored of a run."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from airflow.sdk import DAG
from moto.server import ThreadedMotoServer

from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator
from tests.support.airflow_versions import rendered_fields_of, stats_as_in_tasks, tries_of, without_waits
from tests.support.statsd_server import StatsdServer

API_KEY = "api-key-that-must-never-be-seen"
SECRET = "aws-secret-that-must-never-be-seen"
DAGS = Path(__file__).parents[3] / "dags"
GROUP = "s3_to_cloudindex"


@dataclass
class World:
    """One bucket of its own, one CloudIndex of its own, and the connections to both."""

    s3: Any
    endpoint: str
    bucket: str
    ci: LocalCloudIndex
    monkeypatch: pytest.MonkeyPatch

    def put(self, *keys: str, body: bytes | None = None) -> None:
        for key in keys:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body or f"the text of {key}".encode())

    def remove(self, *keys: str) -> None:
        for key in keys:
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    def sync(self) -> None:
        """A whole sync of ``documents/`` without a run, for what a test begins with."""
        S3ToCloudIndexOperator(task_id="setup", bucket=self.bucket, prefix="documents/").execute({})

    def has(self, key: str) -> bool:
        """Whether CloudIndex serves the key's document."""
        return file_name(self.bucket, key) in self.names

    @property
    def names(self) -> list[str]:
        return [document["fileName"] for document in self.ci.documents()]

    def requests(self, operation: str) -> int:
        return sum(1 for request in self.ci.requests if request.operation == operation)

    def connect_cloudindex(self, **changes: Any) -> None:
        fields = {"conn_type": "cloudindex", "host": self.ci.url, "password": API_KEY} | changes
        fields.setdefault("extra", {"project_id": self.ci.project_id})
        self.monkeypatch.setenv("AIRFLOW_CONN_CLOUDINDEX_DEFAULT", json.dumps(fields))

    def connect_aws(self, **extra: Any) -> None:
        extra = {"endpoint_url": self.endpoint, "region_name": "us-east-1"} | extra
        fields = {"conn_type": "aws", "login": "access-key-id", "password": SECRET, "extra": extra}
        self.monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(fields))


@dataclass
class Ran:
    """A DAG run that has ended."""

    state: str
    tasks: dict[str, list[tuple[str, int]]]  # task id without the group -> (state, tries) by map index
    xcoms: dict[tuple[str, str], list[Any]]
    stored: str  # every XCom and rendered field, as text
    log: str
    waits: list[float | None] = field(default_factory=list)  # seconds that the retry policy asked for
    pauses: list[float] = field(default_factory=list)  # seconds for which tasks gave their slots back
    labels: list[str] = field(default_factory=list)  # of mapped tasks, as the UI shows them

    def states(self, task: str) -> list[str]:
        return [state for state, _ in self.tasks[task]]

    def value(self, task: str, key: str = "return_value") -> Any:
        return self.xcoms[task, key][0]


def asset_events(dag_id: str) -> list[tuple[str, dict[str, Any], list[str]]]:
    """(URI, extra, aliases) of each asset event that a DAG's tasks have made, oldest first."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        rows = session.scalars(select(AssetEvent).where(AssetEvent.source_dag_id == dag_id).order_by(AssetEvent.id))
        return [(row.uri, dict(row.extra), [alias.name for alias in row.source_aliases]) for row in rows]


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def world(moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    bucket = f"b-{tmp_path.name}".lower().replace("_", "-")[:50].rstrip("-")
    s3 = boto3.client(
        "s3", endpoint_url=moto_url, aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1"
    )
    s3.create_bucket(Bucket=bucket)
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(tmp_path / "state.db"))
    with LocalCloudIndex(tmp_path / "cloudindex") as ci:
        ci.settings.api_keys = {API_KEY: None}
        world = World(s3, moto_url, bucket, ci, monkeypatch)
        world.connect_cloudindex()
        world.connect_aws()
        yield world


@pytest.fixture
def shipped() -> Callable[[str], DAG]:
    return shipped_dag


def shipped_dag(name: str) -> DAG:
    """The DAG of a file in dags/, freshly made; its sensor gives up at once."""
    spec = importlib.util.spec_from_file_location(name, DAGS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dag: DAG = module.dag
    sensors: list[Any] = [task for task in dag.tasks if task.task_id.endswith("wait_for_documents")]
    for sensor in sensors:
        sensor.timeout, sensor.poke_interval = 0.2, 0.1
    return dag


@pytest.fixture
def run(airflow_db: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a DAG in this process, retries, deferrals and rescheduled tasks without delay."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    waits: list[float | None] = []
    pauses: list[float] = []

    def on_wait(seconds: float | None) -> None:
        waits.append(seconds)
        _time_passes(seconds or 0.0)

    def on_pause(seconds: float) -> None:
        pauses.append(seconds)
        _time_passes(seconds)

    without_waits(monkeypatch, on_wait, on_pause)
    folder = airflow_db / "dags"

    def run(dag: DAG, **params: Any) -> Ran:
        waits.clear()
        pauses.clear()
        DagBundlesManager().sync_bundles_to_db()
        bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "dags-folder", None)
        capfd.readouterr()
        dag_run = dag.test(run_conf=params or None)
        out, err = capfd.readouterr()
        ran = _ran(dag_run, out + err, list(waits))
        ran.pauses = list(pauses)
        return ran

    return run


def _time_passes(seconds: float) -> None:
    """What the shared budget of requests was told to wait for is over when a retry begins."""
    state = Path(os.environ["AIRFLOW__CLOUDINDEX__STATE_PATH"])
    if seconds and state.exists():
        with sqlite3.connect(state) as connection:
            connection.execute("UPDATE pace SET next_at = next_at - ?, closed_until = closed_until - ?", [seconds] * 2)
            connection.execute("UPDATE pause SET begun_at = begun_at - ?", [seconds])
        connection.close()


def _ran(dag_run: Any, log: str, waits: list[float | None]) -> Ran:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    tasks: dict[str, list[tuple[str, int]]] = {}
    for ti in sorted(dag_run.get_task_instances(), key=lambda ti: ti.map_index):
        tasks.setdefault(_short(ti.task_id), []).append((str(ti.state), tries_of(ti)))
    labels = [one.rendered_map_index for one in dag_run.get_task_instances() if one.rendered_map_index]
    xcoms: dict[tuple[str, str], list[Any]] = {}
    stored: list[str] = []
    with create_session() as session:
        rows = session.scalars(
            select(XComModel).where(XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id)
        )
        for row in rows:
            value = XComModel.deserialize_value(row)
            xcoms.setdefault((_short(row.task_id), row.key), []).append(value)
            stored.append(json.dumps(value, default=str))
    stored += [json.dumps(fields, default=str) for fields in rendered_fields_of(dag_run)]
    return Ran(str(dag_run.state), tasks, xcoms, "\n".join(stored), log, waits, labels=sorted(labels))


def _short(task_id: str) -> str:
    return task_id.removeprefix(f"{GROUP}.")


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    """A real StatsD server that the tasks send to."""
    with StatsdServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        with stats_as_in_tasks():
            yield server
