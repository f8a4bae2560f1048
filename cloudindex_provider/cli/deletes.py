"""``airflow cloudindex holds`` and ``approve``: deletes that wait for a person's word."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from cloudindex_provider.cli.common import OK, command, state, user
from cloudindex_provider.cli.output import emit
from cloudindex_provider.state import approvals, sources
from cloudindex_provider.sync.repair.telling import when

__all__ = ["approve", "holds"]


@command
def holds(args: Namespace) -> int:
    """What waits."""
    with state(args) as db:
        if args.source is not None:
            sources.get_source(db, args.source)
        found = approvals.open_holds(db, args.source)
    shown = [{**asdict(one), "at": when(one.at), "asked_at": when(one.asked_at)} for one in found]
    names = ("source_id", "bucket", "prefix", "removed", "live", "at", "reason")
    rows = [{name: one[name] for name in names} for one in shown]
    emit(args, shown, rows, [] if shown else ["No deletes wait."])
    return OK


@command
def approve(args: Namespace) -> int:
    """Allow deletes."""
    with state(args, writes=True) as db:
        given = approvals.approve(db, args.source, args.ceiling, user(), approvals.check_days(args.days))
    emit(
        args,
        {"source": args.source, "ceiling": given.ceiling, "user": given.approved_by, "until": when(given.until)},
        lines=[f"The next run of source {args.source} may delete up to {given.ceiling:,}, until {when(given.until)}."],
    )
    return OK
