"""Detection: list S3, compare with the state, write what differs. Sends nothing to CloudIndex and deletes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cloudindex_provider.api.limits import request_estimate
from cloudindex_provider.errors import PlanChangedError, SourceUnavailableError
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.s3.place import bucket_place
from cloudindex_provider.s3.ranges import KeyRange, even_bounds, key_ranges
from cloudindex_provider.state import accounts, blocks, claims, plans, runs, sweep
from cloudindex_provider.state.approvals import Hold, find_approval
from cloudindex_provider.state.counts import DETECTED, is_detected
from cloudindex_provider.state.db.database import BLOCK
from cloudindex_provider.state.listings import read_bounds
from cloudindex_provider.state.records import Run, SweepWrites
from cloudindex_provider.state.removals import removed_by_name
from cloudindex_provider.state.selections import read_selection
from cloudindex_provider.state.tally import EXAMPLES
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.collector import rare_collections
from cloudindex_provider.sync.detect.comparison import Comparison
from cloudindex_provider.sync.detect.guard import delete_guard
from cloudindex_provider.sync.detect.listing_log import ListingLog
from cloudindex_provider.sync.detect.plan import PlanHash, PlanItem, plan_items, plan_keys
from cloudindex_provider.sync.detect.present import present
from cloudindex_provider.sync.detect.scan import scan
from cloudindex_provider.sync.detect.ways import Way, first_way, slower_ways
from cloudindex_provider.sync.selection import SkipReason, block_selector, selector
from cloudindex_provider.words import count, plain, quoted, shortened

__all__ = ["Detection", "count_backlog", "detect", "detected_before", "preview"]

_NAMED = 100  # keys whose rows are read at once
UNSEEN = "?"  # an ETag that no object has
_DAY = 86400.0  # seconds over which removals of named keys are added up
_MANY_NEW = 10_000  # rows that change what a database should know of its table


@dataclass(slots=True)
class Detection:
    """What a detection found. ``examples``, ``plan_hash`` and ``planned`` are filled where nothing was written."""

    counts: dict[str, int] = field(default_factory=dict)
    backlog: int = 0  # documents to upload, those of earlier runs included
    backlog_bytes: int = 0
    requests: int = 0  # about how many upload requests that is
    hold: Hold | None = None  # why removals won't be acted on
    examples: dict[str, list[str]] = field(default_factory=dict)
    plan_hash: str = ""
    planned: plans.Planned = field(default_factory=plans.Planned)
    looked_up: list[ListedObject] = field(default_factory=list)  # what S3 has of named keys
    contested: set[str] = field(default_factory=set)  # of those, what another run keeps the state from saying
    unanswered: set[str] = field(default_factory=set)  # named keys that S3 can't answer for now, and that come again


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
        begun = runs.find_run(ctx.db, ctx.source, ctx.name)
        if begun is not None and begun.complete and begun.plan_hash == ctx.settings.plan_hash:
            return _resumed(ctx, begun)
        _check_plan(ctx, _preview(ctx).plan_hash)
    if ctx.settings.keys is not None:
        return _sweep(ctx, Way.ONE_RANGE)
    return slower_ways(ctx, first_way(ctx), lambda way: _sweep(ctx, way))


def _sweep(ctx: SyncContext, way: Way) -> Detection:
    repeated = runs.find_run(ctx.db, ctx.source, ctx.name) is not None
    run = runs.start_run(ctx.db, ctx.source, ctx.name)
    if repeated:
        accounts.forget_found(ctx.db, run)
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
    found.contested = _contested(ctx, found)
    if ctx.settings.plan_hash:  # S3 may have changed since the look above; nothing is uploaded before this
        _check_plan(ctx, digest.hexdigest())
    if found.counts["new"] >= _MANY_NEW:
        ctx.db.analyze()
    verdict = _verdict(ctx, found, run)
    found.hold = verdict.hold
    bounds = even_bounds(part.cuts for part in ranges) if ctx.settings.keys is None else None
    sweep.finish(
        ctx.db,
        run,
        fingerprint=_fingerprint(ctx),
        rules=ctx.settings.selection.rules(),
        verdict=verdict,
        bounds=bounds,
        endpoint=None if ctx.settings.keys is not None else bucket_place(ctx.s3.client, ctx.s3.bucket),
        plan_hash=ctx.settings.plan_hash,
    )
    runs.add_s3_calls(ctx.db, run, ctx.s3.take_calls())
    count_backlog(ctx, run, found)
    return found


def _resumed(ctx: SyncContext, run: Run) -> Detection:
    """The next try of a run that is bound to a plan goes on with what it has found then, and looks for nothing else:
    what it has done since isn't in a plan that could be made now."""
    runs.resume_run(ctx.db, run)
    found = _found_before(ctx, run)
    if run.deletes_blocked is not None and run.mass_delete:  # a person may have decided meanwhile
        verdict = _verdict(ctx, found, run)
        fingerprint, rules = _fingerprint(ctx), ctx.settings.selection.rules()
        sweep.finish(ctx.db, run, fingerprint=fingerprint, rules=rules, verdict=verdict, plan_hash=run.plan_hash)
        found.hold = verdict.hold
    ctx.log.info("This run goes on with the plan %s, which it has begun.", run.plan_hash)
    count_backlog(ctx, run, found)
    return found


