"""A state that is lost, in each way that an installation loses one: the next run adopts what is there, and says so."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator
from tests.integration.state.conftest import postgres_server  # noqa: F401 - a fixture
from tests.support.postgres import PostgresServer

KEYS = ["documents/a.txt", "documents/b.txt", "documents/c.txt"]


class Files:
    """The state in a file of this machine, and what becomes of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.folder = folder
        self._begin("home")

    def _begin(self, home: str) -> None:
        self.monkeypatch.delenv("AIRFLOW__CLOUDINDEX__STATE_PATH", raising=False)
        self.monkeypatch.setenv("AIRFLOW_HOME", str(self.folder / home))
        self.path = self.folder / home / "cloudindex" / "state.db"

    def deleted(self) -> None:
        self.path.unlink()

    def deleted_but_for_its_log(self) -> None:
        """As after a kill: what was written last is still in the log."""
        log = self.path.with_name("state.db-wal")
        connection = sqlite3.connect(self.path)
        connection.execute("UPDATE object SET attempts = 1")
        connection.commit()
        shutil.copy(log, self.folder / "log")
        connection.close()
        self.path.unlink()
        shutil.copy(self.folder / "log", log)

    def moved(self) -> None:
        self.monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(self.folder / "elsewhere" / "state.db"))

    def zero_bytes(self) -> None:
        self.path.write_bytes(b"")
        self.path.with_name("state.db-wal").write_bytes(b"what a log has")

    def another_pod(self) -> None:
        self._begin("another-home")


class Databases:
    """The state in a database of a Postgres server, and what becomes of it."""

    def __init__(self, server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.monkeypatch = server, monkeypatch
        self.made: list[str] = []
        monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_CONN_ID", "cloudindex_state")
        self._use("lost_state")

    def _use(self, name: str) -> None:
        self.server.sql(f"CREATE DATABASE {name}")
        self.made.append(name)
        fields = {
            "conn_type": "postgres", "host": str(self.server.socket_dir), "port": self.server.port,
            "login": "postgres", "schema": name,
        }  # fmt: skip
        self.monkeypatch.setenv("AIRFLOW_CONN_CLOUDINDEX_STATE", json.dumps(fields))

    def deleted(self) -> None:
        self.close()
        self._use("lost_state")

    def moved(self) -> None:
        self._use("elsewhere")

    def zero_bytes(self) -> None:
        from sqlalchemy import create_engine, text

        engine = create_engine(self.server.url("psycopg2", self.made[0]))
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        engine.dispose()

    def close(self) -> None:
        while self.made:
            self.server.sql(f"DROP DATABASE {self.made.pop()} WITH (FORCE)")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: Any) -> Files:
    return Files(tmp_path / "machines", monkeypatch)


@pytest.fixture
def databases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, world: Any) -> Iterator[Databases]:
    made = Databases(request.getfixturevalue("postgres_server"), monkeypatch)
    yield made
    made.close()


def sync(world: Any) -> dict[str, Any]:
    return S3ToCloudIndexOperator(task_id="sync", bucket=world.bucket, prefix="documents/").execute({})


def adopts(world: Any, caplog: pytest.LogCaptureFixture, lose: Callable[[], None]) -> None:
    """The run after the loss uploads and doubles nothing, counts and names what it adopts; the next has no work."""
    world.put(*KEYS)
    assert sync(world)["uploaded"] == len(KEYS)
    before, uploads = world.ci.documents(), world.requests("upload")
    lose()
    caplog.clear()
    caplog.set_level(logging.INFO)
    report = sync(world)
    assert (report["new"], report["adopted"], report["indexed"], report["uploaded"]) == (3, 3, 3, 0)
    assert "that this state doesn't know, as after the loss of a state" in caplog.text
    assert "Adopted the documents of 3 keys; they aren't uploaded again." in caplog.text
    assert world.ci.documents() == before
    again = sync(world)
    assert (again["unchanged"], again["adopted"]) == (3, 0)
    assert world.requests("upload") == uploads


@pytest.mark.parametrize("how", ["deleted", "deleted_but_for_its_log", "moved", "zero_bytes", "another_pod"])
def test_a_lost_file_costs_one_list_and_no_double(
    world: Any, files: Files, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Deleted, looked for elsewhere, emptied, or on the disk of a pod that is gone."""
    adopts(world, caplog, getattr(files, how))
    assert ("is an empty file" in caplog.text) == (how == "zero_bytes")


@pytest.mark.parametrize("how", ["deleted", "moved", "zero_bytes"])
def test_a_lost_database_costs_one_list_and_no_double(
    world: Any, databases: Databases, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Dropped and made again, looked for under another name, or without its tables."""
    adopts(world, caplog, getattr(databases, how))


def test_another_pod_loses_nothing_of_a_state_in_postgres(
    world: Any, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is what it is for: a new pod, with a home of its own, finds everything unchanged and asks nobody."""
    world.put(*KEYS)
    sync(world)
    requests = len(world.ci.requests)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "another-pod"))
    again = sync(world)
    assert (again["unchanged"], again["adopted"], len(world.ci.requests)) == (3, 0, requests)
    assert not (tmp_path / "another-pod").exists()
