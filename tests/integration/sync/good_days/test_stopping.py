"""A task that is stopped by SIGTERM hears it wherever it sleeps: Airflow calls ``on_kill`` in the signal's handler."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cloudindex_provider.errors import StoppedError
from cloudindex_provider.state.db.leases import lease
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.document_list import find_copies
from cloudindex_provider.sync.upload.loop import upload
from cloudindex_provider.sync.wait import wait
from tests.support.mirror import Mirror

SOON = 10.0  # seconds, on a machine that is busy; what is waited for takes minutes


@pytest.fixture
def asleep(in_memory: Mirror) -> Mirror:
    """A mirror whose tasks really sleep, and for long."""
    in_memory.sleep = time.sleep  # type: ignore[method-assign, assignment]
    return in_memory


@pytest.fixture
def terminated() -> Iterator[Callable[[SyncContext], None]]:
    """SIGTERM after half a second, which does nothing but what ``on_kill`` does."""
    before, timers = signal.getsignal(signal.SIGTERM), []

    def soon(ctx: SyncContext) -> None:
        signal.signal(signal.SIGTERM, lambda *_: ctx.stop.set())
        timers.append(threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)))
        timers[-1].start()

    yield soon
    for timer in timers:
        timer.join()
    signal.signal(signal.SIGTERM, before)


def seconds_until_stopped(work: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(StoppedError):
        work()
    return time.monotonic() - began


def test_waiting_for_processing_hears_it(asleep: Mirror, terminated: Callable[[SyncContext], None]) -> None:
    """Between two looks, which may be two minutes apart."""
    key = asleep.put("a.txt", "one")
    asleep.cloud.settings.processing_delay = 600.0
    ctx = asleep.context("run")
    ctx.poll_interval = 120.0
    detect(ctx)
    upload(ctx)
    terminated(ctx)
    assert seconds_until_stopped(lambda: wait(ctx)) < 0.5 + SOON
    assert asleep.rows()[key].status == "processing"  # the next try goes on with it


def test_waiting_for_a_lock_hears_it(asleep: Mirror, terminated: Callable[[SyncContext], None]) -> None:
    """Others' lists of all documents may take ten minutes."""
    ctx = asleep.context("run")
    with lease(asleep.db, f"list:{asleep.project_id}", "other", seconds=600, patience=0):
        terminated(ctx)
        assert seconds_until_stopped(lambda: find_copies(ctx, ["a"])) < 0.5 + SOON


def test_a_sleep_takes_its_time_where_nobody_stops_it(asleep: Mirror) -> None:
    """Neither shorter nor, by its many looks, much longer."""
    ctx = asleep.context("run")
    began = time.monotonic()
    ctx.sleep(0.6)
    assert 0.6 <= time.monotonic() - began < 5