def detected_before(ctx: SyncContext) -> Detection | None:
    """What this run's detection has found, for a task that has given its slot back since and goes on; ``None`` where it
    had not come to its end."""
    run = runs.find_run(ctx.db, ctx.source, ctx.name)
    if run is None or not run.complete:
        return None
    found = _found_before(ctx, run)
    count_backlog(ctx, run, found)
    return found


def _found_before(ctx: SyncContext, run: Run) -> Detection:
    counted = runs.counts(ctx.db, run)
    found = Detection({name: number for name, number in counted.items() if is_detected(name)})
    for name in DETECTED:
        found.counts.setdefault(name, 0)
    if run.deletes_blocked is not None:
        found.hold = Hold(run.deletes_blocked, mass=run.mass_delete)
    return found


def count_backlog(ctx: SyncContext, run: Run, found: Detection) -> None:
    """Note how much the run has to upload."""
    found.backlog, found.backlog_bytes = claims.backlog(ctx.db, ctx.source, run)
    found.requests = request_estimate(found.backlog, found.backlog_bytes, ctx.settings.limits.max_request_size)


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
        found.planned.add(plan_keys(writes, keeps_removed=ctx.settings.keeps_removed))
        for item in _feed(ctx, digest, writes):
            if show is not None:
                show(item)
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
    comparison = _comparison(ctx)
    named = ctx.settings.keys is not None
    listing = ListingLog(ctx.log)
    for writes in _named(ctx, comparison, found) if named else scan(ctx, comparison, ranges, way):
        _add(found.counts, writes.counts)
        listing.note(found.counts)
        yield writes
    yield from _unreadable(ctx, found)
    if ctx.s3.has_no_etags:
        ctx.log.warning(
            "s3://%s lists objects without an ETag. Their size and time decide whether they have changed, so a change"
            " within the same second that keeps the size is not noticed.",
            ctx.settings.bucket,
        )
    for name in DETECTED:
        found.counts.setdefault(name, 0)


def _comparison(ctx: SyncContext) -> Comparison:
    selection = ctx.settings.selection
    return Comparison(ctx.source.id, selector(selection), block_selector(selection), ctx.db.clock())


def _unreadable(ctx: SyncContext, found: Detection) -> Iterator[SweepWrites]:
    """Listed keys that are no UTF-8: skipped, each for itself. No state can hold them, and nobody can ask for them."""
    keys = ctx.s3.take_unreadable_keys()
    if keys:
        counts = {name: len(keys) for name in ("listed", "skipped", f"skipped:{SkipReason.INVALID_KEY}")}
        _add(found.counts, counts)
        shown = ", ".join(repr(key.encode(errors="surrogateescape")) for key in keys[:EXAMPLES])
        what = count(len(keys), "key is", "keys are")
        ctx.log.warning("%s no UTF-8 and skipped, in s3://%s: %s", what, ctx.settings.bucket, shown)
        yield SweepWrites(counts=counts)


def _feed(ctx: SyncContext, digest: PlanHash, writes: SweepWrites) -> list[PlanItem]:
    items = list(plan_items(writes, keeps_removed=ctx.settings.keeps_removed))
    for item in items:
        digest.add(item)
    return items


def _check_plan(ctx: SyncContext, plan_hash: str) -> None:
    if plan_hash != ctx.settings.plan_hash:
        plans.mark_overtaken(ctx.db, ctx.source, str(ctx.settings.plan_hash))
        raise PlanChangedError(
            f"This run is bound to the plan {ctx.settings.plan_hash}, but would do the plan {plan_hash}."
        )


def _contested(ctx: SyncContext, found: Detection) -> set[str]:
    """The named keys whose rows still say something else: whoever has claimed or changed them meanwhile was faster."""
    contested: set[str] = set()
    comparison, keys = _comparison(ctx), sorted(set(ctx.settings.keys or ()) - found.unanswered)
    for start in range(0, len(keys), _NAMED):
        some = set(keys[start : start + _NAMED])
        listed = [item for item in found.looked_up if item.key in some]
        writes = comparison.block(listed, blocks.read_keys(ctx.db, ctx.source, some))
        changed = (*writes.requeue, *writes.take_over, *writes.replace_wanted, *writes.restore)
        contested.update(row.key for row in (*(row for row, _ in changed), *writes.forget))
        contested.update(row.key for row, _, _ in writes.skip)
    return contested


