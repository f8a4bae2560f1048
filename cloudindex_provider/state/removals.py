"""What may be deleted from CloudIndex, and that it was. A row is forgotten only after the service confirmed.

Only documents of ours appear here: ids that a row holds, or that were found under a row's own file name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from cloudindex_provider.errors import ClaimLostError
from cloudindex_provider.state.claims import FREE, MINE, claim_values
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner, Run
from cloudindex_provider.state.runs import add_counts, note_history

__all__ = [
    "Doubtful",
    "Removal",
    "Superseded",
    "claim_superseded",
    "clear_doubt",
    "doubtful_indexed",
    "forget_superseded",
    "keep_deleting",
    "keep_superseded",
    "record_deleted",
    "record_deleting",
    "record_held",
    "record_kept",
    "release",
    "removals",
    "replace_live",
    "superseded_documents",
]


_RELEASE = f"UPDATE object SET claim_owner = NULL WHERE scope_id = :scope AND key = :key AND {MINE}"


class Removal(NamedTuple):
    """A key that S3 lists no more."""

    key: str
    document_id: str | None
    upload_document_id: str | None
    file_name: str | None
    doubtful: bool  # copies that no row knows may exist
    intent_age: float  # seconds since its last upload began
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
    sha256: str | None  # of the live document, as far as is known
    revision: int


def removals(db: Database, run: Run, owner: Owner, *, after: str | None, limit: int) -> list[Removal]:
    """This run's removed keys that have no outcome yet and that nobody works on, in key order."""
    with db.read() as connection:
        now = db.now(connection)
        rows = connection.execute(
            sa.text(
                "SELECT object.key, document_id, upload_document_id, file_name, doubtful, object.status, intent_at,"
                " revision FROM run_key JOIN object ON object.scope_id = :scope AND object.key = run_key.key"
                " AND object.source_id = :source"
                f" WHERE run_key.run_id = :run AND class = 'removed' AND outcome IS NULL AND {FREE}"
                f"{' AND run_key.key > :after' if after is not None else ''} ORDER BY run_key.key LIMIT :limit"
            ),
            claim_values(
                owner, scope=run.source.scope_id, source=run.source.id, run=run.id, after=after, limit=limit, now=now
            ),
        )
        found = []
        for key, document_id, upload_id, name, doubtful, status, intent_at, revision in rows:
            unknown = bool(doubtful) or status == "uploading"
            found.append(Removal(key, document_id, upload_id, name, unknown, now - (intent_at or 0.0), revision))
        return found


def record_deleting(db: Database, run: Run, owner: Owner, removal: Removal, *, lease: float) -> Removal:
    """The intent to delete, before the request; the row is claimed, so that nobody uploads the key meanwhile.

    :raises ClaimLostError: when the row was changed or claimed meanwhile
    """
    with db.write() as connection:
        now = db.now(connection)
        changed = connection.execute(
            sa.text(
                # What an upload in doubt may have left is still unknown when this try dies before its deletes.
                "UPDATE object SET doubtful = CASE WHEN status = 'uploading' THEN 1 ELSE doubtful END,"
                " status = 'deleting', claim_owner = :owner, claim_try = :try, claim_until = :until,"
                " revision = revision + 1"
                f" WHERE scope_id = :scope AND key = :key AND revision = :seen AND {FREE}"
            ),
            claim_values(
                owner, scope=run.source.scope_id, key=removal.key, seen=removal.revision, now=now, until=now + lease
            ),
        ).rowcount
    if changed != 1:
        raise ClaimLostError(f"{removal.key!r} was changed by another run meanwhile.", key=removal.key)
    return removal._replace(revision=removal.revision + 1)


def keep_deleting(db: Database, owner: Owner, run: Run, removal: Removal, *, lease: float) -> None:
    """The row is still claimed for its deletes, and stays so for another lease.

    :raises ClaimLostError: when it isn't any more
    """
    with db.write() as connection:
        kept = connection.execute(
            sa.text(
                "UPDATE object SET claim_until = :until"
                f" WHERE scope_id = :scope AND key = :key AND revision = :seen AND status = 'deleting' AND {MINE}"
            ),
            claim_values(
                owner, scope=run.source.scope_id, key=removal.key, seen=removal.revision,
                until=db.now(connection) + lease,
            ),
        ).rowcount  # fmt: skip
    if kept != 1:
        raise ClaimLostError(f"{removal.key!r} was changed by another run meanwhile.", key=removal.key)


