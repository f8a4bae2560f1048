"""Where two ranges meet: what has changed between two requests is no lie, and a lie is no change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloudindex_provider.errors import SourceOrderError
from cloudindex_provider.s3.page import ListedObject, ListedPage
from cloudindex_provider.s3.seams import check_seam

ASKED = "2026-01-02T03:04:05Z"
BEFORE, LATER = "2026-01-02T03:04:04Z", "2026-01-02T03:04:06Z"


class Source:
    """An S3 whose next listing from the cut on is given."""

    bucket = "docs"

    def __init__(self, *rows: ListedObject, last: bool = True) -> None:
        self.page = page(*rows, last=last)

    def pages(self, *_: Any, **__: Any) -> Any:
        return iter([self.page] if self.page else [])


def row(key: str, etag: str = "e", at: str = BEFORE) -> ListedObject:
    return ListedObject(key, etag, 1, at, "STANDARD")


def page(*rows: ListedObject, last: bool = False, as_of: str = ASKED) -> ListedPage:
    return replace(ListedPage.of(rows), last=last, as_of=as_of)


def check(beyond: ListedPage, first: ListedPage, again: Any = None) -> str | None:
    """The code of what is wrong at the seam."""
    source: Any = again or Source()
    try:
        check_seam(source, "", "a!~", beyond, first)
    except SourceOrderError as error:
        return str(error.code)
    return None


A, B, C = row("a"), row("b"), row("c")


@pytest.mark.parametrize(
    ("beyond", "first"),
    [
        (page(A, B), page(A, B)),
        (page(A), page(A, B)),  # cut by its page's end
        (page(A, B), page(A)),
        (page(last=True), page(last=True)),
        (page(A, last=True), page(A, last=True)),
    ],
)
def test_ranges_that_agree_are_asked_nothing(beyond: ListedPage, first: ListedPage) -> None:
    """The shorter page decides, unless the listing ends with it."""
    assert check(beyond, first, again=object()) is None


@pytest.mark.parametrize(
    ("beyond", "first"),
    [
        (page(A, B), page(B)),
        (page(A), page(row("a", "other"))),
        (page(A, last=True), page(A, B)),
        (page(A, B), page(A, last=True)),
        (page(last=True), page(A)),
        (page(A), page(last=True)),
    ],
)
def test_a_difference_that_stays_is_a_lie(beyond: ListedPage, first: ListedPage) -> None:
    """Asked again, the storage still shows something else where it begins than where it goes on."""
    assert check(beyond, first, again=Source(*first, last=first.last)) == "ListingRanges"


@pytest.mark.parametrize(
    ("now", "code"),
    [
        ([A, row("b", at=LATER), C], None),  # new since
        ([row("a", "changed", LATER), C], None),
        ([A], None),  # deleted since
        ([A, row("b", "e-2", BEFORE), C], None),  # of parts, whose time is that of their beginning
        ([A, row("b", at=BEFORE), C], "ListingStale"),
        ([row("a", "changed", BEFORE), C], "ListingStale"),
    ],
)
def test_what_has_changed_between_the_requests_is_no_lie(now: list[ListedObject], code: str | None) -> None:
    """Unless it is older than the answer that lacks it."""
    assert check(page(*now, last=True), page(A, C, last=True), again=Source(*now)) == code


def test_without_a_clock_nothing_is_taken_for_news() -> None:
    """An answer that has no time proves nothing."""
    now = [A, row("b", at=LATER), C]
    assert check(page(*now, last=True), page(A, C, last=True, as_of=""), again=Source(*now)) == "ListingStale"
