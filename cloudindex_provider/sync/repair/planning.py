"""A plan: what a run would do, key by key, with the hash that a run can be bound to. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.kept_plan import keep_plan
from cloudindex_provider.sync.detect.plan import PlanItem
from cloudindex_provider.sync.repair.first_look import preview_first_look

__all__ = ["PlanSummary", "make_plan"]


@dataclass(slots=True)
class PlanSummary:
    """A plan in numbers."""

    hash: str = ""
    uploads: int = 0
    upload_bytes: int = 0
    deletes: int = 0
    held: str | None = None  # why the deletes wouldn't happen
    counts: dict[str, int] = field(default_factory=dict)


def make_plan(ctx: SyncContext, show: Callable[[PlanItem], None], *, keep: bool = False) -> PlanSummary:
    """Give ``show`` every item of the plan, in key order; gives the summary.

    :param keep: write the plan down for the page, as a dry run's is
    :raises S3IntegrationError: when the listing doesn't reach its end, because then there is no plan
    """
    summary = PlanSummary()

    def count(item: PlanItem) -> None:
        if item.action == "upload":
            summary.uploads += 1
            summary.upload_bytes += item.size or 0
        elif item.action == "delete":
            summary.deletes += 1
        show(item)

    found = preview_first_look(ctx, count)
    if keep:
        keep_plan(ctx, found)
    summary.hash = found.plan_hash
    summary.held = found.hold.reason if found.hold else None
    summary.counts = found.counts
    return summary
