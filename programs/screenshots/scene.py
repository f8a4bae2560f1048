"""What the screenshots show: a made-up company's syncs in a real Airflow, each in another state."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import sqlalchemy as sa
from moto.server import ThreadedMotoServer

from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.local.settings import Settings
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.runs import ENDED
from cloudindex_provider.state.views.numbers import read_numbers
from cloudindex_provider.state.views.overview import read_syncs
from tests.support.airflow_server import AirflowServer

__all__ = ["Scene", "running_scene"]

DAGS = Path(__file__).parent / "dags"
_HOUR = 3600.0
_EARLIER = 29  # runs of each sync before those that Airflow has
_AT_WORK = 20  # documents, of the sync that is at work
_PATIENCE = 120.0  # seconds
_SLOW = 900.0  # seconds that the documents of the sync that is at work are processed
_TITLES = (
    "first-day", "holidays", "travel-expenses", "remote-work", "security-basics", "incident-response", "code-review",
    "parental-leave", "working-hours", "salary-bands", "feedback", "hiring", "offboarding", "tools", "glossary",
)  # fmt: skip
_FOLDERS = ("people", "engineering", "finance", "it", "legal", "office")


@dataclass
class Scene:
    """Everything that runs."""

    airflow: AirflowServer
    s3: Any
    cloudindex: LocalCloudIndex
    chance: random.Random

    def make(self) -> None:
        """Run the syncs until each is in the state that is shown."""
        self.airflow.start()
        buckets = {
            "handbook": self._fill("acme-company", "handbook/", ".md", 90),
            "contracts": self._fill("acme-legal", "contracts/", ".txt", 48),
            "product_docs": self._fill("acme-products", "docs/", ".html", 75),
            "price_lists": self._fill("acme-sales", "prices/", ".csv", 30),
            "support": self._fill("acme-support", "articles/", ".md", 40),
        }
        self._add_odd_files()
        for dag_id in ("handbook", "contracts", "product_docs", "price_lists"):
            self.run(dag_id)
        self._change(buckets)
        self.run("contracts")
        self.run("price_lists", dry_run=True)
        self.run("handbook")
        self._put_broken("people/org-chart-scan.pdf")
        self.run("handbook")
        self._age()

    def begin_work(self) -> None:
        """One sync is at work from now on."""
        self.cloudindex.settings.processing_delay = _SLOW
        self.airflow.await_dag("support")
        self.airflow.trigger("support")
        end = time.monotonic() + _PATIENCE
        while self._processing("acme-support") < _AT_WORK:
            if time.monotonic() > end:
                raise TimeoutError(f"support has uploaded nothing after {_PATIENCE:.0f} s")
            time.sleep(0.2)

    def run(self, dag_id: str, **conf: Any) -> str:
        """One run of it, to its end; gives its name."""
        self.airflow.await_dag(dag_id)
        run_id = self.airflow.trigger(dag_id, conf)
        state = self.airflow.await_run(dag_id, run_id)
        print(f"{dag_id}: {state}", flush=True)
        return run_id

    def source(self, bucket: str) -> int:
        """The number of the sync of this bucket."""
        with self.state() as db:
            return next(row.source.id for row in read_syncs(db) if row.source.bucket == bucket)

    def _processing(self, bucket: str) -> int:
        with self.state() as db:
            found = {row.source.bucket: row.source.id for row in read_syncs(db)}
            return read_numbers(db).of(found.get(bucket, 0)).get("processing", 0)

    @contextmanager
    def state(self) -> Iterator[Database]:
        db = Database(f"sqlite:///{self.airflow.home}/cloudindex/state.db", must_exist=True)
        try:
            yield db
        finally:
            db.close()

    def _fill(self, bucket: str, prefix: str, ending: str, number: int) -> list[str]:
        self.s3.create_bucket(Bucket=bucket)
        names = [f"{folder}/{title}" for folder in _FOLDERS for title in _TITLES][:number]
        keys = [f"{prefix}{name}{ending}" for name in names]
        for key in keys:
            self._put(bucket, key)
        return keys

    def _put(self, bucket: str, key: str) -> None:
        body = f"{key} of {bucket}\n" + "The quick brown fox jumps over the lazy dog.\n" * self.chance.randint(20, 4000)
        self.s3.put_object(Bucket=bucket, Key=key, Body=body.encode())

    def _put_broken(self, name: str) -> None:
        self.s3.put_object(Bucket="acme-company", Key=f"handbook/{name}", Body=b"cut off in the middle" * 900)

    def _add_odd_files(self) -> None:
        """What CloudIndex can't read of the handbook, and what the selection leaves out."""
        self._put_broken("finance/invoice-template.pdf")
        for name in ("office/floor-plan.png", "people/team-photo.jpg", "it/backup.tar.gz"):
            self._put("acme-company", f"handbook/{name}")

    def _change(self, buckets: dict[str, list[str]]) -> None:
        for key in buckets["contracts"][10:28]:
            self.s3.delete_object(Bucket="acme-legal", Key=key)
        prices = buckets["price_lists"]
        for key in prices[3:8]:
            self._put("acme-sales", key)
        for name in ("2027/spring", "2027/summer", "2027/outlet", "2027/trade-in"):
            self._put("acme-sales", f"prices/{name}.csv")
        self._put("acme-sales", "prices/2027/cover.psd")
        for key in prices[20:22]:
            self.s3.delete_object(Bucket="acme-sales", Key=key)

    def _age(self) -> None:
        """Give each sync the runs of the last day, as Airflow forgets and the state keeps them."""
        with self.state() as db, db.write() as connection:
            now = db.now(connection)
            for source, name in connection.execute(
                sa.text("SELECT source_id, min(dag_id) FROM run GROUP BY source_id")
            ).all():
                for hours in range(_EARLIER, 0, -1):
                    self._earlier_run(connection, source, name, now - hours * _HOUR, hours)

    def _earlier_run(self, connection: Any, source: int, dag_id: str, at: float, hours: int) -> None:
        run = connection.execute(
            sa.text(
                "INSERT INTO run (source_id, dag_id, run_id, task_id, started_at, detected_at, finished_at, complete)"
                " VALUES (:source, :dag, :run, 'sync', :at, :at, :end, 1) RETURNING id"
            ),
            {
                "source": source, "dag": dag_id, "at": at, "end": at + self.chance.uniform(4, 40),
                "run": f"scheduled__{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}+00:00",
            },
        ).scalar_one()  # fmt: skip
        new = self.chance.choice((0, 0, 1, 2, 5, 12)) if hours < _EARLIER else 80
        changed = self.chance.choice((0, 0, 0, 1, 4))
        failed = self.chance.choice((0, 0, 0, 0, 0, 1)) if dag_id == "handbook" else 0
        numbers = {
            "listed": 90 - hours, "new": new, "changed": changed, "indexed": max(0, new + changed - failed),
            "failed": failed, "deleted": self.chance.choice((0, 0, 0, 1)), "bytes": (new + changed) * 90_000,
        }  # fmt: skip
        connection.execute(
            sa.text("INSERT INTO run_count (run_id, name, value) VALUES (:run, :name, :value)"),
            [{"run": run, "name": f"{ENDED}{name}", "value": value} for name, value in numbers.items()],
        )


@contextmanager
def running_scene(home: Path) -> Iterator[Scene]:
    """The servers, until the block's end."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    keys = {"aws_access_key_id": "demo", "aws_secret_access_key": "demo-secret", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    try:
        with LocalCloudIndex(home / "index", settings=Settings(requests_per_window=600)) as cloudindex:
            airflow = AirflowServer(home / "airflow", DAGS, _environment(f"http://{host}:{port}", cloudindex))
            try:
                yield Scene(airflow, s3, cloudindex, random.Random(7))
            finally:
                airflow.stop()
    finally:
        moto.stop()


def _environment(s3_url: str, cloudindex: LocalCloudIndex) -> dict[str, str]:
    aws = {"conn_type": "aws", "login": "demo", "password": "demo-secret"}
    fields = {"conn_type": "cloudindex", "host": cloudindex.url, "password": cloudindex.api_key}
    return {
        "SCREENSHOTS_START": datetime.now(UTC).isoformat(),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws | {"extra": {"endpoint_url": s3_url, "region_name": "us-east-1"}}),
        "AIRFLOW_CONN_CLOUDINDEX_DEFAULT": json.dumps(fields | {"extra": {"project_id": cloudindex.project_id}}),
    }
