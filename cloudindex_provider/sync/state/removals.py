"""What may be deleted from CloudIndex, and that it was. A row is forgotten only after the service confirmed.

Only documents of ours appear here: ids that a row holds, or that were found under a row's own file name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from cloudindex_provider.sync.errors import ClaimLostError
from cloudindex_provider.sync.state.database import Database
from cloudindex_provider.sync.state.records import Run
from cloudindex_provider.sync.state.runs import add_counts, note_history

__all__ = [
    "Doubtful",
    "Removal",
    "Superseded",
    "clear_doubt",
    "doubtful_indexed",
    "forget_superseded",
    "record_deleted",
    "record_deleting",
    "record_held",
    "record_kept",
    "removals",
    "superseded_documents",
]

_FREE = "(claim_owner IS NULL OR claim_until < :now)"


class Removal(NamedTuple):
    """A key that S3 lists no more."""

    key: str
    document_id: str | None
    upload_document_id: str | None
    file_name: str | None
    doubtful: bool  # copies that no row knows may exist
    revision: int


class Superseded(NamedTuple):
    """A document that a newer one has replaced."""

    key: str
    document_id: str
    reason: str


class Doubtful(NamedTuple):
    """An indexed key, one of whose uploads had an unknown outcome."""

    key: str
    file_name: str
    document_id: str
    revision: int


def removals(db: Database, run: Run, *, after: str | None, limit: int) -> list[Removal]:
    """This run's removed keys that have no outcome yet and that nobody works on, in key order."""
    with db.read() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT object.key, document_id, upload_document_id, file_name, doubtful, object.status, revision"
                " FROM run_key JOIN object ON object.scope_id = :scope AND object.key = run_key.key"
                " AND object.source_id = :source"
                f" WHERE run_key.run_id = :run AND class = 'removed' AND outcome IS NULL AND {_FREE}"
                f"{' AND run_key.key > :after' if after is not None else ''} ORDER BY run_key.key LIMIT :limit"
            ),
            {
                "scope": run.source.scope_id, "source": run.source.id, "run": run.id, "after": after, "limit": limit,
                "now": db.now(connection),
            },
        )  # fmt: skip
        return [Removal(r[0], r[1], r[2], r[3], bool(r[4]) or r[5] == "uploading", r[6]) for r in rows]


def record_deleting(db: Database, run: Run, removal: Removal) -> Removal:
    """The intent to delete, before the request.

    :raises ClaimLostError: when the row was changed or claimed meanwhile
    """
    with db.write() as connection:
        changed = connection.execute(
            sa.text(
                # What an upload in doubt may have left is still unknown when this try dies before its deletes.
                "UPDATE object SET doubtful = CASE WHEN status = 'uploading' THEN 1 ELSE doubtful END,"
                " status = 'deleting', revision = revision + 1"
                f" WHERE scope_id = :scope AND key = :key AND revision = :seen AND {_FREE}"
            ),
            {"scope": run.source.scope_id, "key": removal.key, "seen": removal.revision, "now": db.now(connection)},
        ).rowcount
    if changed != 1:
        raise ClaimLostError(f"{removal.key!r} was changed by another run meanwhile.", key=removal.key)
    return removal._replace(revision=removal.revision + 1)


def record_deleted(db: Database, run: Run, removal: Removal, documents: int) -> None:
    """The service has no document of this key any more, so the row goes."""
    with db.write() as connection:
        values = {"scope": run.source.scope_id, "key": removal.key, "seen": removal.revision, "run": run.id}
        connection.execute(
            sa.text("DELETE FROM object WHERE scope_id = :scope AND key = :key AND revision = :seen"), values
        )
        connection.execute(sa.text("DELETE FROM superseded WHERE scope_id = :scope AND key = :key"), values)
        connection.execute(sa.text("UPDATE run_key SET outcome = 'deleted' WHERE run_id = :run AND key = :key"), values)
        add_counts(connection, run.id, {"deleted": 1, "deleted_documents": documents})
        note_history(db, connection, run, [(removal.key, "deleted", "no longer in S3")])


