"""In which way a prefix is listed, and what happens when its storage shows that it can't be listed so.

A storage is taken for S3 until a listing proves otherwise. The sweep then begins anew in a slower way, as a task's next
try would: what was written by then is what each key's own row said, and is judged again. The way is remembered for the
source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import TypeVar

from cloudindex_provider.errors import SourceOrderError
from cloudindex_provider.s3.gathered import gathered
from cloudindex_provider.s3.page import ListedPage
from cloudindex_provider.s3.ranges import KeyRange, is_directory_bucket, list_ranges
from cloudindex_provider.state.listings import read_listing, write_listing
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.listing_log import ListingLog
from cloudindex_provider.words import count, duration

__all__ = ["Way", "first_way", "listed", "slower_ways"]

_T = TypeVar("_T")


class Way(StrEnum):
    """From the quickest to the one that works on any storage."""

    RANGES = "ranges"  # in key order, in ranges side by side
    ONE_RANGE = "one_range"  # in key order, from the first key to the last
    UNORDERED = "unordered"  # gathered whole, and put into key order here


_WHY = {
    Way.ONE_RANGE: "it can be listed in one range alone, one request after another",
    Way.UNORDERED: "its whole listing is gathered in a temporary file and compared then: one request after another, and"
    " about a hundred bytes a key in TMPDIR",
}
# What a listing has shown -> the way that works, and whether it will show it again.
_SHOWN = {
    "ListingStart": (Way.ONE_RANGE, True),
    "ListingRanges": (Way.ONE_RANGE, True),
    "ListingStale": (Way.ONE_RANGE, False),
    "ListingOrder": (Way.UNORDERED, True),
}


def first_way(ctx: SyncContext) -> Way:
    """The way to begin with; one that isn't S3's usual one is named in the log."""
    if is_directory_bucket(ctx.settings.bucket):
        ctx.log.info("%s is a directory bucket, so %s.", ctx.settings.bucket, _WHY[Way.UNORDERED])
        return Way.UNORDERED
    known = read_listing(ctx.db, ctx.source)
    if known not in (Way.ONE_RANGE, Way.UNORDERED):
        return Way.RANGES
    way = Way(known)
    ctx.log.info("The storage of bucket %s doesn't list as S3 does: %s.", ctx.settings.bucket, _WHY[way])
    return way


def slower_ways(ctx: SyncContext, way: Way, sweep: Callable[[Way], _T], *, remember: bool = True) -> _T:
    """What ``sweep`` gives in this way, or in the first slower one that works.

    :raises S3IntegrationError: when the listing can't be had in any
    """
    while True:
        try:
            return sweep(way)
        except SourceOrderError as error:
            slower, again = _SHOWN.get(str(error.code), (way, False))
            if slower in (way, Way.RANGES):
                raise
            way = slower
            ctx.log.warning("%s So %s; the sweep begins anew.", error, _WHY[way])
            if remember and again:
                write_listing(ctx.db, ctx.source, way)


def listed(ctx: SyncContext, ranges: Sequence[KeyRange], way: Way) -> Iterator[tuple[KeyRange, ListedPage | None]]:
    """Every page of every range, in key order within a range; ``None`` when a range has ended.

    :param ranges: one alone where the way is another than ranges
    :raises SourceOrderError: when the prefix can't be listed in this way
    """
    if way is not Way.UNORDERED:
        yield from list_ranges(ctx.s3, ctx.settings.prefix, ranges)
        return
    (whole,) = ranges
    began = time.monotonic()
    with gathered(ctx.s3, ctx.settings.prefix, ListingLog(ctx.log).note_gathered) as listing:
        seconds = time.monotonic() - began
        ctx.log.info("Gathered %s in %s.", count(listing.rows, "listed key"), duration(seconds))
        if listing.in_order and not ctx.settings.dry_run:
            _trust_again(ctx)
        for page in listing.pages():
            yield whole, whole.take(page)
    yield whole, None


def _trust_again(ctx: SyncContext) -> None:
    """A whole listing came in key order: the storage is another one, or what it sorts otherwise is gone."""
    if read_listing(ctx.db, ctx.source) == Way.UNORDERED and not is_directory_bucket(ctx.settings.bucket):
        ctx.log.info("Bucket %s was listed in key order, so the next run relies on that again.", ctx.settings.bucket)
        write_listing(ctx.db, ctx.source, None)
