"""``airflow cloudindex prune``: taking out documents that a later selection leaves out."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict

from cloudindex_provider.cli.common import OK, command, state, user
from cloudindex_provider.cli.dag_task import fill_from_dag
from cloudindex_provider.cli.output import Listing
from cloudindex_provider.cli.session import command_session, command_settings
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.sync.repair.prune import Pruned, TaskName, plan_prune
from cloudindex_provider.sync.repair.prune import prune as delete
from cloudindex_provider.words import count

__all__ = ["prune"]

_COLUMNS = {"action": 9, "reason": 16, "key": 40, "because": 0}


@command
def prune(args: Namespace) -> int:
    """What is left out and has a document; with ``--yes`` it goes."""
    _check(args)
    fill_from_dag(args)
    task: TaskName | None = (args.dag_id, args.scope) if args.scope else None
    ignored: list[TaskName] = [(dag_id, task_id) for dag_id, task_id in args.ignore or ()]
    listing = Listing(args, _COLUMNS)
    with (
        state(args, writes=args.yes) as db,
        command_session(args, db, lambda hook: command_settings(args, hook, dry_run=True)) as ctx,
    ):
        found = plan_prune(
            ctx, lambda item: listing.add(item.as_dict()), task=task, ignored=ignored, ceiling=args.ceiling
        )
        if args.yes:
            delete(ctx, found, user=user(), task=task, ignored=ignored)
        listing.end({**asdict(found), "yes": args.yes}, list(_lines(found, args)))
    return OK


def _check(args: Namespace) -> None:
    if not args.excluded:
        raise SettingsError(
            "It isn't said what to prune.", field="excluded", hint="Use --excluded: what the selection leaves out."
        )
    if args.ceiling is not None and args.ceiling < 0:
        raise SettingsError(f"--ceiling is {args.ceiling}.", field="ceiling", hint="Use a number of documents.")


def _lines(found: Pruned, args: Namespace) -> Iterator[str]:
    if args.yes:
        yield f"Deleted the documents of {count(found.deleted, 'key')}; handed {count(found.handed_over, 'key')} over."
    else:
        yield (
            f"{count(found.live, 'document is', 'documents are')} live; of keys that the selection leaves out,"
            f" {found.delete:,} would be deleted and {found.hand_over:,} handed over."
        )
    for who, number in sorted(found.by.items()):
        yield f"{number:,} of them aren't deleted: {who}."
    if left := found.later + (found.delete - found.deleted if args.yes else 0):
        yield f"Left: {count(left, 'key')} that somebody works on or that changed. Prune again in some minutes."
    if found.held:
        yield f"The deletes are held: {found.held}. --ceiling {found.delete} allows them."
    if not args.yes:
        yield "Nothing was changed. Use --yes to do it."
