"""Rows by the thousand are the rows that one statement each would have made; bounds of a listing are kept in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.bulk_insert import COPY_FROM, insert_listed
from cloudindex_provider.state.listings import read_bounds, write_bounds

ODD = [
    "tab\t.txt", "line\n.txt", "return\r.txt", "back\\slash", "\\N", "\\.", "quote'\"", "\u00e9", "\U0001f600", " ",
    "%s",
]  # fmt: skip


def items(number: int) -> list[ListedObject]:
    names = [*ODD, *(f"k{at:05d}" for at in range(number - len(ODD)))]
    return [
        ListedObject(name, f"e\\{at}", at * 10**9, "2026-01-02T03:04:05Z", "GLACIER\tIR")
        for at, name in enumerate(names)
    ]


@pytest.mark.parametrize("number", [len(ODD), COPY_FROM])
@pytest.mark.parametrize("reason", [None, "too\tlarge\\"])
def test_odd_values_arrive_as_they_are(state: Any, number: int, reason: str | None) -> None:
    """Few rows or many, by COPY or not: every column is what was given."""
    given = items(number)
    with state.db.write() as connection:
        assert insert_listed(connection, state.run, given, status="skipped", reason=reason) == number
    found = state.sql(
        "SELECT key, etag, size, last_modified, storage_class, status, reason, queued_run, revision FROM object"
    )
    assert sorted(found) == sorted((*item, "skipped", reason, state.run.id, 0) for item in given)


@pytest.mark.parametrize("number", [len(ODD), COPY_FROM])
def test_a_key_that_has_a_row_keeps_it(state: Any, listed: Callable[..., ListedObject], number: int) -> None:
    """One key that somebody else has added meanwhile costs the others nothing."""
    given = items(number)
    state.index(listed(given[3].key, "theirs"))
    with state.db.write() as connection:
        assert insert_listed(connection, state.run, given, status="pending") == number - 1
    rows = state.rows()
    assert len(rows) == number
    assert (rows[given[3].key].etag, rows[given[3].key].status) == ("theirs", "indexed")


def test_no_rows_are_no_statement(state: Any) -> None:
    with state.db.write() as connection:
        assert insert_listed(connection, state.run, [], status="pending") == 0


def test_bounds_are_kept_for_their_source(make_state: Callable[..., Any]) -> None:
    """In the order of keys; each complete listing replaces its source's, and no other's."""
    one, other = make_state(), make_state(prefix="x/")
    for state, keys in ((one, ["a", "b\t", "\U0001f600"]), (other, ["x/1"]), (one, ["a", "c"])):
        with state.db.write() as connection:
            write_bounds(connection, state.source, keys)
        assert read_bounds(state.db, state.source) == keys
    assert read_bounds(other.db, other.source) == ["x/1"]


def test_a_bound_that_no_database_stores_is_left_out(state: Any) -> None:
    with state.db.write() as connection:
        write_bounds(connection, state.source, ["a", "b\0c", "d"])
    assert read_bounds(state.db, state.source) == ["a", "d"]
