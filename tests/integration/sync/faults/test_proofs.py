"""What S3 must say before a document is deleted: that the bucket is there, by one look that every store can answer, and
that the key is not. What isn't proven is kept, counted and named."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.errors import AccessDeniedError, NoSuchBucketError
from cloudindex_provider.state.approvals import approve, open_holds
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.report.messages import log_report
from tests.support.memory_s3 import MemoryS3, client_error
from tests.support.mirror import Mirror


class Store(MemoryS3):
    """In memory, with the odds of real stores."""

    heads_denied = False  # Ceph before April 2026, under a policy with a condition on s3:prefix
    allowed: tuple[str, ...] = ("",)  # prefixes that may be listed: what a policy's s3:prefix matches
    exactly: str | None = None  # the only one

    def head_object(self, **request: Any) -> dict[str, Any]:
        try:
            return super().head_object(**request)
        except Exception:
            if self.heads_denied:
                raise client_error("HeadObject", 403, "403") from None
            raise

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        prefix = request.get("Prefix", "")
        if not prefix.startswith(self.allowed) or self.exactly not in (None, prefix):
            raise client_error("ListObjectsV2", 403, "AccessDenied")
        answer = super().list_objects_v2(**request)
        if not answer.get("NextContinuationToken", "").isprintable():  # a token is a key there, and no XML holds this
            raise client_error("ListObjectsV2", 500, "500")
        return answer


@pytest.fixture
def store(in_memory: Mirror) -> Store:
    made = Store(in_memory.s3.buckets)
    in_memory.s3 = in_memory.reader = made
    return made


@pytest.mark.parametrize("first", ["\x01.txt", "!\x01.txt"])
def test_an_odd_first_key_stops_no_removal(in_memory: Mirror, store: Store, first: str) -> None:
    """The look at the bucket has no page's end, so no token."""
    in_memory.put(first, "odd")
    in_memory.put_many(3)
    in_memory.run()
    in_memory.remove("0000.txt", "0001.txt")
    assert in_memory.run().counts["deleted"] == 2
    in_memory.assert_agreement()


def test_no_more_is_asked_of_a_policy_than_readme_grants(in_memory: Mirror, store: Store) -> None:
    """s3:ListBucket, where s3:prefix is like the prefix and anything after it."""
    in_memory.put_many(3)
    in_memory.run()
    store.allowed = ("docs/",)
    in_memory.remove("0000.txt")
    assert in_memory.run().counts["deleted"] == 1


def test_a_policy_for_exactly_the_prefix_is_enough(in_memory: Mirror, store: Store) -> None:
    """Where a store answers a HEAD with 404 all the same."""
    in_memory.put_many(3)
    in_memory.run()
    store.exactly = "docs/"
    in_memory.remove("0000.txt")
    assert in_memory.run().counts["deleted"] == 1


def test_a_prefix_as_long_as_a_key_can_be_is_looked_at_as_it_is(in_memory: Mirror, store: Store) -> None:
    """There is no room for anything after it."""
    in_memory.prefix = "p" * 1010
    in_memory.put("x.txt", "text")
    in_memory.put("y.txt", "text")
    in_memory.run()
    in_memory.remove("x.txt")
    assert in_memory.run().counts["deleted"] == 1


def test_a_missing_bucket_is_no_missing_key(in_memory: Mirror, store: Store) -> None:
    """Gone after the detection: every HEAD says 404, and nothing is deleted."""
    in_memory.put_many(3)
    in_memory.run()
    in_memory.remove("0000.txt")
    detect(in_memory.context("one"))
    store.buckets.pop(in_memory.bucket)
    with pytest.raises(NoSuchBucketError):
        remove(in_memory.context("one"))
    assert len(in_memory.documents()) == 3


def test_a_bucket_that_may_not_be_listed_any_more_proves_nothing(in_memory: Mirror, store: Store) -> None:
    """Refused for both looks."""
    in_memory.put_many(3)
    in_memory.run()
    in_memory.remove("0000.txt")
    detect(in_memory.context("one"))
    store.allowed = ("other/",)
    with pytest.raises(AccessDeniedError):
        remove(in_memory.context("one"))
    assert in_memory.requests("delete") == 0


def test_what_is_not_proven_gone_is_counted_and_named(
    in_memory: Mirror, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A 403 where a 404 is meant: the first twenty keys with the reason, which names s3:ListBucket and Ceph."""
    in_memory.put_many(60)
    in_memory.run()
    store.heads_denied = True
    in_memory.remove(*(f"{i:04d}.txt" for i in range(23)))
    report = in_memory.run(max_delete_documents=30)
    assert (report.counts["removed"], report.counts["kept"], report.counts["deleted"]) == (23, 23, 0)
    assert [row["key"] for row in report.as_dict()["kept_keys"]] == [f"docs/{i:04d}.txt" for i in range(20)]
    reason = str(report.kept[0]["reason"])
    assert "s3:ListBucket" in reason
    assert "Ceph before April 2026 only without a condition on s3:prefix" in reason
    caplog.clear()
    log_report(logging.getLogger("report"), in_memory.settings(), report)
    assert "23 removed keys keep their documents" in caplog.text
    store.heads_denied = False
    report = in_memory.run(max_delete_documents=30)
    assert (report.counts["kept"], report.counts["deleted"]) == (0, 23)
    in_memory.assert_agreement()


def test_the_guide_tells_users_of_ceph_about_the_condition() -> None:
    """Where it shows the policy."""
    section = (Path(__file__).parents[4] / "docs/connections.md").read_text().partition("\n## S3\n")[2]
    assert "on Ceph" in section.partition("\n## ")[0]


def test_an_approval_stays_where_nothing_was_proven(in_memory: Mirror, store: Store) -> None:
    """A delete step that deletes nothing uses nothing up."""
    in_memory.put_many(30)
    in_memory.run()
    in_memory.remove(*(f"{i:04d}.txt" for i in range(20)))
    in_memory.run(on_mass_delete="skip")
    approve(in_memory.db, in_memory.context().source.id, 20, "ada")
    store.heads_denied = True
    assert in_memory.run().counts["kept"] == 20
    assert len(open_holds(in_memory.db)) == 1
    store.heads_denied = False
    assert in_memory.run().counts["deleted"] == 20
    in_memory.assert_agreement()
