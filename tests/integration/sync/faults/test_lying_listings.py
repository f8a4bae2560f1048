"""Storages whose listings aren't S3's: the sync is right in another way, says so once, and remembers it; or refuses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.errors import S3IntegrationError, SourceOrderError
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state.listings import read_bounds, read_listing
from cloudindex_provider.sync.detect.detection import detect, preview
from cloudindex_provider.sync.repair.audit import audit
from cloudindex_provider.sync.repair.index_copy import index_copy
from cloudindex_provider.sync.repair.rebuild import rebuild, survey
from tests.support.lying_s3 import LyingS3
from tests.support.mirror import Mirror

# A name beside a folder that continues it: "docs/a b.txt" comes first in bytes, and last in a tree.
BESIDE = ("a/report.txt", "a b.txt")
HOPELESS = ("missing", "same", "round", "cycle")
ONE_RANGE, UNORDERED = "one_range", "unordered"


@pytest.fixture
def lying(tmp_path: Path, cloud: LocalCloudIndex) -> Iterator[Mirror]:
    """A sync of an S3 that lists 3 keys a page, and lies as a test tells it to."""
    s3 = LyingS3(page_size=3)
    made = Mirror(tmp_path, cloud, s3, s3)
    yield made
    made.close()


def remembered(mirror: Mirror) -> str | None:
    ctx = mirror.context("look")
    return read_listing(ctx.db, ctx.source)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("order", ["tree", "utf16", "hashed"])
def test_a_bucket_in_no_order_is_mirrored(lying: Mirror, order: str, caplog: pytest.LogCaptureFixture) -> None:
    """Found out by a listing, gathered and compared; known from then on, and said once a run."""
    lying.s3.order = order
    for name in (*BESIDE, "b.txt", "\uffee.txt", "\U0001f600.txt"):
        lying.put(name, name)
    lying.put_many(20)
    report = lying.run()
    assert report.counts["new"] == report.counts["listed"] == 25
    assert remembered(lying) == UNORDERED
    assert len([text for text in warnings(caplog) if "temporary file" in text]) == 1
    lying.assert_agreement()

    lying.remove("0003.txt", "b.txt")
    lying.put("a b.txt", "changed")
    lying.put("a/new.txt", "new")
    caplog.clear()
    caplog.set_level(logging.INFO)
    report = lying.run(max_delete_percent=100.0)
    assert [report.counts[name] for name in ("new", "changed", "removed", "unchanged")] == [1, 1, 2, 22]
    assert report.s3_requests["ListObjectsV2"] == 8 + 1  # one listing, and the proof before a delete
    assert len([record for record in caplog.records if "doesn't list as S3 does" in record.getMessage()]) == 1
    lying.assert_agreement()


def test_a_mass_delete_is_held_in_an_unordered_bucket_too(lying: Mirror) -> None:
    """The same guard, whatever the way."""
    lying.s3.order = "tree"
    for name in BESIDE:
        lying.put(name)
    lying.put_many(8)
    lying.run()
    lying.s3.buckets[lying.bucket].clear()
    report = lying.run(on_mass_delete="skip")
    assert report.counts["removed"] == 10
    assert len(lying.documents()) == 10


def test_what_a_listing_in_order_has_written_by_then_is_harmless(lying: Mirror) -> None:
    """A key that was taken for gone, because it came late, keeps its document and is counted once."""
    lying.put_many(10)
    for name in BESIDE:
        lying.put(name, name)
    lying.run()
    before = {name: documents[0]["id"] for name, documents in lying.documents().items()}
    lying.s3.order = "tree"
    lying.put("0000.txt", "changed")
    report = lying.run(listing_ranges=1)
    assert [report.counts[name] for name in ("listed", "changed", "unchanged", "removed")] == [12, 1, 11, 0]
    assert sum(before.get(name) == some[0]["id"] for name, some in lying.documents().items()) >= 11
    lying.assert_agreement()


def test_a_bucket_that_is_in_order_again_is_trusted_again(lying: Mirror) -> None:
    """What is remembered of a storage isn't for ever."""
    lying.s3.order = "tree"
    for name in BESIDE:
        lying.put(name, name)
    lying.run()
    lying.remove("a b.txt")
    lying.run()
    assert remembered(lying) is None
    lying.put("a b.txt", "again")
    lying.run()
    assert remembered(lying) == UNORDERED
    lying.assert_agreement()


