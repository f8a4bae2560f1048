"""A prefix scanned page by page, in ranges and blocks, finds what one comparison of everything finds."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.s3.ranges import key_ranges
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state import blocks, sweep
from cloudindex_provider.state.records import SweepWrites
from cloudindex_provider.sync.detect import scan as scanning
from cloudindex_provider.sync.detect.comparison import Comparison
from cloudindex_provider.sync.selection import block_selector, selector
from cloudindex_provider.sync.settings import Selection
from tests.support.memory_s3 import MemoryS3

SELECTION = Selection(max_file_size=3, file_types=("txt",))
LIVE = "document_id = 'd', indexed_etag = etag, indexed_size = size"
STATES = [
    *[f"status = 'indexed', {LIVE}"] * 12,
    "status = 'indexed', document_id = 'd', indexed_etag = 'old', indexed_size = size",
    f"status = 'deleting', {LIVE}",
    "status = 'skipped', reason = 'unsupported_type'",
    "status = 'skipped', reason = 'archived'",
    "status = 'skipped', reason = 'opted_out'",
    "status = 'skipped', reason = NULL",
    "status = 'uploading'",
    "status = 'pending', doubtful = 1",
    "source_id = -1",
]  # fmt: skip
# One in eight holds what separates lines, or looks like one.
SIGNS = ["\t", "\n", "\te1\t1\t\n", "?"]


def names(chance: random.Random, number: int) -> list[str]:
    """Keys in all orders, some of a type that is skipped."""
    found = set()
    for _ in range(number):
        sign = chance.choice([*SIGNS, *[""] * 28])
        found.add(f"{chance.choice('ab/é😀')}{chance.randrange(1000)}{sign}{chance.choice(['.txt'] * 9 + ['.exe'])}")
    return sorted(found)


def fill(state: Any, chance: random.Random, keys: list[str]) -> None:
    """Rows of these keys, in all states that a comparison tells apart."""
    items = [ListedObject(key, chance.choice(["e1"] * 9 + ["e2"]), 1, "t", "STANDARD") for key in keys]
    sweep.apply(state.db, state.run, SweepWrites(insert=items))
    with state.db.write() as connection:
        for key in keys:
            change = chance.choice(STATES)
            connection.execute(sa.text(f"UPDATE object SET {change} WHERE key = :key"), {"key": key})


def bucket(chance: random.Random, keys: list[str]) -> S3Source:
    s3 = MemoryS3(page_size=7)
    s3.create_bucket(Bucket="b")
    for key in keys:
        classes = ["STANDARD"] * 9 + ["GLACIER"]
        body = b"x" * chance.choice([1] * 20 + [0, 9])
        s3.put_object(Bucket="b", Key=key, Body=body, StorageClass=chance.choice(classes), ETag="e1")
    return S3Source(s3, "b")


def context(state: Any, s3: S3Source) -> Any:
    """As much of one as a scan needs."""
    settings = SimpleNamespace(prefix="")
    return SimpleNamespace(db=state.db, source=state.source, s3=s3, settings=settings, name=state.run.name)


def total(found: list[SweepWrites]) -> SweepWrites:
    """All findings as those of one block."""
    whole = SweepWrites()
    for writes in found:
        whole.add(writes)
        whole.waiting += writes.waiting
    whole.sort()
    whole.waiting.sort()
    return whole


@pytest.mark.parametrize("ranges", [1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_a_scan_is_one_comparison_of_everything(
    state: Any, monkeypatch: pytest.MonkeyPatch, seed: int, ranges: int
) -> None:
    """Whatever is new, gone, changed or odd, wherever pages, blocks and ranges are cut, and read however late."""
    chance = random.Random(seed)
    monkeypatch.setattr(scanning, "BLOCK", chance.choice([3, 10, 5000]))
    monkeypatch.setattr(scanning, "_ENOUGH", chance.choice([1, 20, 500]))
    every = names(chance, 250)
    gap = set(every[chance.randrange(100) :][:60])  # keys that only one side has
    both = [key for key in every if key not in gap and chance.random() < 0.9]
    fill(state, chance, sorted({*both, *(gap if seed % 2 else ())}))
    s3 = bucket(chance, sorted({*(key for key in both if chance.random() < 0.9), *(() if seed % 2 else gap)}))

    comparison = Comparison(state.source.id, selector(SELECTION), block_selector(SELECTION))
    listed = [item for page in s3.pages() for item in page]
    rows = blocks.read_block(state.db, state.source, after=None, upto=None, limit=1000)
    expected = total([comparison.block(listed, rows)])
    assert len(set(expected.counts)) > 6

    ctx = context(state, s3)
    bounds = chance.sample(every, ranges - 1)
    found = list(scanning.scan(ctx, comparison, key_ranges(sorted(bounds), ranges)))
    together = total(found)
    assert +Counter(together.counts) == +Counter(expected.counts)
    together.counts = expected.counts = {}
    assert together == expected
    if ranges == 1:
        inserts = [item.key for writes in found for item in writes.insert]
        assert inserts == sorted(inserts)
        removals = [row.key for writes in found for row in writes.removed]
        assert removals == sorted(removals)


def test_a_block_may_end_where_the_page_does(state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many rows as fit, the last of them the page's last key, and a key among them that tells no lines apart."""
    monkeypatch.setattr(scanning, "BLOCK", 3)
    state.index(*(ListedObject(key, "e1", 1, "t", "STANDARD") for key in ("a.txt", "b.txt", "c.txt")))
    comparison = Comparison(state.source.id, selector(SELECTION), block_selector(SELECTION))
    for odd in ("a\t.txt", "a.txt"):
        s3 = bucket(random.Random(0), [odd, "c.txt"])
        ctx = context(state, s3)
        found = total(list(scanning.scan(ctx, comparison, key_ranges([], 1))))
        assert [row.key for row in found.removed] == (["a.txt", "b.txt"] if odd == "a\t.txt" else ["b.txt"])
        assert [item.key for item in found.insert] == ([odd] if odd == "a\t.txt" else [])
