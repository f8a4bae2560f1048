"""The api-server's own application in this process, with the plugin as Airflow finds it, and a state to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import blocks, claims, outcomes, runs, sources, sweep
from cloudindex_provider.state.approvals import Hold
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Owner, Run, RunName, Source
from cloudindex_provider.sync.detect.comparison import Comparison

SITE = "http://airflow.test"
OWNER = Owner("task", 1)


@pytest.fixture(scope="session")
def server(airflow_db: Path) -> Iterator[Any]:
    """The application of ``airflow api-server``; it knows the DAGs ``mine`` and ``others``."""
    ours = pytest.MonkeyPatch()  # put back as it was, whatever another fixture does to the environment meanwhile
    ours.setenv("AIRFLOW__API__BASE_URL", SITE)
    ours.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "s" * 64)
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(DagBundleModel, "dags-folder") is None:
            session.add(DagBundleModel(name="dags-folder"))
            session.flush()
        for dag_id in ("mine", "others"):
            place = {"bundle_name": "dags-folder", "fileloc": "x", "relative_fileloc": "x"}
            session.merge(DagModel(dag_id=dag_id, is_paused=False, **place))
    yield create_app(apps="core")
    purge_cached_app()
    ours.undo()


@pytest.fixture
def sign_in(server: Any) -> Callable[[str | None], TestClient]:
    """A browser with a session of this role (``admin``, ``op``, ``user``, ``viewer``), or of nobody."""

    def browser(role: str | None) -> TestClient:
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        client = TestClient(server, base_url=SITE, headers={"Origin": SITE, "Sec-Fetch-Site": "same-origin"})
        if role is not None:
            user = SimpleAuthManagerUser(username=f"a {role}", role=role)
            client.cookies.set("_token", get_auth_manager().generate_jwt(user))
        return client

    return browser


@dataclass
class Known:
    """A state, and short ways to bring a sync where a test wants it."""

    db: Database
    path: Path

    def sync(self, prefix: str = "", dag_id: str = "mine") -> Kept:
        source = sources.open_source(self.db, project_id="p", bucket="b", prefix=prefix)
        return Kept(self.db, source, runs.start_run(self.db, source, RunName(dag_id, "r1", "sync")))


@dataclass
class Kept:
    """One sync in it."""

    db: Database
    source: Source
    run: Run

    @property
    def url(self) -> str:
        return f"/cloudindex/api/syncs/{self.source.id}"

    def again(self, run_id: str) -> None:
        """The next run."""
        self.run = runs.start_run(self.db, self.source, RunName(self.run.name.dag_id, run_id, "sync"))

    def index(self, *keys: str) -> None:
        """Listed, uploaded and processed."""
        self.list(*keys)
        while rows := self._claim():  # a request's worth
            claims.record_intent(self.db, self.run, OWNER, [(row, f"n-{row.key}", None) for row in rows], lease=60.0)
            for row in rows:
                outcomes.record_sent(self.db, self.run, OWNER, row, document_id=f"doc-{row.key}", version=1, sha256="s")
        for row in outcomes.processing_rows(self.db, self.source):
            outcomes.record_processed(self.db, self.run, row, sha256=None, version=None)

    def fail(self, *keys: str, why: str = "CloudIndex refused it", strikes: int = 9) -> None:
        """What is pending of these keys has failed; with one strike, it is quarantined."""
        others = []
        while rows := self._claim():
            others += [row for row in rows if row.key not in keys]
            for row in rows:
                if row.key in keys:
                    outcomes.record_failed(self.db, self.run, OWNER, row, Failure(why), max_attempts=strikes)
        claims.give_back(self.db, self.run, OWNER, others)

    def _claim(self) -> list[Any]:
        return claims.claim_request(
            self.db, self.run, OWNER, lease=60.0, max_request_size=10**9, max_documents=None
        )  # fmt: skip

    def statuses(self) -> dict[str, str]:
        rows = blocks.read_block(self.db, self.source, after=None, upto=None, limit=100_000)
        return {row.key: row.status for row in rows}

    # The last one: below it, a list[...] in this class would be this.
    def list(self, *keys: str, hold: Hold | None = None, etag: str = "e1") -> None:
        """A complete listing of just these keys."""
        rows = blocks.read_block(self.db, self.source, after=None, upto=None, limit=100_000)
        listed = sorted(ListedObject(key, etag, 10, "2026-01-01T00:00:00Z", "STANDARD") for key in keys)
        writes = Comparison(self.source.id, lambda *_: None).block(listed, rows)
        sweep.apply(self.db, self.run, writes)
        removed = len(writes.removed)
        verdict = sweep.Verdict(removed=removed, live=len(rows), hold=hold)
        sweep.finish(self.db, self.run, fingerprint="f", verdict=verdict)


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Known]:
    """An empty state where the configuration says that it is."""
    path = tmp_path / "state.db"
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(path))
    db = Database(f"sqlite:///{path}")
    yield Known(db, path)
    db.close()


@pytest.fixture(autouse=True)
def _nothing_kept(server: Any) -> None:
    """No test sees numbers that another one's page has counted."""
    from cloudindex_provider.plugins.reading import StateReader

    page_of(server).state.reader = StateReader()


def page_of(server: Any) -> Any:
    """The plugin's application as the server has mounted it."""
    [mount] = [route for route in server.routes if getattr(route, "path", "") == "/cloudindex"]
    return mount.app
