"""What a task's log says about a sync: numbers that aren't 0, then every problem with its key, cause and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudindex_provider.state.counts import DETECTED
from cloudindex_provider.sync.detect.detection import Detection
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.sync.settings import SyncSettings

__all__ = ["log_detection", "log_report"]

Log = Any  # Airflow's task logger is structlog's, a worker's is logging's

_SHOWN = 5  # examples of what needs no action


def log_detection(log: Log, settings: SyncSettings, found: Detection) -> None:
    """What S3 has, against what CloudIndex has."""
    counts = [f"{name} {found.counts[name]:,}" for name in DETECTED if found.counts.get(name)]
    log.info("%s: %s; %d to upload.", _where(settings), ", ".join(counts) or "nothing listed", found.backlog)
    _log_emptiness(log, settings, found.counts)
    if found.hold:
        log.warning("%d removals are held: %s.", found.counts.get("removed", 0), found.hold.reason)


def log_report(log: Log, settings: SyncSettings, report: SyncReport) -> None:
    """A run's report, or a dry run's."""
    log.info("%s of %s: %s", "Dry run" if report.dry_run else "Report", _where(settings), report.summary())
    if report.dry_run:
        _log_emptiness(log, settings, report.counts)
        for what, keys in report.plan.items():
            if keys:
                log.info("Would %s: %s", what, ", ".join(map(repr, keys)))
    for reason, number in sorted(report.skipped_by_reason.items()):
        log.info("Skipped as %s: %d", reason, number)
    for row in report.failures:
        log.error("%s %r: %s", row["outcome"], row["key"], row["reason"])
    _log_leftovers(log, report)


def _log_leftovers(log: Log, report: SyncReport) -> None:
    counts = report.counts
    if counts.get("deferred") and not report.dry_run:
        log.info("%d documents are left to the next run%s.", counts["deferred"], _first(report.deferred))
    if counts.get("gone"):
        log.info("%d objects are gone or others since they were listed%s.", counts["gone"], _first(report.gone))
    if counts.get("elsewhere"):
        log.info("%d keys are worked on elsewhere%s.", counts["elsewhere"], _first(report.elsewhere))
    if report.left.documents and not report.dry_run:
        log.info("Still to upload: %s.", report.left.backlog())
    if report.imbalance:
        log.warning(
            "The run's counts don't add up: %s. Nothing was done because of it; please report it with this log.",
            report.imbalance,
        )
    if counts.get("stale"):
        log.warning("%d documents are still served in an older version, because the new one failed.", counts["stale"])
    if report.held_reason and (counts.get("held") or report.dry_run):
        number = counts.get("held") or counts.get("removed")
        remedy = f" {report.held_remedy}" if report.held_remedy else ""
        log.warning("%s removals are held, nothing of them is deleted: %s.%s", number, report.held_reason, remedy)
    if report.kept:
        shown = "; ".join(f"{row['key']!r}: {row['reason']}" for row in report.kept[:_SHOWN])
        log.warning("%d removed keys keep their documents, the first of them %s", counts.get("kept", 0), shown)
    if report.quarantined:
        first = report.quarantined[0]
        when = f", this one from {first['again']} on" if first.get("again") else ""
        log.warning(
            "Some keys are quarantined, the first of them %r: %s It is tried again when it changes in S3; without that"
            " a run tries a few a day%s. At once: Retry on the page CloudIndex in Airflow's UI, or"
            " `airflow cloudindex retry --source %s --all-quarantined`.",
            first["key"], first["reason"], when, report.source_id,
        )  # fmt: skip


def _first(rows: Sequence[Mapping[str, str | None]]) -> str:
    return "".join(f"; {row['key']!r}: {row['reason']}" for row in rows[:_SHOWN])


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
    return f"s3://{settings.bucket}/{settings.prefix}"
