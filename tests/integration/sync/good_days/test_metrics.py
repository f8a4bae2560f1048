"""A run's metrics are its report's counts, each told once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cloudindex_provider.local.faults import Fault
from cloudindex_provider.state.counts import CUMULATIVE, REPORTED
from cloudindex_provider.state.tally import read_lags
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.metrics import BACKLOG, LAG_P50, LAG_P95, METRICS, RUN_DURATION, RequestMetrics, metric_of
from cloudindex_provider.sync.report.report import make_report
from cloudindex_provider.sync.run import synchronize
from tests.support.mirror import Mirror


class Recorded:
    """Metrics, as a monitoring system keeps them."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.history: list[tuple[str, float]] = []
        self.timers: Counter[str] = Counter()

    def count(self, name: str, value: int) -> None:
        assert value > 0
        self.counters[name] += value

    def gauge(self, name: str, value: float) -> None:
        self.gauges[name] = value
        self.history.append((name, value))

    def timing(self, name: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.timers[name] += 1

    @property
    def names(self) -> set[str]:
        return {*self.counters, *self.gauges, *self.timers}


@pytest.fixture
def told() -> Recorded:
    return Recorded()


def observed(mirror: Mirror, told: Recorded, name: str | None = None, **changes: Any) -> SyncContext:
    return replace(mirror.context(name, **changes), metrics=told)


def test_a_run_s_metrics_are_its_report_s_counts(in_memory: Mirror, told: Recorded) -> None:
    """New, changed, broken, skipped and removed keys at once; counters added up over both runs."""
    in_memory.cloud.settings.fail_processing = ["broken"]
    in_memory.put_many(6)
    in_memory.put("odd.exe")
    first = synchronize(observed(in_memory, told))
    in_memory.put("0001.txt", "changed")
    in_memory.put("broken.txt", "broken")
    in_memory.remove("0002.txt")
    second = synchronize(observed(in_memory, told))
    assert (second.counts["changed"], second.counts["failed"], second.counts["deleted"]) == (1, 1, 1)
    for name in REPORTED:
        if name in CUMULATIVE:
            assert told.counters[metric_of(name)] == first.counts[name] + second.counts[name], name
        else:
            assert told.gauges[metric_of(name)] == second.counts[name], name
    assert told.timers[RUN_DURATION] == 2
    assert told.names <= {one.name for one in METRICS}


def test_the_backlog_is_told_at_its_finding_and_at_the_end(in_memory: Mirror, told: Recorded) -> None:
    in_memory.put_many(5)
    synchronize(observed(in_memory, told, max_documents_per_run=3))
    assert [value for name, value in told.history if name == BACKLOG] == [5, 2]


def test_a_report_that_is_made_again_tells_nothing_twice(in_memory: Mirror, told: Recorded) -> None:
    """A report's task may be tried again, or cleared by a person."""
    in_memory.put_many(3)
    ctx = observed(in_memory, told)
    synchronize(ctx)
    before = told.counters.copy()
    make_report(ctx)
    assert told.counters == before


def test_a_run_that_is_cleared_adds_what_it_does_anew(in_memory: Mirror, told: Recorded) -> None:
    """Its keys are accounted for from the beginning, what its steps did is added to."""
    in_memory.put_many(3)
    synchronize(observed(in_memory, told, "again"))
    in_memory.put("later.txt", "later")
    report = synchronize(observed(in_memory, told, "again"))
    assert (report.counts["indexed"], report.counts["uploaded"]) == (1, 4)
    assert (told.counters[metric_of("indexed")], told.counters[metric_of("uploaded")]) == (4, 4)


def test_a_run_of_named_keys_tells_what_it_does_and_not_what_the_prefix_is(in_memory: Mirror, told: Recorded) -> None:
    keys = in_memory.put_many(3)
    synchronize(observed(in_memory, told, keys=(keys[0],)))
    assert told.counters[metric_of("indexed")] == 1
    assert set(told.gauges) == {LAG_P50, LAG_P95}


def test_the_lag_is_counted_from_the_object_s_own_time(in_memory: Mirror, told: Recorded) -> None:
    """Median and 95th percentile of what the run has indexed, and of nothing else."""
    in_memory.put_many(2)
    in_memory.run()
    in_memory.execute("UPDATE object SET last_modified = '2001-01-01T00:00:00.000Z'")
    synchronize(observed(in_memory, told))
    assert LAG_P50 not in told.gauges  # nothing was indexed
    new = [in_memory.put(f"new{i}.txt", f"new {i}") for i in range(10)]
    ctx = observed(in_memory, told)
    report = synchronize(ctx)
    assert report.counts["indexed"] == len(new)
    for i, key in enumerate(new):  # as old as 0, 10, 20 ... seconds when they were processed
        at = f"(SELECT at FROM history WHERE key = '{key}' AND event = 'indexed')"
        modified = f"strftime('%Y-%m-%dT%H:%M:%fZ', {at} - {i * 10}, 'unixepoch')"
        in_memory.execute(f"UPDATE object SET last_modified = {modified} WHERE key = :key", key=key)
    make_report(ctx)
    assert (round(told.gauges[LAG_P50]), round(told.gauges[LAG_P95])) == (40, 90)


def test_requests_are_told_by_endpoint_with_their_repeats(in_memory: Mirror, told: Recorded) -> None:
    """A 429 and an answer 503, each followed by a request that works."""
    in_memory.put_many(2)
    in_memory.cloud.faults.add(Fault(operation="upload", kind="429", retry_after=0.0, times=1))
    in_memory.cloud.faults.add(Fault(operation="list", kind="status", status=503, times=1))
    with in_memory.new_client(observer=RequestMetrics(told), max_wait=3.0) as client:
        synchronize(observed(in_memory, told, client=client))
    assert told.counters["cloudindex.request.rate_limited"] == 1
    assert told.counters["cloudindex.request.broken"] == 1
    assert told.counters["cloudindex.request.repeated"] == 2
    assert told.timers["cloudindex.request.upload_documents"] == 2
    assert sum(number for name, number in told.timers.items() if ".request." in name) == client.request_count


def test_the_lag_of_a_large_run_is_that_of_some_of_its_documents(in_memory: Mirror, monkeypatch: Any) -> None:
    """Spread evenly over the keys, so that a first load of millions doesn't need the memory of all."""
    monkeypatch.setattr("cloudindex_provider.state.tally._MOST_LAGS", 5)
    keys = in_memory.put_many(20)
    in_memory.run("large")
    for number, key in enumerate(keys):
        modified = datetime.fromtimestamp(in_memory.db.clock() - 1000 * (number + 1), UTC)
        in_memory.execute("UPDATE object SET last_modified = :m WHERE key = :k", m=modified.isoformat(), k=key)
    lags = read_lags(in_memory.db, in_memory.context("large").run(), 20)
    assert [round(lag, -3) for lag in sorted(lags)] == [4000, 8000, 12000, 16000, 20000]
