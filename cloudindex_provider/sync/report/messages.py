"""What a task's log says about a sync: what a person must do, each problem with its remedy, the table of outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudindex_provider.state.counts import DETECTED
from cloudindex_provider.sync.detect.detection import Detection
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.sync.report.summary import things_to_do
from cloudindex_provider.sync.report.table import table
from cloudindex_provider.sync.settings import SyncSettings
from cloudindex_provider.words import count, plain, quoted, shortened

__all__ = ["log_detection", "log_problems", "log_report"]

Log = Any  # Airflow's task logger is structlog's, a worker's is logging's

_SHOWN = 5  # examples of what needs no action


def log_detection(log: Log, settings: SyncSettings, found: Detection) -> None:
    """What S3 has, against what CloudIndex has."""
    counts = [f"{name} {found.counts[name]:,}" for name in DETECTED if found.counts.get(name)]
    log.info("%s: %s; %s to upload.", _where(settings), ", ".join(counts) or "nothing listed", f"{found.backlog:,}")
    _log_emptiness(log, settings, found.counts)
    if found.hold:
        removals = count(found.counts.get("removed", 0), "removal is", "removals are")
        log.warning("%s held: %s.", removals, found.hold.reason)


def log_report(log: Log, settings: SyncSettings, report: SyncReport) -> None:
    """A run's report, or a dry run's: first what a person must do, then every outcome with its first keys."""
    log_problems(log, report)
    what = "Dry run" if report.dry_run else "Report"
    log.info("%s of %s: %s", what, _where(settings), report.numbers())
    if report.dry_run:
        _log_emptiness(log, settings, report.counts)
        _log_plan(log, report)
    for row in report.failures:
        log.error("%s %s: %s", row["outcome"], quoted(str(row["key"])), shortened(str(row["reason"])))
    _log_warnings(log, report)
    if report.left.documents and not report.dry_run:
        log.info("Still to upload: %s.", report.left.backlog())
    _log_table(log, report)


def log_problems(log: Log, report: SyncReport) -> None:
    """Of a red run: why it is, and what a person must do, the most urgent first."""
    if not report.problems:
        return
    log.error("%s", report.summary())
    for number, one in enumerate(things_to_do(report), 1):
        log.error("To do, %d: %s", number, one)


def _log_plan(log: Log, report: SyncReport) -> None:
    for what, keys in report.plan.items():
        if keys:
            log.info("Would %s: %s", what, ", ".join(quoted(key) for key in keys))


def _log_table(log: Log, report: SyncReport) -> None:
    lines = table(report)
    if lines:
        log.info("Every outcome, with its first keys:")
    for line in lines:
        log.info("%s", line)
    if lines and not report.dry_run:
        log.info("All keys, and what happened to each: %s", report.page_url or "the page CloudIndex in Airflow's UI.")


def _log_warnings(log: Log, report: SyncReport) -> None:
    counts = report.counts
    if report.imbalance:
        log.warning(
            "The run's counts don't add up: %s. Nothing was done because of it; please report it with this log.",
            report.imbalance,
        )
    if stale := counts.get("stale"):
        what = count(stale, "document is", "documents are")
        log.warning("%s still served in an older version, because the new one failed.", what)
    if report.held_reason and (counts.get("held") or report.dry_run):
        number = counts.get("held") or counts.get("removed", 0)
        remedy = f" {report.held_remedy}" if report.held_remedy else ""
        what = count(number, "removal is", "removals are")
        log.warning("%s held, nothing of them is deleted: %s.%s", what, report.held_reason, remedy)
    if report.kept:
        shown = "; ".join(f"{quoted(str(row['key']))}: {shortened(str(row['reason']))}" for row in report.kept[:_SHOWN])
        what = count(counts.get("kept", 0), "removed key keeps its document", "removed keys keep their documents")
        log.warning("%s, the first of them %s", what, shown)
    if report.quarantined:
        _log_quarantined(log, report)
    for overlap in report.overlaps:
        what = count(overlap.keys, "key is", "keys are")
        first = ", ".join(quoted(key) for key in overlap.first)
        it = "it" if overlap.keys == 1 else "them"
        log.warning("%s skipped because another sync has %s: %s. %s", what, it, first, overlap.remedy)
    for text in report.former:
        log.warning("%s", text)


def _log_quarantined(log: Log, report: SyncReport) -> None:
    first = report.quarantined[0]
    when = f", this one from {first['again']} on" if first.get("again") else ""
    log.warning(
        "%s quarantined, the first of them %s: %s It is tried again when it changes in S3; without that a run tries a"
        " few a day%s. At once: Retry on the page CloudIndex in Airflow's UI, or"
        " `airflow cloudindex retry --source %s --all-quarantined`.",
        count(max(report.counts.get("quarantined", 0), len(report.quarantined)), "key is", "keys are"),
        quoted(str(first["key"])), shortened(str(first["reason"])), when, report.source_id,
    )  # fmt: skip


def _log_emptiness(log: Log, settings: SyncSettings, counts: Mapping[str, int]) -> None:
    if counts.get("listed") or settings.keys is not None:
        return
    log.warning("S3 lists nothing under %s.%s", _where(settings), _prefix_hint(settings.prefix))


def _prefix_hint(prefix: str) -> str:
    """What a prefix that lists nothing may have wrong."""
    hints = [
        hint
        for sign, hint in (
            (prefix.startswith("/"), "Keys seldom begin with a slash: is the first one meant?"),
            (any(sign in prefix for sign in "*?["), "A prefix has no wildcards: use include for them."),
            (prefix != prefix.lower(), "Keys are case-sensitive: is it written as in the bucket?"),
            (bool(prefix) and not prefix.endswith("/"), "It begins names, too: is a slash missing at its end?"),
        )
        if sign
    ]
    return " " + " ".join(hints or ["Check the bucket and the prefix."])


def _where(settings: SyncSettings) -> str:
    return plain(f"s3://{settings.bucket}/{settings.prefix}")
