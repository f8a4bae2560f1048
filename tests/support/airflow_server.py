"""A real Airflow for the demo and the end-to-end tests: all components in one process group, ended as one.

Everything is in the given home; nothing of a user's own Airflow is read. It listens on 127.0.0.1, on a free port.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["ROLES", "AirflowServer", "free_port"]

ROLES = ("admin", "op", "user", "viewer")  # each with a user of that name
_START_SECONDS = 180.0
_STOP_SECONDS = 20.0
_ANSWER_SECONDS = 120.0  # an answer of a machine that is busy with other tests may take half a minute


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the URL is our own server's
            return bool(answer.status == 200)
    except OSError:
        return False


class AirflowServer:
    """``airflow standalone`` with a home of its own.

    :param home: becomes AIRFLOW_HOME
    :param dags: the DAGs folder
    :param environment: more variables, such as ``AIRFLOW_CONN_...``
    """

    def __init__(self, home: Path, dags: Path, environment: dict[str, str] | None = None) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "standalone.log"
        self._environment = self._make_environment(dags, environment or {})
        self._processes: list[subprocess.Popen[bytes]] = []
        self._token = ""

    def _make_environment(self, dags: Path, more: dict[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        bin_folder = str(Path(sys.executable).parent)
        return inherited | {
            "PATH": f"{bin_folder}{os.pathsep}{inherited.get('PATH', '')}",  # standalone starts `airflow` by name
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role}:{role}" for role in ROLES),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            # SQLite as Airflow's own database is locked too often above a few tasks at once.
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            **more,
        }

    # Life

    def start(self) -> None:
        """Start and wait until the scheduler answers.

        :raises RuntimeError: with the end of the log, when it doesn't come up
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self._processes = [self._start("standalone", "wb")]
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            if self._processes[0].poll() is not None:
                raise RuntimeError(f"Airflow ended with {self._processes[0].returncode}:\n{self.tail()}")
            if self._healthy():
                return
            time.sleep(0.5)
        self.stop()
        raise RuntimeError(f"Airflow wasn't healthy after {_START_SECONDS:.0f} s:\n{self.tail()}")

    @property
    def sessions(self) -> list[int]:
        """What all its processes belong to."""
        return [process.pid for process in self._processes]

    def start_component(self, name: str) -> None:
        """Start one more process of it, such as a ``triggerer`` for one that was killed; ends with the others."""
        self._processes.append(self._start(name, "ab"))

    def _start(self, component: str, mode: str) -> subprocess.Popen[bytes]:
        with self.log.open(mode) as log:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", component],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # so that all of it can be found and ended
            )

    def stop(self) -> None:
        """End every process of it."""
        for process in self._processes:
            _end_group(process)
        self._processes = []

    def __enter__(self) -> AirflowServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def _healthy(self) -> bool:
        try:
            health = self.request("GET", "/api/v2/monitor/health", login=False)
        except (OSError, ValueError):
            return False
        parts = ("scheduler", "dag_processor", "triggerer", "metadatabase")
        return all(health.get(part, {}).get("status") == "healthy" for part in parts)

    # REST

    @property
    def user(self) -> str:
        """The administrator's name."""
        return "admin"

    @property
    def password(self) -> str:
        """The administrator's password, made by Airflow at its first start."""
        return self.password_of(self.user)

    def password_of(self, user: str) -> str:
        """The password of one of ``ROLES``."""
        made = json.loads((self.home / "simple_auth_manager_passwords.json.generated").read_text())
        return str(made[user])

    @contextmanager
    def second_api_server(self, path: str) -> Iterator[str]:
        """One more api-server of the same Airflow, below this path, as behind a proxy; gives its address."""
        port = free_port()
        url = f"http://127.0.0.1:{port}{path}"
        command = [sys.executable, "-m", "airflow", "api-server", "--port", str(port), "--workers", "1"]
        environment = self._environment | {"AIRFLOW__API__BASE_URL": url, "AIRFLOW__API__PORT": str(port)}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            end = time.monotonic() + _START_SECONDS
            while process.poll() is None and time.monotonic() < end and not _answers(f"{url}/api/v2/version"):
                time.sleep(0.5)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def request(self, method: str, path: str, body: Any = None, *, login: bool = True) -> Any:
        """One REST call; the decoded answer.

        :raises urllib.error.HTTPError: for a status of 400 and up, with the answer's text in its message
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if login:
            headers["Authorization"] = f"Bearer {self._login()}"
        data = None if body is None else json.dumps(body).encode()
        call = urllib.request.Request(f"{self.url}{path}", data=data, method=method, headers=headers)  # noqa: S310 - ours
        try:
            with urllib.request.urlopen(call, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310 - it is our own server's
                text = answer.read()
        except urllib.error.HTTPError as error:
            error.msg = f"{error.msg}: {error.read()[:500]!r}"
            raise
        return json.loads(text) if text else None

    def _login(self) -> str:
        if not self._token:
            found = self.request("POST", "/auth/token", {"username": self.user, "password": self.password}, login=False)
            self._token = found["access_token"]
        return self._token

    # DAGs

    def await_dag(self, dag_id: str, seconds: float = 90.0) -> None:
        """Wait until the DAG is known, and unpause it."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.request("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
                return
            except urllib.error.HTTPError as error:
                if error.code != 404 or time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run; gives its id."""
        for left in (2, 1, 0):
            try:
                run = self.request("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
                break
            except urllib.error.HTTPError as error:
                if error.code < 500 or not left:  # SQLite as Airflow's own database is sometimes locked for too long
                    raise
                time.sleep(1)
        return str(run["dag_run_id"])

    def run_path(self, dag_id: str, run_id: str) -> str:
        """The REST path of a run."""
        return f"/api/v2/dags/{dag_id}/dagRuns/{urllib.request.quote(run_id, safe='')}"  # type: ignore[attr-defined]

    def await_run(self, dag_id: str, run_id: str, seconds: float = 240.0) -> str:
        """Wait for the run's end; gives its state."""
        end = time.monotonic() + seconds
        while True:
            try:
                state = self.request("GET", self.run_path(dag_id, run_id))["state"]
            except TimeoutError:  # of one answer, on a machine that has much to do
                state = "unknown"
            if state in ("success", "failed"):
                return str(state)
            if time.monotonic() > end:
                tasks = {row["task_id"]: row["state"] for row in self.task_instances(dag_id, run_id)}
                what = f"run {run_id} of {dag_id} is still {state} after {seconds:.0f} s, and its tasks are {tasks}"
                raise TimeoutError(f"{what}:\n{self.tail()}")
            time.sleep(0.5)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The run's task instances, as REST gives them."""
        return list(self.request("GET", f"{self.run_path(dag_id, run_id)}/taskInstances?limit=200")["task_instances"])

    def task_log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1, map_index: int = -1) -> str:
        """One try's log as text."""
        path = f"{self.run_path(dag_id, run_id)}/taskInstances/{task_id}/logs/{attempt}"
        found = self.request("GET", f"{path}?full_content=true&map_index={map_index}")
        return json.dumps(found, ensure_ascii=False)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """A task's XCom."""
        path = f"{self.run_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}?deserialize=true"
        value = self.request("GET", path)["value"]
        return json.loads(value) if isinstance(value, str) else value


def _end_group(leader: subprocess.Popen[bytes]) -> None:
    """End the whole session: a task has a process group of its own, which its supervisor may not live to end."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _session(leader):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        if number == signal.SIGTERM:
            _await_end(leader)
    leader.wait()


def _await_end(leader: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < end and _session(leader):
        time.sleep(0.1)


def _session(leader: subprocess.Popen[bytes]) -> list[int]:
    """The living processes of the session that ``leader`` has begun."""
    leader.poll()  # reaps it, so that the session can be seen to be empty
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended meanwhile
            continue
        if int(session) == leader.pid and state != "Z":
            found.append(int(process.name))
    return found
