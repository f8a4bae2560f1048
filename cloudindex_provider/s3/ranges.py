"""Listing a prefix in ranges of keys side by side, each page asked for before the one before it is worked off.

Ranges pay for S3's latency: only requests and their parsing happen in threads, and at most one page a range is under
way or waiting, so memory is flat. Bounds are page ends of the last complete listing, which makes the pages of unchanged
keys fall together with the ranges: N keys take ``ceil(N / 1000) + ranges`` requests at most. Wrong or old bounds cost
time, never correctness: any bounds cut the prefix into ranges that cover it without overlapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the settings need a number of this module, and nothing of S3
    from cloudindex_provider.s3.page import ListedPage
    from cloudindex_provider.s3.source import S3Source

__all__ = ["MAX_RANGES", "KeyRange", "PageEnds", "even_bounds", "key_ranges", "list_ranges"]

MAX_RANGES = 64  # parts of a listing side by side, each a thread
_MIN_PAGES = 2  # a range shorter than this isn't worth its thread
_KEPT = 4 * MAX_RANGES  # page ends remembered of one range, at most


@dataclass(slots=True)
class PageEnds:
    """The last keys of a listing's pages, every ``stride``-th of them: as many as fit."""

    pages: int = 0
    stride: int = 1
    keys: list[str] = field(default_factory=list)

    def add(self, key: str) -> None:
        self.pages += 1
        if self.pages % self.stride == 0:
            self.keys.append(key)
        if len(self.keys) > _KEPT:
            self.keys = self.keys[1::2]
            self.stride *= 2


@dataclass(slots=True, eq=False)
class KeyRange:
    """The keys of ``after < key <= upto``; ``None`` is the prefix's own begin and end."""

    after: str | None
    upto: str | None
    ends: PageEnds = field(default_factory=PageEnds)


def key_ranges(bounds: Sequence[str], ranges: int) -> list[KeyRange]:
    """At most ``ranges`` ranges that cover everything, cut at some of the bounds, which are in key order."""
    parts = max(1, min(ranges, len(bounds) + 1))
    cuts = [bounds[number * (len(bounds) + 1) // parts - 1] for number in range(1, parts)]
    return [KeyRange(after, upto) for after, upto in zip((None, *cuts), (*cuts, None), strict=True)]


def even_bounds(listed: Iterable[PageEnds]) -> list[str]:
    """Where to cut the next listing, given the page ends of this one's ranges in key order.

    :return: up to ``MAX_RANGES - 1`` keys with about as many pages before, between and after them
    """
    pages, known = 0, []
    for ends in listed:
        known += [(pages + ends.stride * number, key) for number, key in enumerate(ends.keys, 1)]
        pages += ends.pages
    parts = min(MAX_RANGES, pages // _MIN_PAGES)
    bounds: list[str] = []
    wanted = 1
    for position, key in known:
        if wanted < parts and position < pages and position >= pages * wanted / parts:
            bounds.append(key)
            wanted = int(position * parts / pages) + 1
    return bounds


def list_ranges(s3: S3Source, prefix: str, ranges: Sequence[KeyRange]) -> Iterator[tuple[KeyRange, ListedPage | None]]:
    """Every page of every range, in key order within a range, as they come; ``None`` when a range has ended.

    :raises S3IntegrationError: when a page of any range can't be had or is out of order; the rest isn't listed then
    """
    come: SimpleQueue[tuple[KeyRange, Iterator[ListedPage], Future[ListedPage | None]]] = SimpleQueue()
    pool = ThreadPoolExecutor(max_workers=len(ranges), thread_name_prefix="list")

    def ask(part: KeyRange, pages: Iterator[ListedPage]) -> None:
        future = pool.submit(next, pages, None)
        future.add_done_callback(lambda done: come.put((part, pages, done)))

    try:
        for part in ranges:
            ask(part, s3.pages(prefix, start_after=part.after or "", upto=part.upto))
        left = len(ranges)
        while left:
            part, pages, done = come.get()
            page = done.result()
            if page is None:
                left -= 1
            else:
                part.ends.add(page.keys[-1])
                ask(part, pages)
            yield part, page
    finally:
        # Nobody waits for requests under way when the listing has failed; when it has ended, there are none.
        pool.shutdown(wait=False, cancel_futures=True)
