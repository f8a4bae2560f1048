"""``airflow cloudindex plan``: what a run would do, key by key, with the hash that a run can be bound to."""

from __future__ import annotations

import io
import json
from argparse import Namespace
from dataclasses import asdict, dataclass, field
from typing import TextIO, cast

from cloudindex_provider.cli.common import OK, command, out, say, state
from cloudindex_provider.cli.session import command_session, command_settings
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import preview
from cloudindex_provider.sync.detect.plan import PlanItem

__all__ = ["PlanSummary", "plan", "write_plan"]


@dataclass(slots=True)
class PlanSummary:
    """A plan in numbers."""

    hash: str = ""
    uploads: int = 0
    upload_bytes: int = 0
    deletes: int = 0
    held: str | None = None  # why the deletes wouldn't happen
    counts: dict[str, int] = field(default_factory=dict)


def write_plan(ctx: SyncContext, out: TextIO) -> PlanSummary:
    """Write the plan as JSON lines, one a key, and a last line with the summary; gives the summary.

    :raises S3IntegrationError: when the listing doesn't reach its end, because then there is no plan
    """
    summary = PlanSummary()

    def show(item: PlanItem) -> None:
        if item.action == "upload":
            summary.uploads += 1
            summary.upload_bytes += item.size or 0
        else:
            summary.deletes += 1
        out.write(json.dumps(item.as_dict(), ensure_ascii=False) + "\n")

    found = preview(ctx, show)
    summary.hash = found.plan_hash
    summary.held = found.hold.reason if found.hold else None
    summary.counts = found.counts
    out.write(json.dumps({"summary": asdict(summary)}, ensure_ascii=False) + "\n")
    return summary


@command
def plan(args: Namespace) -> int:
    """What a run would do. As JSON: a line a key, and the summary as the last line."""
    with (
        state(args, must_exist=False) as db,
        command_session(args, db, lambda hook: command_settings(args, hook, dry_run=True)) as ctx,
    ):
        summary = write_plan(ctx, out() if args.output == "json" else cast(TextIO, _PlanLines()))
    if args.output != "json":
        size = f"{summary.uploads:,} uploads of {summary.upload_bytes:,} bytes, {summary.deletes:,} deletes"
        say(f"{size}. Hash {summary.hash}.")
        if summary.held:
            say(f"The deletes are held: {summary.held}.")
    return OK


class _PlanLines(io.TextIOBase):
    """Shows a plan's JSON lines to people, each as it comes."""

    def write(self, text: str) -> int:
        item = json.loads(text)
        if "action" in item:
            size = "" if item.get("size") is None else f"{item['size']:,}"
            say(f"{item['action']:<7} {item.get('class', ''):<8} {size:>14}  {item['key']}")
        return len(text)
