"""Ranges of keys: whatever the bounds, they list everything once, in the fewest requests."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudindex_provider.errors import S3IntegrationError
from cloudindex_provider.s3.ranges import KeyRange, PageCuts, even_bounds, key_ranges, list_ranges
from cloudindex_provider.s3.source import S3Source
from tests.support.memory_s3 import MemoryS3, client_error

KEYS = st.text(st.sampled_from("ab/\u00e9\uffff\U00010000"), min_size=1, max_size=4)


def bucket(keys: Sequence[str], *, page_size: int) -> MemoryS3:
    s3 = MemoryS3(page_size=page_size)
    s3.create_bucket(Bucket="b")
    for key in keys:
        s3.put_object(Bucket="b", Key=key, Body=b"")
    return s3


def listed(source: S3Source, prefix: str, parts: Sequence[KeyRange]) -> list[list[str]]:
    """The keys of each range, each of which says its end once."""
    keys: dict[KeyRange, list[str]] = {part: [] for part in parts}
    ended = []
    for part, page in list_ranges(source, prefix, parts):
        assert part not in ended
        keys[part] += [item.key for item in page or ()]
        if page is None:
            ended.append(part)
    assert sorted(map(id, ended)) == sorted(map(id, parts))
    return list(keys.values())


@given(
    keys=st.sets(KEYS), bounds=st.sets(KEYS), ranges=st.integers(1, 8), size=st.integers(1, 5),
    prefix=st.sampled_from(["", "a", "b/"]),
)  # fmt: skip
def test_any_bounds_list_every_key_once(keys: set[str], bounds: set[str], ranges: int, size: int, prefix: str) -> None:
    """Old, odd and foreign bounds cut the prefix into ranges that cover it and don't overlap."""
    parts = key_ranges(sorted(bounds), ranges)
    assert 1 <= len(parts) <= ranges
    found = listed(S3Source(bucket(sorted(keys), page_size=size), "b"), prefix, parts)
    assert [key for some in found for key in some] == sorted(key for key in keys if key.startswith(prefix))


@pytest.mark.parametrize("ranges", [1, 2, 7, 16, 64])
def test_an_unchanged_listing_costs_a_page_more_a_range_at_most(ranges: int) -> None:
    """Each range shows a little of what the next one begins with; the ranges are about as long as each other."""
    source = S3Source(bucket([f"{number:05d}" for number in range(3000)], page_size=15), "b")
    one = key_ranges([], 1)
    listed(source, "", one)
    bounds = even_bounds(part.cuts for part in one)
    assert source.take_calls() == {"ListObjectsV2": 200}
    parts = key_ranges(bounds, ranges)
    shares = [len(some) for some in listed(source, "", parts)]
    assert len(parts) == ranges
    assert max(shares) - min(shares) <= 6 * 15
    assert source.take_calls()["ListObjectsV2"] <= 200 + (ranges if ranges > 1 else 0)
    assert len(even_bounds(part.cuts for part in parts)) == len(bounds)


def test_a_changed_listing_costs_one_page_more_a_range_at_most() -> None:
    """Keys that came and went shift pages within their range alone."""
    keys = [f"{number:05d}" for number in range(1000)]
    one = key_ranges([], 1)
    listed(S3Source(bucket(keys, page_size=10), "b"), "", one)
    changed = keys[::3] + [f"{key}-new" for key in keys[500:]]
    source = S3Source(bucket(changed, page_size=10), "b")
    listed(source, "", key_ranges(even_bounds(part.cuts for part in one), 16))
    assert source.take_calls()["ListObjectsV2"] <= len(changed) / 10 + 16


@given(pages=st.integers(0, 5000), cuts=st.lists(st.integers(0, 5000), max_size=5))
def test_bounds_are_even(pages: int, cuts: list[int]) -> None:
    """However the listing was cut: at most 63 bounds in key order, with about as many pages between them."""
    edges = [0, *sorted(min(cut, pages) for cut in cuts), pages]
    listings = []
    for low, high in itertools.pairwise(edges):
        ends = PageCuts()
        for number in range(low, high):
            ends.add([f"{number:06d}"])
        assert len(ends.keys) <= 256
        listings.append(ends)
    bounds = [int(key) + 1 for key in even_bounds(listings)]
    assert bounds == sorted(set(bounds))
    assert len(bounds) <= min(63, max(0, pages // 2 - 1))
    assert all(0 < bound < pages for bound in bounds)
    widths = [high - low for low, high in zip([0, *bounds], [*bounds, pages], strict=True)]
    if pages >= 300:
        assert max(widths) <= 3 * pages / 64 + 20


def test_one_page_of_each_range_at_a_time() -> None:
    """Pages that nobody takes aren't asked for: memory doesn't grow with a slow database."""
    source = S3Source(bucket([f"{number:03d}" for number in range(100)], page_size=5), "b")
    listing = list_ranges(source, "", key_ranges(["049"], 2))
    for taken in range(1, 6):
        next(listing)
        assert source.calls["ListObjectsV2"] <= taken + 2
    listing.close()


def test_the_next_page_is_asked_for_before_the_first_is_worked_off() -> None:
    """The wait for S3 and the work on a page overlap."""
    asked = threading.Event()

    class Client(MemoryS3):
        def list_objects_v2(self, **request: Any) -> dict[str, Any]:
            if "ContinuationToken" in request:
                asked.set()
            return super().list_objects_v2(**request)

    s3 = Client(page_size=1)
    s3.create_bucket(Bucket="b")
    for key in "ab":
        s3.put_object(Bucket="b", Key=key, Body=b"")
    listing = list_ranges(S3Source(s3, "b"), "", key_ranges([], 1))
    next(listing)
    assert asked.wait(10)
    listing.close()


def test_a_range_that_fails_ends_the_listing() -> None:
    """The first page that can't be had is raised, and nothing more is asked for."""

    class Client(MemoryS3):
        def list_objects_v2(self, **request: Any) -> dict[str, Any]:
            if request.get("StartAfter", "").startswith("049"):
                raise client_error("ListObjectsV2", 403, "AccessDenied")
            return super().list_objects_v2(**request)

    s3 = Client(page_size=5)
    s3.create_bucket(Bucket="b")
    for number in range(100):
        s3.put_object(Bucket="b", Key=f"{number:03d}", Body=b"")
    source = S3Source(s3, "b")
    with pytest.raises(S3IntegrationError):
        list(list_ranges(source, "", key_ranges(["024", "049", "074"], 4)))
    assert source.calls["ListObjectsV2"] < 20


def test_no_range_begins_at_a_key() -> None:
    """Where a storage may have kept what it broke off; and the longest key that there may be is no bound."""
    bounds = ["a", "a ", "b", "c" * 1023]
    cuts = [part.after for part in key_ranges(bounds, 8)][1:]
    assert cuts == ["a !~", "a!~", "b!~"]
