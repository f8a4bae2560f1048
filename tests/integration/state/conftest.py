"""One state on SQLite and on a private PostgreSQL: every test that asks for ``db`` runs on both.

The server belongs to the session. Each test finds it empty. Without PostgreSQL's binaries the tests are skipped,
but fail under CI.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.s3.database_login import TokenPassword
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import blocks, claims, outcomes, runs, sources, sweep
from cloudindex_provider.state.approvals import Hold
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.db.tables import metadata
from cloudindex_provider.state.records import ObjectRow, Owner, Run, RunName, Source, WorkRow
from cloudindex_provider.sync.detect.comparison import Comparison
from tests.support.postgres import PostgresServer, find_binaries, running_postgres
from tests.support.tokens import ROLE, Tokens

BACKENDS = ("sqlite", "psycopg2", "psycopg")


# Processes that import the package once for all of them; plain fork would copy this process's threads' locks.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["cloudindex_provider.sync.detect.comparison", "cloudindex_provider.state.claims"])


@pytest.fixture(scope="session")
def process_context() -> Any:
    """The multiprocessing context of tests that need processes."""
    return processes


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the session."""
    binaries = find_binaries()
    if binaries is None and os.environ.get("CI", "").lower() == "true":
        pytest.fail("PostgreSQL's binaries are missing, and in CI nothing is skipped", pytrace=False)
    if binaries is None:
        pytest.skip("PostgreSQL's binaries are missing: apt-get install postgresql")
    with running_postgres(binaries) as server:
        yield server


@pytest.fixture
def tokens(postgres_server: PostgresServer) -> Iterator[Tokens]:
    """A role of its own, which comes in by its password alone, and a database that is its own."""
    postgres_server.ask_for_password(ROLE)
    tokens = Tokens(postgres_server)
    postgres_server.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{tokens.now}'", f"CREATE DATABASE {ROLE} OWNER {ROLE}")
    yield tokens
    postgres_server.sql(f"DROP DATABASE {ROLE} WITH (FORCE)", f"DROP ROLE {ROLE}")


