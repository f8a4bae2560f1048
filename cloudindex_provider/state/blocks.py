"""Reading the state by the thousand rows: what the comparison of whole blocks needs, as the driver's own values.

Nothing here writes. A block is a range of keys, so no cursor stays open over a listing.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from cloudindex_provider.state.conditions import Status
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.db.driver import fetch_all
from cloudindex_provider.state.records import ObjectRow, Source

__all__ = [
    "FIELD",
    "LINE",
    "SETTLED",
    "UNSETTLED",
    "KnownLines",
    "among",
    "is_whole",
    "next_key",
    "prefix_end",
    "read_block",
    "read_keys",
    "read_lines",
]

FIELD, LINE = "\t", "\n"
# How a line ends after key, ETag and size: with one of these or the reason of a skip.
SETTLED = ""  # indexed, and S3 had this ETag and size when it was
UNSETTLED = "?"  # anything that must be looked at
_COLUMNS = ", ".join(ObjectRow._fields)
_MARK = (
    f"CASE WHEN source_id <> :source THEN '{UNSETTLED}'"
    f" WHEN status = '{Status.INDEXED}' AND document_id IS NOT NULL AND indexed_etag = etag AND indexed_size = size"
    f" THEN '{SETTLED}'"
    f" WHEN status = '{Status.SKIPPED}' AND document_id IS NULL AND upload_document_id IS NULL AND doubtful = 0"
    f" THEN coalesce(nullif(reason, ''), '{UNSETTLED}') ELSE '{UNSETTLED}' END"
)
# Both in the driver's own text: a line a row, and all of them as one. SQLite's printf takes half of the time of ||.
_LINES = {
    "sqlite": (
        f"printf('%s{FIELD}%s{FIELD}%d{FIELD}%s', key, etag, size, {_MARK}) AS line",
        f"SELECT count(*), group_concat(line, '{LINE}') FROM ({{}}) AS block",
    ),
    "postgresql": (
        f"key, key || '{FIELD}' || etag || '{FIELD}' || size || '{FIELD}' || {_MARK} AS line",
        f"SELECT count(*), string_agg(line, '{LINE}' ORDER BY key) FROM ({{}}) AS block",
    ),
}


class KnownLines(NamedTuple):
    """The lines of a block of the state, in key order."""

    rows: int
    text: str

    @property
    def whole(self) -> bool:
        """Whether every separator is one, so that the lines can be told apart."""
        return is_whole(self.text, self.rows)

    @property
    def last(self) -> str:
        """The last key of lines that are whole."""
        return self.text.rpartition(LINE)[2].partition(FIELD)[0]


def is_whole(text: str, lines: int) -> bool:
    """Whether the text has just the separators that so many lines of four fields need."""
    return text.count(LINE) == max(0, lines - 1) and text.count(FIELD) == 3 * lines


def read_lines(db: Database, source: Source, *, after: str | None, upto: str | None, limit: int) -> KnownLines:
    """Up to ``limit`` rows of ``after < key <= upto``, as far as tells whether a listed key needs work."""
    columns, around = _LINES[db.dialect]
    ((rows, text),) = _range(db, columns, source, after=after, upto=upto, limit=limit, around=around)
    return KnownLines(rows, text or "")


def next_key(db: Database, source: Source, *, after: str) -> str | None:
    """The first key after ``after`` that has a row in the source's prefix, whoever owns it."""
    rows = _range(db, "key", source, after=after, upto=None, limit=1)
    return str(rows[0][0]) if rows else None


def read_block(db: Database, source: Source, *, after: str | None, upto: str | None, limit: int) -> list[ObjectRow]:
    """Up to ``limit`` rows of ``after < key <= upto`` in key order, whoever owns them; ``None``: the prefix's end."""
    return [ObjectRow._make(row) for row in _range(db, _COLUMNS, source, after=after, upto=upto, limit=limit)]


def read_keys(db: Database, source: Source, keys: Collection[str]) -> list[ObjectRow]:
    """The rows of some keys, in key order."""
    with db.read(snapshot=False) as connection:
        one_of, known = among(connection, keys)
        rows = fetch_all(
            connection,
            f"SELECT {_COLUMNS} FROM object WHERE scope_id = :scope AND key {one_of} ORDER BY key",
            {"scope": source.scope_id, "keys": known},
        )
    return [ObjectRow._make(row) for row in rows]


def among(connection: Connection, keys: Collection[str]) -> tuple[str, str | list[str]]:
    """(condition on a key with the bound value ``:keys``, that value); keys that can't be stored are left out."""
    known = [key for key in keys if "\0" not in key]
    if connection.dialect.name == "sqlite":
        return "IN (SELECT value FROM json_each(:keys))", json.dumps(known)
    return "= ANY(:keys)", known


def _range(
    db: Database,
    columns: str,
    source: Source,
    *,
    after: str | None,
    upto: str | None,
    limit: int,
    around: str = "{}",
) -> list[tuple[Any, ...]]:
    where = ["scope_id = :scope", "key > :after" if after is not None else "key >= :prefix"]
    end = prefix_end(source.prefix)
    if upto is not None:
        where.append("key <= :upto")
    elif end is not None:
        where.append("key < :end")
    values = {
        "scope": source.scope_id, "source": source.id, "after": _storable(after), "prefix": source.prefix,
        "upto": _storable(upto), "end": end, "limit": limit,
    }  # fmt: skip
    block = f"SELECT {columns} FROM object WHERE {' AND '.join(where)} ORDER BY key LIMIT :limit"
    with db.read(snapshot=False) as connection:
        return fetch_all(connection, around.format(block), values)


def _storable(bound: str | None) -> str | None:
    # Postgres takes no U+0000, and no stored key has one: those up to "a\0b" are those up to "a".
    return bound if bound is None else bound.partition("\0")[0]


def prefix_end(prefix: str) -> str | None:
    """The smallest string after every string that starts with ``prefix``; ``None`` where there is none."""
    for at in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[at]) + 1
        if following == 0xD800:  # surrogates are no characters of UTF-8
            following = 0xE000
        if following <= 0x10FFFF:
            return prefix[:at] + chr(following)
    return None