def test_a_plan_of_an_unordered_bucket_is_in_key_order(lying: Mirror) -> None:
    """Before any sync and after one; and a run can be bound to it."""
    lying.s3.order = "tree"
    for name in (*BESIDE, "c.txt", "d.txt"):
        lying.put(name, name)
    for _ in range(2):
        keys: list[str] = []
        plan = preview(lying.context(), lambda item: keys.append(item.key))  # noqa: B023 # called at once
        assert keys == sorted(keys) != []
        assert preview(lying.context()).plan_hash == plan.plan_hash
        lying.run(plan_hash=plan.plan_hash)
        lying.assert_agreement()
        lying.put("a b.txt", "changed")


def test_audit_and_rebuild_read_an_unordered_bucket(lying: Mirror) -> None:
    """What the commands find doesn't depend on the order either."""
    lying.s3.order = "hashed"
    lying.put_many(12)
    lying.run()
    found = audit(lying.context())
    assert found.is_clean
    assert (found.rows, found.listed) == (12, 12)
    lying.execute("DELETE FROM object")
    with index_copy() as copy:
        assert survey(lying.context(), copy).keys == 12
        assert rebuild(lying.context(), copy).indexed == 12
    lying.assert_agreement()


# Ranges


def test_a_key_beside_a_cut_is_in_one_of_the_ranges(lying: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """A tree that is listed from a name on leaves out what its folder has: the ranges don't agree, and are given up."""
    for number in range(8):
        lying.put(f"a/{number}.txt", "x")
    lying.run()
    lying.s3.order = "tree"
    lying.put("a b.txt", "beside")
    lying.put("a/2.5.txt", "new")
    lying.put("a-c.txt", "beside, too")
    report = lying.run()
    assert report.counts["new"] == 3
    assert remembered(lying) in (ONE_RANGE, UNORDERED)
    assert warnings(caplog)
    lying.assert_agreement()


def test_ranges_that_do_not_agree_where_they_meet_are_given_up(lying: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """Keys that no range shows would be taken for gone; one range is listed instead, now and from then on."""
    lying.s3.start_after = "skips"
    lying.put_many(30)
    lying.run()
    report = lying.run()
    assert (report.counts["unchanged"], report.counts["removed"]) == (30, 0)
    assert remembered(lying) == ONE_RANGE
    assert "can't be listed in ranges" in warnings(caplog)[0]
    assert lying.run().s3_requests == {"ListObjectsV2": 10}
    lying.assert_agreement()


@pytest.mark.parametrize("lie", ["ignored", "refused"])
def test_a_storage_that_cannot_begin_at_a_key_is_listed_in_one_range(
    lying: Mirror, caplog: pytest.LogCaptureFixture, lie: str
) -> None:
    """Said once, remembered, and nothing is deleted by it."""
    lying.put_many(20)
    lying.run()
    lying.s3.start_after = lie
    lying.remove("0001.txt")
    report = lying.run()
    assert (report.counts["removed"], report.counts["unchanged"]) == (1, 19)
    assert remembered(lying) == ONE_RANGE
    assert len(warnings(caplog)) == 1
    lying.assert_agreement()


def test_a_range_never_begins_where_a_listing_was_broken_off(lying: Mirror) -> None:
    """Gateways keep a listing for some seconds, and go on with it as it was: what is new since would be missed."""
    lying.put_many(40)
    lying.s3.start_after = "stale"
    for run in range(4):
        lying.put(f"00{8 * run + 5}-new.txt", "new")
        lying.put(f"00{8 * run + 6}.txt", f"changed {run}")
        lying.remove(f"00{8 * run + 7}.txt")
        lying.run()
        lying.assert_agreement()
    assert remembered(lying) is None
    assert len(read_bounds(lying.context("b").db, lying.context("b").source)) > 3
    assert not set(lying.s3.asked) & lying.objects().keys()


class Old(LyingS3):
    """Each listing that begins at a key is what it was the first time, once more: a cache in between."""

    def _to_come(self, bucket: str, prefix: str, start_after: str, token: str) -> list[dict[str, Any]]:
        rows = super()._to_come(bucket, prefix, start_after, token)
        return self.kept.pop((prefix, start_after), rows) if start_after and not token else rows


def test_a_range_that_begins_with_what_was_there_is_not_believed(tmp_path: Path, cloud: LocalCloudIndex) -> None:
    """A key behind the cut that is older than the answer that lacks it: the sweep lists again, in one range."""
    s3 = Old(page_size=5)
    mirror = Mirror(tmp_path, cloud, s3, s3)
    mirror.put_many(40)
    mirror.run()
    mirror.run()
    cut = next(one for one in s3.asked if one)
    s3.kept["docs/", cut] = s3._to_come(mirror.bucket, "docs/", cut, "")
    mirror.put(f"{cut.removeprefix('docs/')}~.txt", "new")
    report = mirror.run()
    assert report.counts["new"] == 1
    assert remembered(mirror) is None  # it may have been chance
    mirror.assert_agreement()
    mirror.close()


# Twice


@pytest.mark.parametrize("order", ["bytes", "tree"])
@pytest.mark.parametrize("ranges", [1, 8])
def test_a_key_that_is_listed_twice_counts_once(lying: Mirror, ranges: int, order: str) -> None:
    """Within a page, over a page's edge and over a range's."""
    lying.s3.order, lying.s3.duplicates = order, 2
    lying.put_many(20)
    for name in BESIDE:
        lying.put(name, name)
    for expected in ("new", "unchanged", "unchanged"):
        report = lying.run(listing_ranges=ranges)
        assert report.counts[expected] == report.counts["listed"] == 22
    assert lying.uploads == 22
    assert remembered(lying) == (None if order == "bytes" else UNORDERED)
    lying.assert_agreement()


# Tokens and counts


@pytest.mark.parametrize("order", ["bytes", "tree"])
@pytest.mark.parametrize("tokens", ["always", "odd"])
def test_tokens_are_only_handed_back(lying: Mirror, tokens: str, order: str) -> None:
    """A token is nobody's key, and what says that it ends has ended."""
    lying.s3.tokens, lying.s3.order = tokens, order
    lying.put_many(10)
    for name in BESIDE:
        lying.put(name, name)
    for _ in range(3):
        assert lying.run().counts["listed"] == 12
    lying.assert_agreement()


@pytest.mark.parametrize("order", ["bytes", "hashed"])
@pytest.mark.parametrize("lie", [*({"tokens": name} for name in HOPELESS), {"key_count": 1}])
def test_a_listing_that_does_not_say_how_it_goes_on_deletes_nothing(
    lying: Mirror, lie: dict[str, Any], order: str
) -> None:
    """No token, the same again, or round in circles: an error, in order or not, and no key is taken for gone."""
    lying.s3.order = order
    lying.put_many(12)
    lying.run()
    for name, value in lie.items():
        setattr(lying.s3, name, value)
    lying.remove("0011.txt")
    for ranges in (1, 8):
        with pytest.raises(S3IntegrationError):
            detect(lying.context(f"ranges{ranges}", listing_ranges=ranges))
    assert len(lying.documents()) == 12


def test_a_listing_in_order_can_still_be_asked_for(lying: Mirror) -> None:
    """Whoever relies on order is told where there is none."""
    lying.s3.order = "tree"
    for name in BESIDE:
        lying.put(name)
    with pytest.raises(SourceOrderError):
        list(S3Source(lying.s3, lying.bucket).pages("docs/"))


# Directory buckets


@pytest.fixture
def express(tmp_path: Path, cloud: LocalCloudIndex) -> Iterator[Mirror]:
    """A directory bucket: no order, no StartAfter."""
    s3 = LyingS3(page_size=3, order="hashed", start_after="refused")
    made = Mirror(tmp_path, cloud, s3, s3, bucket="fast--use1-az4--x-s3")
    yield made
    made.close()


def test_a_directory_bucket_is_mirrored(express: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """In no order from the first request on."""
    caplog.set_level(logging.INFO)
    express.put_many(10)
    for _ in range(2):
        caplog.clear()
        report = express.run()
        assert report.s3_requests["ListObjectsV2"] == 4
        assert len([text for text in caplog.messages if "directory bucket" in text]) == 1
    assert report.counts["unchanged"] == 10
    express.remove("0004.txt")
    express.run()
    express.assert_agreement()


def test_a_directory_bucket_in_order_stays_one(express: Mirror) -> None:
    """Few keys come in order by chance; nothing follows from it."""
    express.put("0001.txt", "alone")
    for _ in range(3):
        assert express.run().s3_requests["ListObjectsV2"] == 1
    express.put_many(9)
    express.run()
    express.assert_agreement()
