"""Taking out documents that a later selection leaves out: a sync keeps them, because narrowing one may be a mistake.

Only documents of this source's keys go, only those that the given selection leaves out, and within the limits of
removals. What another task of this source selects stays; what another source selects is handed over to it, with its
document. S3 still has the objects, so whoever selects them again uploads them again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cloudindex_provider.errors import DeletesHeldError, SettingsError
from cloudindex_provider.state import claims, excluded, runs
from cloudindex_provider.state.excluded import Documented
from cloudindex_provider.state.records import Run
from cloudindex_provider.state.removals import Removal
from cloudindex_provider.state.selections import Judge, judges
from cloudindex_provider.sync.claim_keeper import ClaimKeeper
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.guard import delete_guard
from cloudindex_provider.sync.remove import Deletion, delete_documents
from cloudindex_provider.sync.selection import SkipReason, selection_of, selector
from cloudindex_provider.words import count, verb

__all__ = ["PruneItem", "Pruned", "TaskName", "plan_prune", "prune"]

TaskName = tuple[str, str]  # (DAG, task or group) as the state calls them

_BLOCK = 200
# What the selection's own words say; of the others the object says it, or nobody can.
_BY_SELECTION = (SkipReason.EXCLUDED, SkipReason.UNSUPPORTED_TYPE, SkipReason.TOO_LARGE)
_Select = Callable[[str, int, str], SkipReason | None]


@dataclass(frozen=True, slots=True)
class PruneItem:
    """What becomes of one key that is left out."""

    action: str  # delete | hand over | keep | later
    key: str
    reason: str  # why it is left out
    because: str = ""  # of what isn't deleted
    to: int | None = None  # the source that it is handed over to

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without what there is nothing to say of."""
        shown = {"action": self.action, "key": self.key, "reason": self.reason, "because": self.because, "to": self.to}
        return {name: value for name, value in shown.items() if value not in ("", None)}


@dataclass(slots=True)
class Pruned:
    """What is to be pruned, or was, in numbers of keys."""

    delete: int = 0
    hand_over: int = 0
    keep: int = 0
    later: int = 0
    live: int = 0  # documents of the source
    held: str | None = None  # why none would be deleted
    by: dict[str, int] = field(default_factory=dict)  # who keeps or takes how many
    deleted: int = 0
    handed_over: int = 0


@dataclass(frozen=True, slots=True)
class _Others:
    """The selections of the others, each with who has it and what is done for its sake."""

    takers: list[tuple[str, str, int | None, str, _Select]]  # (action, who, source, prefix, select)

    def fate(self, item: Documented) -> tuple[str, str, int | None] | None:
        """(action, who, source) of the first that selects the key."""
        for action, who, source, prefix, select in self.takers:
            key = item.removal.key
            if key.startswith(prefix) and select(key, item.size, item.storage_class) is None:
                return action, who, source
        return None


def plan_prune(
    ctx: SyncContext,
    show: Callable[[PruneItem], None],
    *,
    task: TaskName | None = None,
    ignored: Collection[TaskName] = (),
    ceiling: int | None = None,
) -> Pruned:
    """Give ``show`` every key that is left out and has a document, in key order; gives the numbers. Writes nothing.

    :param task: whose settings these are, as they are now; what the state remembers of it doesn't count
    :param ignored: tasks whose selections don't count any more
    :param ceiling: how many keys a person allows, whatever the limits say
    :raises SettingsError: when there is no such source, or a task's selection isn't known
    """
    _check_source(ctx)
    found = Pruned(live=claims.live_documents(ctx.db, ctx.source))
    for block in _left_out(ctx, _others(ctx, task, ignored)):
        for item, _ in block:
            _count(found, item)
            show(item)
    found.held = _held(ctx, found, ceiling)
    return found


def prune(
    ctx: SyncContext,
    found: Pruned,
    *,
    user: str,
    task: TaskName | None = None,
    ignored: Collection[TaskName] = (),
) -> Pruned:
    """Do what was found: hand over, then delete, at most as many keys as were counted. Run it again to go on.

    :param found: by ``plan_prune``; its ``deleted`` and ``handed_over`` are filled
    :raises DeletesHeldError: when more would be deleted than is allowed; nothing was done then
    :raises CloudIndexError: when the service fails; what is left is deleted by the next call
    """
    if found.held is not None:
        raise DeletesHeldError(
            f"{count(found.delete, 'document')} of s3://{ctx.settings.bucket}/{ctx.settings.prefix}"
            f" {verb(found.delete)} not deleted:"
            f" {found.held}.",
            hint=f"Look at the selection first. If they are really to go, allow it: --ceiling {found.delete}.",
        )
    others = _others(ctx, task, ignored)
    run = runs.start_run(ctx.db, ctx.source, ctx.name)
    try:
        with ClaimKeeper(ctx):
            for block in _left_out(ctx, others):
                _do(ctx, run, block, found, user)
    finally:
        runs.finish_run(ctx.db, run)
    return found


def _check_source(ctx: SyncContext) -> None:
    if not ctx.source.id:
        raise SettingsError(
            f"The state in {ctx.db.name} has no source s3://{ctx.settings.bucket}/{ctx.settings.prefix} of project"
            f" {ctx.settings.project_id}.",
            field="prefix",
            hint="`airflow cloudindex sources list` shows all there are.",
        )


