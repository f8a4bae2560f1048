"""A sync's keys in another order than their own: by size, or by when they were changed in S3.

No index has that order, because each would cost a first load nearly half of its time; so what is to be sorted is read.
That is bounded: of more keys than ``MOST`` the answer is that a prefix or a status has to narrow them first.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import Literal

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.db.driver import fetch_all
from cloudindex_provider.state.records import Source
from cloudindex_provider.state.views.keys import KeyFilter, KeyRow, Page, key_terms, read_named

__all__ = ["MOST", "Order", "TooMany", "read_sorted"]

MOST = 10_000  # keys that are sorted: about 0.05 s, most of it for reading them
Order = Literal["size", "last_modified"]


@dataclass(frozen=True, slots=True)
class TooMany:
    """More keys fit than can be sorted."""

    most: int


def read_sorted(db: Database, source: Source, wanted: KeyFilter, order: Order, *, limit: int) -> Page[KeyRow] | TooMany:
    """A page of the keys that fit, in this order and then by key.

    :raises SettingsError: for a cursor that is none of this order
    """
    whole = replace(wanted, after=None, descending=False)
    where, values = key_terms(source, whole)
    sql = f"SELECT {order}, key, reason FROM object WHERE {where} ORDER BY key LIMIT :limit"
    with db.read() as connection:
        rows = fetch_all(connection, sql, values | {"limit": MOST + 1})
    if len(rows) > MOST:
        return TooMany(MOST)
    fitting = [(value, key) for value, key, why in rows if wanted.reason is None or wanted.reason(key, why)]
    after = None if wanted.after is None else _place(wanted.after, order)
    if after is not None:
        fitting = [one for one in fitting if (one < after if wanted.descending else one > after)]
    few = (heapq.nlargest if wanted.descending else heapq.nsmallest)(limit + 1, fitting)
    found = read_named(db, source, [key for _, key in few[:limit]])
    return Page(found, "{} {}".format(*few[limit - 1]) if len(few) > limit else None)


def _place(cursor: str, order: Order) -> tuple[int | str, str]:
    """What a cursor says: the value and the key of a page's last row."""
    value, _, key = cursor.partition(" ")
    if order == "last_modified":
        return value, key
    try:
        return int(value), key
    except ValueError:
        raise SettingsError("This cursor is none of a list by size.", field="after") from None
