"""Once a day a run compares the state with the project's list, too: what others have deleted or changed is healed.

S3 was listed by the run itself. A document is gone where the list lacks it and a GET of it says 404; of many, a sample
is asked for. What is foreign is said and left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from cloudindex_provider.errors import CloudIndexError, IncompleteListError, NotFoundError, StateUnavailableError
from cloudindex_provider.state import budgets, claims, drifts, repairs, superseded
from cloudindex_provider.state.budgets import ListCost
from cloudindex_provider.state.db.leases import lease
from cloudindex_provider.state.looks import mark_audited, read_looks
from cloudindex_provider.state.records import Finding, Run
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.repair.audit import KINDS, findings
from cloudindex_provider.sync.repair.index_copy import IndexCopy, index_copy, stage_index
from cloudindex_provider.sync.settings import AUDIT_INTERVAL
from cloudindex_provider.words import count, duration, plain, quoted

__all__ = ["heal_drift"]

_MANY = 1_000_000  # documents of a project whose list takes minutes and 0.6 GB
_READ_RATE = 60_000  # documents of a list that are parsed in a second
_PROOFS = 100  # documents that are asked for one by one before a list is believed that lacks them
_EXAMPLES = 10


def heal_drift(ctx: SyncContext, run: Run) -> int:
    """Queue for this run what differs, if it is time; gives how many keys.

    A comparison that can't be made is said and left to the next run: it is no part of what this run must do.
    """
    if not _is_due(ctx):
        return 0
    with ExitStack() as held:
        try:
            owner = f"{ctx.owner.claim}#{ctx.owner.attempt}"
            name = f"audit:{ctx.source.id}"
            keep = held.enter_context(lease(ctx.db, name, owner, seconds=ctx.lease, patience=0.0, sleep=ctx.sleep))
        except StateUnavailableError:
            return 0  # another run is at it
        if not _is_due(ctx) or not _is_worth_it(ctx):
            return 0
        copy = held.enter_context(index_copy())
        try:
            return _compare(ctx, run, copy, keep)
        except (CloudIndexError, IncompleteListError) as error:
            ctx.log.warning("The state couldn't be compared with the project; the next run tries again: %s", error)
            return 0


def _is_due(ctx: SyncContext) -> bool:
    given = ctx.settings.limits.audit_interval
    interval = AUDIT_INTERVAL if given is None else given
    # Named keys say nothing of the others, and a run that is bound to a plan does that and no more.
    if not interval or ctx.settings.keys is not None or ctx.settings.plan_hash:
        return False
    since = read_looks(ctx.db, ctx.source).since_audit
    return since is None or since >= interval


def _is_worth_it(ctx: SyncContext) -> bool:
    """Say what it costs, and whether it is done."""
    live = claims.live_documents(ctx.db, ctx.source)
    if not live:
        return False
    listing = budgets.last_list(ctx.db, ctx.settings.project_id) or ListCost(1, live)
    documents = max(live, listing.documents)
    if documents > _MANY and ctx.settings.limits.audit_interval is None:
        ctx.log.info(
            "The state isn't compared with the project's %s by itself; set audit_interval to have it done.",
            count(documents, "document"),
        )
        return False
    quota = ctx.requests_per_minute() if ctx.requests_per_minute else None
    seconds = documents / _READ_RATE + (listing.requests * 60 / quota if quota else 0.0)
    ctx.log.info(
        "Comparing the state with the project's list (audit_interval): about %s, %s, %s.",
        count(documents, "document"), count(listing.requests, "request"), duration(max(1.0, seconds)),
    )  # fmt: skip
    return True


def _compare(ctx: SyncContext, run: Run, copy: IndexCopy, keep: Callable[[], None]) -> int:
    for rows in repairs.tracked_rows(ctx.db, ctx.source, stuck=float("inf")):
        copy.add_tracked(rows)
        keep()
    for ids in repairs.known_documents(ctx.db, ctx.settings.project_id):
        copy.add_known(ids)
    stage_index(ctx, copy, keep)
    _prove_gone(ctx, copy)
    drifted, copies = 0, 0
    drifts.forget_drift(ctx.db, ctx.source)
    for block in findings(ctx, copy, "untracked"):
        copies += superseded.supersede_found(ctx.db, ctx.source, block, why=KINDS["untracked"])
    for kind in ("gone", "differs"):
        for block in findings(ctx, copy, kind):
            drifted += repairs.requeue(ctx.db, ctx.source, block, gone=kind == "gone", why=KINDS[kind], run=run)
            for one in block[:_EXAMPLES]:
                ctx.lines.tell(ctx.log.warning, kind, "%s is uploaded again: %s.", quoted(one.key), KINDS[kind])
            keep()
    _say(ctx, copy, drifted, copies)
    mark_audited(ctx.db, ctx.source, drifted)
    return drifted


def _prove_gone(ctx: SyncContext, copy: IndexCopy) -> None:
    """Ask for what the list lacks. A 404 is about the document, because the project has just been listed.

    :raises IncompleteListError: when one of them is there: then nothing is gone because the list lacks it
    """
    proven = 0
    for block in findings(ctx, copy, "gone"):
        for one in block[: _PROOFS - proven]:
            _prove(ctx, one)
            proven += 1
        if proven >= _PROOFS:
            break


def _prove(ctx: SyncContext, one: Finding) -> None:
    try:
        ctx.client.get_document(one.document_id)
    except NotFoundError:
        return
    raise IncompleteListError(f"CloudIndex's list lacks document {one.document_id} of {one.key!r}, which is there.")


def _say(ctx: SyncContext, copy: IndexCopy, drifted: int, copies: int) -> None:
    ctx.log.info(
        "Compared with the project: %s drifted; %s.",
        count(drifted, "document has", "documents have"), count(copies, "copy is removed", "copies are removed"),
    )  # fmt: skip
    foreign, names = copy.foreign(_EXAMPLES)
    if foreign:
        ctx.log.info(
            "%s foreign to this sync and left alone: %s",
            count(foreign, "document of the project is", "documents of the project are"),
            ", ".join(map(plain, names)),
        )
