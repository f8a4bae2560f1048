"""What the comparison of whole blocks reads: the state's own word on what is settled, on every database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.sync.source import ListedObject
from cloudindex_provider.sync.state import sweep
from cloudindex_provider.sync.state.sweep import SETTLED

Listed = Callable[..., ListedObject]
INDEXED = "status = 'indexed', document_id = 'd', indexed_etag = etag, indexed_size = size"
SKIPPED = "status = 'skipped', reason = 'empty'"


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        (INDEXED, SETTLED),
        (SKIPPED, "empty"),
        (f"{INDEXED}, doubtful = 1", SETTLED),
        ("status = 'pending'", None),
        (INDEXED.replace("indexed'", "deleting'"), None),
        (INDEXED.replace("'d'", "NULL"), None),
        (INDEXED.replace("= etag", "= 'other'"), None),
        (INDEXED.replace("= size", "= 99"), None),
        (INDEXED.replace("= size", "= NULL"), None),
        (f"{INDEXED}, source_id = -1", None),
        (f"{SKIPPED}, source_id = -1", None),
        (f"{SKIPPED}, document_id = 'd'", None),
        (f"{SKIPPED}, upload_document_id = 'd'", None),
        (f"{SKIPPED}, doubtful = 1", None),
        ("status = 'skipped', reason = NULL", None),
    ],
)
def test_a_digest_says_what_is_settled(state: Any, listed: Listed, change: str, mark: str | None) -> None:
    """Indexed at the ETag and size that S3 had, or skipped with nothing of it in the index; all else is looked at."""
    state.detect(listed("k.txt"))
    with state.db.write() as connection:
        connection.execute(sa.text(f"UPDATE object SET {change}"))
    found = sweep.read_digests(state.db, state.source, after=None, upto=None, limit=9)
    assert [(row[0], row[2], row[3]) for row in found] == [("k.txt", 10, mark)]
    assert type(found[0]) is tuple


def test_many_keys_are_read_at_once(state: Any, listed: Listed) -> None:
    """Any keys, those that no database can hold included, and in their order."""
    keys = ["a'b", 'c"d', "e\\f", "g\nh", "\u00e9", "\U0001f600"]
    state.detect(*(listed(key) for key in keys))
    rows = sweep.read_keys(state.db, state.source, [*reversed(keys), "none", "n\0o"])
    assert [row.key for row in rows] == keys
    assert sweep.read_keys(state.db, state.source, []) == []
