"""The report of a run: every listed key accounted for. Reads the state, writes nothing but the end.

What each count means and which add up is declared in ``state.counts``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cloudindex_provider.api.limits import DEFAULT_MAX_REQUEST_SIZE
from cloudindex_provider.errors import SyncFailedError
from cloudindex_provider.state import pruning, runs
from cloudindex_provider.state.conditions import Outcome
from cloudindex_provider.state.counts import FATES, PARTS_OF_LISTED, REPORTED, WORK_FOUND
from cloudindex_provider.state.tally import DEFERRED, EXAMPLES, Tally, read_tally
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import Detection
from cloudindex_provider.sync.detect.held import held_remedy
from cloudindex_provider.sync.report.estimate import Estimate
from cloudindex_provider.sync.report.numbers import tell_backlog, tell_report
from cloudindex_provider.sync.report.progress import estimate_left

__all__ = ["SyncReport", "dry_report", "judge", "make_report"]

Row = dict[str, str | None]


@dataclass(slots=True)
class SyncReport:
    """What a run did, in numbers and first examples."""

    counts: dict[str, int] = field(default_factory=dict)
    skipped_by_reason: dict[str, int] = field(default_factory=dict)
    s3_requests: dict[str, int] = field(default_factory=dict)
    failures: list[Row] = field(default_factory=list)  # of this run
    quarantined: list[Row] = field(default_factory=list)  # all there are
    kept: list[Row] = field(default_factory=list)  # of removed keys whose documents stay
    skips: list[Row] = field(default_factory=list)
    failed_now: int = 0  # keys that failed or were quarantined in this run, of which ``failures`` are the first
    deferred: list[Row] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    elsewhere: list[Row] = field(default_factory=list)
    held_reason: str | None = None
    held_remedy: str | None = None  # where it is a person's to decide
    source_id: int | None = None  # as the command line names the source
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
            "kept_keys": self.kept,
            "skips": self.skips,
            "deferred_keys": self.deferred,
            "gone_keys": self.gone,
            "elsewhere_keys": self.elsewhere,
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
        counts = [f"{name} {self.counts[name]:,}" for name in REPORTED if self.counts.get(name)]
        if self.left.documents:
            time = self.left.time()
            counts.append(f"backlog {self.left.documents:,}{f' ({time})' if time else ''}")
        return ", ".join(counts) or "nothing listed"


def make_report(ctx: SyncContext) -> SyncReport:
    """Account for the run and close it."""
    run = ctx.run()
    counted, tally = runs.counts(ctx.db, run), read_tally(ctx.db, run, keys=ctx.settings.keys)
    report = SyncReport(counts=_counts(counted, tally), held_reason=run.deletes_blocked, source_id=ctx.source.id)
    if run.mass_delete and report.counts["held"]:
        report.held_remedy = held_remedy(ctx, run, report.counts["held"])
    report.skipped_by_reason = _named(counted, "skipped:")
    report.s3_requests = _named(counted, "s3:")
    report.failures = [{"key": key, "outcome": what, "reason": why} for key, what, why in tally.failures]
    report.quarantined = [{"key": key, "reason": why, "again": when} for key, why, when in tally.quarantined]
    report.kept = [{"key": key, "reason": why} for key, _, why in tally.kept_keys]
    report.skips = [{"key": key, "reason": why} for key, _, why in tally.skips]
    bad = (Outcome.FAILED, Outcome.QUARANTINED)
    report.failed_now = sum(number for (_, outcome), number in tally.outcomes.items() if outcome in bad)
    for name, keys in (
        (DEFERRED, report.deferred),
        (Outcome.GONE, report.gone),
        (Outcome.ELSEWHERE, report.elsewhere),
    ):
        keys += [{"key": key, "reason": why} for key, fate, why in tally.unsettled if fate == name][:EXAMPLES]
    report.imbalance = _imbalance(report.counts)
    report.left = estimate_left(ctx, run)
    runs.finish_run(ctx.db, run, report.counts)
    tell_report(ctx, run, report.counts, before=counted)
    tell_backlog(ctx, report.left.documents)
    pruning.prune_daily(ctx.db, ctx.source, days=ctx.history_days, sleep=ctx.sleep)
    return report


def dry_report(found: Detection, s3_requests: dict[str, int]) -> SyncReport:
    """What a run would do. Everything new or changed is shown as deferred, because nothing was tried."""
    counts = {name: found.counts.get(name, 0) for name in REPORTED}
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


def _counts(counted: dict[str, int], tally: Tally) -> dict[str, int]:
    counts = {name: counted.get(name, 0) for name in REPORTED}
    for (cls, outcome), number in tally.outcomes.items():
        if outcome == Outcome.SKIPPED:  # the object said so when it was read: it is skipped, not new
            counts[cls] -= number
            counts["skipped"] += number
        else:
            counts["quarantined" if outcome == Outcome.SET_ASIDE else outcome] += number
    for fate, number in tally.open.items():
        counts[fate] += number
    counts["stale"], counts["kept"] = tally.stale, tally.kept
    return counts


def _imbalance(counts: dict[str, int]) -> str | None:
    """What doesn't add up, or ``None``."""
    for whole, parts in ((("listed",), PARTS_OF_LISTED), (WORK_FOUND, FATES)):
        found, accounted = (sum(counts[name] for name in names) for names in (whole, parts))
        if found != accounted:
            return f"{' + '.join(whole)} = {found} isn't {' + '.join(parts)} = {accounted}"
    return None


def judge(report: SyncReport, *, max_failed_documents: int) -> None:
    """Fail a run that may not pass for a success.

    :raises SyncFailedError: when more documents failed in this run than allowed
    """
    if report.failed_now > max_failed_documents:
        shown = "; ".join(f"{row['key']}: {row['reason']}" for row in report.failures[:5])
        failed = f"{report.failed_now:,} document{'' if report.failed_now == 1 else 's'} failed"
        raise SyncFailedError(
            f"{failed}, and max_failed_documents is {max_failed_documents}: {shown}",
            report=report.as_dict(),
            hint="The next runs try again, and quarantine what goes on failing. Raise max_failed_documents to let such"
            " a run pass.",
        )
