"""The report of a run: every listed key accounted for, or the run fails. Reads the state, writes nothing but the end.

listed        = unchanged + new + changed + skipped
new + changed = indexed + failed + quarantined + deferred + gone + elsewhere
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cloudindex_provider.api.limits import DEFAULT_MAX_REQUEST_SIZE
from cloudindex_provider.errors import SyncFailedError
from cloudindex_provider.state import history, runs
from cloudindex_provider.state.tally import Tally, read_tally
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import Detection
from cloudindex_provider.sync.report.estimate import Estimate
from cloudindex_provider.sync.report.progress import estimate_left

__all__ = ["COUNTS", "SyncReport", "dry_report", "judge", "make_report"]

COUNTS = (
    "listed", "unchanged", "new", "changed", "removed", "skipped",
    "uploaded", "adopted", "indexed", "failed", "quarantined", "deferred", "gone", "elsewhere",
    "held", "excluded", "stale", "deleted", "bytes", "requests",
)  # fmt: skip

Row = dict[str, str | None]


@dataclass(slots=True)
class SyncReport:
    """What a run did, in numbers and first examples."""

    counts: dict[str, int] = field(default_factory=dict)
    skipped_by_reason: dict[str, int] = field(default_factory=dict)
    s3_requests: dict[str, int] = field(default_factory=dict)
    failures: list[Row] = field(default_factory=list)  # of this run
    quarantined: list[Row] = field(default_factory=list)  # all there are
    skips: list[Row] = field(default_factory=list)
    held_reason: str | None = None
    imbalance: str | None = None
    dry_run: bool = False
    plan: dict[str, list[str]] = field(default_factory=dict)  # the first keys, of a dry run
    plan_hash: str | None = None
    left: Estimate = field(default_factory=lambda: Estimate(0, 0, DEFAULT_MAX_REQUEST_SIZE))  # to upload after the run

    def as_dict(self) -> dict[str, Any]:
        """A JSON-able dict; the counts are its own keys."""
        return {
            **self.counts,
            "skipped_by_reason": self.skipped_by_reason,
            "s3_requests": self.s3_requests,
            "failures": self.failures,
            "quarantined_keys": self.quarantined,
            "skips": self.skips,
            "held_reason": self.held_reason,
            "imbalance": self.imbalance,
            "dry_run": self.dry_run,
            "plan": self.plan,
            "plan_hash": self.plan_hash,
            "backlog": self.left.documents,
            "eta_seconds": None if self.left.seconds is None else round(self.left.seconds, 1),
            "requests_per_minute": self.left.requests_per_minute,
        }

    def summary(self) -> str:
        """The counts that aren't 0, in one line, and what is still to upload."""
        counts = [f"{name} {self.counts[name]:,}" for name in COUNTS if self.counts.get(name)]
        if self.left.documents:
            time = self.left.time()
            counts.append(f"backlog {self.left.documents:,}{f' ({time})' if time else ''}")
        return ", ".join(counts) or "nothing listed"


def make_report(ctx: SyncContext) -> SyncReport:
    """Account for the run and close it."""
    run = ctx.run()
    counted, tally = runs.counts(ctx.db, run), read_tally(ctx.db, run)
    report = SyncReport(
        counts=_counts(counted, tally, named=ctx.settings.keys is not None), held_reason=run.deletes_blocked
    )
    report.skipped_by_reason = _named(counted, "skipped:")
    report.s3_requests = _named(counted, "s3:")
    report.failures = [{"key": key, "outcome": what, "reason": why} for key, what, why in tally.failures]
    report.quarantined = [{"key": key, "reason": why} for key, _, why in tally.quarantined]
    report.skips = [{"key": key, "reason": why} for key, _, why in tally.skips]
    report.imbalance = _imbalance(report.counts, tally)
    report.left = estimate_left(ctx, run)
    runs.finish_run(ctx.db, run)
    history.prune_daily(ctx.db, ctx.source, days=ctx.history_days)
    return report


def dry_report(found: Detection, s3_requests: dict[str, int]) -> SyncReport:
    """What a run would do. Everything new or changed is shown as deferred, because nothing was tried."""
    counts = {name: found.counts.get(name, 0) for name in COUNTS}
    counts["deferred"] = counts["new"] + counts["changed"]
    return SyncReport(
        counts=counts,
        skipped_by_reason=_named(found.counts, "skipped:"),
        s3_requests=s3_requests,
        held_reason=found.hold.reason if found.hold else None,
        dry_run=True,
        plan=found.examples,
        plan_hash=found.plan_hash,
        left=Estimate(counts["deferred"], 0, DEFAULT_MAX_REQUEST_SIZE),  # their bytes aren't known
    )


def _named(counted: dict[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): value for name, value in counted.items() if name.startswith(prefix)}


def _counts(counted: dict[str, int], tally: Tally, *, named: bool) -> dict[str, int]:
    counts = {name: counted.get(name, 0) for name in COUNTS}
    for (cls, outcome), number in tally.outcomes.items():
        if cls == "removed":
            continue
        if outcome == "skipped":  # the object said so when it was read: it is skipped, not new
            counts[cls] -= number
            counts["skipped"] += number
        else:
            counts[outcome or "deferred"] += number
    for fate, number in tally.untouched.items():
        counts[fate] += number
    counts["stale"] = tally.stale
    if tally.overlapping or named:  # a run of named keys works on the backlog that others left, too
        _share_with_other_runs(counts)
    return counts


def _accounted(counts: dict[str, int]) -> int:
    return sum(counts[name] for name in ("indexed", "failed", "quarantined", "deferred", "gone", "elsewhere"))


def _share_with_other_runs(counts: dict[str, int]) -> None:
    """Two runs at once share keys: what this one counted and the other did is elsewhere; the reverse is new here."""
    missing = counts["new"] + counts["changed"] - _accounted(counts)
    if missing > 0:
        counts["elsewhere"] += missing
    elif missing < 0:
        counts["new"] -= missing
        counts["listed"] -= missing


def _imbalance(counts: dict[str, int], tally: Tally) -> str | None:
    """What doesn't add up, or ``None``."""
    listed = counts["unchanged"] + counts["new"] + counts["changed"] + counts["skipped"]
    if counts["listed"] != listed:
        return f"listed {counts['listed']} isn't unchanged + new + changed + skipped = {listed}"
    work, accounted = counts["new"] + counts["changed"], _accounted(counts)
    if work != accounted:
        return (
            f"new + changed = {work} isn't indexed + failed + quarantined + deferred + gone + elsewhere = {accounted}"
        )
    return None


def judge(report: SyncReport, *, max_failed_documents: int) -> None:
    """Fail a run that may not pass for a success.

    :raises SyncFailedError: when more documents failed in this run than allowed, or its counts don't balance
    """
    if report.imbalance:
        raise SyncFailedError(
            f"The run's counts don't balance: {report.imbalance}.",
            report=report.as_dict(),
            hint="Nothing was deleted because of it. This is a bug: please report it with the task's log.",
        )
    failed = sum(1 for _ in report.failures)
    total = report.counts["failed"] + _newly_quarantined(report)
    if max(failed, total) > max_failed_documents:
        shown = "; ".join(f"{row['key']}: {row['reason']}" for row in report.failures[:5])
        raise SyncFailedError(
            f"{max(failed, total)} documents failed, {max_failed_documents} are allowed: {shown}",
            report=report.as_dict(),
            hint="They are tried again by the next runs, and set aside when their strikes are used up.",
        )


def _newly_quarantined(report: SyncReport) -> int:
    return sum(1 for row in report.failures if row["outcome"] == "quarantined")
