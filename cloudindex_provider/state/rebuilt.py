"""Writing a state that was made again: all of a source by a person, or what a run finds to be in the project already.

Rows replace rows of the same source, and spare what somebody works on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.accounts import record_outcomes
from cloudindex_provider.state.conditions import (
    ADOPTED,
    ANSWERED,
    IDLE,
    IDLE_OBJECT,
    WORK,
    KeyClass,
    Outcome,
    Status,
)
from cloudindex_provider.state.db.database import BLOCK, Database
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import Run, Source
from cloudindex_provider.state.runs import add_counts
from cloudindex_provider.state.superseded import Reason, supersede

__all__ = [
    "Adoptable", "RebuiltRow", "adoptable_rows", "count_rows", "drop_others", "keys_of_others", "record_adopted",
    "set_fingerprint", "write_rebuilt",
]  # fmt: skip


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
    f" {ANSWERED}, listed_etag = NULL, listed_size = NULL,"
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


def drop_others(
    db: Database, source: Source, is_rebuilt: Callable[[str], bool], is_there: Callable[[str], bool]
) -> tuple[int, int]:
    """Drop the source's rows that weren't made again; gives how many, and how many stay.

    What a run works on stays, and so does every row that has a document: a sync decides about it, by its guard.

    :param is_there: whether CloudIndex has the document of this id
    """
    dropped, kept, after = 0, 0, ""
    while True:
        with db.write() as connection:
            values = {"scope": source.scope_id, "source": source.id, "after": after, "limit": BLOCK}
            rows = connection.execute(
                sa.text(
                    "SELECT key, document_id, upload_document_id, doubtful, status FROM object"
                    " WHERE scope_id = :scope AND source_id = :source AND key > :after ORDER BY key LIMIT :limit"
                ),
                values,
            ).all()
            if not rows:
                return dropped, kept
            for row in rows:
                if is_rebuilt(row.key):
                    continue
                may_be_there = row.doubtful or row.status == Status.UPLOADING
                if may_be_there or any(is_there(one) for one in (row.document_id, row.upload_document_id) if one):
                    kept += 1
                    continue
                one = {**values, "key": row.key, "now": db.now(connection)}
                statement = sa.text(f"DELETE FROM object WHERE scope_id = :scope AND key = :key AND {IDLE}")
                dropped += connection.execute(statement, one).rowcount
                connection.execute(sa.text("DELETE FROM superseded WHERE scope_id = :scope AND key = :key"), one)
        after = rows[-1].key


def set_fingerprint(db: Database, source: Source, fingerprint: str) -> None:
    """Say by which selection the rows were made; a run with another one holds its removals once.

    The project has been looked at then.
    """
    with db.write() as connection:
        connection.execute(
            sa.text("UPDATE source SET fingerprint = :fingerprint, looked_at = :now, audited_at = :now WHERE id = :id"),
            {"fingerprint": fingerprint, "now": db.now(connection), "id": source.id},
        )


# What a run adopts


class Adoptable(NamedTuple):
    """A listed key of which the state knows no document."""

    key: str
    etag: str
    size: int
    last_modified: str
    storage_class: str
    reason: str | None  # why it isn't selected


_ADOPTABLE = (Status.PENDING, Status.FAILED, Status.QUARANTINED, Status.SKIPPED)
_BARE = f"{WORK} AND document_id IS NULL AND upload_document_id IS NULL AND doubtful = 0 AND {IDLE}"
_BOUND = ", ".join(
    f"{name} = :{name}" for name in _COLUMNS if name.startswith(("document", "indexed", "upload", "file"))
)
_OF_KEY = (
    "WHERE scope_id = :scope AND key = :key AND source_id = :source"
    f" AND status IN ({', '.join(map(repr, map(str, _ADOPTABLE)))}) AND {_BARE}"
)
_ADOPT = sa.text(
    f"UPDATE object SET {_BOUND}, status = :status, intent_at = :intent_at, reason = NULL, attempts = 0,"
    f" next_attempt_at = NULL, claim_owner = NULL, revision = revision + 1 {_OF_KEY}"
    " AND etag = :etag AND size = :size"
)
_KNOW = sa.text(f"UPDATE object SET {_BOUND}, revision = revision + 1 {_OF_KEY}")


def adoptable_rows(db: Database, source: Source) -> Iterator[list[Adoptable]]:
    """Every row of the source that has no document and that nobody works on, in blocks."""
    for status in _ADOPTABLE:
        after = ""
        while True:
            with db.read() as connection:
                found = connection.execute(
                    sa.text(
                        "SELECT key, etag, size, last_modified, storage_class,"
                        f" CASE WHEN status = '{Status.SKIPPED}' THEN reason END FROM object"
                        f" WHERE source_id = :source AND status = '{status}' AND {_BARE} AND key > :after"
                        " ORDER BY key LIMIT :limit"
                    ),
                    {"source": source.id, "after": after, "limit": BLOCK, "now": db.now(connection)},
                )
                rows = [Adoptable(*row) for row in found]
            if not rows:
                break
            yield rows
            after = rows[-1].key


def record_adopted(db: Database, run: Run, rows: Sequence[RebuiltRow], unselected: Collection[str]) -> int:
    """Bind documents of the project to keys that have none; gives how many need no upload for it.

    A document with the key's bytes is adopted. One with others stays live until the right one is processed, and so does
    one with the bytes of a version that another run has found to be replaced meanwhile.

    :param rows: in key order
    :param unselected: keys that the selection leaves out: they are the work of no run
    """
    with db.write() as connection:
        now, adopted, known = db.now(connection), [], 0
        for row in rows:
            found = row.status in (Status.INDEXED, Status.PROCESSING) and _bind(connection, run, _ADOPT, row, now)
            one = row if found else _replaced(row)
            if not found and not _bind(connection, run, _KNOW, one, now):
                continue
            supersede(connection, run.source, one.key, one.copies, Reason.COPY)
            known += row.key in unselected and bool(row.document_id)
            if found:
                adopted.append(row)
        done = [one for one in adopted if one.status == Status.INDEXED and one.key not in unselected]
        record_outcomes(connection, run.source, [(one.key, KeyClass.NEW, ADOPTED) for one in done], Outcome.INDEXED)
        note(db, connection, run.source.id, [(one.key, "adopted", _document(one)) for one in adopted], run=run)
        add_counts(connection, run.id, {"adopted": len(adopted), "excluded": known})
    return len(adopted)


def _bind(connection: Connection, run: Run, statement: sa.TextClause, row: RebuiltRow, now: float) -> bool:
    values = {
        **asdict(row), "scope": run.source.scope_id, "source": run.source.id, "now": now,
        "intent_at": now if row.status == Status.PROCESSING else None,
    }  # fmt: skip
    return bool(connection.execute(statement, values).rowcount)


def _replaced(row: RebuiltRow) -> RebuiltRow:
    """The row without what is still processed: nobody waits for a version that isn't wanted."""
    if row.upload_document_id is None:
        return row
    copies = (*row.copies, row.upload_document_id)
    return replace(row, copies=copies, upload_etag=None, upload_size=None, upload_sha256=None, upload_document_id=None)


def _document(row: RebuiltRow) -> str:
    return f"document {row.upload_document_id or row.document_id}"
