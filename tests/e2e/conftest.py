"""One real Airflow (scheduler, API server, DAG processor, triggerer) for all end-to-end tests, with S3 and CloudIndex.

It ends with its whole process group; when a test fails, the end of its log is shown.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from playwright.sync_api import Browser

from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.local.settings import Settings
from cloudindex_provider.sync.naming import file_name
from tests.support.airflow_server import AirflowServer
from tests.support.browser import find_chromium, running_chromium
from tests.support.statsd_server import StatsdServer

SHIPPED = Path(__file__).parents[2] / "dags"
VARIANTS = Path(__file__).parent / "dags"
AWS_SECRET = "aws-secret-that-nobody-may-see"
SLOW = 3600.0  # seconds that the slow CloudIndex takes to process a document, until a test has it done with at once
GROUP = "s3_to_cloudindex"


@dataclass
class Stack:
    """Everything that runs. A bucket belongs to one scenario."""

    airflow: AirflowServer
    s3: Any
    cloudindex: LocalCloudIndex
    slow: LocalCloudIndex
    statsd: StatsdServer

    def put(self, bucket: str, *keys: str) -> None:
        self.s3.create_bucket(Bucket=bucket)
        for key in keys:
            self.s3.put_object(Bucket=bucket, Key=key, Body=f"the text of {key} in {bucket}".encode())

    def remove(self, bucket: str, *keys: str) -> None:
        for key in keys:
            self.s3.delete_object(Bucket=bucket, Key=key)

    def indexed(self, bucket: str, *keys: str) -> list[str]:
        """Those of the keys whose document CloudIndex serves."""
        names = {row["fileName"] for index in (self.cloudindex, self.slow) for row in index.documents()}
        return [key for key in keys if file_name(bucket, key) in names]

    def trigger(self, dag_id: str, bucket: str, **conf: Any) -> Run:
        self.airflow.await_dag(dag_id)
        return Run(self.airflow, dag_id, self.airflow.trigger(dag_id, {"bucket": bucket, **conf}))


@dataclass
class Run:
    """One DAG run, seen over REST."""

    airflow: AirflowServer
    dag_id: str
    run_id: str

    def wait(self) -> str:
        """Its state in the end."""
        return self.airflow.await_run(self.dag_id, self.run_id)

    def states(self) -> dict[str, list[str]]:
        """The states of every task's instances, by the task's name without the group."""
        found: dict[str, list[str]] = {}
        rows = self.airflow.task_instances(self.dag_id, self.run_id)
        for row in sorted(rows, key=lambda row: row["map_index"]):
            found.setdefault(_short(row["task_id"]), []).append(str(row["state"]))
        return found

    def log(self, task: str, attempt: int = 1, map_index: int = -1) -> str:
        return self.airflow.task_log(self.dag_id, self.run_id, f"{GROUP}.{task}", attempt, map_index)

    def value(self, task: str) -> Any:
        return self.airflow.xcom(self.dag_id, self.run_id, f"{GROUP}.{task}")

    def tries(self, task: str, map_index: int) -> list[tuple[datetime, datetime]]:
        """Start and end of every try."""
        path = f"{self.airflow.run_path(self.dag_id, self.run_id)}/taskInstances/{GROUP}.{task}/{map_index}/tries"
        rows = self.airflow.request("GET", path)["task_instances"]
        spans = [(row["start_date"], row["end_date"]) for row in sorted(rows, key=lambda row: row["try_number"])]
        return [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in spans]


def _short(task_id: str) -> str:
    return task_id.removeprefix(f"{GROUP}.")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    shutil.copytree(SHIPPED, dags)
    shutil.copytree(VARIANTS, dags, dirs_exist_ok=True)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    s3_url = f"http://{host}:{port}"
    try:
        with (
            LocalCloudIndex(home / "index") as cloudindex,
            LocalCloudIndex(home / "slow", settings=Settings(processing_delay=SLOW)) as slow,
            StatsdServer() as statsd,
            AirflowServer(home, dags, _connections(s3_url, cloudindex, slow) | statsd.environment()) as airflow,
        ):
            s3 = boto3.client(
                "s3", endpoint_url=s3_url, aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1"
            )
            yield Stack(airflow, s3, cloudindex, slow, statsd)
    finally:
        moto.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; the machine of a developer may be without it."""
    path = find_chromium()
    if path is None and os.environ.get("CI", "").lower() == "true":
        pytest.fail("Chromium is missing, and in CI nothing is skipped", pytrace=False)
    if path is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    with running_chromium(path) as found:
        yield found


def _connections(s3_url: str, cloudindex: LocalCloudIndex, slow: LocalCloudIndex) -> dict[str, str]:
    def connection(index: LocalCloudIndex, **extra: float) -> str:
        fields = {"conn_type": "cloudindex", "host": index.url, "password": index.api_key}
        return json.dumps(fields | {"extra": {"project_id": index.project_id, **extra}})

    aws = {"conn_type": "aws", "login": "access-key-id", "password": AWS_SECRET}
    return {
        "AIRFLOW_CONN_CLOUDINDEX_DEFAULT": connection(cloudindex),
        # What is in doubt may be looked up 30 s after this timeout.
        "AIRFLOW_CONN_CLOUDINDEX_QUICK": connection(cloudindex, read_timeout=10),
        "AIRFLOW_CONN_CLOUDINDEX_SLOW": connection(slow),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws | {"extra": {"endpoint_url": s3_url, "region_name": "us-east-1"}}),
    }


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and stack is not None:
        report.sections.append(("Airflow", stack.airflow.tail(60)))
    return report
