"""Detection: list S3, compare with the state, write what differs. Sends nothing to CloudIndex and deletes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cloudindex_provider.api.limits import request_estimate
from cloudindex_provider.errors import PlanChangedError
from cloudindex_provider.s3.ranges import KeyRange, even_bounds, key_ranges
from cloudindex_provider.state import blocks, claims, runs, sweep
from cloudindex_provider.state.approvals import Hold, find_approval
from cloudindex_provider.state.counts import DETECTED
from cloudindex_provider.state.db.database import BLOCK
from cloudindex_provider.state.listings import read_bounds
from cloudindex_provider.state.records import Run, SweepWrites
from cloudindex_provider.state.tally import EXAMPLES
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.collector import rare_collections
from cloudindex_provider.sync.detect.comparison import Comparison
from cloudindex_provider.sync.detect.guard import delete_guard
from cloudindex_provider.sync.detect.plan import PlanHash, PlanItem, plan_items
from cloudindex_provider.sync.detect.scan import scan
from cloudindex_provider.sync.detect.ways import Way, first_way, slower_ways
from cloudindex_provider.sync.selection import block_selector, selector

__all__ = ["Detection", "detect", "preview"]

_MANY_NEW = 10_000  # rows that change what a database should know of its table


@dataclass(slots=True)
class Detection:
    """What a detection found. ``examples`` and ``plan_hash`` are filled where nothing was written."""

    counts: dict[str, int] = field(default_factory=dict)
    backlog: int = 0  # documents to upload, those of earlier runs included
    backlog_bytes: int = 0
    requests: int = 0  # about how many upload requests that is
    hold: Hold | None = None  # why removals won't be acted on
    examples: dict[str, list[str]] = field(default_factory=dict)
    plan_hash: str = ""


def detect(ctx: SyncContext) -> Detection:
    """Compare S3 with the state and queue what is new or changed; a dry run only looks.

    :raises S3IntegrationError: when the listing doesn't reach its end; nothing is removed then
    :raises PlanChangedError: when the run is bound to a plan and would do something else
    """
    with rare_collections():
        return _detect(ctx)


def _detect(ctx: SyncContext) -> Detection:
    if ctx.settings.dry_run:
        return _preview(ctx)
    if ctx.settings.plan_hash:
        _check_plan(ctx, _preview(ctx).plan_hash)
    if ctx.settings.keys is not None:
        return _sweep(ctx, Way.ONE_RANGE)
    return slower_ways(ctx, first_way(ctx), lambda way: _sweep(ctx, way))


def _sweep(ctx: SyncContext, way: Way) -> Detection:
    run = runs.start_run(ctx.db, ctx.source, ctx.name)
    found, digest = Detection(), PlanHash()
    pending = SweepWrites()
    ranges = _ranges(ctx, way)
    for writes in _compared(ctx, found, ranges, way):
        if ctx.settings.plan_hash:
            _feed(ctx, digest, writes)
        if pending.rows() + writes.rows() > BLOCK:
            sweep.apply(ctx.db, run, pending)
            pending = SweepWrites()
        pending.add(writes)
    sweep.apply(ctx.db, run, pending)
    if ctx.settings.plan_hash:  # S3 may have changed since the look above; nothing is uploaded before this
        _check_plan(ctx, digest.hexdigest())
    if found.counts["new"] >= _MANY_NEW:
        ctx.db.analyze()
    verdict = _verdict(ctx, found, run)
    found.hold = verdict.hold
    bounds = even_bounds(part.cuts for part in ranges) if ctx.settings.keys is None else None
    sweep.finish(ctx.db, run, fingerprint=_fingerprint(ctx), verdict=verdict, bounds=bounds)
    runs.add_s3_calls(ctx.db, run, ctx.s3.take_calls())
    found.backlog, found.backlog_bytes = claims.backlog(ctx.db, ctx.source, run)
    found.requests = request_estimate(found.backlog, found.backlog_bytes, ctx.settings.limits.max_request_size)
    return found


def preview(ctx: SyncContext, show: Callable[[PlanItem], None] | None = None) -> Detection:
    """What a run would find and do. Writes nothing; ``show`` is given every item of the plan, in key order."""
    with rare_collections():
        return _preview(ctx, show)


def _preview(ctx: SyncContext, show: Callable[[PlanItem], None] | None = None) -> Detection:
    if ctx.settings.keys is not None:
        return _look(ctx, Way.ONE_RANGE, show)
    if show is None:
        return slower_ways(ctx, first_way(ctx), lambda way: _look(ctx, way), remember=False)
    # What is shown can't be taken back, so a bucket that no sync has ever listed whole isn't trusted to be in order.
    return _look(ctx, first_way(ctx) if ctx.source.fingerprint else Way.UNORDERED, show)


def _look(ctx: SyncContext, way: Way, show: Callable[[PlanItem], None] | None = None) -> Detection:
    found, digest = Detection(), PlanHash()
    for writes in _compared(ctx, found, key_ranges([], 1), way):
        _remember(ctx, found, writes)
        for item in _feed(ctx, digest, writes):
            if show is not None:
                show(item)
    if not ctx.settings.keeps_removed:
        found.hold = _verdict(ctx, found, None).hold
    found.plan_hash = digest.hexdigest()
    return found


def _ranges(ctx: SyncContext, way: Way) -> list[KeyRange]:
    """The ranges to list. A plan is a sequence in key order, so a run that is bound to one lists in one range."""
    if ctx.settings.plan_hash or way is not Way.RANGES:
        return key_ranges([], 1)
    return key_ranges(read_bounds(ctx.db, ctx.source), ctx.settings.limits.listing_ranges)


def _compared(ctx: SyncContext, found: Detection, ranges: Sequence[KeyRange], way: Way) -> Iterator[SweepWrites]:
    """Every block's findings, counted."""
    selection = ctx.settings.selection
    comparison = Comparison(ctx.source.id, selector(selection), block_selector(selection))
    named = ctx.settings.keys is not None
    for writes in _named(ctx, comparison) if named else scan(ctx, comparison, ranges, way):
        _add(found.counts, writes.counts)
        yield writes
    for name in DETECTED:
        found.counts.setdefault(name, 0)


