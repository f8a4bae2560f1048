"""Listing a prefix in ranges of keys side by side, each page asked for before the one before it is worked off.

Ranges pay for S3's latency: only requests and their parsing happen in threads, and at most one page a range is under
way or waiting, so memory is flat. Bounds are keys from the middle of the last complete listing's pages. Wrong or old
bounds cost time, never correctness: any bounds cut the prefix into ranges that cover it without overlapping, and each
range is listed a little past its end, where it must agree with the next one (``seams``). N keys take
``ceil(N / 1000) + ranges`` requests at most.
"""

from __future__ import annotations

import bisect
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from queue import SimpleQueue
from typing import TYPE_CHECKING

from cloudindex_provider.s3.page import ListedPage
from cloudindex_provider.s3.seams import check_seam

if TYPE_CHECKING:
    from cloudindex_provider.s3.source import S3Source

__all__ = [
    "MAX_RANGES",
    "KeyRange",
    "PageCuts",
    "even_bounds",
    "is_directory_bucket",
    "key_ranges",
    "list_ranges",
]

MAX_RANGES = 64  # parts of a listing side by side, each a thread
_MIN_PAGES = 2  # a range shorter than this isn't worth its thread
_KEPT = 4 * MAX_RANGES  # keys remembered of one range, at most
# A range begins behind a key and this, so with a string that is no key. MinIO's gateways, and JuiceFS with their code,
# keep a listing that was broken off for some seconds, and go on with it, as old as it is, when somebody asks for what
# comes after its last key.
_BEHIND = "!~"
_LONGEST_BOUND = 1024 - len(_BEHIND)  # bytes: S3 takes no longer key
_NOTHING = ListedPage(last=True)


@dataclass(slots=True)
class PageCuts:
    """A key of each of a listing's pages, every ``stride``-th of them: as many as fit."""

    pages: int = 0
    stride: int = 1
    keys: list[str] = field(default_factory=list)

    def add(self, page: Sequence[str]) -> None:
        """Note a page, given its keys."""
        self.pages += 1
        if self.pages % self.stride == 0:
            # Each page at another place: pages of two ranges that end at the same keys would be the same listing to a
            # storage that keeps listings.
            self.keys.append(page[(len(page) - 1) * (self.pages * 617 % 1000) // 1000])
        if len(self.keys) > _KEPT:
            self.keys = self.keys[1::2]
            self.stride *= 2


@dataclass(slots=True, eq=False)
class KeyRange:
    """The keys of ``after < key <= upto``; ``None`` is the prefix's own begin and end."""

    after: str | None
    upto: str | None
    cuts: PageCuts = field(default_factory=PageCuts)
    first: ListedPage | None = None  # its first page, until that has been compared with what is before
    beyond: ListedPage | None = None  # what its last page shows behind ``upto``; ``None``: it goes on

    def take(self, page: ListedPage | None) -> ListedPage | None:
        """Those rows of the listing's next page that are the range's own; ``None``: the listing has ended."""
        if self.first is None:
            self.first = page or _NOTHING
        if page is None:
            self.beyond = _NOTHING
            return None
        if self.upto is not None and page.keys[-1] > self.upto:
            end = bisect.bisect_right(page.keys, self.upto)
            self.beyond = replace(page[end:], last=page.last)
            page = page[:end]
        if page:
            self.cuts.add(page.keys)
        return page


def is_directory_bucket(bucket: str) -> bool:
    """Whether the bucket's name is that of S3 Express, which lists in no order and knows no StartAfter."""
    return bucket.endswith(("--x-s3", "--xa-s3"))  # the bucket's own, and an access point's


def key_ranges(bounds: Sequence[str], ranges: int) -> list[KeyRange]:
    """At most ``ranges`` ranges that cover everything, cut behind some of the bounds."""
    known = sorted({key + _BEHIND for key in bounds if len(key.encode("utf-8", "surrogatepass")) <= _LONGEST_BOUND})
    parts = max(1, min(ranges, len(known) + 1))
    cuts = [known[number * (len(known) + 1) // parts - 1] for number in range(1, parts)]
    return [KeyRange(after, upto) for after, upto in zip((None, *cuts), (*cuts, None), strict=True)]


def even_bounds(listed: Iterable[PageCuts]) -> list[str]:
    """Where to cut the next listing, given keys of the pages of this one's ranges in key order.

    :return: up to ``MAX_RANGES - 1`` keys with about as many pages before, between and after them
    """
    pages, known = 0, []
    for cuts in listed:
        known += [(pages + cuts.stride * number, key) for number, key in enumerate(cuts.keys, 1)]
        pages += cuts.pages
    parts = min(MAX_RANGES, pages // _MIN_PAGES)
    bounds: list[str] = []
    wanted = 1
    for position, key in known:
        if wanted < parts and position < pages and position >= pages * wanted / parts:
            bounds.append(key)
            wanted = int(position * parts / pages) + 1
    return bounds


def list_ranges(
    s3: S3Source, prefix: str, ranges: Sequence[KeyRange]
) -> Generator[tuple[KeyRange, ListedPage | None], None, None]:
    """Every page of every range, in key order within a range, as they come; ``None`` when a range has ended.

    :raises SourceOrderError: when keys are out of order, or two ranges don't agree about the keys where they meet
    :raises S3IntegrationError: when a page of any range can't be had; the rest isn't listed then
    """
    come: SimpleQueue[tuple[int, Iterator[ListedPage], Future[ListedPage | None]]] = SimpleQueue()
    pool = ThreadPoolExecutor(max_workers=len(ranges), thread_name_prefix="list")

    def ask(number: int, pages: Iterator[ListedPage]) -> None:
        future = pool.submit(next, pages, None)
        future.add_done_callback(lambda done: come.put((number, pages, done)))

    try:
        for number, part in enumerate(ranges):
            ask(number, s3.pages(prefix, start_after=part.after or ""))
        left = len(ranges)
        while left:
            number, pages, done = come.get()
            part = ranges[number]
            page = part.take(done.result())
            if part.beyond is None:
                ask(number, pages)
            _check_seams(s3, prefix, ranges[max(0, number - 1) : number + 2])
            if page:
                yield part, page
            if part.beyond is not None:
                left -= 1
                yield part, None
    finally:
        # Nobody waits for requests under way when the listing has failed; when it has ended, there are none.
        pool.shutdown(wait=False, cancel_futures=True)


def _check_seams(s3: S3Source, prefix: str, some: Sequence[KeyRange]) -> None:
    """Compare those neighbours of which enough has come, each pair once."""
    for before, behind in pairwise(some):
        if before.beyond is None or behind.first is None or behind.first is _NOTHING is before.beyond:
            continue
        check_seam(s3, prefix, behind.after or "", before.beyond, behind.first)
        before.beyond = behind.first = _NOTHING