def record_kept(db: Database, run: Run, key: str, outcome: str, reason: str) -> None:
    """A removed key whose document stays: it is back, its absence isn't proven, or deleting failed."""
    with db.write() as connection:
        connection.execute(
            sa.text("UPDATE run_key SET outcome = :outcome, reason = :reason WHERE run_id = :run AND key = :key"),
            {"outcome": outcome, "reason": reason, "run": run.id, "key": key},
        )
        note_history(db, connection, run, [(key, f"delete {outcome}", reason)])


def record_held(db: Database, run: Run, reason: str) -> int:
    """None of this run's removals is acted on; gives how many those are."""
    with db.write() as connection:
        held = connection.execute(
            sa.text(
                "UPDATE run_key SET outcome = 'held', reason = :reason"
                " WHERE run_id = :run AND class = 'removed' AND outcome IS NULL"
            ),
            {"reason": reason, "run": run.id},
        ).rowcount
        add_counts(connection, run.id, {"held": held})
    return held


def superseded_documents(db: Database, run: Run, *, limit: int) -> list[Superseded]:
    """Documents that may go: replaced by a live one, failed copies, or their key is indexed by another one or gone."""
    with db.read() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT superseded.key, superseded.document_id, superseded.reason FROM superseded LEFT JOIN object"
                " ON object.scope_id = superseded.scope_id AND object.key = superseded.key"
                " WHERE superseded.source_id = :source"
                " AND (superseded.reason IN ('failed', 'replaced') OR object.key IS NULL OR object.status = 'indexed')"
                " AND coalesce(object.document_id, '') <> superseded.document_id"
                " AND coalesce(object.upload_document_id, '') <> superseded.document_id"
                " ORDER BY superseded.key, superseded.document_id LIMIT :limit"
            ),
            {"source": run.source.id, "limit": limit},
        )
        return [Superseded(*row) for row in rows]


def forget_superseded(db: Database, run: Run, documents: Sequence[Superseded]) -> None:
    """They are deleted."""
    if not documents:
        return
    with db.write() as connection:
        connection.execute(
            sa.text("DELETE FROM superseded WHERE scope_id = :scope AND document_id = :id"),
            [{"scope": run.source.scope_id, "id": one.document_id} for one in documents],
        )
        add_counts(connection, run.id, {"superseded": len(documents)})


def document_ids_of(db: Database, run: Run, key: str) -> list[str]:
    """Superseded ids of one key."""
    with db.read() as connection:
        rows = connection.execute(
            sa.text("SELECT document_id FROM superseded WHERE scope_id = :scope AND key = :key"),
            {"scope": run.source.scope_id, "key": key},
        )
        return [row[0] for row in rows]


def doubtful_indexed(db: Database, run: Run) -> list[Doubtful]:
    """Keys to be looked at once more: indexed, with an upload of theirs that may have been committed late."""
    with db.read() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT key, file_name, document_id, revision FROM object"
                " WHERE source_id = :source AND doubtful = 1 AND status = 'indexed' ORDER BY key"
            ),
            {"source": run.source.id},
        )
        return [Doubtful(*row) for row in rows]


def clear_doubt(db: Database, run: Run, row: Doubtful, extra_ids: Sequence[str]) -> None:
    """Every copy of the key is known now."""
    with db.write() as connection:
        values = {"scope": run.source.scope_id, "key": row.key, "seen": row.revision, "source": run.source.id}
        cleared = connection.execute(
            sa.text(
                "UPDATE object SET doubtful = 0, revision = revision + 1"
                " WHERE scope_id = :scope AND key = :key AND revision = :seen"
            ),
            values,
        ).rowcount
        for one in extra_ids if cleared else ():
            connection.execute(
                sa.text(
                    "INSERT INTO superseded (scope_id, document_id, source_id, key, reason)"
                    " VALUES (:scope, :id, :source, :key, 'copy') ON CONFLICT DO NOTHING"
                ),
                {**values, "id": one},
            )
