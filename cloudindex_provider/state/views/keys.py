"""Lists of keys, by a cursor: the last key of a page is where the next one begins. And everything about one key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa

from cloudindex_provider.state.blocks import prefix_end
from cloudindex_provider.state.conditions import WORK, KeyClass, Outcome, Status
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Source

__all__ = [
    "WINDOW", "HeldKey", "KeyFilter", "KeyRow", "Page", "key_range", "key_terms", "read_held", "read_key", "read_keys",
    "read_named",
]  # fmt: skip

WINDOW = 2_000  # rows that one call looks at
_COLUMNS = (
    "key, status, reason, etag, size, last_modified, storage_class, document_id, document_version, file_name,"
    " indexed_etag, indexed_size, indexed_sha256, upload_document_id, intent_at, attempts, next_attempt_at,"
    " claim_owner, claim_until, doubtful, revision"
)
# Of a hold's keys: what its run found removed and nobody has deleted or found again. Cut to a page, and then joined:
# Postgres would join all of them and cut last.
_HELD = (
    "SELECT held.key, object.indexed_size, object.document_id, object.size, held.reason FROM (SELECT key, reason"
    " FROM run_key WHERE run_id = :run AND {range}"
    f" AND class = '{KeyClass.REMOVED}' AND (outcome IS NULL OR outcome = '{Outcome.HELD}') ORDER BY key LIMIT :limit"
    ") AS held LEFT JOIN object"
    " ON object.scope_id = :scope AND object.key = held.key AND object.source_id = :source ORDER BY held.key"
)


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which keys are asked for.

    :param prefix: what the key begins with
    :param status: one status; ``None``: any
    :param reason: of (a key, its reason): whether it is meant
    :param after: the cursor: only keys behind it
    :param descending: from the last key on
    """

    prefix: str = ""
    status: str | None = None
    reason: Callable[[str, str | None], bool] | None = None
    after: str | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as the state has it. Times are seconds since 1970, ``last_modified`` is as S3 lists it."""

    key: str
    status: str
    reason: str | None
    etag: str
    size: int
    last_modified: str
    storage_class: str
    document_id: str | None
    document_version: int | None
    file_name: str | None
    indexed_etag: str | None
    indexed_size: int | None
    indexed_sha256: str | None
    upload_document_id: str | None
    intent_at: float | None
    attempts: int
    next_attempt_at: float | None
    claim_owner: str | None
    claim_until: float | None
    doubtful: int
    revision: int


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key whose document would be deleted."""

    key: str
    indexed_size: int | None
    document_id: str | None
    size: int | None
    reason: str | None


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


Row = TypeVar("Row", bound=_Keyed)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the cursor behind them; ``None``: there are no more."""

    rows: Sequence[Row]
    after: str | None

    @staticmethod
    def cut(rows: Sequence[Row], limit: int) -> Page[Row]:
        """The first ``limit`` of one more than that, where there are so many."""
        return Page(rows[:limit], rows[limit - 1].key) if len(rows) > limit else Page(rows, None)


def read_keys(db: Database, source: Source, wanted: KeyFilter, *, limit: int) -> Page[KeyRow]:
    """A page of a sync's keys in key order. Fewer than ``limit`` with a cursor: the rows looked at had no more."""
    if not wanted.prefix.startswith(source.prefix) and not source.prefix.startswith(wanted.prefix):
        return Page([], None)
    where, values = key_terms(source, wanted)
    window = limit + 1 if wanted.reason is None else WINDOW
    order = "key DESC" if wanted.descending else "key"
    statement = sa.text(f"SELECT {_COLUMNS} FROM object WHERE {where} ORDER BY {order} LIMIT :limit")
    with db.read() as connection:
        rows = [KeyRow(*row) for row in connection.execute(statement, values | {"limit": window})]
    fitting = rows if wanted.reason is None else [row for row in rows if wanted.reason(row.key, row.reason)]
    return _page(fitting, rows, limit, window)


def key_terms(source: Source, wanted: KeyFilter) -> tuple[str, dict[str, Any]]:
    """The conditions of all that a filter says but the reason, in terms that lead to an index."""
    where, values = key_range(source.prefix, wanted)
    where.append("source_id = :source")
    if wanted.status is None or wanted.status == Status.INDEXED:
        where.append("scope_id = :scope")
    if wanted.status is not None:
        where.append("status = :status")
        if wanted.status != Status.INDEXED:
            where.append(WORK)
    values |= {"source": source.id, "scope": source.scope_id, "status": wanted.status}
    return " AND ".join(where), values


def read_named(db: Database, source: Source, keys: Sequence[str]) -> list[KeyRow]:
    """What the state has of these keys, a page of them, in their order."""
    if not keys:
        return []
    statement = sa.text(
        f"SELECT {_COLUMNS} FROM object WHERE scope_id = :scope AND key IN :keys AND source_id = :source"
    ).bindparams(sa.bindparam("keys", expanding=True))
    with db.read() as connection:
        values = {"scope": source.scope_id, "keys": list(keys), "source": source.id}
        found = {row.key: KeyRow(*row) for row in connection.execute(statement, values)}
    return [found[key] for key in keys if key in found]


def read_key(db: Database, source: Source, key: str) -> KeyRow | None:
    """What the state has of one key; ``None``: nothing, or another sync has it."""
    statement = sa.text(f"SELECT {_COLUMNS} FROM object WHERE scope_id = :scope AND key = :key AND source_id = :source")
    if "\0" in key:
        return None
    with db.read() as connection:
        row = connection.execute(statement, {"scope": source.scope_id, "key": key, "source": source.id}).one_or_none()
    return None if row is None else KeyRow(*row)


def read_held(db: Database, source: Source, run_id: int, wanted: KeyFilter, *, limit: int) -> Page[HeldKey]:
    """A page of the keys whose documents the held run would have deleted."""
    range_, values = key_range("", wanted)
    where = " AND ".join(range_)
    values |= {"scope": source.scope_id, "source": source.id, "run": run_id, "limit": limit + 1}
    with db.read() as connection:
        rows = [HeldKey(*row) for row in connection.execute(sa.text(_HELD.format(range=where)), values)]
    return Page.cut(rows, limit)


def key_range(base: str, wanted: KeyFilter) -> tuple[list[str], dict[str, Any]]:
    """The range of keys: what the prefix begins, and what is behind the cursor. One bound a side: of two, SQLite finds
    its way by the first and reads all up to the other."""
    prefix = _storable(max(base, wanted.prefix, key=len))
    after = None if wanted.after is None else _storable(wanted.after)
    end = prefix_end(prefix)
    low, high = ">= :prefix", "< :end" if end is not None else None
    if after is not None and wanted.descending and (end is None or after < end):
        high = "< :after"
    elif after is not None and not wanted.descending and after >= prefix:
        low = "> :after"
    terms = [f"key {bound}" for bound in (low, high) if bound is not None]
    return terms, {"prefix": prefix, "end": end, "after": after}


def _storable(text: str) -> str:
    return text.partition("\0")[0]  # Postgres takes no U+0000, and no stored key has one


def _page(fitting: Sequence[Row], looked_at: Sequence[Row], limit: int, window: int) -> Page[Row]:
    if len(fitting) > limit:
        return Page(fitting[:limit], fitting[limit - 1].key)
    return Page(fitting, looked_at[-1].key if len(looked_at) == window else None)
