"""A dry run's plan is kept in the state for people to read: the only thing that a dry run ever writes.

Where there is no state, none is begun for it; where the state can't be written to, the dry run has its plan all the
same.
"""

from __future__ import annotations

from cloudindex_provider.errors import StateError
from cloudindex_provider.state.plans import save_plan
from cloudindex_provider.state.sources import open_source
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import Detection

__all__ = ["keep_plan"]


def keep_plan(ctx: SyncContext, found: Detection) -> None:
    """Put the plan in the place of the source's last one."""
    settings, db = ctx.settings, ctx.books
    where = {"project_id": settings.project_id, "bucket": settings.bucket, "prefix": settings.prefix}
    try:
        save_plan(
            db,
            open_source(db, **where, sync_id=settings.sync_id),
            ctx.name,
            found.planned,
            plan_hash=found.plan_hash,
            held=found.hold.reason if found.hold else None,
            of_keys=ctx.keys_hash,
        )
    except StateError as error:
        ctx.log.warning("The plan can't be kept for the page in Airflow's UI: %s", error)
