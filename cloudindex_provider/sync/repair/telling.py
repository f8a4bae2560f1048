"""What a person is told of a plan, a rebuild and an audit, a sentence a line: by commands and in the logs of tasks."""

from __future__ import annotations

from datetime import UTC, datetime

from cloudindex_provider.sync.repair.audit import Audit
from cloudindex_provider.sync.repair.planning import PlanSummary
from cloudindex_provider.sync.repair.rebuild import Rebuild, Survey
from cloudindex_provider.sync.settings import SyncSettings
from cloudindex_provider.words import count, duration, plain, quoted, shortened

__all__ = ["audit_line", "plan_lines", "rebuilt_lines", "survey_lines", "when"]


def plan_lines(summary: PlanSummary, settings: SyncSettings) -> list[str]:
    """The plan in numbers, and what its numbers don't say."""
    uploads = f"{count(summary.uploads, 'upload')} of {count(summary.upload_bytes, 'byte')}"
    lines = [f"{uploads}, {count(0 if summary.held else summary.deletes, 'delete')}. Hash {summary.hash}."]
    if there := summary.counts.get("adopted"):
        lines.append(
            f"{count(there, 'upload is', 'uploads are')} of keys that have a document already; it is adopted where its"
            " bytes are the same."
        )
    if settings.keeps_removed and summary.counts["removed"]:
        removed = count(summary.counts["removed"], "removed key")
        lines.append(f"The documents of {removed} are kept, because on_removed is keep.")
    if settings.plan_hash not in (None, summary.hash):
        lines.append(f"It isn't the plan {settings.plan_hash}: a run that is bound to that one does nothing.")
    if summary.held:
        lines.append(f"{count(summary.deletes, 'delete is', 'deletes are')} held: {summary.held}.")
    return lines


def survey_lines(found: Survey, settings: SyncSettings) -> list[str]:
    """What there is to read, before it is read."""
    lines = [
        f"s3://{settings.bucket}/{plain(settings.prefix)}: {count(found.listed, 'key')}, of which {found.keys:,}"
        f" selected and with documents; CloudIndex has {count(found.documents, 'document')}.",
        f"To read: {count(found.keys, 'key')}, {count(found.bytes, 'byte')} at most, about"
        f" {duration(max(1.0, found.seconds))}."
        " Objects with a SHA-256 of S3's own aren't read.",
    ]
    if found.orphans:
        names = ", ".join(map(plain, found.orphan_names))
        orphans = count(found.orphans, "document is", "documents are")
        lines.append(f"{orphans} named like ours, but not after a listed key; not touched: {names}")
    return lines


def rebuilt_lines(done: Rebuild) -> list[str]:
    """What was made."""
    lines = [
        f"Made again: {done.indexed:,} indexed, {done.processing:,} processing, {done.pending:,} to upload,"
        f" {done.skipped:,} not selected; {count(done.copies, 'copy', 'copies')} will be removed,"
        f" {count(done.dropped, 'old row is', 'old rows are')} dropped.",
        *(
            [f"Not found, and with their documents kept: {count(done.kept, 'key')}; the next sync decides."]
            if done.kept
            else []
        ),
        f"Read {count(done.bytes_read, 'byte')}; S3's own SHA-256 was enough for {count(done.checksums, 'key')}.",
    ]
    if done.unreadable:
        first = "; ".join(
            f"{quoted(str(row['key']))}: {shortened(str(row['reason']))}" for row in done.unreadable_keys[:3]
        )
        unreadable = count(done.unreadable, "key couldn't be read and counts", "keys couldn't be read and count")
        lines.append(f"{unreadable} as changed: {first}")
    return lines


def audit_line(done: Audit) -> str:
    """What was compared."""
    rows, keys, documents = count(done.rows, "row"), count(done.listed, "key"), count(done.documents, "document")
    return f"Compared {rows}, {keys} in S3 and {documents}."


def when(at: float | None) -> str | None:
    """A time of the state as ISO 8601 in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
