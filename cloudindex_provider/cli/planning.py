"""A plan as text: what a run would do, key by key, with the hash that a run can be bound to. Writes nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TextIO

from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import preview
from cloudindex_provider.sync.detect.plan import PlanItem

__all__ = ["PlanSummary", "write_plan"]


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
