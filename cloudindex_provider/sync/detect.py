"""Detection: list S3, compare with the state, write what differs. Sends nothing to CloudIndex and deletes nothing."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field

from cloudindex_provider.sync.compare import Comparison
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.plan import Hold, delete_guard, request_estimate
from cloudindex_provider.sync.selection import selector
from cloudindex_provider.sync.source import ListedObject
from cloudindex_provider.sync.state import claims, runs, sweep
from cloudindex_provider.sync.state.database import BLOCK
from cloudindex_provider.sync.state.records import ObjectRow

__all__ = ["Detection", "detect"]

_EXAMPLES = 20  # keys that a dry run shows of each class

Block = tuple[list[ListedObject], list[ObjectRow]]


@dataclass(slots=True)
class Detection:
    """What a detection found. ``examples`` is filled by a dry run only."""

    counts: dict[str, int] = field(default_factory=dict)
    backlog: int = 0  # documents to upload, those of earlier runs included
    backlog_bytes: int = 0
    requests: int = 0  # about how many upload requests that is
    hold: Hold | None = None  # why removals won't be acted on
    examples: dict[str, list[str]] = field(default_factory=dict)


def detect(ctx: SyncContext) -> Detection:
    """Compare S3 with the state and queue what is new or changed.

    :raises S3IntegrationError: when the listing doesn't reach its end; nothing is removed then
    """
    run = None if ctx.settings.dry_run else runs.start_run(ctx.db, ctx.source, ctx.name)
    comparison = Comparison(ctx.source.id, selector(ctx.settings.selection))
    found = Detection()
    for listed, rows in _named(ctx) if ctx.settings.keys is not None else _swept(ctx):
        writes = comparison.block(listed, rows)
        if run is None:
            _remember(found, writes)
        elif writes.rows() or writes.counts:
            sweep.apply(ctx.db, run, writes)
        _add(found.counts, writes.counts)
    _close(ctx, found)
    if run is not None:
        sweep.finish(ctx.db, run, fingerprint=_fingerprint(ctx), hold=found.hold)
        runs.add_s3_calls(ctx.db, run, ctx.s3.take_calls())
        found.backlog, found.backlog_bytes = claims.backlog(ctx.db, ctx.source)
        found.requests = request_estimate(found.backlog, found.backlog_bytes, ctx.settings.limits.max_request_size)
    return found


def _swept(ctx: SyncContext) -> Iterator[Block]:
    """The whole prefix in blocks: what S3 lists in a range of keys, and the rows of the same range."""
    after: str | None = None
    for page in ctx.s3.pages(ctx.settings.prefix):
        start = 0
        while True:
            rows = sweep.read_block(ctx.db, ctx.source, after=after, upto=page[-1].key, limit=BLOCK)
            if len(rows) < BLOCK:
                break
            # More rows than fit: take the page's keys up to the last of them, then go on within the page.
            after = rows[-1].key
            end = bisect.bisect_right(page, after, key=lambda item: item.key)
            yield page[start:end], rows
            start = end
        yield page[start:], rows
        after = page[-1].key
    while rows := sweep.read_block(ctx.db, ctx.source, after=after, upto=None, limit=BLOCK):
        yield [], rows
        after = rows[-1].key


def _named(ctx: SyncContext) -> Iterator[Block]:
    """The named keys alone, each looked up by HEAD; a 404 counts as removed."""
    keys = sorted(set(ctx.settings.keys or ()))
    for start in range(0, len(keys), 100):
        some = keys[start : start + 100]
        yield [item for key in some if (item := ctx.s3.head(key))], sweep.read_keys(ctx.db, ctx.source, some)


def _close(ctx: SyncContext, found: Detection) -> None:
    counts = found.counts
    for name in ("listed", "new", "changed", "unchanged", "skipped", "removed", "excluded", "live"):
        counts.setdefault(name, 0)
    live, listed = counts["live"], counts["listed"]
    if ctx.settings.keys is not None:
        listed = 1  # named keys say nothing about an emptied prefix
        live = claims.live_documents(ctx.db, ctx.source) if counts["removed"] else 0  # reads every row
    found.hold = delete_guard(removed=counts["removed"], live=live, listed=listed, limits=ctx.settings.limits)
    changed = ctx.source.fingerprint not in (None, ctx.settings.selection.fingerprint())
    if found.hold is None and changed and counts["removed"]:
        found.hold = Hold("the selection has changed since the last run, so removals wait for the next one", mass=False)


def _fingerprint(ctx: SyncContext) -> str | None:
    # Named keys are no sweep: they judge nothing about the rest.
    return ctx.source.fingerprint if ctx.settings.keys is not None else ctx.settings.selection.fingerprint()


def _add(into: dict[str, int], more: dict[str, int]) -> None:
    for name, value in more.items():
        into[name] = into.get(name, 0) + value


def _remember(found: Detection, writes: sweep.SweepWrites) -> None:
    keys = {
        "upload": [item.key for item in writes.insert] + [item.key for _, item in writes.requeue],
        "skip": [item.key for item, _ in writes.insert_skipped] + [item.key for _, item, _ in writes.skip],
        "delete": [row.key for row in writes.removed],
    }
    for name, some in keys.items():
        shown = found.examples.setdefault(name, [])
        shown += some[: _EXAMPLES - len(shown)]
