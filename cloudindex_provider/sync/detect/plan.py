"""The items of a plan and their hash: what a run would do with each key. Pure.

The hash covers every upload (key, ETag, size) and every removal (key, and whether its document is deleted or kept), in
key order, and nothing else: two plans with the same hash lead to the same requests, unless S3 changes in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cloudindex_provider.state.plans import PlanKey
from cloudindex_provider.state.records import SweepWrites

__all__ = ["PlanHash", "PlanItem", "plan_items", "plan_keys"]


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One key's part of a plan."""

    action: str  # upload | delete | keep
    key: str
    cls: str  # new | changed | removed
    etag: str | None = None
    size: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without what is unknown."""
        shown = {"action": self.action, "key": self.key, "class": self.cls, "etag": self.etag, "size": self.size}
        return {name: value for name, value in shown.items() if value is not None}


class PlanHash:
    """The hash of a plan, fed item by item in key order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, item: PlanItem) -> None:
        line = json.dumps([item.action, item.key, item.etag, item.size], ensure_ascii=True)
        self._hash.update(line.encode() + b"\n")

    def hexdigest(self) -> str:
        return self._hash.hexdigest()[:32]


def plan_items(writes: SweepWrites, *, keeps_removed: bool) -> Iterator[PlanItem]:
    """What one block's findings mean for CloudIndex, in key order."""
    fresh = [*writes.insert, *(item for _, item in writes.take_over)]
    items = [PlanItem("upload", item.key, "new", item.etag, item.size) for item in fresh]
    items += [
        PlanItem("upload", item.key, "changed" if row.indexed_etag else "new", item.etag, item.size)
        for row, item in (*writes.requeue, *writes.waiting)
    ]
    fate = "keep" if keeps_removed else "delete"
    items += [PlanItem(fate, row.key, "removed") for row in writes.removed]
    yield from sorted(items, key=lambda item: item.key)


def plan_keys(writes: SweepWrites, *, keeps_removed: bool) -> Iterator[PlanKey]:
    """The same with the keys that a run would newly leave out, as a person reads it: with the sizes of documents that
    would go. What is left out already isn't named again."""
    for item in plan_items(writes, keeps_removed=keeps_removed):
        if item.cls != "removed":
            yield PlanKey(item.action, item.key, item.cls, item.size)
    fate = "keep" if keeps_removed else "delete"
    yield from (PlanKey(fate, row.key, "removed", row.indexed_size) for row in writes.removed)
    skipped = [*writes.insert_skipped, *((item, reason) for _, item, reason in writes.skip)]
    yield from (PlanKey("skip", item.key, "skipped", item.size, str(reason)) for item, reason in skipped)
