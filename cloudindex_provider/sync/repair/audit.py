"""Comparing state, S3 and CloudIndex with each other, and putting the state right where they differ.

The state is read first, then CloudIndex's list, then S3's: what a run changes meanwhile is seen by its row's revision
and left out. An audit deletes nothing itself: what it finds too many goes with the next run's delete step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.s3.gathered import gathered
from cloudindex_provider.state import repairs, runs, superseded
from cloudindex_provider.state.records import Finding, Source
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.repair.index_copy import IndexCopy, Listed, index_copy, stage_index
from cloudindex_provider.sync.settings import SyncSettings
from cloudindex_provider.sync.wait import poll

__all__ = ["KINDS", "STUCK_HOURS", "Audit", "audit", "audit_settings", "check_hours", "findings"]

KINDS = {
    "gone": "tracked, but gone from CloudIndex",
    "differs": "the document has other bytes than were uploaded, or its processing has failed since",
    "untracked": "a second document under a tracked key's name",
    "stuck": "CloudIndex doesn't finish processing",
    "removed": "live, but S3 lists the key no more; the next sync decides",
    "rowless": "in S3 and in CloudIndex, but not in the state; rebuild it",
}
STUCK_HOURS = 24.0
_BLOCK = 500
_EXAMPLES = 10


@dataclass(slots=True)
class Audit:
    """What was found, by kind: numbers, first keys, and how many were put right."""

    rows: int = 0  # of the source
    listed: int = 0
    documents: int = 0
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    examples: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    repaired: dict[str, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not any(self.found.values())


def check_hours(stuck_hours: float) -> float:
    """Hours after which processing is taken to be stuck.

    :raises SettingsError: when they are none
    """
    if not stuck_hours >= 0:
        what = f"stuck_hours (--stuck-hours) is {stuck_hours:g}, not a number of hours."
        raise SettingsError(what, field="stuck_hours")
    return stuck_hours


def audit_settings(source: Source, *, request_payer: bool = False, dry_run: bool = False) -> SyncSettings:
    """Settings for an audit of this source, of which an audit needs no more than where it is.

    :param dry_run: it won't repair, so nothing is to be written
    """
    return SyncSettings(
        source.project_id,
        source.bucket,
        source.prefix,
        source.sync_id,
        request_payer=request_payer,
        dry_run=dry_run,
    ).validate()


def audit(ctx: SyncContext, *, repair: bool = False, user: str = "", stuck_hours: float = STUCK_HOURS) -> Audit:
    """Compare, and with ``repair`` put right what the state can be put right about.

    :raises IncompleteListError: when CloudIndex's list isn't whole; nothing is decided by it
    :raises S3IntegrationError: when the listing doesn't reach its end
    """
    done = Audit()
    with index_copy() as copy:
        for rows in repairs.tracked_rows(ctx.db, ctx.source, stuck=stuck_hours * 3600):
            copy.add_tracked(rows)
            done.rows += sum(row.mine for row in rows)
        for ids in repairs.known_documents(ctx.db, ctx.settings.project_id):
            copy.add_known(ids)
        stage_index(ctx, copy)
        done.documents = copy.documents()
        _list(ctx, copy, done)
        # Copies first: putting a row right changes its revision, by which its other findings are found.
        for kind in ("untracked", "gone", "differs", "stuck", "removed", "rowless"):
            for block in findings(ctx, copy, kind):
                _note(done, kind, block)
                if repair:
                    _repair(ctx, kind, block, done, f"audit by {user}")
    if repair and done.found["stuck"]:
        _look_at_stuck(ctx, done, stuck_hours * 3600)
    return done


def _list(ctx: SyncContext, copy: IndexCopy, done: Audit) -> None:
    with gathered(ctx.s3, ctx.settings.prefix) as listing:
        for page in listing.pages():
            storable = [item for item in page if "\0" not in item.key]
            copy.add_listed(Listed(*item, file_name(ctx.settings.bucket, item.key), None) for item in storable)
            done.listed += len(page)


def findings(ctx: SyncContext, copy: IndexCopy, kind: str) -> Iterator[list[Finding]]:
    """The differences of a kind, in blocks."""
    last: Finding | None = None
    while block := copy.findings(kind, last, _BLOCK):
        last = block[-1]
        # A row that was changed since it was read is somebody's work, and judged by a later audit.
        yield block if kind == "rowless" else repairs.unchanged(ctx.db, ctx.source, block)


def _note(done: Audit, kind: str, block: list[Finding]) -> None:
    done.found[kind] += len(block)
    shown = done.examples[kind]
    shown += [one.key for one in block[: _EXAMPLES - len(shown)]]


def _repair(ctx: SyncContext, kind: str, block: list[Finding], done: Audit, why: str) -> None:
    if kind == "untracked":
        number = superseded.supersede_found(ctx.db, ctx.source, block, why=why)
    elif kind in ("gone", "differs"):
        number = repairs.requeue(ctx.db, ctx.source, block, gone=kind == "gone", why=f"{why}: {KINDS[kind]}")
    else:
        return
    done.repaired[kind] = done.repaired.get(kind, 0) + number


def _look_at_stuck(ctx: SyncContext, done: Audit, stuck_after: float) -> None:
    """Ask about what is processing, as a run of its own would: processed is indexed; failed, gone or stuck a strike."""
    run = runs.start_run(ctx.db, ctx.source, ctx.name)
    try:
        seen = poll(ctx, stuck_after=stuck_after)
    finally:
        runs.finish_run(ctx.db, run)
    done.repaired["stuck"] = min(seen.indexed + seen.failed, done.found["stuck"])