@pytest.fixture
def by_iam(tokens: Tokens, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    """``[cloudindex] state_conn_id`` is that database, by a connection with ``iam`` and no password.

    The AWS client is a real one; only the token that it would sign is one of the server's.
    """
    connection = {
        "conn_type": "postgres", "login": ROLE, "schema": ROLE, "host": str(postgres_server.socket_dir),
        "port": postgres_server.port, "extra": {"iam": True, "sslmode": "disable", "aws_conn_id": "aws_state"},
    }  # fmt: skip
    aws = {"conn_type": "aws", "login": "AKIASTATE", "password": "secret-5ecret", "extra": {"region_name": "eu-west-1"}}
    monkeypatch.setenv("AIRFLOW_CONN_STATE_DB", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_CONN_ID", "state_db")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_STATE", json.dumps(aws))

    def token(password: TokenPassword) -> str:
        assert password.client().meta.region_name == "eu-west-1"
        return tokens()

    monkeypatch.setattr(TokenPassword, "__call__", token)
    return tokens


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> Iterator[sa.URL]:
    """The URL of a database that nobody has opened yet."""
    if backend == "sqlite":
        yield sa.make_url(f"sqlite:///{tmp_path}/state/state.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    server.sql("CREATE DATABASE fresh")
    yield server.url(backend, "fresh")
    server.sql("DROP DATABASE fresh WITH (FORCE)")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Which database, through which driver."""
    if request.param == "psycopg":
        pytest.importorskip("psycopg")
    return str(request.param)


@pytest.fixture(scope="session")
def postgres_states(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Database]]:
    """One open state a driver, for the whole session."""
    states: dict[str, Database] = {}

    def state_of(driver: str) -> Database:
        if driver not in states:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            states[driver] = Database(server.url(driver, "state"))
        return states[driver]

    yield state_of
    for database in states.values():
        database.close()


@pytest.fixture
def db(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> Iterator[Database]:
    """An open, empty state."""
    if backend == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/state.db")
        yield database
        database.close()
        return
    database = request.getfixturevalue("postgres_states")(backend)
    yield database
    with database.write() as connection:  # TRUNCATE makes 40 new files, which takes 100 times as long
        for table in reversed(metadata.sorted_tables):
            if table.name != "meta":
                connection.execute(table.delete())


def listed_object(key: str = "k.txt", etag: str = "e1", size: int = 10) -> ListedObject:
    return ListedObject(key, etag, size, "2026-01-01T00:00:00Z", "STANDARD")


class State:
    """A source in a state, and short ways to bring its rows where a test wants them."""

    def __init__(self, db: Database, *, prefix: str = "", sync_id: str = "") -> None:
        self.db = db
        self.source: Source = sources.open_source(db, project_id="p", bucket="b", prefix=prefix, sync_id=sync_id)
        self.owner = Owner("task", 1)
        self.run = self.begin("r1")

    def begin(self, run_id: str) -> Run:
        """A run; its counters and keys are new."""
        self.run = runs.start_run(self.db, self.source, RunName("dag", run_id, "sync"))
        return self.run

    def detect(self, *items: ListedObject, hold: Hold | None = None) -> None:
        """Compare a listing with the whole state, everything selected, and close the listing."""
        rows = blocks.read_block(self.db, self.source, after=None, upto=None, limit=100_000)
        writes = Comparison(self.source.id, lambda *_: None).block(sorted(items), rows)
        sweep.apply(self.db, self.run, writes)
        sweep.finish(self.db, self.run, fingerprint="f", verdict=sweep.Verdict(hold=hold))

    def claim(self, owner: Owner | None = None, **more: Any) -> list[WorkRow]:
        values = {"lease": 120.0, "max_request_size": 10**6, "max_documents": None, **more}
        return claims.claim_request(self.db, self.run, owner or self.owner, **values)

    def intend(self, rows: Sequence[WorkRow], owner: Owner | None = None) -> None:
        intent = [(row, f"name-{row.key}", None) for row in rows]
        claims.record_intent(self.db, self.run, owner or self.owner, intent, lease=120.0)

    def send(self, *items: ListedObject) -> None:
        """Detected, claimed, sent: in processing under the id ``doc-<key>-<etag>``."""
        self.detect(*items)
        rows = self.claim()
        self.intend(rows)
        for row in rows:
            kept = outcomes.record_sent(
                self.db, self.run, self.owner, row, document_id=f"doc-{row.key}-{row.etag}", version=1, sha256="s"
            )
            assert kept

    def index(self, *items: ListedObject) -> None:
        """Sent and processed: indexed."""
        self.send(*items)
        for row in outcomes.processing_rows(self.db, self.source):
            assert outcomes.record_processed(self.db, self.run, row, sha256=None, version=None)

    def rows(self) -> dict[str, ObjectRow]:
        found = blocks.read_block(self.db, self.source, after=None, upto=None, limit=100_000)
        return {row.key: row for row in found}

    def row(self, key: str = "k.txt") -> ObjectRow:
        return self.rows()[key]

    def sql(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement of the test's own; committed."""
        with self.db.write() as connection:
            result = connection.execute(sa.text(sql), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def run_keys(self) -> dict[str, tuple[str, str | None]]:
        rows = self.sql("SELECT key, class, outcome FROM run_key WHERE run_id = :run", run=self.run.id)
        return {key: (cls, outcome) for key, cls, outcome in rows}

    def counts(self) -> dict[str, int]:
        return runs.counts(self.db, self.run)

    def history(self) -> list[tuple[str, str]]:
        return [(key, event) for key, event in self.sql("SELECT key, event FROM history ORDER BY id")]

    def superseded(self) -> set[tuple[str, str]]:
        return {(one, why) for one, why in self.sql("SELECT document_id, reason FROM superseded")}

    def end_leases(self) -> None:
        """Let every claim run out."""
        self.sql("UPDATE object SET claim_until = 1.0 WHERE claim_owner IS NOT NULL")


@pytest.fixture
def state(db: Database) -> State:
    """The source (p, b, "") with its first run begun."""
    return State(db)


@pytest.fixture
def make_state(db: Database) -> Callable[..., State]:
    """More sources in the same state."""

    def make(**more: Any) -> State:
        return State(db, **more)

    return make


@pytest.fixture
def listed() -> Callable[..., ListedObject]:
    """A listed object."""
    return listed_object
