"""Where two ranges of a listing meet: do both show the same objects behind the cut?

Each range is listed on past its end, by a page at most, and what that page shows must be what the next range begins
with. Then the ranges together are one listing, whatever a storage makes of StartAfter; where it isn't so, a key beside
the cut may be in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloudindex_provider.errors import SourceOrderError
from cloudindex_provider.s3.page import ListedObject, ListedPage

if TYPE_CHECKING:
    from cloudindex_provider.s3.source import S3Source

__all__ = ["check_seam"]


def check_seam(s3: S3Source, prefix: str, cut: str, beyond: ListedPage, first: ListedPage) -> None:
    """Nothing, where the two agree, or differ only by what has changed between the requests.

    :param beyond: what the range before the cut has shown behind it
    :param first: the first page of the range behind it, which was mostly asked for long before
    :raises SourceOrderError: when a listing in ranges can't be trusted; ``ListingStale`` where it may be next time
    """
    if _agree(beyond, first):
        return
    again = next(s3.pages(prefix, start_after=cut), ListedPage(last=True))
    if not _agree(beyond, again):
        raise _error(s3, cut, "ListingRanges", "what it lists behind a key isn't what it lists when it begins there")
    if not all(_is_news(item, first) for item in _missing(first, again)):
        raise _error(s3, cut, "ListingStale", "it began a listing with what was there some time ago")


def _agree(beyond: ListedPage, first: ListedPage) -> bool:
    both = min(len(beyond), len(first))
    pairs = zip(_facts(beyond), _facts(first), strict=True)
    if any(list(one[:both]) != list(other[:both]) for one, other in pairs):
        return False
    # The shorter one may have been cut off by the page's end, but not by the listing's.
    return not (beyond.last and len(first) > both) and not (first.last and len(beyond) > both)


def _facts(page: ListedPage) -> tuple[Sequence[str], ...]:
    return page.keys, page.etags, page.sizes


def _missing(first: ListedPage, again: ListedPage) -> list[ListedObject]:
    """What ``again`` shows that ``first`` should have shown."""
    known = set(zip(first.keys, first.etags, first.sizes, strict=True))
    end = None if first.last or not first else first.keys[-1]
    return [
        item
        for item in again
        if (item.key, item.etag, str(item.size)) not in known and (end is None or item.key <= end)
    ]


def _is_news(item: ListedObject, first: ListedPage) -> bool:
    """Whether it may have come after ``first`` was listed; one of many parts bears the time of its beginning."""
    return "-" in item.etag or (bool(first.as_of) and item.last_modified >= first.as_of)


def _error(s3: S3Source, cut: str, code: str, what: str) -> SourceOrderError:
    return SourceOrderError(f"bucket {s3.bucket} can't be listed in ranges: at {cut!r}, {what}.", code=code, key=cut)
