"""Writing a state that was made again: rows replace rows of the same source, and spare what somebody works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields

import sqlalchemy as sa

from cloudindex_provider.state.conditions import IDLE, IDLE_OBJECT
from cloudindex_provider.state.db.database import BLOCK, Database
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import Source
from cloudindex_provider.state.superseded import Reason, supersede

__all__ = ["RebuiltRow", "count_rows", "drop_others", "keys_of_others", "set_fingerprint", "write_rebuilt"]


@dataclass(slots=True)
class RebuiltRow:
    """An object row without work's columns, and the documents beside its live one."""

    key: str
    status: str
    etag: str
    size: int
    last_modified: str
    storage_class: str
    file_name: str
    reason: str | None = None
    document_id: str | None = None
    document_version: int | None = None
    indexed_etag: str | None = None
    indexed_size: int | None = None
    indexed_sha256: str | None = None
    upload_etag: str | None = None
    upload_size: int | None = None
    upload_sha256: str | None = None
    upload_document_id: str | None = None
    copies: tuple[str, ...] = ()


_COLUMNS = [item.name for item in fields(RebuiltRow) if item.name != "copies"]
_SET = ", ".join(f"{name} = excluded.{name}" for name in [*_COLUMNS[1:], "intent_at"])
_UPSERT = (
    f"INSERT INTO object (scope_id, source_id, intent_at, {', '.join(_COLUMNS)})"
    f" VALUES (:scope, :source, :intent_at, {', '.join(f':{name}' for name in _COLUMNS)})"
    f" ON CONFLICT (scope_id, key) DO UPDATE SET {_SET}, doubtful = 0, attempts = 0, next_attempt_at = NULL,"
    " listed_etag = NULL, listed_size = NULL,"
    " claim_owner = NULL, queued_run = NULL, revision = object.revision + 1"
    " WHERE object.source_id = excluded.source_id"
    f" AND {IDLE_OBJECT}"
)


def count_rows(db: Database, source: Source) -> int:
    """How many keys the source has in the state."""
    with db.read() as connection:
        statement = sa.text("SELECT count(*) FROM object WHERE source_id = :source")
        return int(connection.execute(statement, {"source": source.id}).scalar_one())


def keys_of_others(db: Database, source: Source, first: str, last: str) -> set[str]:
    """The keys from ``first`` to ``last`` that other syncs of the same project and bucket own."""
    statement = sa.text(
        "SELECT key FROM object WHERE scope_id = :scope AND key >= :first AND key <= :last AND source_id <> :source"
    )
    # Postgres takes no U+0000, and no stored key has one.
    values = {"first": first.partition("\0")[0], "last": last.partition("\0")[0]}
    with db.read() as connection:
        found = connection.execute(statement, {"scope": source.scope_id, "source": source.id, **values})
        return set(found.scalars())


def write_rebuilt(db: Database, source: Source, rows: Sequence[RebuiltRow]) -> None:
    """Write one block, with the copies that the next run's delete step removes once their keys are indexed."""
    with db.write() as connection:
        now = db.now(connection)
        shared = {"scope": source.scope_id, "source": source.id, "now": now}
        values = [{**asdict(row), **shared, "intent_at": now if row.status == "processing" else None} for row in rows]
        connection.execute(sa.text(_UPSERT), values)
        connection.execute(sa.text("DELETE FROM superseded WHERE scope_id = :scope AND key = :key"), values)
        for row in rows:
            supersede(connection, source, row.key, row.copies, Reason.COPY)
        changed = [row for row in rows if row.status != "indexed"]
        note(db, connection, source.id, [(row.key, "rebuilt", row.reason or row.status) for row in changed])


def drop_others(db: Database, source: Source, is_rebuilt: Callable[[str], bool]) -> int:
    """Drop the source's rows that weren't made again; gives how many. What a run works on stays."""
    dropped, after = 0, ""
    while True:
        with db.write() as connection:
            values = {"scope": source.scope_id, "source": source.id, "after": after, "limit": BLOCK}
            keys = list(
                connection.execute(
                    sa.text(
                        "SELECT key FROM object WHERE scope_id = :scope AND source_id = :source AND key > :after"
                        " ORDER BY key LIMIT :limit"
                    ),
                    values,
                ).scalars()
            )
            if not keys:
                return dropped
            others = [{**values, "key": key, "now": db.now(connection)} for key in keys if not is_rebuilt(key)]
            for one in others:
                statement = sa.text(f"DELETE FROM object WHERE scope_id = :scope AND key = :key AND {IDLE}")
                dropped += connection.execute(statement, one).rowcount
                connection.execute(sa.text("DELETE FROM superseded WHERE scope_id = :scope AND key = :key"), one)
        after = keys[-1]


def set_fingerprint(db: Database, source: Source, fingerprint: str) -> None:
    """Say by which selection the rows were made; a run with another one holds its removals once."""
    with db.write() as connection:
        connection.execute(
            sa.text("UPDATE source SET fingerprint = :fingerprint WHERE id = :id"),
            {"fingerprint": fingerprint, "id": source.id},
        )
