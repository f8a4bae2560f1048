"""What S3 lists: objects, and pages of them that are kept by column.

A row is made where somebody asks for it. For an unchanged key nobody does, and a page of a thousand tuples would cost
more than its comparison.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress, islice
from operator import lt
from typing import Any, NamedTuple, overload

__all__ = ["ListedObject", "ListedPage"]


_SURROGATE = re.compile("[\ud800-\udfff]")


class ListedObject(NamedTuple):
    """One row of a listing."""

    key: str
    etag: str  # without quotes
    size: int  # bytes
    last_modified: str  # ISO 8601 UTC, as listed
    storage_class: str


# What ListedObject._make does, without a Python frame a row.
_listed: Callable[[tuple[Any, ...]], ListedObject] = partial(tuple.__new__, ListedObject)


@dataclass(frozen=True, slots=True, eq=False)
class ListedPage(Sequence[ListedObject]):
    """Listed objects, in the order in which S3 gave them. All columns are of one length.

    Rows that S3 gave and that are no objects of a sync are told beside them: the same key twice, and keys that are no
    UTF-8, which nobody can ask for and no state can store.

    :param last: whether the listing ends with it; a part of a page doesn't know
    :param as_of: when the storage answered, by its own clock, ISO 8601 UTC; "" where it doesn't say
    """

    keys: Sequence[str] = ()
    etags: Sequence[str] = ()
    sizes: Sequence[str] = ()  # as ``str`` writes the number
    modified: Sequence[str] = ()
    classes: Sequence[str] = ()
    unreadable: Sequence[str] = ()  # keys, their odd bytes as surrogates
    repeated: int = 0  # rows
    has_stand_ins: bool = False  # rows without an ETag, see ``facts.object_tag``
    last: bool = False
    as_of: str = ""

    @classmethod
    def of(cls, rows: Iterable[ListedObject]) -> ListedPage:
        """The page of these rows."""
        columns = tuple(zip(*((key, etag, str(size), *more) for key, etag, size, *more in rows), strict=True))
        if not columns:
            return cls()
        keys, etags, sizes, modified, classes = columns
        return cls(keys, etags, sizes, modified, classes, has_stand_ins=any(etag.startswith("@") for etag in etags))

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[ListedObject]:
        sizes = map(int, self.sizes)
        return map(_listed, zip(self.keys, self.etags, sizes, self.modified, self.classes, strict=True))

    @overload
    def __getitem__(self, at: int) -> ListedObject: ...
    @overload
    def __getitem__(self, at: slice) -> ListedPage: ...
    def __getitem__(self, at: int | slice) -> ListedObject | ListedPage:
        if isinstance(at, slice):
            return ListedPage(self.keys[at], self.etags[at], self.sizes[at], self.modified[at], self.classes[at])
        return ListedObject(self.keys[at], self.etags[at], int(self.sizes[at]), self.modified[at], self.classes[at])

    @property
    def listed(self) -> int:
        """How many rows S3 gave."""
        return len(self) + len(self.unreadable) + self.repeated

    def readable(self) -> ListedPage:
        """The page with its keys that are no UTF-8 set apart."""
        odd = [at for at, key in enumerate(self.keys) if _SURROGATE.search(key)]
        return replace(self._without(odd), unreadable=[self.keys[at] for at in odd]) if odd else self

    def once(self, before: str) -> ListedPage:
        """Without the rows whose key is that of the row before, which is ``before`` for the first; the newest stays."""
        kept: list[int] = []
        for at, key in enumerate(self.keys):
            if kept and key == self.keys[kept[-1]]:
                kept[-1] = max(kept[-1], at, key=self.modified.__getitem__)
            elif kept or not before or key != before:
                kept.append(at)
        twice = set(range(len(self))).difference(kept)
        return replace(self._without(twice), repeated=self.repeated + len(twice)) if twice else self

    def _without(self, places: Iterable[int]) -> ListedPage:
        out = set(places)
        kept = [at not in out for at in range(len(self))]
        return replace(
            self,
            keys=list(compress(self.keys, kept)),
            etags=list(compress(self.etags, kept)),
            sizes=list(compress(self.sizes, kept)),
            modified=list(compress(self.modified, kept)),
            classes=list(compress(self.classes, kept)),
        )

    @property
    def in_order(self) -> bool:
        """Whether there are rows, and each key is greater than the one before.

        ``str`` compares by code point, which is the order of UTF-8 bytes and so S3's.
        """
        return bool(self.keys) and all(map(lt, self.keys, islice(self.keys, 1, None)))
