"""The verdict on every pair of what S3 lists and what the state holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.records import ObjectRow, SweepWrites
from cloudindex_provider.sync.detect.comparison import Comparison
from cloudindex_provider.sync.selection import SkipReason, selector
from cloudindex_provider.sync.settings import Selection

COMPARISON = Comparison(1, selector(Selection(max_file_size=100)))
LIVE = {"document_id": "d1", "indexed_etag": "e1", "indexed_size": 10}
OLD = {"document_id": "d0", "indexed_etag": "e0", "indexed_size": 10}
CLASSES = ("unchanged", "new", "changed", "skipped")

# (row or None, how the listing differs, count, list that the write goes to or None)
LISTED: list[tuple[dict[str, Any] | None, dict[str, Any], str, str | None]] = [
    (None, {}, "new", "insert"),
    (None, {"size": 0}, "skipped", "insert_skipped"),
    ({"status": "indexed", **LIVE}, {}, "unchanged", None),
    ({"status": "indexed", **LIVE}, {"etag": "e2"}, "changed", "requeue"),
    ({"status": "indexed", **LIVE}, {"size": 11}, "changed", "requeue"),  # another size under the same ETag
    ({"status": "indexed", **LIVE}, {"storage_class": "GLACIER"}, "unchanged", None),  # needs no reading
    ({"status": "indexed", **LIVE}, {"etag": "e2", "storage_class": "GLACIER"}, "skipped", "skip"),
    ({"status": "indexed", **LIVE}, {"size": 0}, "skipped", "skip"),
    ({"status": "indexed"}, {}, "new", "requeue"),  # says that it is indexed, and has nothing
    # what is indexed is what S3 has again: no upload
    ({"status": "pending", "etag": "e2", **LIVE}, {}, "unchanged", "restore"),
    ({"status": "failed", "etag": "e2", **LIVE}, {}, "unchanged", "restore"),
    ({"status": "quarantined", "etag": "e2", **LIVE}, {}, "unchanged", "restore"),
    ({"status": "skipped", "reason": "excluded", **LIVE}, {}, "unchanged", "restore"),
    # a delete had begun, so nothing is known to be there
    ({"status": "deleting", **LIVE}, {}, "new", "requeue"),
    ({"status": "deleting", **LIVE}, {"etag": "e2"}, "new", "requeue"),
    ({"status": "deleting", **LIVE}, {"size": 0}, "skipped", "skip"),
    # waiting for its turn
    ({"status": "pending"}, {}, "new", None),
    ({"status": "pending"}, {"etag": "e2"}, "new", "requeue"),
    ({"status": "pending", "etag": "e1", **OLD}, {}, "changed", None),
    ({"status": "failed"}, {}, "new", None),
    ({"status": "failed"}, {"etag": "e2"}, "new", "requeue"),
    ({"status": "failed", **OLD}, {}, "changed", None),
    ({"status": "quarantined"}, {}, "new", None),
    ({"status": "quarantined"}, {"etag": "e2"}, "new", "requeue"),
    ({"status": "pending"}, {"size": 0}, "skipped", "skip"),
    ({"status": "quarantined"}, {"size": 101}, "skipped", "skip"),
    # skipped before
    ({"status": "skipped", "reason": "empty", "size": 0}, {"size": 0}, "skipped", None),
    ({"status": "skipped", "reason": "empty", "size": 0}, {"size": 0, "etag": "e2"}, "skipped", "skip"),
    ({"status": "skipped", "reason": "excluded"}, {"size": 0}, "skipped", "skip"),
    ({"status": "skipped", "reason": "excluded"}, {}, "new", "requeue"),
    ({"status": "skipped", "reason": "opted_out"}, {}, "skipped", None),  # the object said so itself ...
    ({"status": "skipped", "reason": "opted_out"}, {"etag": "e2"}, "new", "requeue"),  # ... and a new version may not
    # in flight: the upload goes on and is this run's work, whatever is listed
    ({"status": "uploading"}, {}, "new", None),
    ({"status": "processing"}, {}, "new", None),
    ({"status": "processing", **OLD}, {}, "changed", None),
    ({"status": "uploading"}, {"etag": "e2"}, "new", "replace_wanted"),
    ({"status": "processing", **OLD}, {"etag": "e2"}, "changed", "replace_wanted"),
    ({"status": "processing", "etag": "e2", **LIVE}, {}, "changed", "replace_wanted"),  # S3 is back at what is live
    ({"status": "processing"}, {"size": 0}, "new", None),  # no longer wanted: decided when it has landed
    # another sync's
    ({"status": "indexed", "source_id": 2, **LIVE}, {}, "skipped", None),
    ({"status": "pending", "source_id": 2}, {"etag": "e2"}, "skipped", None),
]
LISTS = ("insert", "insert_skipped", "requeue", "replace_wanted", "restore", "skip", "forget", "removed")


def written(writes: SweepWrites) -> list[str]:
    return [name for name in LISTS for _ in getattr(writes, name)]


@pytest.mark.parametrize(("row", "listing", "count", "write"), LISTED)
def test_the_verdict_on_a_listed_key(
    listed: Callable[..., ListedObject],
    state_row: Callable[..., ObjectRow],
    row: dict[str, Any] | None,
    listing: dict[str, Any],
    count: str,
    write: str | None,
) -> None:
    """A listed key is counted once, and written only where the state has to change."""
    rows = [] if row is None else [state_row(**row)]
    writes = COMPARISON.block([listed(**listing)], rows)
    assert {name: writes.counts.get(name, 0) for name in CLASSES} == {**dict.fromkeys(CLASSES, 0), count: 1}
    assert writes.counts["listed"] == 1
    assert written(writes) == ([write] if write else [])


@pytest.mark.parametrize(
    ("row", "write", "removed", "live"),
    [
        ({"status": "indexed", **LIVE}, "removed", 1, 1),
        ({"status": "skipped", "reason": "excluded", **LIVE}, "removed", 1, 1),
        ({"status": "failed", **OLD}, "removed", 1, 1),
        ({"status": "processing", "upload_document_id": "d2"}, "removed", 1, 0),
        ({"status": "uploading"}, "removed", 1, 0),  # may have arrived
        ({"status": "pending", "doubtful": 1}, "removed", 1, 0),
        ({"status": "deleting", **LIVE}, "removed", 1, 1),  # a delete that was begun is finished
        ({"status": "pending"}, "forget", 0, 0),
        ({"status": "failed"}, "forget", 0, 0),
        ({"status": "quarantined"}, "forget", 0, 0),
        ({"status": "skipped", "reason": "empty"}, "forget", 0, 0),
        ({"status": "indexed", "source_id": 2, **LIVE}, None, 0, 0),
    ],
)
def test_the_verdict_on_a_key_that_is_gone(
    state_row: Callable[..., ObjectRow], row: dict[str, Any], write: str | None, removed: int, live: int
) -> None:
    """A key that may have a document is removed, one that never had any is forgotten, another sync's is left alone."""
    writes = COMPARISON.block([], [state_row(**row)])
    assert written(writes) == ([write] if write else [])
    assert (writes.counts.get("removed", 0), writes.counts.get("live", 0)) == (removed, live)
    assert "listed" not in writes.counts