def _feed(ctx: SyncContext, digest: PlanHash, writes: SweepWrites) -> list[PlanItem]:
    items = list(plan_items(writes, keeps_removed=ctx.settings.keeps_removed))
    for item in items:
        digest.add(item)
    return items


def _check_plan(ctx: SyncContext, plan_hash: str) -> None:
    if plan_hash != ctx.settings.plan_hash:
        raise PlanChangedError(
            f"This run is bound to the plan {ctx.settings.plan_hash}, but would do the plan {plan_hash}."
        )


def _named(ctx: SyncContext, comparison: Comparison) -> Iterator[SweepWrites]:
    """The findings of the named keys alone, each looked up by HEAD; a 404 counts as removed."""
    keys = sorted(set(ctx.settings.keys or ()))
    for start in range(0, len(keys), 100):
        some = keys[start : start + 100]
        listed = [item for key in some if (item := ctx.s3.head(key))]
        yield comparison.block(listed, blocks.read_keys(ctx.db, ctx.source, some))


def _verdict(ctx: SyncContext, found: Detection, run: Run | None) -> sweep.Verdict:
    """Whether the removals may be acted on. An approval lifts the guard, up to its ceiling."""
    removed, live, listed = found.counts["removed"], found.counts["live"], found.counts["listed"]
    if ctx.settings.keys is not None:
        listed = 1  # named keys say nothing about an emptied prefix
        live = claims.live_documents(ctx.db, ctx.source) if removed else 0  # reads every row
    hold = delete_guard(removed=removed, live=live, listed=listed, limits=ctx.settings.limits)
    approval = find_approval(ctx.db, run, removed) if hold and run else None
    if approval is not None:
        ctx.log.warning(
            "%s, but %s has approved up to %d.", hold and hold.reason, approval.approved_by, approval.ceiling
        )
        hold = None
    changed = ctx.source.fingerprint not in (None, ctx.settings.selection.fingerprint())
    if hold is None and changed and removed:
        hold = Hold("the selection has changed since the last run, so removals wait for the next one", mass=False)
    return sweep.Verdict(removed, live, hold, approval)


def _fingerprint(ctx: SyncContext) -> str | None:
    # Named keys are no sweep: they judge nothing about the rest.
    return ctx.source.fingerprint if ctx.settings.keys is not None else ctx.settings.selection.fingerprint()


def _add(into: dict[str, int], more: dict[str, int]) -> None:
    for name, value in more.items():
        into[name] = into.get(name, 0) + value


def _remember(ctx: SyncContext, found: Detection, writes: SweepWrites) -> None:
    keys = {
        "upload": [item.key for item in writes.insert] + [item.key for _, item in (*writes.requeue, *writes.waiting)],
        "skip": [item.key for item, _ in writes.insert_skipped] + [item.key for _, item, _ in writes.skip],
        "keep" if ctx.settings.keeps_removed else "delete": [row.key for row in writes.removed],
    }
    for name, some in keys.items():
        shown = found.examples.setdefault(name, [])
        shown += some[: EXAMPLES - len(shown)]
