"""Airflow with the CeleryExecutor: its four components, and workers that share no disk with anything.

A worker has its own AIRFLOW_HOME, HOME, TMPDIR and working directory, its own copy of the DAG files, and no access to
Airflow's metadata database. It reaches the broker, the API server, S3, CloudIndex and the state over the network alone.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from celery import Celery

from programs.celery.processes import Processes, waiting_for
from programs.celery.servers import Postgres, Redis
from tests.support.airflow_server import AirflowServer

__all__ = ["HEARTBEAT_TIMEOUT", "WORKERS", "CeleryAirflow"]

WORKERS = ("worker-1", "worker-2")
DAGS = Path(__file__).parent / "dags"
# Airflow's default is 300 s. After this long without a word from a task its try has failed.
HEARTBEAT_TIMEOUT = 30
# Nobody looks at logs through Airflow here; otherwise they are served to the whole network, and several workers of one
# machine need a worker_log_server_port each.
_NO_LOGS = "--skip-serve-logs"
_COMPONENTS: dict[str, list[str]] = {  # name -> arguments
    "api-server": [],
    "scheduler": [_NO_LOGS],
    "dag-processor": [],
    "triggerer": [_NO_LOGS],
}
_START_SECONDS = 240.0
_METADATA = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


class CeleryAirflow(AirflowServer):
    """Airflow in several processes; REST and DAGs as in its base class."""

    def __init__(
        self, folder: Path, processes: Processes, broker: Redis, postgres: Postgres, connections: dict[str, Any]
    ) -> None:
        self.folder = folder
        self.processes = processes
        self.broker = broker
        named = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in connections.items()}
        home = self._machine("airflow")
        super().__init__(home, home / "dags", named | _settings(broker, postgres) | _machine_settings(home, "airflow"))

    def _machine(self, name: str) -> Path:
        """What a machine has on its disk: the DAG files, and its own name."""
        home = self.folder / name
        shutil.copytree(DAGS, home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        for folder in ("config", "tmp"):
            (home / folder).mkdir()
        (home / "config" / "this_machine.py").write_text(f"def name():\n    return {name!r}\n")
        return home

    def start(self) -> None:
        """Make the metadata database, start every process, and wait until all of them answer.

        :raises StartError: when one doesn't, or ends
        """
        migration = [sys.executable, "-m", "airflow", "db", "migrate"]
        log = self.folder / "migration.log"
        with log.open("wb") as output:
            subprocess.run(
                migration, env=self._environment, cwd=self.home, check=True, timeout=_START_SECONDS,
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        for component, arguments in _COMPONENTS.items():
            command = [sys.executable, "-m", "airflow", component, *arguments]
            self.processes.start(component, command, env=self._environment, cwd=self.home)
        for name in WORKERS:
            self._start_worker(name)
        waiting_for("Airflow is healthy", self._up, _START_SECONDS, pause=1.0)

    def _start_worker(self, name: str) -> None:
        home = self._machine(name)
        theirs = {key: value for key, value in self._environment.items() if key != _METADATA}
        self.processes.start(
            name,
            [sys.executable, "-m", "airflow", "celery", "worker", "--celery-hostname", name, _NO_LOGS],
            env=theirs | _machine_settings(home, name),
            cwd=home,
        )

    def _up(self) -> bool:
        self.processes.assert_alive()
        return self._healthy() and self.present_workers() == set(WORKERS)

    def present_workers(self) -> set[str]:
        """Workers that answer to Celery."""
        with Celery(broker=self.broker.url) as app:
            answers = app.control.inspect(timeout=2.0).ping() or {}
        return {name.partition("@")[2] for name in answers}

    def stop(self) -> None:
        """End workers first: what they run is told to stop, and can still say so."""
        self.processes.stop(*WORKERS)
        self.processes.stop(*_COMPONENTS)

    def tail(self, lines: int = 40) -> str:
        """The ends of all logs."""
        return self.processes.tails()

    def tries(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> list[dict[str, Any]]:
        """Every try of a task instance, the first one first."""
        path = f"{self.run_path(dag_id, run_id)}/taskInstances/{task_id}/{map_index}/tries"
        rows: list[dict[str, Any]] = self.request("GET", path)["task_instances"]
        return sorted(rows, key=lambda row: int(row["try_number"]))

    def log_on_worker(self, worker: str, run_id: str) -> str:
        """What the tasks of a run have logged on that worker's disk."""
        found = sorted((self.folder / worker / "logs").glob(f"**/run_id={run_id}/**/*.log"))
        return "\n".join(path.read_text(errors="replace") for path in found)


def _settings(broker: Redis, postgres: Postgres) -> dict[str, str]:
    metadata = postgres.url("airflow").render_as_string(hide_password=False)
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": "16",
        "AIRFLOW__CLOUDINDEX__STATE_CONN_ID": "cloudindex_state",
        _METADATA: metadata,
        # Every component has to know these: tokens of tasks are signed by one and checked by another.
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CELERY__BROKER_URL": broker.url,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{metadata}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
        # A killed worker's message comes again after this; Airflow itself starts the next try long before.
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "3600",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    }


def _machine_settings(home: Path, name: str) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "this_machine.name",
        "PYTHONPATH": os.pathsep.join((str(home / "config"), os.environ.get("PYTHONPATH", ""))).rstrip(os.pathsep),
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
    }
