"""What the tasks of all syncs share by their connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.errors import RateLimitedError, StoppedError
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.session import sync_session
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.settings import SyncSettings
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = Database(f"sqlite:///{tmp_path}/state.db")
    yield db
    db.close()


@pytest.fixture
def session(db: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The session of a sync's task, as an operator opens it."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://x:y@/?region_name=us-east-1")

    def open_(prefix: str = "a/", conn_id: str = "cloudindex_default", **more: Any) -> Any:
        hook = CloudIndexHook(conn_id)
        settings = SyncSettings(project_id=hook.project_id, bucket="bucket", prefix=prefix).validate()
        name = RunName("dag", "run", "sync")
        return sync_session(settings, db, hook=hook, aws_conn_id="aws_default", name=name, owner=Owner("t", 1), **more)

    return open_


def refused(ctx: SyncContext) -> bool:
    try:
        ctx.client.check()
    except RateLimitedError as error:
        return 1700 < (error.retry_after or 0.0) <= 1800
    return False


def test_a_refusal_of_one_sync_stops_the_other_sync_of_its_connection(service, session):
    service.prepare(429, {"code": "rate_limit/exceeded"}, headers={"Retry-After": "1800"})
    for prefix in ("a/", "b/", "a/"):
        with session(prefix) as ctx:
            assert refused(ctx)
    assert len(service.requests) == 1


def test_another_connection_has_a_budget_of_its_own(service, connect, session):
    connect("other")
    service.prepare(429, {"code": "rate_limit/exceeded"}, headers={"Retry-After": "1800"})
    with session() as ctx:
        assert refused(ctx)
    with session(conn_id="other") as ctx:
        assert not refused(ctx)


def test_a_session_knows_the_rate_that_an_earlier_task_was_told(service, session):
    limits = {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "99", "X-RateLimit-Reset": "60"}
    service.prepare(200, [], headers=limits)
    with session() as ctx:
        assert ctx.requests_per_minute() is None
        ctx.client.check()
    with session() as ctx:
        assert ctx.requests_per_minute() == pytest.approx(99, abs=0.5)


def test_a_connection_s_concurrency_holds_for_all_its_tasks_together(connect, session):
    """One request at a time: a second task's waits until the first is answered."""
    connect(max_concurrency=1)
    with session("a/") as one, session("b/") as other:
        pacers = [ctx.client._http._pacer for ctx in (one, other)]
        pacers[0].before("x")
        pacers[1]._sleep = lambda _: pacers[0].after(None, status=200, retry_after=None)
        pacers[1].before("x")
        pacers[1].after(None, status=200, retry_after=None)


def test_a_task_that_is_stopped_sends_nothing_more_and_is_not_taken_for_done(service, session):
    stop = threading.Event()

    def work() -> None:
        with session(stop=stop) as ctx:
            assert ctx.stop is stop
            stop.set()
            with pytest.raises(StoppedError):
                ctx.client.check()

    with pytest.raises(StoppedError, match="was stopped"):
        work()
    assert service.requests == []


def test_on_kill_stops_the_session_of_the_task(service, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://x:y@/?region_name=us-east-1")
    task = S3ToCloudIndexOperator(task_id="sync", bucket="bucket", state_url=f"sqlite:///{tmp_path}/state.db")
    task.on_kill()  # before it has begun

    def work() -> None:
        with task._session({}) as ctx:
            assert not ctx.stop.is_set()
            task.on_kill()
            assert ctx.stop.is_set()

    with pytest.raises(StoppedError):
        work()
