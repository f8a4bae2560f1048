"""What may be deleted from CloudIndex, and that it was. A row is forgotten only after the service confirmed.

Only documents of ours appear here: ids that a row holds, or that were found under a row's own file name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from cloudindex_provider.errors import ClaimLostError
from cloudindex_provider.state.accounts import record_outcome
from cloudindex_provider.state.claims import free_key
from cloudindex_provider.state.conditions import FREE, MINE, KeyClass, Outcome, Status, claim_values
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import Owner, Run, Source
from cloudindex_provider.state.runs import add_counts

__all__ = [
    "Removal",
    "keep_deleting",
    "record_deleted",
    "record_deleting",
    "record_held",
    "record_kept",
    "removals",
    "removed_by_name",
]


class Removal(NamedTuple):
    """A key that S3 lists no more."""

    key: str
    document_id: str | None
    upload_document_id: str | None
    file_name: str | None
    doubtful: bool  # copies that no row knows may exist
    intent_age: float  # seconds since its last upload began
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
                f" WHERE run_key.run_id = :run AND class = '{KeyClass.REMOVED}' AND outcome IS NULL AND {FREE}"
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
    with db.write_durably() as connection:
        now = db.now(connection)
        changed = connection.execute(
            sa.text(
                # What an upload in doubt may have left is still unknown when this try dies before its deletes.
                f"UPDATE object SET doubtful = CASE WHEN status = '{Status.UPLOADING}' THEN 1 ELSE doubtful END,"
                f" status = '{Status.DELETING}', claim_owner = :owner, claim_try = :try, claim_until = :until,"
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
                " WHERE scope_id = :scope AND key = :key AND revision = :seen AND status ="
                f" '{Status.DELETING}' AND {MINE}"
            ),
            claim_values(
                owner, scope=run.source.scope_id, key=removal.key, seen=removal.revision,
                until=db.now(connection) + lease,
            ),
        ).rowcount  # fmt: skip
    if kept != 1:
        raise ClaimLostError(f"{removal.key!r} was changed by another run meanwhile.", key=removal.key)


def record_deleted(
    db: Database, run: Run, owner: Owner, removal: Removal, ids: Sequence[str], *, by_name: bool = False
) -> None:
    """The service has none of these documents any more, so the row goes, unless somebody has taken the key up again.

    :param by_name: the run looks at named keys alone; such removals are guarded by the day (``removed_by_name``)
    """
    with db.write() as connection:
        values = {"scope": run.source.scope_id, "key": removal.key, "seen": removal.revision, "run": run.id}
        # A run that found the object again while its document was being deleted leaves it to the next one.
        again = "another run was deleting its document"
        record_outcome(connection, run.source, removal.key, KeyClass.NEW, Outcome.ELSEWHERE, again)
        connection.execute(
            sa.text("DELETE FROM object WHERE scope_id = :scope AND key = :key AND revision = :seen"), values
        )
        if ids:
            connection.execute(
                sa.text("DELETE FROM superseded WHERE scope_id = :scope AND document_id = :id"),
                [{"scope": run.source.scope_id, "id": one} for one in ids],
            )
        free_key(connection, run, owner, removal.key)
        connection.execute(
            sa.text(f"UPDATE run_key SET outcome = '{Outcome.DELETED}' WHERE run_id = :run AND key = :key"), values
        )
        add_counts(connection, run.id, {"deleted": 1, "deleted_documents": len(ids), "removed_by_name": int(by_name)})
        note(db, connection, run.source.id, [(removal.key, "deleted", "no longer in S3")], run=run)


def removed_by_name(db: Database, source: Source, *, seconds: float) -> int:
    """How many keys were removed lately by runs that look at named keys: each of them sees a few, and no run all."""
    statement = sa.text(
        "SELECT coalesce(sum(value), 0) FROM run JOIN run_count ON run_count.run_id = run.id"
        " WHERE source_id = :source AND coalesce(finished_at, started_at) >= :since AND name = 'removed_by_name'"
    )
    with db.read() as connection:
        since = db.now(connection) - seconds
        return int(connection.execute(statement, {"source": source.id, "since": since}).scalar_one())


def record_kept(db: Database, run: Run, key: str, outcome: str, reason: str) -> None:
    """A removed key whose document stays: it is back, its absence isn't proven, or deleting failed."""
    with db.write() as connection:
        connection.execute(
            sa.text("UPDATE run_key SET outcome = :outcome, reason = :reason WHERE run_id = :run AND key = :key"),
            {"outcome": outcome, "reason": reason, "run": run.id, "key": key},
        )
        note(db, connection, run.source.id, [(key, f"delete {outcome}", reason)], run=run)


def record_held(db: Database, run: Run, reason: str) -> int:
    """None of this run's removals is acted on; gives how many those are, also those that an earlier try has held."""
    values = {"reason": reason, "run": run.id}
    mine = f"run_id = :run AND class = '{KeyClass.REMOVED}'"
    with db.write() as connection:
        more = connection.execute(
            sa.text(
                f"UPDATE run_key SET outcome = '{Outcome.HELD}', reason = :reason WHERE {mine} AND outcome IS NULL"
            ),
            values,
        ).rowcount
        add_counts(connection, run.id, {"held": more})
        held = connection.execute(
            sa.text(f"SELECT count(*) FROM run_key WHERE {mine} AND outcome = '{Outcome.HELD}'"), values
        ).scalar_one()
    return int(held)
