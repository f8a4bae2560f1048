"""A run's report as metrics: the same counts, told once.

A run whose report is made again tells what has been added since; one that begins anew tells its state anew. What a run
of named keys finds isn't the state of its sync, so that only what it has done is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloudindex_provider.state import runs
from cloudindex_provider.state.counts import CUMULATIVE, REPORTED
from cloudindex_provider.state.records import Run
from cloudindex_provider.state.tally import read_lags
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.metrics import BACKLOG, LAG_P50, LAG_P95, RUN_DURATION, Metrics, metric_of

__all__ = ["tell_backlog", "tell_report"]


def tell_backlog(ctx: SyncContext, documents: int) -> None:
    """What is still to upload, in a run of the whole prefix."""
    if ctx.metrics is not None and ctx.settings.keys is None:
        ctx.metrics.gauge(BACKLOG, documents)


def tell_report(ctx: SyncContext, run: Run, counts: Mapping[str, int], added: Mapping[str, int]) -> None:
    """Tell a run's counts, how long it took, and how far behind S3 its documents were.

    :param added: what no earlier report of the run had counted
    """
    if ctx.metrics is None:
        return
    for name, value in added.items():
        if value:
            ctx.metrics.count(metric_of(name), value)
    if ctx.settings.keys is None:
        for name in (name for name in REPORTED if name not in CUMULATIVE):
            ctx.metrics.gauge(metric_of(name), counts[name])
    ctx.metrics.timing(RUN_DURATION, runs.run_age(ctx.db, run))
    if counts["indexed"]:
        _tell_lag(ctx.metrics, sorted(read_lags(ctx.db, run, counts["indexed"])))


def _tell_lag(metrics: Metrics, lags: Sequence[float]) -> None:
    if lags:
        metrics.gauge(LAG_P50, _percentile(lags, 50))
        metrics.gauge(LAG_P95, _percentile(lags, 95))


def _percentile(ordered: Sequence[float], per_cent: int) -> float:
    """The smallest of the values that at least so many per cent aren't above (nearest rank)."""
    rank = -(-len(ordered) * per_cent // 100)
    return round(ordered[max(0, rank - 1)], 3)
