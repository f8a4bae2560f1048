"""``airflow cloudindex plan``: what a run would do, key by key, with the hash that a run can be bound to."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from typing import Any, TextIO

from cloudindex_provider.cli.common import OK, command, out, say, state
from cloudindex_provider.cli.session import command_session, command_settings
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.plan import PlanItem
from cloudindex_provider.sync.repair.planning import PlanSummary, make_plan
from cloudindex_provider.sync.repair.telling import plan_lines

__all__ = ["plan", "write_plan"]


@command
def plan(args: Namespace) -> int:
    """What a run would do. As JSON: a line a key, and the summary as the last line."""
    with (
        state(args, must_exist=False) as db,
        command_session(args, db, lambda hook: command_settings(args, hook, dry_run=True)) as ctx,
    ):
        if args.output == "json":
            write_plan(ctx, out())
        else:
            for line in plan_lines(make_plan(ctx, _say_item), ctx.settings):
                say(line)
    return OK


def write_plan(ctx: SyncContext, out: TextIO) -> PlanSummary:
    """The plan as JSON lines, one a key, and a last line with the summary.

    :raises S3IntegrationError: when the listing doesn't reach its end, because then there is no plan
    """

    def write(line: dict[str, Any]) -> None:
        out.write(json.dumps(line, ensure_ascii=False) + "\n")

    summary = make_plan(ctx, lambda item: write(item.as_dict()))
    write({"summary": asdict(summary)})
    return summary


def _say_item(item: PlanItem) -> None:
    size = "" if item.size is None else f"{item.size:,}"
    say(f"{item.action:<7} {item.cls:<8} {size:>14}  {item.key}")