@pytest.mark.parametrize(
    ("row", "listing", "excluded"),
    [
        ({"status": "indexed", **LIVE}, {"size": 0}, 1),
        ({"status": "skipped", "reason": "empty", "size": 0, **LIVE}, {"size": 0}, 1),
        ({"status": "pending"}, {"size": 0}, 0),
        ({"status": "indexed", **LIVE}, {}, 0),
    ],
)
def test_what_a_narrower_selection_leaves_behind_is_reported(
    listed: Callable[..., ListedObject],
    state_row: Callable[..., ObjectRow],
    row: dict[str, Any],
    listing: dict[str, Any],
    excluded: int,
) -> None:
    """A document whose key is no longer selected is counted in every run, and never removed."""
    writes = COMPARISON.block([listed(**listing)], [state_row(**row)])
    assert writes.counts.get("excluded", 0) == excluded
    assert not writes.removed


def test_a_key_that_no_database_stores_is_skipped_and_never_written(listed: Callable[..., ListedObject]) -> None:
    """U+0000 in a key is counted with its reason; Postgres would refuse the row."""
    writes = COMPARISON.block([listed("a\0.txt")], [])
    assert writes.counts == {"listed": 1, "skipped": 1, f"skipped:{SkipReason.INVALID_KEY}": 1}
    assert writes.rows() == 0


def test_two_sequences_are_merged_by_key(
    listed: Callable[..., ListedObject], state_row: Callable[..., ObjectRow]
) -> None:
    """Rows before, between and after the listed keys, and neighbours of them, are each judged against their own key."""
    done = {"status": "indexed", **LIVE}
    rows = [state_row(key, **done) for key in ("a.txt", "b.txt", "b.txt2", "d.txt", "\U0001f600.txt")]
    items = [listed(key) for key in ("b.txt", "c.txt", "d.txt", "\uffee.txt")]
    writes = COMPARISON.block(items, rows)
    assert [row.key for row in writes.removed] == ["a.txt", "b.txt2", "\U0001f600.txt"]
    assert [item.key for item in writes.insert] == ["c.txt", "\uffee.txt"]
    assert writes.counts == {"listed": 4, "unchanged": 2, "new": 2, "removed": 3, "live": 5}


def test_an_unchanged_block_writes_nothing(
    listed: Callable[..., ListedObject], state_row: Callable[..., ObjectRow]
) -> None:
    """1,000 unchanged keys cost no row."""
    keys = [f"{number:04}.txt" for number in range(1000)]
    rows = [state_row(key, status="indexed", **LIVE) for key in keys]
    writes = COMPARISON.block([listed(key) for key in keys], rows)
    assert writes.rows() == 0
    assert writes.counts == {"listed": 1000, "unchanged": 1000, "live": 1000}
