"""`make demo`: the main job on embedded defaults: moto as S3, our local server as CloudIndex, a real Airflow.

Ends with 0 only when every sync did what it had to and every question was answered from the right object.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.state.counts import REPORTED
from cloudindex_provider.sync.naming import file_name
from programs.demo.sample import Sample
from tests.support.airflow_server import AirflowServer

ROOT = Path(__file__).parents[2]
DAG_ID = "cloudindex_s3_sync"
REPORT = "s3_to_cloudindex.report"


class DemoFailedError(Exception):
    """What was shown isn't what should be."""


def say(text: str = "") -> None:
    print(text, flush=True)


def title(text: str) -> None:
    say(f"\n=== {text}")


class Demo:
    """The servers, and the acts of the demo."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.sample = Sample.load()
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        host, port = self.moto.get_host_and_port()
        self.s3_url = f"http://{host}:{port}"
        self.index = LocalCloudIndex(home / "cloudindex")
        self.s3 = boto3.client(
            "s3",
            endpoint_url=self.s3_url,
            aws_access_key_id="demo",
            aws_secret_access_key="demo-secret",
            region_name="us-east-1",
        )
        self.airflow = AirflowServer(home / "airflow", self._dags(), self._connections())

    def close(self) -> None:
        self.airflow.stop()
        self.index.close()
        self.moto.stop()

    def _dags(self) -> Path:
        """The shipped DAG with its bucket written in, as a user would; started by hand instead of hourly."""
        folder = self.home / "dags"
        folder.mkdir(parents=True)
        text = (ROOT / "dags" / f"{DAG_ID}.py").read_text(encoding="utf-8")
        for old, new in (
            ('"bucket": Param(None', f'"bucket": Param({json.dumps(self.sample.bucket)}'),
            ('Param("documents/"', f"Param({json.dumps(self.sample.prefix)}"),
            ('schedule="@hourly"', "schedule=None"),
        ):
            if old not in text:
                raise DemoFailedError(f"the DAG file has no {old}")
            text = text.replace(old, new)
        (folder / f"{DAG_ID}.py").write_text(text, encoding="utf-8")
        return folder

    def _connections(self) -> dict[str, str]:
        aws = {
            "conn_type": "aws",
            "login": "demo",
            "password": "demo-secret",
            "extra": {"endpoint_url": self.s3_url, "region_name": "us-east-1"},
        }
        cloudindex = {
            "conn_type": "cloudindex",
            "host": self.index.url,
            "password": self.index.api_key,
            "extra": {"project_id": self.index.project_id},
        }
        return {
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
            "AIRFLOW_CONN_CLOUDINDEX_DEFAULT": json.dumps(cloudindex),
        }

    # Acts

    def start(self) -> None:
        title("Starting Airflow")
        begun = time.monotonic()
        self.airflow.start()
        self.airflow.await_dag(DAG_ID)
        say(f"Airflow is up after {time.monotonic() - begun:.0f} s, and knows the DAG {DAG_ID}.")

    def sync(self, **expected: int) -> None:
        begun = time.monotonic()
        run_id = self.airflow.trigger(DAG_ID)
        state = self.airflow.await_run(DAG_ID, run_id)
        tasks = self.airflow.task_instances(DAG_ID, run_id)
        say(f"Run {run_id}: {state} after {time.monotonic() - begun:.0f} s.")
        for task in sorted(tasks, key=lambda one: (one["start_date"] or "9", one["map_index"])):
            number = f"[{task['map_index']}]" if task["map_index"] >= 0 else ""
            say(f"  {task['task_id'].removeprefix('s3_to_cloudindex.')}{number}: {task['state']}")
        if state != "success":
            raise DemoFailedError(f"the run ended as {state}; see {self.airflow.log}")
        self._check(self.airflow.xcom(DAG_ID, run_id, REPORT), expected)

    def _check(self, report: dict[str, Any], expected: dict[str, int]) -> None:
        say("Report: " + ", ".join(f"{name} {report[name]:,}" for name in REPORTED if report[name]))
        gets = report["s3_requests"].get("GetObject", 0)
        say(f"  S3 requests: {report['s3_requests']}; uploads: {report['uploaded']}; S3 GETs: {gets}")
        for row in report["skips"]:
            say(f"  skipped {row['key']!r}: {row['reason']}")
        for name, number in expected.items():
            got = gets if name == "gets" else report[name]
            if got != number:
                raise DemoFailedError(f"{name} is {got}, not {number}")

    def ask(self, *, after_changes: bool) -> None:
        title("Asking CloudIndex")
        names = {file_name(self.sample.bucket, key): key for key in self._keys()}
        with CloudIndexClient(self.index.url, self.index.api_key, project_id=self.index.project_id) as client:
            for item in self.sample.questions:
                if item.after_changes and not after_changes:
                    continue
                hits = client.query(item.question, options={"similarityTopK": 3}).chunks
                say(f"? {item.question}")
                for hit in hits:
                    key = names.get(hit.document_name, f"unknown name {hit.document_name}")
                    say(f"  {hit.score:.2f} s3://{self.sample.bucket}/{key}")
                best = next((hit for hit in hits if names.get(hit.document_name) == item.key), None)
                if best is None or not any(item.answer in hit.text for hit in hits):
                    raise DemoFailedError(f"{item.key!r} should have answered {item.answer!r}")
                say(f"  answered by {item.key!r}: ...{item.answer}...")

    def _keys(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.sample.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def run(self) -> None:
        self.sample.fill(self.s3)
        say(f"The sample bucket s3://{self.sample.bucket}/{self.sample.prefix} holds {len(self._keys())} objects:")
        for key in self._keys():
            say(f"  {key}")
        documents = len(self._keys()) - 4  # an image, a JSON file, a folder marker and a 21 MB file are skipped
        self.start()
        title("First sync: everything is new")
        self.sync(new=documents, uploaded=documents, indexed=documents, skipped=4)
        self.ask(after_changes=False)
        title("Second sync: nothing has changed")
        self.sync(unchanged=documents, uploaded=0, gets=0, skipped=4)
        self.sample.change(self.s3)
        title("Third sync: one object is new, one changed, one deleted")
        self.sync(new=1, changed=1, removed=1, uploaded=2, indexed=2, deleted=1)
        self.ask(after_changes=True)

    def tell_login(self) -> None:
        title("The Airflow UI")
        say(f"{self.airflow.url}  user: {self.airflow.user}  password: {self.airflow.password}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT / ".demo", help="emptied first, holds all there is")
    parser.add_argument("--keep", action="store_true", help="leave the UI up until Ctrl-C")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's access log
    shutil.rmtree(options.home, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    demo = Demo(options.home.absolute())
    try:
        demo.run()
        demo.tell_login()
        if options.keep:
            say("It stays up until Ctrl-C.")
            signal.pause()
        else:
            say("It ends now; `make demo KEEP=1` leaves it up.")
    except DemoFailedError as error:
        say(f"\nThe demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nEnding.")
    finally:
        demo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
