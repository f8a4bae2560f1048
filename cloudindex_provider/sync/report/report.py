"""The report of a run: every listed key accounted for. Reads the state, writes nothing but the end.

What each count means and which add up is declared in ``state.counts``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from cloudindex_provider.api.limits import DEFAULT_MAX_REQUEST_SIZE
from cloudindex_provider.errors import SyncFailedError
from cloudindex_provider.state import pruning, runs
from cloudindex_provider.state.conditions import Outcome
from cloudindex_provider.state.counts import FATES, PARTS_OF_LISTED, REPORTED, WORK_FOUND
from cloudindex_provider.state.first_keys import FirstKey, read_first_keys
from cloudindex_provider.state.tally import DEFERRED, EXAMPLES, Tally, read_tally
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import Detection
from cloudindex_provider.sync.detect.held import held_remedy
from cloudindex_provider.sync.report.estimate import Estimate
from cloudindex_provider.sync.report.numbers import tell_backlog, tell_report
from cloudindex_provider.sync.report.overlaps import Overlap, name_of, read_former, read_overlaps
from cloudindex_provider.sync.report.progress import estimate_left
from cloudindex_provider.sync.report.summary import Problem, summary, things_to_do
from cloudindex_provider.sync.settings import SyncSettings
from cloudindex_provider.words import count, quoted, shortened, size

__all__ = ["SyncReport", "dry_report", "empty_report", "failure", "make_report"]

Row = dict[str, str | None]
_KEYS_OF = ("uploaded", "indexed", "adopted", "deleted", "held")


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
    project_id: str = ""
    bucket: str = ""
    prefix: str = ""
    sync_id: str = ""
    uploaded: list[Row] = field(default_factory=list)
    indexed: list[Row] = field(default_factory=list)
    adopted: list[Row] = field(default_factory=list)
    deleted: list[Row] = field(default_factory=list)
    held: list[Row] = field(default_factory=list)
    overlaps: list[Overlap] = field(default_factory=list)
    former: list[str] = field(default_factory=list)  # what the task has mirrored until now, at another prefix
    problems: list[Problem] = field(default_factory=list)  # why the run is red
    page_url: str | None = None  # where the page shows this sync
    imbalance: str | None = None
    dry_run: bool = False
    plan: dict[str, list[str]] = field(default_factory=dict)  # the first keys, of a dry run
    plan_hash: str | None = None
    named: int | None = None  # keys that the run was about, and no others; else the whole prefix
    left: Estimate = field(default_factory=lambda: Estimate(0, 0, DEFAULT_MAX_REQUEST_SIZE))  # to upload after the run

    def as_dict(self) -> dict[str, Any]:
        """A JSON-able dict; the counts are its own keys."""
        return {
            **self.counts,
            "summary": self.summary(),
            "to_do": things_to_do(self),
            "problems": [asdict(one) for one in self.problems],
            "source": self.source_id,
            "project_id": self.project_id,
            "bucket": self.bucket,
            "prefix": self.prefix,
            "sync_id": self.sync_id,
            "page_url": self.page_url,
            **{f"{name}_keys": getattr(self, name) for name in _KEYS_OF},
            "overlaps": [one.as_dict() for one in self.overlaps],
            "former": self.former,
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
            "held_remedy": self.held_remedy,
            "imbalance": self.imbalance,
            "dry_run": self.dry_run,
            "plan": self.plan,
            "plan_hash": self.plan_hash,
            "backlog": self.left.documents,
            "eta_seconds": None if self.left.seconds is None else round(self.left.seconds, 1),
            "requests_per_minute": self.left.requests_per_minute,
        }

    def first_rows(self) -> dict[str, list[Row]]:
        """The first keys of each outcome, by the name of its count; failures have their reasons elsewhere."""
        rows = {
            name: getattr(self, name) for name in (*_KEYS_OF, "quarantined", "kept", "deferred", "gone", "elsewhere")
        }
        rows["failed"] = [{"key": row["key"]} for row in self.failures if row["outcome"] == Outcome.FAILED]
        return rows | {"skipped": self.skips}

    @property
    def where(self) -> str:
        """The prefix, harmless to show."""
        return name_of(self.bucket, self.prefix, self.sync_id)

    def summary(self) -> str:
        """The run in one paragraph: what came of it, and first what a person must do."""
        return summary(self)

    def numbers(self) -> str:
        """The counts that aren't 0, in one line, and what is still to upload."""
        counts = [f"{name} {self.counts[name]:,}" for name in REPORTED if self.counts.get(name)]
        if self.left.documents:
            time = self.left.time()
            counts.append(f"backlog {self.left.documents:,}{f' ({time})' if time else ''}")
        return ", ".join(counts) or "nothing listed"


