"""The keys that asset events name, for a sync that is scheduled on them. Pure.

An event names keys in its extra, ``{"keys": ["handbook/a.pdf", ...]}``; or its asset is a single object,
``s3://BUCKET/KEY``. Nothing else makes a key: an event that names none is a problem, and never the whole prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudindex_provider.sync.settings import is_key_storable

__all__ = ["EventKeys", "read_events"]

_SHOWN = 5  # examples of what belongs to another sync
_S3 = "s3://"


@dataclass(slots=True)
class EventKeys:
    """What some events name.

    :param keys: those of the sync, each once, in the order in which they were named
    :param foreign: how many names are of another bucket, or not under the prefix
    :param examples: the first of them
    :param problems: what can't be read, and in which event
    """

    keys: dict[str, None] = field(default_factory=dict)
    foreign: int = 0
    examples: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_events(events: Iterable[Any], bucket: str, prefix: str) -> EventKeys:
    """The keys of a sync that events name; what one of them has wrong keeps no other's from being read.

    :param events: as Airflow's context has them, with ``asset``, ``extra`` and ``timestamp``
    """
    found = EventKeys()
    for event in events:
        uri = str(event.asset.uri)
        owner = bucket
        if uri.startswith(_S3):
            owner = uri.removeprefix(_S3).partition("/")[0]
        for key in _named(event, uri, prefix, found.problems):
            if owner == bucket and key.startswith(prefix):
                found.keys[key] = None
                continue
            found.foreign += 1
            if len(found.examples) < _SHOWN:
                found.examples.append(f"{_S3}{owner}/{key}")
    return found


def _named(event: Any, uri: str, prefix: str, problems: list[str]) -> Iterator[str]:
    """The keys of one event, whoever's they are."""
    where = f"the event of {event.asset.name!r} at {event.timestamp:%Y-%m-%d %H:%M:%S}"
    extra = event.extra if isinstance(event.extra, Mapping) else {}
    if "keys" not in extra:
        key = uri.removeprefix(_S3).partition("/")[2] if uri.startswith(_S3) else ""
        if not key or key == prefix.rstrip("/"):
            problems.append(f"{where} names no key")
        else:
            yield key
        return
    keys = extra["keys"]
    if not isinstance(keys, list):
        problems.append(f"{where}: its keys are {_shown(keys)}, no list")
        return
    for key in keys:
        if isinstance(key, str) and key and is_key_storable(key):
            yield key
        else:
            problems.append(f"{where}: {_shown(key)} is no key")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
