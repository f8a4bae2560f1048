"""What a person is told of a plan, a rebuild and an audit, a sentence a line: by commands and in the logs of tasks."""

from __future__ import annotations

from datetime import UTC, datetime

from cloudindex_provider.sync.repair.audit import Audit
from cloudindex_provider.sync.repair.planning import PlanSummary
from cloudindex_provider.sync.repair.rebuild import Rebuild, Survey
from cloudindex_provider.sync.report.estimate import duration
from cloudindex_provider.sync.settings import SyncSettings

__all__ = ["audit_line", "plan_lines", "rebuilt_lines", "survey_lines", "when"]


def plan_lines(summary: PlanSummary, settings: SyncSettings) -> list[str]:
    """The plan in numbers, and what its numbers don't say."""
    size = f"{summary.uploads:,} uploads of {summary.upload_bytes:,} bytes"
    lines = [f"{size}, {0 if summary.held else summary.deletes:,} deletes. Hash {summary.hash}."]
    if there := summary.counts.get("adopted"):
        lines.append(
            f"{there:,} uploads are of keys that have a document already; it is adopted where its bytes are the same."
        )
    if settings.keeps_removed and summary.counts["removed"]:
        removed = f"{summary.counts['removed']:,} removed keys"
        lines.append(f"The documents of {removed} are kept, because on_removed is keep.")
    if settings.plan_hash not in (None, summary.hash):
        lines.append(f"It isn't the plan {settings.plan_hash}: a run that is bound to that one does nothing.")
    if summary.held:
        lines.append(f"{summary.deletes:,} deletes are held: {summary.held}.")
    return lines


def survey_lines(found: Survey, settings: SyncSettings) -> list[str]:
    """What there is to read, before it is read."""
    lines = [
        f"s3://{settings.bucket}/{settings.prefix}: {found.listed:,} keys, of which {found.keys:,} are selected and"
        f" have documents; CloudIndex has {found.documents:,} documents.",
        f"To read: {found.keys:,} keys, {found.bytes:,} bytes at most, about {duration(max(1.0, found.seconds))}."
        " Objects with a SHA-256 of S3's own aren't read.",
    ]
    if found.orphans:
        names = ", ".join(found.orphan_names)
        lines.append(
            f"{found.orphans:,} documents are named like ours, but not after a listed key; not touched: {names}"
        )
    return lines


def rebuilt_lines(done: Rebuild) -> list[str]:
    """What was made."""
    lines = [
        f"Made again: {done.indexed:,} indexed, {done.processing:,} processing, {done.pending:,} to upload,"
        f" {done.skipped:,} not selected; {done.copies:,} copies will be removed,"
        f" {done.dropped:,} old rows are dropped.",
        *([f"{done.kept:,} keys that weren't found keep their documents: the next sync decides."] if done.kept else []),
        f"Read {done.bytes_read:,} bytes; S3's own SHA-256 was enough for {done.checksums:,} keys.",
    ]
    if done.unreadable:
        first = "; ".join(f"{row['key']}: {row['reason']}" for row in done.unreadable_keys[:3])
        lines.append(f"{done.unreadable:,} keys couldn't be read and count as changed: {first}")
    return lines


def audit_line(done: Audit) -> str:
    """What was compared."""
    return f"Compared {done.rows:,} rows, {done.listed:,} keys in S3 and {done.documents:,} documents."


def when(at: float | None) -> str | None:
    """A time of the state as ISO 8601 in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
