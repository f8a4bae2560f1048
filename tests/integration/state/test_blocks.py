"""What the comparison of whole blocks reads: the state's own word on what is settled, on every database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.s3.page import ListedObject, ListedPage
from cloudindex_provider.state import blocks
from cloudindex_provider.state.blocks import SETTLED, UNSETTLED, KnownLines
from cloudindex_provider.sync.detect.lines import difference

Listed = Callable[..., ListedObject]
INDEXED = "status = 'indexed', document_id = 'd', indexed_etag = etag, indexed_size = size"
SKIPPED = "status = 'skipped', reason = 'empty'"


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        (INDEXED, SETTLED),
        (SKIPPED, "empty"),
        (f"{INDEXED}, doubtful = 1", SETTLED),
        ("status = 'pending'", UNSETTLED),
        (INDEXED.replace("indexed'", "deleting'"), UNSETTLED),
        (INDEXED.replace("'d'", "NULL"), UNSETTLED),
        (INDEXED.replace("= etag", "= 'other'"), UNSETTLED),
        (INDEXED.replace("= size", "= 99"), UNSETTLED),
        (INDEXED.replace("= size", "= NULL"), UNSETTLED),
        (f"{INDEXED}, source_id = -1", UNSETTLED),
        (f"{SKIPPED}, source_id = -1", UNSETTLED),
        (f"{SKIPPED}, document_id = 'd'", UNSETTLED),
        (f"{SKIPPED}, upload_document_id = 'd'", UNSETTLED),
        (f"{SKIPPED}, doubtful = 1", UNSETTLED),
        ("status = 'skipped', reason = NULL", UNSETTLED),
        ("status = 'skipped', reason = ''", UNSETTLED),
    ],
)
def test_a_line_says_what_is_settled(state: Any, listed: Listed, change: str, mark: str) -> None:
    """Indexed at the ETag and size that S3 had, or skipped with nothing of it in the index; all else is looked at."""
    state.detect(listed("k.txt"))
    with state.db.write() as connection:
        connection.execute(sa.text(f"UPDATE object SET {change}"))
    found = blocks.read_lines(state.db, state.source, after=None, upto=None, limit=9)
    assert found == KnownLines(1, f"k.txt\te1\t10\t{mark}")


def test_lines_are_a_block_of_the_listing(state: Any, listed: Listed) -> None:
    """Every database writes the lines of the keys that a listing gives, in its order, cut where it is told."""
    keys = ["A", "a", "a b", "a/", "a\\b", "a\u0301", "\u00e1", "\ufb01", "\uffee", "\U0001f600"]
    items = [listed(key, size=1000 + at) for at, key in enumerate(keys)]
    state.index(*items)
    for after, upto, limit in [(None, None, 99), ("A", "\u00e1", 99), (None, None, 3), ("a", None, 2), ("b", "b", 9)]:
        found = blocks.read_lines(state.db, state.source, after=after, upto=upto, limit=limit)
        known = [one for one in items if (after or "") < one.key <= (upto or "\U0010ffff")][:limit]
        assert (found.rows, found.last) == (len(known), known[-1].key if known else "")
        same = difference(ListedPage.of(known), {}, found)
        assert same is not None
        assert not any(same)


def test_many_keys_are_read_at_once(state: Any, listed: Listed) -> None:
    """Any keys, those that no database can hold included, and in their order."""
    keys = ["a'b", 'c"d', "e\\f", "g\nh", "\u00e9", "\U0001f600"]
    state.detect(*(listed(key) for key in keys))
    rows = blocks.read_keys(state.db, state.source, [*reversed(keys), "none", "n\0o"])
    assert [row.key for row in rows] == keys
    assert blocks.read_keys(state.db, state.source, []) == []
