"""429 in every form: nothing is sent before the time, nothing spins, and no worker sleeps for an hour."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.errors import RateLimitedError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.local.settings import Settings
from tests.support.memory_s3 import MemoryS3
from tests.support.mirror import Mirror

STYLES = ["seconds", "date", "reset_only", "reset_ms"]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Mirror]:
    """A sync whose index counts requests, on a server of its own."""
    s3 = MemoryS3()
    with LocalCloudIndex(tmp_path / "index", settings=Settings()) as cloud:
        mirror = Mirror(tmp_path, cloud, s3, s3)
        yield mirror
        mirror.close()


def refused_at(mirror: Mirror) -> list[float]:
    return [request.ended or 0.0 for request in mirror.log if request.status == 429]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("operation", ["upload", "list", "get", "delete"])
def test_a_long_wait_is_for_airflow_and_not_for_the_worker(limited: Mirror, style: Any, operation: Any) -> None:
    """The task ends at once with the seconds to wait, nothing is marked, and the next try goes on."""
    mirror = limited
    mirror.cloud.settings.retry_after_style = style
    mirror.cloud.settings.processing_delay = 0.05
    mirror.put_many({"list": 8, "get": 1}.get(operation, 2))
    if operation == "delete":
        mirror.run()
        mirror.remove("0001.txt")
    mirror.cloud.faults.add(Fault(operation=operation, kind="429", retry_after=1800))
    began = time.monotonic()
    with pytest.raises(RateLimitedError) as caught:
        mirror.run("run")
    assert time.monotonic() - began < 60
    assert 1790 <= (caught.value.retry_after or 0) <= 1802
    assert caught.value.retryable
    assert len(refused_at(mirror)) == 1
    assert not any(row.attempts or row.claim_owner for row in mirror.rows().values())
    mirror.run_to_the_end("run")
    mirror.assert_agreement()


@pytest.mark.parametrize("style", STYLES)
def test_a_short_wait_is_kept_in_place_to_the_end(limited: Mirror, style: Any) -> None:
    """No request comes before the time that the service named, and the run goes on by itself."""
    mirror = limited
    mirror.client.close()
    mirror.client = mirror.new_client(max_wait=5.0)
    mirror.cloud.settings.retry_after_style = style
    mirror.cloud.faults.add(Fault(operation="upload", kind="429", retry_after=1.2))
    mirror.put_many(2)
    mirror.run()
    mirror.assert_agreement()
    (refused,) = refused_at(mirror)
    later = [request.started for request in mirror.log if request.started > refused]
    # Whole seconds are all that these headers can say; a time in the past of a second is rounded up by the service.
    assert min(later) - refused >= 0.9
    assert len([r for r in mirror.log if r.operation == "upload"]) == 2


def test_a_reset_in_the_past_is_no_reason_to_hammer(limited: Mirror) -> None:
    """A service that refuses and says that the time is over is asked three times a try, with growing waits."""
    mirror = limited
    mirror.client.close()
    mirror.client = mirror.new_client(max_wait=5.0)
    mirror.cloud.settings.retry_after_style = "reset_past"
    mirror.cloud.faults.add(Fault(operation="upload", kind="429", times=None))
    mirror.put_many(2)
    with pytest.raises(RateLimitedError) as caught:
        mirror.run("run")
    assert caught.value.retryable
    times = [request.started for request in mirror.log if request.operation == "upload"]
    assert len(times) == 3
    assert times[1] - times[0] >= 0.4
    assert times[2] - times[1] >= 0.9
    assert {row.status for row in mirror.rows().values()} == {"pending"}


def test_a_minute_s_budget_that_runs_out_loses_nothing(limited: Mirror) -> None:
    """The service counts and refuses in the middle of a run; tries later everything is there once."""
    mirror = limited
    mirror.cloud.settings.window = 1.0
    mirror.cloud.settings.requests_per_window = 2
    mirror.put_many(65)
    mirror.sleep = time.sleep  # type: ignore[method-assign, assignment]
    mirror.run_to_the_end(tries=30)
    mirror.cloud.settings.requests_per_window = 1000
    mirror.run()
    mirror.assert_agreement()
    assert mirror.uploads == 65
