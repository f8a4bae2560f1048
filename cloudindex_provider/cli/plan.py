"""``airflow cloudindex plan``: what a run would do, key by key, with the hash that a run can be bound to."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from cloudindex_provider.cli.common import FINDINGS, OK, command, preview
from cloudindex_provider.cli.dag_task import fill_from_dag
from cloudindex_provider.cli.output import Listing
from cloudindex_provider.cli.session import command_session, command_settings
from cloudindex_provider.sync.repair.planning import make_plan
from cloudindex_provider.sync.repair.telling import plan_lines

__all__ = ["plan"]

_COLUMNS = {"action": 6, "class": 7, "size": 14, "key": 0}


@command
def plan(args: Namespace) -> int:
    """What a run would do."""
    fill_from_dag(args)
    listing = Listing(args, _COLUMNS)
    with (
        preview(args) as db,
        command_session(args, db, lambda hook: command_settings(args, hook, dry_run=True)) as ctx,
    ):
        summary = make_plan(ctx, lambda item: listing.add(item.as_dict()))
        listing.end(asdict(summary), plan_lines(summary, ctx.settings))
    return OK if ctx.settings.plan_hash in (None, summary.hash) else FINDINGS
