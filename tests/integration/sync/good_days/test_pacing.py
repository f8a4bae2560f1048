"""Pacing and waiting against the embedded CloudIndex: one budget of many tasks, and what a look costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.api.ratelimit import LocalPacer
from cloudindex_provider.errors import RateLimitedError, StoppedError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.local.settings import Settings
from cloudindex_provider.state import budgets
from cloudindex_provider.state.budgets import ListCost
from cloudindex_provider.state.pacer import SharedPacer
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.upload.loop import upload
from cloudindex_provider.sync.wait import wait
from tests.support.memory_s3 import MemoryS3
from tests.support.mirror import Mirror, waiting


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Mirror]:
    """A sync whose index counts requests, on a server of its own."""
    s3 = MemoryS3()
    with LocalCloudIndex(tmp_path / "index", settings=Settings()) as cloud:
        mirror = Mirror(tmp_path, cloud, s3, s3)
        yield mirror
        mirror.close()


def refused(mirror: Mirror) -> int:
    return sum(request.status == 429 for request in mirror.log)


def test_tasks_of_one_budget_are_hardly_ever_refused(limited: Mirror) -> None:
    """Four tasks, each with a client of its own and a pacer over the same state; ten requests a second, no more."""
    mirror = limited
    mirror.cloud.settings.window = 1.0
    mirror.cloud.settings.requests_per_window = 10
    errors: list[BaseException] = []

    def task() -> None:
        try:
            with mirror.new_client(pacer=SharedPacer(mirror.db, "b"), max_wait=5.0) as client:
                for _ in range(8):
                    client.check(project_id=mirror.project_id)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=task) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(request.status == 200 for request in mirror.log) == 32
    assert refused(mirror) <= 3  # 32 requests at once would be refused 22 times


def test_uploads_looks_and_deletes_share_one_budget(limited: Mirror) -> None:
    """A whole sync keeps to the limit with all that it asks."""
    mirror = limited
    mirror.client.close()
    mirror.client = mirror.new_client(pacer=SharedPacer(mirror.db, "b"), max_wait=5.0)
    mirror.cloud.settings.window = 1.0
    mirror.cloud.settings.requests_per_window = 5
    mirror.put_many(45)
    mirror.run()
    mirror.remove("0001.txt", "0002.txt", "0003.txt", "0004.txt")
    mirror.run()
    mirror.assert_agreement()
    assert refused(mirror) <= 1
    assert {"upload", "list", "delete"} <= {request.operation for request in mirror.log}


def test_an_hours_refusal_stops_every_task_without_a_request(limited: Mirror) -> None:
    mirror = limited
    mirror.put_many(2)
    mirror.cloud.faults.add(Fault(operation="upload", kind="429", retry_after=1800))
    for number in range(3):
        mirror.client.close()
        mirror.client = mirror.new_client(pacer=SharedPacer(mirror.db, "b"))
        with pytest.raises(RateLimitedError) as caught:
            mirror.run(f"run{number}")
        assert 1700 < (caught.value.retry_after or 0) <= 1801
    assert [request.operation for request in mirror.log] == ["list", "upload"]  # the first look, and the refused one


def waiting_run(mirror: Mirror, documents: int) -> None:
    """A run with documents that CloudIndex has processed when they are looked at, once."""
    mirror.cloud.settings.processing_delay = 0.0
    mirror.put_many(documents, start=mirror.uploads)
    ctx = mirror.context()
    detect(ctx)
    upload(ctx)
    waiting(lambda: {one["status"] for some in mirror.documents().values() for one in some} == {"processed"})
    assert wait(ctx).waiting == 0


def test_a_first_list_teaches_what_the_next_costs(limited: Mirror) -> None:
    """A list in pages of two is dear: it is asked for once, and after that a few documents are got one by one."""
    mirror = limited
    mirror.cloud.settings.list_style = "paged"
    mirror.cloud.settings.page_size = 2
    waiting_run(mirror, 12)
    assert mirror.requests("list") == 6
    assert budgets.last_list(mirror.db, mirror.project_id) == ListCost(6, 12)
    waiting_run(mirror, 3)
    assert (mirror.requests("list"), mirror.requests("get")) == (6, 3)


class Dear:
    """A pacer under a low limit, without its waits."""

    def __init__(self, spacing: float) -> None:
        self.spacing = spacing

    def before(self, operation: str) -> None: ...

    def after(self, *args: Any, **more: Any) -> None: ...


@pytest.mark.parametrize(("spacing", "operation"), [(0.0, "get"), (0.6, "list")])
def test_what_a_request_costs_decides_how_to_look(limited: Mirror, spacing: float, operation: str) -> None:
    """Three documents among many: single gets where requests are cheap, one list where there are few of them."""
    mirror = limited
    budgets.record_list(mirror.db, mirror.project_id, ListCost(1, 30_000))
    mirror.client.close()
    mirror.client = mirror.new_client(pacer=Dear(spacing))
    waiting_run(mirror, 3)
    asked = {name: mirror.requests(name) for name in ("get", "list")}
    assert asked == {"get": 0, "list": 0} | ({"get": 3} if operation == "get" else {"list": 1})


def test_a_client_without_a_state_keeps_a_pace_of_its_own(limited: Mirror) -> None:
    mirror = limited
    mirror.cloud.settings.window = 1.0
    mirror.cloud.settings.requests_per_window = 5
    with mirror.new_client(pacer=LocalPacer()) as client:
        for _ in range(12):
            client.check(project_id=mirror.project_id)
    assert refused(mirror) <= 1


def test_a_refused_upload_that_loses_a_row_meanwhile_leaves_nothing_in_doubt(in_memory: Mirror) -> None:
    """A 429 took nothing; before the next attempt another sweep finds a newer version of one of the files."""
    mirror = in_memory
    mirror.put_many(20)
    ctx = mirror.context("run")
    detect(ctx)

    def meanwhile(seconds: float) -> None:
        mirror.put("0003.txt", "a newer version")
        detect(mirror.context("other"))

    mirror.cloud.faults.add(Fault(operation="upload", kind="429", retry_after=1))
    with mirror.new_client(sleep=meanwhile, max_wait=30.0) as ctx.client:
        upload(ctx)
    assert (mirror.requests("upload"), mirror.requests("list")) == (2, 0)  # nothing was to be looked up
    assert {row.status for row in mirror.rows().values()} == {"processing"}
    mirror.run()
    mirror.assert_agreement()


def test_nothing_is_sent_after_the_stop(in_memory: Mirror) -> None:
    """A task that is stopped while it waits after a refusal gives everything back, and sends no more."""
    mirror = in_memory
    mirror.put_many(20)
    ctx = mirror.context("run")
    detect(ctx)
    mirror.cloud.faults.add(Fault(operation="upload", kind="429", retry_after=1))
    pacer = SharedPacer(mirror.db, "b", stop=ctx.stop)
    with (
        mirror.new_client(pacer=pacer, sleep=lambda _: ctx.stop.set(), max_wait=30.0) as ctx.client,
        pytest.raises(StoppedError),
    ):
        upload(ctx)
    assert mirror.requests("upload") == 1
    assert {(row.status, row.claim_owner) for row in mirror.rows().values()} == {("pending", None)}