def _named(ctx: SyncContext, comparison: Comparison, found: Detection) -> Iterator[SweepWrites]:
    """The findings of the named keys alone, each looked up by HEAD; a 404 counts as removed.

    The state is read before S3 is asked: what another run writes after that is newer, and isn't taken back.
    """
    keys = sorted(set(ctx.settings.keys or ()))
    for start in range(0, len(keys), _NAMED):
        some = keys[start : start + _NAMED]
        rows = blocks.read_keys(ctx.db, ctx.source, some)
        listed, unanswered = _looked_up(ctx, some)
        if unanswered:
            found.unanswered |= unanswered
            rows = [row for row in rows if row.key not in unanswered]
        found.looked_up += listed
        yield comparison.block(listed, rows)


def _looked_up(ctx: SyncContext, keys: Sequence[str]) -> tuple[list[ListedObject], set[str]]:
    """What S3 has of these keys now, and which of them are to come again. Another of which it doesn't say it is queued,
    so that its upload says why.

    :raises S3IntegrationError: where it is proven to be about all of them, or S3 fails for each
    """
    listed, unavailable = [], {}
    for key, item in present(ctx, keys).items():
        if isinstance(item, SourceUnavailableError):
            unavailable[key] = item
        if isinstance(item, ListedObject):
            listed.append(item)
        elif item is not None and not (ctx.hears_again and key in unavailable):
            listed.append(ListedObject(key, UNSEEN, 1, "", "STANDARD"))
    if len(unavailable) == len(keys) > 1:
        raise next(iter(unavailable.values()))
    if not ctx.hears_again:
        return listed, set()
    for key, error in unavailable.items():
        ctx.lines.tell(ctx.log.warning, "unanswered", "%s comes again: %s", quoted(key), shortened(str(error)))
    return listed, set(unavailable)


def _verdict(ctx: SyncContext, found: Detection, run: Run | None) -> sweep.Verdict:
    """Whether the removals may be acted on. An approval lifts the guard, up to its ceiling."""
    removed, live, listed = found.counts["removed"], found.counts["live"], found.counts["listed"]
    of_keys = ctx.keys_hash
    if ctx.settings.keeps_removed:
        # Nothing is to be deleted, so there is nothing to ask a person about.
        return sweep.Verdict(removed, live, of_keys=of_keys)
    if ctx.settings.keys is not None:
        listed = 1  # named keys say nothing about an emptied prefix
        live = claims.live_documents(ctx.db, ctx.source) if removed else 0  # reads every row
    hold, approved = _guarded(ctx, removed=removed, live=live, listed=listed), None
    approval = find_approval(ctx.db, run or ctx.source, removed, hold.endpoint, of_keys=of_keys) if hold else None
    if hold is not None and approval is not None:
        what = (hold.reason, plain(approval.approved_by), count(approval.ceiling, "delete"))
        ctx.log.warning("%s, but %s has approved up to %s.", *what)
        hold, approved = None, hold
    if hold is None and removed and _is_another_selection(ctx):
        hold = Hold("the selection has changed since the last run, so removals wait for the next one", mass=False)
    return sweep.Verdict(removed, live, hold, approved, approval, of_keys)


def _guarded(ctx: SyncContext, *, removed: int, live: int, listed: int) -> Hold | None:
    by_name = ctx.settings.keys is not None
    earlier = removed_by_name(ctx.db, ctx.source, seconds=_DAY) if by_name and removed else 0
    return delete_guard(
        removed=removed,
        earlier=earlier,
        live=live + earlier,
        listed=listed,
        limits=ctx.settings.limits,
        endpoint=bucket_place(ctx.s3.client, ctx.s3.bucket),
        made_from=ctx.source.endpoint,
    )


def _is_another_selection(ctx: SyncContext) -> bool:
    if ctx.settings.keys is not None:
        return False
    return read_selection(ctx.db, ctx.source, ctx.name) not in (None, ctx.settings.selection.fingerprint())


def _fingerprint(ctx: SyncContext) -> str | None:
    return None if ctx.settings.keys is not None else ctx.settings.selection.fingerprint()


def _add(into: dict[str, int], more: dict[str, int]) -> None:
    for name, value in more.items():
        into[name] = into.get(name, 0) + value


def _remember(ctx: SyncContext, found: Detection, writes: SweepWrites) -> None:
    keys = {
        "upload": [item.key for item in writes.insert]
        + [item.key for _, item in (*writes.take_over, *writes.requeue, *writes.waiting)],
        "skip": [item.key for item, _ in writes.insert_skipped] + [item.key for _, item, _ in writes.skip],
        "keep" if ctx.settings.keeps_removed else "delete": [row.key for row in writes.removed],
    }
    for name, some in keys.items():
        shown = found.examples.setdefault(name, [])
        shown += some[: EXAMPLES - len(shown)]