def record_deleted(db: Database, run: Run, owner: Owner, removal: Removal, ids: Sequence[str]) -> None:
    """The service has none of these documents any more, so the row goes, unless somebody has taken the key up again."""
    with db.write() as connection:
        values = {"scope": run.source.scope_id, "key": removal.key, "seen": removal.revision, "run": run.id}
        connection.execute(
            sa.text("DELETE FROM object WHERE scope_id = :scope AND key = :key AND revision = :seen"), values
        )
        if ids:
            connection.execute(
                sa.text("DELETE FROM superseded WHERE scope_id = :scope AND document_id = :id"),
                [{"scope": run.source.scope_id, "id": one} for one in ids],
            )
        connection.execute(sa.text(_RELEASE), claim_values(owner, scope=run.source.scope_id, key=removal.key))
        connection.execute(sa.text("UPDATE run_key SET outcome = 'deleted' WHERE run_id = :run AND key = :key"), values)
        add_counts(connection, run.id, {"deleted": 1, "deleted_documents": len(ids)})
        note_history(db, connection, run, [(removal.key, "deleted", "no longer in S3")])


def release(db: Database, run: Run, owner: Owner, key: str) -> None:
    """Let go of a key whose documents couldn't be deleted."""
    with db.write() as connection:
        connection.execute(sa.text(_RELEASE), claim_values(owner, scope=run.source.scope_id, key=key))


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


def claim_superseded(
    db: Database, run: Run, owner: Owner, one: Superseded, *, lease: float, again: bool = False
) -> bool:
    """Claim the document's key for the delete, if the document still isn't what the key has; false: leave it.

    A service that makes versions gives a new upload of the key the same id, so none may be under way.

    :param again: the key may be claimed by the owner already
    """
    free = f"({FREE} OR ({MINE}))" if again else FREE
    with db.write() as connection:
        now = db.now(connection)
        values = claim_values(
            owner, scope=run.source.scope_id, key=one.key, id=one.document_id, now=now, until=now + lease
        )
        there = connection.execute(
            sa.text("SELECT count(*) FROM object WHERE scope_id = :scope AND key = :key"), values
        ).scalar_one()
        claimed = connection.execute(
            sa.text(
                "UPDATE object SET claim_owner = :owner, claim_try = :try, claim_until = :until"
                " WHERE scope_id = :scope AND key = :key AND coalesce(document_id, '') <> :id"
                f" AND coalesce(upload_document_id, '') <> :id AND {free}"
            ),
            values,
        ).rowcount
    return bool(claimed or not there)


def keep_superseded(db: Database, run: Run, owner: Owner, one: Superseded, *, lease: float) -> None:
    """The document is still none that its key has, and the key stays claimed for another lease.

    :raises ClaimLostError: when the key has it by now, or is somebody else's
    """
    if not claim_superseded(db, run, owner, one, lease=lease, again=True):
        raise ClaimLostError(f"{one.key!r} was taken up by another run meanwhile.", key=one.key)


def forget_superseded(db: Database, run: Run, owner: Owner, one: Superseded) -> None:
    """It is deleted; its key is free again."""
    with db.write() as connection:
        values = claim_values(owner, scope=run.source.scope_id, key=one.key, id=one.document_id)
        connection.execute(sa.text("DELETE FROM superseded WHERE scope_id = :scope AND document_id = :id"), values)
        connection.execute(sa.text(_RELEASE), values)
        add_counts(connection, run.id, {"superseded": 1})


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
                "SELECT key, file_name, document_id, indexed_sha256, revision FROM object"
                " WHERE source_id = :source AND doubtful = 1 AND status = 'indexed' ORDER BY key"
            ),
            {"source": run.source.id},
        )
        return [Doubtful(*row) for row in rows]


def clear_doubt(db: Database, run: Run, row: Doubtful, extra_ids: Sequence[str]) -> None:
    """Every copy of the key is known now."""
    _end_doubt(db, run, row, "doubtful = 0", extra_ids)


def replace_live(db: Database, run: Run, row: Doubtful, live_id: str | None, extra_ids: Sequence[str]) -> None:
    """The live document is another one than the row says, or has other bytes.

    :param live_id: the document that has the key's bytes; ``None``: none has, so the key is uploaded again
    """
    sets = "doubtful = 0, document_id = :live"
    if live_id is None:
        sets = (
            "doubtful = 0, status = 'pending', document_id = NULL, indexed_etag = NULL, indexed_size = NULL,"
            " indexed_sha256 = NULL"
        )
    _end_doubt(db, run, row, sets, extra_ids, live=live_id)


def _end_doubt(
    db: Database, run: Run, row: Doubtful, sets: str, extra_ids: Sequence[str], live: str | None = None
) -> None:
    with db.write() as connection:
        values = {"scope": run.source.scope_id, "key": row.key, "seen": row.revision, "source": run.source.id}
        ended = connection.execute(
            sa.text(
                f"UPDATE object SET {sets}, revision = revision + 1"
                " WHERE scope_id = :scope AND key = :key AND revision = :seen AND status = 'indexed'"
            ),
            {**values, "live": live},
        ).rowcount
        for one in extra_ids if ended else ():
            connection.execute(
                sa.text(
                    "INSERT INTO superseded (scope_id, document_id, source_id, key, reason)"
                    " VALUES (:scope, :id, :source, :key, 'copy') ON CONFLICT DO NOTHING"
                ),
                {**values, "id": one},
            )
