"""An S3 in memory whose listings lie, each lie a switch: what real storages were seen to do, and what they might.

    order        ``tree``: each folder's entries by name, as file systems and SeaweedFS list; ``utf16``: as Java and
                 JavaScript sort; ``hashed``: none at all, as directory buckets
    start_after  ``ignored``; ``inclusive``; ``stale``: a listing that was broken off is kept, and resumed by whoever
                 asks for what comes after its last key (MinIO's gateways, JuiceFS); ``skips``: the next two keys are
                 left out; ``refused``: as directory buckets
    tokens       ``missing`` where a page says that there are more; ``same`` for ever; ``round``: a new one each time,
                 and the first page again; ``cycle``: two that take turns; ``always``: also where nothing follows;
                 ``odd``: text that no key is
    key_count    this many more than there are rows
    duplicates   every so many keys, one twice side by side, within a page and over a page's edge
    pages        ``short``: of any length; ``empty``: every other one is empty

``plain`` is what one listing without StartAfter shows: what a person would call the bucket's content.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.memory_s3 import MemoryS3, client_error

__all__ = ["LyingS3"]

_ORDERS: dict[str, Callable[[str], Any]] = {
    "bytes": str.encode,
    "tree": lambda key: key.split("/"),
    "utf16": lambda key: key.encode("utf-16-be"),
    "hashed": lambda key: hashlib.md5(key.encode(), usedforsecurity=False).digest(),
}
_ODD = "odd\x01token "


@dataclass
class LyingS3(MemoryS3):
    """A ``MemoryS3`` that lists as its switches say."""

    order: str = "bytes"
    start_after: str = "honest"
    tokens: str = "honest"
    key_count: int = 0
    duplicates: int = 0
    pages: str = "full"
    kept: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)  # listings that were broken off
    asked: list[str] = field(default_factory=list)  # every StartAfter
    _listings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # token -> what is still to come
    _number: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def plain(self, bucket: str, prefix: str = "") -> dict[str, str]:
        """key -> ETag of what is there."""
        return {row["Key"]: row["ETag"].strip('"') for row in self._rows(bucket, prefix)}

    def list_objects_v2(
        self,
        *,
        Bucket: str,
        Prefix: str = "",
        MaxKeys: int = 1000,
        StartAfter: str = "",
        ContinuationToken: str = "",
        OptionalObjectAttributes: Sequence[str] = (),
    ) -> dict[str, Any]:
        rows = self._to_come(Bucket, Prefix, StartAfter, ContinuationToken)
        length = min(MaxKeys, self.page_size)
        if self.pages == "short":
            length = 1 + len(rows) * 7 % length
        elif self.pages == "empty" and not ContinuationToken.endswith("empty"):
            length = 0
        page, rest = rows[:length], rows[length:]
        if rest and page and self.start_after == "stale":
            self.kept[Prefix, page[-1]["Key"]] = rest
        answer: dict[str, Any] = {"Contents": page, "IsTruncated": bool(rest), "KeyCount": len(page) + self.key_count}
        token = self._token(ContinuationToken, rows, rest)
        if token and (rest or self.tokens == "always"):
            answer["NextContinuationToken"] = token + ("empty" if not page else "")
        return answer

    def _to_come(self, bucket: str, prefix: str, start_after: str, token: str) -> list[dict[str, Any]]:
        if token:
            return self._listings[token.removesuffix("empty")]
        rows = self._rows(bucket, prefix)
        if not start_after or self.start_after == "ignored":
            return rows
        self.asked.append(start_after)
        if self.start_after == "refused":
            raise client_error("ListObjectsV2", 400, "InvalidArgument")
        if self.start_after == "stale" and (prefix, start_after) in self.kept:
            return self.kept.pop((prefix, start_after))
        place = _ORDERS[self.order]
        begin = place(start_after)
        inclusive = self.start_after == "inclusive"
        found = [row for row in rows if place(row["Key"]) > begin or (inclusive and row["Key"] == start_after)]
        return found[2:] if self.start_after == "skips" else found

    def _rows(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        with self._lock:
            objects = dict(self._bucket("ListObjectsV2", bucket))
        keys = sorted((key for key in objects if key.startswith(prefix)), key=_ORDERS[self.order])
        rows = []
        for number, key in enumerate(keys, 1):
            found = objects[key]
            row = {
                "Key": key, "ETag": f'"{found.etag}"', "Size": len(found.body),
                "LastModified": self._head(found)["LastModified"], "StorageClass": found.storage_class,
            }  # fmt: skip
            rows += [row] * (2 if self.duplicates and number % self.duplicates == 0 else 1)
        return rows

    def _token(self, before: str, rows: list[dict[str, Any]], rest: list[dict[str, Any]]) -> str:
        """A token by which the rest is had, or what the lie says. Each listing has its own."""
        if self.tokens == "missing":
            return ""
        listing, _, step = before.removeprefix(_ODD).removesuffix("empty").partition(":")
        listing, number = listing or str(next(self._number)), int(step or 0) + 1
        if self.tokens in ("same", "cycle"):
            number = 1 if self.tokens == "same" else number % 2
        token = f"{_ODD if self.tokens == 'odd' else ''}{listing}:{number}"
        self._listings.setdefault(token, rows if self.tokens == "round" else rest)
        return token
