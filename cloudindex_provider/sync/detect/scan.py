"""One pass over a prefix: what S3 lists, against what the state holds, block by block. Writes nothing.

Blocks are ranges of keys, and what is between two listed keys belongs to the second one's block, so every row of the
state is judged once. With one range, findings come in key order.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cloudindex_provider.s3.page import ListedObject, ListedPage
from cloudindex_provider.s3.ranges import KeyRange
from cloudindex_provider.state import blocks
from cloudindex_provider.state.blocks import KnownLines
from cloudindex_provider.state.db.database import BLOCK
from cloudindex_provider.state.records import ObjectRow, SweepWrites
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.comparison import Comparison
from cloudindex_provider.sync.detect.lines import Difference
from cloudindex_provider.sync.detect.overtaken import Overtaken
from cloudindex_provider.sync.detect.ways import Way, listed

__all__ = ["scan"]

_ENOUGH = 500  # keys: their rows are read at once, for the price of a few
_LONG = 1.0  # seconds that a key waits for more of them at most: a listing grows old


def scan(
    ctx: SyncContext, comparison: Comparison, ranges: Sequence[KeyRange], way: Way = Way.RANGES
) -> Iterator[SweepWrites]:
    """The findings of the whole prefix.

    :raises SourceOrderError: when the prefix can't be listed in this way
    :raises S3IntegrationError: when a page can't be had; nothing is known then of what would have followed
    """
    overtaken = Overtaken(ctx, comparison.now)
    rest = _Rest(ctx, comparison, overtaken)
    known = {part: _Known(ctx, part.after) for part in ranges}
    for part, page in listed(ctx, ranges, way):
        if page is None:
            yield from rest.judged()
            yield from _unlisted(ctx, rest, known[part].at, part.upto)
        else:
            yield from _page(ctx, comparison, known[part], page, rest)
    yield from rest.judged()


class _Known:
    """The state's lines of one range, read in blocks as the listing goes on. Where there are none, it asks no more."""

    def __init__(self, ctx: SyncContext, after: str | None) -> None:
        self.at = after  # how far the range is compared
        self._ctx = ctx
        self._in_gap = False
        self._gap_ends: str | None = None  # the next key that has a row; ``None``: there is none

    def lines(self, upto: str) -> KnownLines:
        """Those of up to ``BLOCK`` rows after ``at``."""
        if self._in_gap and (self._gap_ends is None or upto < self._gap_ends):
            return KnownLines(0, "")
        db, source = self._ctx.db, self._ctx.source
        found = blocks.read_lines(db, source, after=self.at, upto=upto, limit=BLOCK)
        self._in_gap = not found.rows
        if not found.rows:
            self._gap_ends = blocks.next_key(db, source, after=upto)
        return found


@dataclass(slots=True)
class _Rest:
    """Keys that may need work, gathered over pages until it is worth while to read their whole rows."""

    ctx: SyncContext
    comparison: Comparison
    overtaken: Overtaken
    listed: list[ListedObject] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    since: float = 0.0  # when the first of them came, by the monotonic clock

    def add(self, page: ListedPage, found: Difference) -> Iterator[SweepWrites]:
        """Take a page's other keys; gives the findings when there are enough of them, or it has been long."""
        now = time.monotonic()
        if not self.listed and not self.known:
            self.since = now
        self.listed += [page[at] for at in found.listed]
        self.known += found.known
        if now - self.since >= _LONG or len(self.listed) + len(self.known) >= _ENOUGH:
            yield from self.judged()

    def judged(self) -> Iterator[SweepWrites]:
        """The findings of all that was gathered."""
        listed, known = sorted(self.listed), self.known
        self.listed, self.known = [], []
        if listed or known:
            rows = blocks.read_keys(self.ctx.db, self.ctx.source, known) if known else []
            yield self.block(listed, rows)

    def block(self, listed: Sequence[ListedObject], rows: Sequence[ObjectRow]) -> SweepWrites:
        """The findings of some keys, of which rows were read after they were listed."""
        return self.comparison.block(*self.overtaken.corrected(listed, rows))


def _page(
    ctx: SyncContext, comparison: Comparison, known: _Known, page: ListedPage, rest: _Rest
) -> Iterator[SweepWrites]:
    last = page.keys[-1]
    whole = False
    while not whole:
        lines = known.lines(last)
        whole = lines.rows < BLOCK  # otherwise more rows than fit: up to the last of them, then on within the page
        upto = last if whole else lines.last
        end = bisect.bisect_right(page.keys, upto)
        settled = comparison.settled(page[:end], lines) if lines.rows else None
        if settled is None:
            yield from rest.judged()
            yield from _unsettled(ctx, rest, known.at, page, lines)
            break
        counts, found = settled
        yield SweepWrites(counts=counts)
        yield from rest.add(page[:end], found)
        known.at, page = upto, page[end:]
    known.at = last


def _unsettled(
    ctx: SyncContext, rest: _Rest, after: str | None, page: ListedPage, lines: KnownLines
) -> Iterator[SweepWrites]:
    """The findings of a page whose lines tell nothing: there are none, or a key has a separator in it."""
    if not lines.rows:
        listed, _ = rest.overtaken.corrected(page, [])
        yield rest.comparison.first_seen(page) if listed is page else rest.comparison.block(listed, [])
        return
    last = page.keys[-1]
    while len(rows := blocks.read_block(ctx.db, ctx.source, after=after, upto=last, limit=BLOCK)) == BLOCK:
        after = rows[-1].key
        end = bisect.bisect_right(page.keys, after)
        yield rest.block(page[:end], rows)
        page = page[end:]
    yield rest.block(page, rows)


def _unlisted(ctx: SyncContext, rest: _Rest, after: str | None, upto: str | None) -> Iterator[SweepWrites]:
    """The rows between the last listed key of a range and its end: S3 has none of them."""
    while rows := blocks.read_block(ctx.db, ctx.source, after=after, upto=upto, limit=BLOCK):
        yield rest.block([], rows)
        after = rows[-1].key
