"""Events in a real Airflow: how soon an object is searchable, and what kill -9 of worker and triggerer leaves.

A standalone Airflow with the shipped DAG, moto as S3 and SQS, the embedded CloudIndex. Medians are of objects put one
after another, from the end of the put until CloudIndex says ``processed``: while the consumer is awake, and from idle.

    python -m programs.soak.airflow_events --objects 20 --from-idle 8 --kills 4
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer

from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.sync.naming import file_name
from tests.support.airflow_server import AirflowServer
from tests.support.mirror import s3_client, sqs_client

__all__ = ["EventsInAirflow"]

DAG_ID, TASK_ID, BUCKET = "cloudindex_s3_events", "follow_events", "followed-bucket"
_SHIPPED = Path(__file__).parents[2] / "dags" / f"{DAG_ID}.py"
_PATIENCE = 240.0  # seconds until something must have happened
_COUNTS = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
# The title of the process that runs a task; those of LocalExecutor's own pool, which it doesn't replace, are others.
_TASK = re.compile(r"airflow worker -- [0-9a-f]{8}-")


class EventsInAirflow:
    """The servers and what is measured with them; a context manager."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="cloudindex-events-")
        self.numbers = 0

    def __enter__(self) -> EventsInAirflow:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        home = Path(self.folder.name)
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        host, port = self.moto.get_host_and_port()
        url = f"http://{host}:{port}"
        self.s3, self.sqs = s3_client(url), sqs_client(url)
        self.queue = self._notified_queue()
        self.cloud = LocalCloudIndex(home / "index")
        self.airflow = AirflowServer(home / "airflow", self._dags(home / "dags"), self._environment(url))
        self.airflow.start()
        self.airflow.await_dag(DAG_ID)
        return self

    def __exit__(self, *exc: object) -> None:
        self.airflow.stop()
        self.cloud.close()
        self.moto.stop()
        self.folder.cleanup()

    def _notified_queue(self) -> str:
        self.s3.create_bucket(Bucket=BUCKET)
        url = str(self.sqs.create_queue(QueueName="events")["QueueUrl"])
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events: list[Any] = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
        self.s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": events}
        )
        return url

    def _dags(self, folder: Path) -> Path:
        """The shipped DAG with its constants filled in, an early rest, and retries that a test can wait for."""
        folder.mkdir()
        text = _SHIPPED.read_text(encoding="utf-8")
        for old, new in (
            ('QUEUE_URL = ""', f"QUEUE_URL = {self.queue!r}"),
            ('"bucket": "your-bucket"', f'"bucket": {BUCKET!r}'),
            ("deferrable=True)", "deferrable=True, idle_time=5, visibility_timeout=15, retry_delay=1)"),
        ):
            if old not in text:
                raise AssertionError(f"the shipped DAG has no {old}")
            text = text.replace(old, new)
        (folder / f"{DAG_ID}.py").write_text(text, encoding="utf-8")
        return folder

    def _environment(self, url: str) -> dict[str, str]:
        extra = {"endpoint_url": url, "region_name": "us-east-1"}
        aws = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
        index = {"conn_type": "cloudindex", "host": self.cloud.url, "password": self.cloud.api_key}
        return {
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
            "AIRFLOW_CONN_CLOUDINDEX_DEFAULT": json.dumps(index | {"extra": {"project_id": self.cloud.project_id}}),
            # A killed worker is missed after these seconds, and a killed triggerer after those.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        }

    # What is measured

    def put(self) -> str:
        self.numbers += 1
        key = f"documents/{self.numbers:04d}.txt"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=f"the text of {key}".encode())
        return key

    def latency(self) -> float:
        """Seconds from the end of a put until its document is processed."""
        key = self.put()
        return self.await_indexed([key])

    def await_indexed(self, keys: list[str]) -> float:
        began = time.monotonic()
        names = {file_name(BUCKET, key) for key in keys}
        while True:
            done = [row["fileName"] for row in self.cloud.documents() if row["status"] == "processed"]
            if names <= set(done):
                return time.monotonic() - began
            if time.monotonic() - began > _PATIENCE:
                raise TimeoutError(f"{names - set(done)} not processed:\n{self.airflow.tail()}")
            time.sleep(0.05)

    def task_state(self) -> str:
        runs = self.airflow.request("GET", f"/api/v2/dags/{DAG_ID}/dagRuns?order_by=-id&limit=1")["dag_runs"]
        found = self.airflow.task_instances(DAG_ID, runs[0]["dag_run_id"]) if runs else []
        return str(found[0]["state"]) if found else "none"

    def await_state(self, *states: str) -> None:
        end = time.monotonic() + _PATIENCE
        while (state := self.task_state()) not in states:
            if time.monotonic() > end:
                raise TimeoutError(f"the task is {state}, not {states}:\n{self.airflow.tail()}")
            time.sleep(0.2)

    def kill_worker(self) -> int:
        """kill -9 of every process that runs the task; gives how many."""
        return self._kill([pid for pid, title in self._processes() if _TASK.match(title)])

    def kill_triggerer(self) -> int:
        """kill -9 of the triggerer, and another one in its place, as a service manager does."""
        killed = self._kill([pid for pid, title in self._processes() if "triggerer" in title])
        self.airflow.start_component("triggerer")
        return killed

    def _processes(self) -> list[tuple[int, str]]:
        shown = subprocess.run(["ps", "-eo", "pid,sid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in shown.splitlines()[1:]]
        return [(int(pid), title) for pid, sid, title in rows if int(sid) in self.airflow.sessions]

    @staticmethod
    def _kill(pids: list[int]) -> int:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return len(pids)

    def left(self) -> int:
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=_COUNTS)["Attributes"]
        return sum(int(found[name]) for name in _COUNTS)

    def doubles(self) -> list[str]:
        names = [row["fileName"] for row in self.cloud.documents()]
        return sorted({name for name in names if names.count(name) > 1})


def main() -> int:
    """Run by ``make soak``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--from-idle", type=int, default=8)
    parser.add_argument("--kills", type=int, default=4)
    options = parser.parse_args()
    wrong: list[str] = []
    with EventsInAirflow() as world:
        world.latency()  # the first look at the project
        awake = [world.latency() for _ in range(options.objects)]
        print(f"awake: median {statistics.median(awake):.1f} s, longest {max(awake):.1f} s of {len(awake)}", flush=True)
        idle = []
        for _ in range(options.from_idle):
            world.await_state("deferred")
            idle.append(world.latency())
        print(
            f"from idle: median {statistics.median(idle):.1f} s, longest {max(idle):.1f} s of {len(idle)}", flush=True
        )
        for number in range(options.kills):
            keys = [world.put() for _ in range(10)]
            if number % 2:
                world.await_state("deferred")
                killed = world.kill_triggerer()
                keys += [world.put() for _ in range(10)]
            else:
                world.await_state("running")
                time.sleep(0.7 * number)
                killed = world.kill_worker()
            seconds = world.await_indexed(keys)
            what = "triggerer" if number % 2 else "worker"
            print(
                f"kill -9 of the {what} ({killed} processes): all {len(keys)} indexed {seconds:.0f} s later", flush=True
            )
        world.await_state("deferred")
        if world.left() or world.doubles():
            wrong.append(f"{world.left()} messages are left, doubles: {world.doubles()}")
    print("\n".join(wrong) or "The queue is empty, and there is no double document.")
    return 1 if wrong or statistics.median(awake) >= 5 or statistics.median(idle) >= 12 else 0


if __name__ == "__main__":
    sys.exit(main())
