"""What S3 lists: objects, and pages of them that are kept by column.

A row is made where somebody asks for it. For an unchanged key nobody does, and a page of a thousand tuples would cost
more than its comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import lt
from typing import Any, NamedTuple, overload

__all__ = ["ListedObject", "ListedPage", "iso_time"]


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

    :param last: whether the listing ends with it; a part of a page doesn't know
    :param as_of: when the storage answered, by its own clock, ISO 8601 UTC; "" where it doesn't say
    """

    keys: Sequence[str] = ()
    etags: Sequence[str] = ()
    sizes: Sequence[str] = ()  # as ``str`` writes the number
    modified: Sequence[str] = ()
    classes: Sequence[str] = ()
    last: bool = False
    as_of: str = ""

    @classmethod
    def of(cls, rows: Iterable[ListedObject]) -> ListedPage:
        """The page of these rows."""
        columns: list[Sequence[str]] = list(
            zip(*((key, etag, str(size), *more) for key, etag, size, *more in rows), strict=True)
        )
        return cls(*columns[:5]) if columns else cls()  # type: ignore[arg-type] # five columns of text

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

    def once(self, before: str) -> ListedPage:
        """Without the rows whose key is that of the row before, which is ``before`` for the first; the newest stays."""
        kept: list[int] = []
        for at, key in enumerate(self.keys):
            if kept and key == self.keys[kept[-1]]:
                kept[-1] = max(kept[-1], at, key=self.modified.__getitem__)
            elif kept or key != before:
                kept.append(at)
        columns = (self.keys, self.etags, self.sizes, self.modified, self.classes)
        keys, etags, sizes, modified, classes = ([column[at] for at in kept] for column in columns)
        return ListedPage(keys, etags, sizes, modified, classes)

    @property
    def in_order(self) -> bool:
        """Whether there are rows, and each key is greater than the one before.

        ``str`` compares by code point, which is the order of UTF-8 bytes and so S3's.
        """
        return bool(self.keys) and all(map(lt, self.keys, islice(self.keys, 1, None)))


def iso_time(value: Any) -> str:
    """A time as botocore gives it, as ISO 8601 in UTC; what isn't a time stays as it is."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(value, "strftime") else str(value or "")
