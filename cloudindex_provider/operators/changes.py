"""Telling Airflow that the index has changed: an event of the sync's asset, on which other DAGs are scheduled.

Airflow makes an event of every asset that stands among a task's outlets, at each success. What is emitted only
sometimes goes through an alias: it stands among the outlets, and gets its asset when there is something to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType

from cloudindex_provider.assets.cloudindex import asset_uri, sync_alias
from cloudindex_provider.state.changes import has_changes, take_changes
from cloudindex_provider.sync.context import SyncContext

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

__all__ = ["add_alias", "tell_changes"]

_LONGEST = 1500  # characters of a URI, for Airflow


def add_alias(task: BaseOperator, name: str) -> None:
    """Put the sync's alias among the task's outlets, behind its author's.

    :param name: of the task or the group, as ``sync_alias`` takes it
    """
    if task.has_dag():  # type: ignore[no-untyped-call]  # Airflow's has no annotations
        task.outlets = [*task.outlets, sync_alias(task.dag_id, name)]


def tell_changes(
    ctx: SyncContext, context: Context | Mapping[str, Any], name: str, counts: Mapping[str, int] | None = None
) -> None:
    """Emit an event of the sync's asset, if something was indexed or deleted since the last one.

    :param counts: of the report of the task's run. What it has done itself is told again when its task is tried again
    """
    events, ti = context.get("outlet_events"), context.get("ti")
    repeated = counts is not None and bool(counts["indexed"] or counts["deleted"])
    if events is None or ti is None or not (repeated or has_changes(ctx.db, ctx.source)):
        return
    settings = ctx.settings
    uri = asset_uri(ctx.client.base_url, settings.project_id, settings.bucket, settings.prefix)
    if len(uri) > _LONGEST:
        ctx.log.warning("The prefix is too long for an asset of Airflow's, so no DAG is told of the changes.")
        return
    extra: dict[str, Any] = {
        "project_id": settings.project_id, "bucket": settings.bucket, "prefix": settings.prefix,
        "sync_id": settings.sync_id, **(counts or {}),
    }  # fmt: skip
    _emit(events[sync_alias(ti.dag_id, name)], uri, extra)
    # Last, so that nothing is taken that isn't told; the event has this very dictionary.
    extra["changes"] = take_changes(ctx.db, ctx.source)
    ctx.log.info("The asset %s has changed.", uri)


def _emit(event: Any, uri: str, extra: dict[str, Any]) -> None:
    """An event of the asset that Airflow has by this URI, whatever its author has named it; else of a new one."""
    try:
        event.add(Asset.ref(uri=uri), extra=extra)
    except AirflowRuntimeError as error:
        if error.error.error is not ErrorType.ASSET_NOT_FOUND:
            raise
        event.add(Asset(uri=uri), extra=extra)