def empty_report(settings: SyncSettings, source_id: int | None = None) -> SyncReport:
    """Of a run that has detected nothing."""
    return SyncReport(
        counts=dict.fromkeys(REPORTED, 0),
        source_id=source_id or None,
        project_id=settings.project_id,
        bucket=settings.bucket,
        prefix=settings.prefix,
        sync_id=settings.sync_id,
        named=None if settings.keys is None else len(settings.keys),
    )


def make_report(ctx: SyncContext) -> SyncReport:
    """Account for the run and close it."""
    run = ctx.run()
    counted, tally = runs.counts(ctx.db, run), read_tally(ctx.db, run, keys=ctx.settings.keys)
    report = empty_report(ctx.settings, ctx.source.id)
    report.counts, report.held_reason = _counts(counted, tally), run.deletes_blocked
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
    for name, found in read_first_keys(ctx.db, run, [one for one in _KEYS_OF if report.counts[one]]).items():
        getattr(report, name).extend(_row(one) for one in found)
    report.overlaps, report.former = read_overlaps(ctx.db, run, counted), read_former(ctx.db, run)
    report.imbalance = _imbalance(report.counts)
    report.left = estimate_left(ctx, run)
    added = runs.finish_run(ctx.db, run, report.counts)
    tell_report(ctx, run, report.counts, added)
    tell_backlog(ctx, report.left.documents)
    pruning.prune_daily(ctx.db, ctx.source, days=ctx.history_days, sleep=ctx.sleep)
    return report


def _row(one: FirstKey) -> Row:
    return {"key": one.key, "reason": one.reason, "size": None if one.size is None else size(one.size)}


def dry_report(settings: SyncSettings, found: Detection, s3_requests: dict[str, int]) -> SyncReport:
    """What a run would do. Everything new or changed is shown as deferred, because nothing was tried."""
    counts = {name: found.counts.get(name, 0) for name in REPORTED}
    counts["deferred"] = counts["new"] + counts["changed"]
    report = empty_report(settings)
    report.counts, report.dry_run = counts, True
    report.skipped_by_reason = _named(found.counts, "skipped:")
    report.s3_requests = s3_requests
    report.held_reason = found.hold.reason if found.hold else None
    report.plan, report.plan_hash = found.examples, found.plan_hash
    report.left = Estimate(counts["deferred"], 0, DEFAULT_MAX_REQUEST_SIZE)  # their bytes aren't known
    return report


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


def failure(report: SyncReport, *, max_failed_documents: int) -> SyncFailedError | None:
    """Why the run may not pass for a success; ``None``: it may. The error has no report yet.

    :param max_failed_documents: failures that leave it green
    """
    if report.failed_now <= max_failed_documents:
        return None
    shown = "; ".join(f"{quoted(str(row['key']))}: {shortened(str(row['reason']), 400)}" for row in report.failures[:5])
    failed = count(report.failed_now, "document")
    return SyncFailedError(
        f"{failed} failed, and max_failed_documents is {max_failed_documents:,}: {shown}",
        hint="The next runs try again, and quarantine what goes on failing. Raise max_failed_documents to let such"
        " a run pass.",
    )
