"""A prefix that is listed in ranges is compared as one that is listed at once, and deletes no more."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cloudindex_provider.errors import S3IntegrationError
from cloudindex_provider.s3.ranges import key_ranges
from cloudindex_provider.state import blocks
from cloudindex_provider.state.listings import read_bounds
from cloudindex_provider.sync.detect.detection import detect, preview
from tests.support.memory_s3 import client_error
from tests.support.mirror import Mirror


@pytest.fixture
def paged(in_memory: Mirror) -> Mirror:
    """A bucket of 40 keys whose pages have 3, synced once."""
    in_memory.s3.page_size = 3
    in_memory.put_many(40)
    in_memory.run()
    return in_memory


def test_the_second_run_lists_in_ranges(paged: Mirror) -> None:
    """The first run finds the bounds, a later one uses as many as it is told; both find the same."""
    ctx = paged.context()
    assert len(read_bounds(ctx.db, ctx.source)) == 6  # 14 pages: ranges of two at least
    report = paged.run()
    assert (report.counts["listed"], report.counts["unchanged"]) == (40, 40)
    assert 14 <= report.s3_requests["ListObjectsV2"] <= 14 + 7  # a page more a range at most
    assert paged.run(listing_ranges=1).s3_requests == {"ListObjectsV2": 14}
    paged.assert_agreement()


@pytest.mark.parametrize("seed", range(6))
def test_ranges_find_what_one_listing_finds(paged: Mirror, seed: int) -> None:
    """Whatever has changed, also around the bounds: the same counts, the same plan, the same end."""
    chance = random.Random(seed)
    names = [f"{number:04d}.txt" for number in range(40)]
    paged.remove(*chance.sample(names, 6))
    for name in chance.sample(names, 8):
        paged.put(chance.choice(["", name.partition(".")[0]]) + name, f"new {name}")
    paged.put("9999-last.txt", "last")
    planned = preview(paged.context())
    report = paged.run()
    for name in ("listed", "new", "changed", "unchanged", "removed", "skipped"):
        assert report.counts[name] == planned.counts[name], name
    paged.assert_agreement()
    assert paged.run().counts["unchanged"] == report.counts["listed"]


@pytest.mark.parametrize("bad", range(6))
def test_a_range_that_fails_deletes_nothing(paged: Mirror, monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    """A listing that lacks one of its ranges proves nothing about any key."""
    ctx = paged.context("broken")
    cut = key_ranges(read_bounds(ctx.db, ctx.source), 16)[bad].upto
    paged.remove("0000.txt", "0020.txt", "0039.txt")
    whole = paged.reader.list_objects_v2

    def broken(**request: Any) -> Any:
        if request.get("StartAfter") == cut:
            raise client_error("ListObjectsV2", 403, "AccessDenied")
        return whole(**request)

    monkeypatch.setattr(paged.reader, "list_objects_v2", broken, raising=False)
    with pytest.raises(S3IntegrationError):
        paged.run("broken")
    assert len(paged.documents()) == 40
    assert not paged.context("broken").run().complete
    monkeypatch.undo()
    paged.run("broken")
    paged.assert_agreement()


def test_a_plan_is_made_and_kept_in_key_order(paged: Mirror) -> None:
    """A dry run and a run that is bound to it see the same sequence, bounds or not."""
    for number in range(0, 40, 3):
        paged.put(f"{number:04d}.txt", "changed")
    keys: list[str] = []
    plan = preview(paged.context(), lambda item: keys.append(item.key))
    assert keys == sorted(keys)
    assert len(keys) == 14
    assert paged.run(plan_hash=plan.plan_hash).counts["changed"] == 14
    paged.assert_agreement()


def test_named_keys_leave_the_bounds(paged: Mirror) -> None:
    """A run over some keys has listed nothing."""
    ctx = paged.context(keys=("docs/0001.txt",))
    before = read_bounds(ctx.db, ctx.source)
    detect(ctx)
    assert read_bounds(ctx.db, ctx.source) == before != []


def test_a_prefix_without_rows_is_not_read_page_by_page(in_memory: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is asked once where it has nothing, and again from its next row on."""
    in_memory.s3.page_size = 3
    in_memory.put_many(3, start=60)
    in_memory.run()
    in_memory.put_many(57)
    in_memory.put_many(30, start=70)
    reads = []
    read = blocks.read_lines

    def counted(*given: Any, **more: Any) -> Any:
        reads.append(more["upto"])
        return read(*given, **more)

    monkeypatch.setattr(blocks, "read_lines", counted)
    report = in_memory.run()
    assert (report.counts["new"], report.counts["unchanged"]) == (87, 3)
    assert reads == ["docs/0002.txt", "docs/0062.txt", "docs/0072.txt"]
    in_memory.assert_agreement()