def _held(ctx: SyncContext, found: Pruned, ceiling: int | None) -> str | None:
    if ceiling is not None:
        more = found.delete > ceiling
        return f"{found.delete:,} are more than the ceiling of {ceiling:,}" if more else None
    hold = delete_guard(removed=found.delete, live=found.live, listed=1, limits=ctx.settings.limits)
    return hold.reason if hold else None


def _count(found: Pruned, item: PruneItem) -> None:
    name = item.action.replace(" ", "_")
    setattr(found, name, getattr(found, name) + 1)
    if item.action in ("keep", "hand over"):
        found.by[item.because] = found.by.get(item.because, 0) + 1


# Whose selections count


def _others(ctx: SyncContext, task: TaskName | None, ignored: Collection[TaskName]) -> _Others:
    takers: list[tuple[str, str, int | None, str, _Select]] = []
    mine = ctx.settings.selection.fingerprint()
    for judge in judges(ctx.db, ctx.source):
        is_mine = judge.source_id == ctx.source.id
        name = (judge.dag_id, judge.task_id)
        if (is_mine and name == task) or name in ignored or judge.fingerprint == mine or not _meets(ctx, judge):
            continue
        who = f"task {judge.task_id} of DAG {judge.dag_id}" if judge.task_id else "an older version"
        who = f"{who} selects it" if is_mine else f"source {judge.source_id} ({who}) selects it"
        if judge.rules is None:
            if is_mine and not judge.task_id:
                continue  # some task's of this source, long ago
            raise _unknown(judge)
        select = selector(selection_of(judge.rules))
        action, source = ("keep", None) if is_mine else ("hand over", judge.source_id)
        takers.append((action, who, source, judge.prefix, select))
    return _Others(sorted(takers, key=lambda one: one[0] != "keep"))  # what stays needs no other owner


def _meets(ctx: SyncContext, judge: Judge) -> bool:
    return judge.prefix.startswith(ctx.source.prefix) or ctx.source.prefix.startswith(judge.prefix)


def _unknown(judge: Judge) -> SettingsError:
    who = f"Task {judge.task_id} of DAG {judge.dag_id}" if judge.task_id else f"A task of source {judge.source_id}"
    return SettingsError(
        f"{who} mirrors these keys, too, by a selection that isn't known: it last ran under an older version.",
        field="ignore",
        hint="Let it run once; or, if there is no such task any more, name it: --ignore DAG_ID TASK_ID.",
    )


# The keys


def _left_out(ctx: SyncContext, others: _Others) -> Iterator[list[tuple[PruneItem, Documented]]]:
    """The keys that have documents and are left out, in blocks."""
    select = selector(ctx.settings.selection)
    named = None if ctx.settings.keys is None else frozenset(ctx.settings.keys)
    after: str | None = None
    while rows := excluded.documented(ctx.db, ctx.source, ctx.owner, after=after, limit=_BLOCK):
        after = rows[-1].removal.key
        wanted = [row for row in rows if named is None or row.removal.key in named]
        reasons = [select(row.removal.key, row.size, row.storage_class) for row in wanted]
        pairs = zip(wanted, reasons, strict=True)
        yield [(_item(row, reason, others), row) for row, reason in pairs if reason in _BY_SELECTION]


def _item(row: Documented, reason: SkipReason | None, others: _Others) -> PruneItem:
    key, why = row.removal.key, str(reason)
    if row.busy:
        return PruneItem("later", key, why, "somebody works on it, or an upload of it isn't over")
    if (fate := others.fate(row)) is not None:
        action, who, source = fate
        return PruneItem(action, key, why, who, source)
    return PruneItem("delete", key, why)


def _do(ctx: SyncContext, run: Run, block: list[tuple[PruneItem, Documented]], found: Pruned, user: str) -> None:
    for to in sorted({item.to for item, _ in block if item.to is not None}):
        rows = [row.removal for item, row in block if item.to == to]
        found.handed_over += excluded.give_away(ctx.db, ctx.source, to, rows, user)
    doomed = [(item, row) for item, row in block if item.action == "delete"]
    for reason in sorted({item.reason for item, _ in doomed}):
        some = [row.removal for item, row in doomed if item.reason == reason]
        how = Deletion(
            keep_because=partial(_keep_because, ctx, reason),
            record=partial(excluded.record_pruned, ctx.db, run, ctx.owner, reason, user),
            keep=partial(_keep, ctx),
        )
        found.deleted += delete_documents(ctx, run, some[: found.delete - found.deleted], how)


def _keep_because(ctx: SyncContext, reason: str, one: Removal) -> str | None:
    """``None``: it goes. Of a size, S3 itself says what it is now; a name is what it was."""
    if one.doubtful and one.intent_age < ctx.grace:
        return "an upload of it may still arrive; prune again later"
    if reason != SkipReason.TOO_LARGE:
        return None
    item = ctx.s3.head(one.key)
    if item is None:
        return "S3 has it no more; the next sync decides"
    same = selector(ctx.settings.selection)(item.key, item.size, item.storage_class) == SkipReason.TOO_LARGE
    return None if same else "S3 has another version of it, which is no longer too large"


def _keep(ctx: SyncContext, one: Removal, why: str) -> None:
    ctx.log_kept(one.key, why)
