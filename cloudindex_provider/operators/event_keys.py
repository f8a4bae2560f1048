"""The keys that a run's asset events name: found in Airflow's context, said in the log, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from cloudindex_provider.assets.keys import EventKeys
from cloudindex_provider.errors import SyncFailedError
from cloudindex_provider.words import count, quoted, verb

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["log_event_keys", "triggering_events", "unread_events"]

_SHOWN = 5  # problems


def triggering_events(context: Context | Mapping[str, Any]) -> Iterator[Any]:
    """The events that have started the run; none where a clock, a person or nothing has. Airflow has those of an alias
    under their assets, too."""
    for asset, events in (context.get("triggering_asset_events") or {}).items():
        if isinstance(asset, Asset):
            yield from events


def log_event_keys(log: Any, named: EventKeys) -> None:
    """Say what a run was asked for, and what of it isn't its own."""
    if named.foreign:
        shown = ", ".join(map(quoted, named.examples))
        what = "%s of other buckets or prefixes named by asset events %s passed over; the first: %s."
        log.warning(what, count(named.foreign, "key"), verb(named.foreign, "is", "are"), shown)
    for problem in named.problems[:_SHOWN]:
        log.error("%s.", problem[:1].upper() + problem[1:])
    if named.keys:
        log.info("Named by asset events: %s.", count(len(named.keys), "key"))
    else:
        log.warning("The run's asset events name no key of this sync, so nothing is looked at.")


def unread_events(problems: Collection[str]) -> SyncFailedError:
    """The error that ends a run with such events, when what the others name is in step."""
    shown = "; ".join(list(problems)[:_SHOWN])
    return SyncFailedError(
        f"The run's asset events can't all be read: {shown}.",
        hint='Emit events with extra={"keys": ["handbook/a.pdf"]}, or of single objects (s3://bucket/key). The other'
        " keys of this run are synced.",
    )
