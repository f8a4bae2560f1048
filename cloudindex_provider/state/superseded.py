"""Documents of ours that are to go: replaced by a newer one, copies beside the live one, or failed. All of that table.

One of them is deleted only while no row holds its id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.errors import ClaimLostError
from cloudindex_provider.state.claims import free_key
from cloudindex_provider.state.conditions import FREE, IDLE, MINE, Status, claim_values
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import Finding, Owner, Run, Source
from cloudindex_provider.state.runs import add_counts

__all__ = [
    "Reason",
    "Superseded",
    "claim_superseded",
    "document_ids_of",
    "forget_superseded",
    "held_elsewhere",
    "keep_superseded",
    "record_strays",
    "supersede",
    "supersede_found",
    "superseded_documents",
]


class Reason(StrEnum):
    """Why a document of ours is to go."""

    REPLACED = "replaced"  # by a newer one, which is live
    COPY = "copy"  # beside the live one: it goes once that is known for sure
    FAILED = "failed"  # CloudIndex couldn't process it, or it belongs to no key


_INSERT = sa.text(
    "INSERT INTO superseded (scope_id, document_id, source_id, key, reason)"
    " VALUES (:scope, :id, :source, :key, :reason) ON CONFLICT DO NOTHING"
)


def supersede(connection: Connection, source: Source, key: str, ids: Iterable[str], reason: Reason) -> int:
    """Note documents of a key that are to go, in the transaction that finds them out; gives how many weren't known."""
    shared = {"scope": source.scope_id, "source": source.id, "key": key, "reason": str(reason)}
    return sum(connection.execute(_INSERT, {**shared, "id": one}).rowcount for one in ids)


def record_strays(db: Database, run: Run, key: str, ids: Iterable[str]) -> None:
    """Documents of our own requests that can't be told to belong to a key: they are to be deleted."""
    with db.write() as connection:
        supersede(connection, run.source, key, ids, Reason.FAILED)


class Superseded(NamedTuple):
    """A document that a newer one has replaced."""

    key: str
    document_id: str
    reason: str


def superseded_documents(db: Database, run: Run, *, limit: int) -> list[Superseded]:
    """Documents that may go: replaced by a live one, failed copies, or their key is indexed by another one or gone."""
    with db.read() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT superseded.key, superseded.document_id, superseded.reason FROM superseded LEFT JOIN object"
                " ON object.scope_id = superseded.scope_id AND object.key = superseded.key"
                " WHERE superseded.source_id = :source"
                f" AND (superseded.reason IN ('{Reason.FAILED}', '{Reason.REPLACED}') OR object.key IS NULL OR"
                f" object.status = '{Status.INDEXED}')"
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
    with db.write_durably() as connection:
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
        free_key(connection, run, owner, one.key)
        add_counts(connection, run.id, {"superseded": 1})


def document_ids_of(db: Database, run: Run, key: str) -> list[str]:
    """Superseded ids of one key."""
    with db.read() as connection:
        rows = connection.execute(
            sa.text("SELECT document_id FROM superseded WHERE scope_id = :scope AND key = :key"),
            {"scope": run.source.scope_id, "key": key},
        )
        return [row[0] for row in rows]


def supersede_found(db: Database, source: Source, findings: Sequence[Finding], *, why: str) -> int:
    """Documents beside a key's live one: the next run's delete step removes them once the key is indexed."""
    unbound = (
        "SELECT count(*) FROM (SELECT 1 FROM object WHERE scope_id = :scope AND key = :key AND source_id = :source"
        " AND revision = :seen AND coalesce(document_id, '') <> :id AND coalesce(upload_document_id, '') <> :id"
        f" AND {IDLE}{'' if db.is_sqlite else ' FOR UPDATE'}) AS found"
    )
    with db.write() as connection:
        now, done = db.now(connection), []
        for one in findings:
            values = {
                "scope": source.scope_id, "key": one.key, "source": source.id, "seen": one.revision, "now": now,
                "id": one.document_id,
            }  # fmt: skip
            free = connection.execute(sa.text(unbound), values).scalar_one()
            if free and supersede(connection, source, one.key, [one.document_id], Reason.COPY):
                done.append((one.key, "copy found", f"{why}: {one.document_id}"))
        note(db, connection, source.id, done)
    return len(done)


def held_elsewhere(db: Database, source: Source, ids: Collection[str], *, but: Collection[str] = ()) -> set[str]:
    """Those of the documents that rows of other keys hold, whichever sync of the project they belong to.

    Reads every row of the project, since there is no index on documents: a first load would pay for it at every key.

    :param but: keys of the source's bucket whose own documents they may be
    """
    if not ids:
        return set()
    statement = sa.text(
        "SELECT scope_id, key, document_id, upload_document_id FROM object"
        " WHERE scope_id IN (SELECT id FROM scope WHERE project_id = :project)"
        " AND (document_id IN :ids OR upload_document_id IN :ids)"
    ).bindparams(sa.bindparam("ids", expanding=True))
    with db.read() as connection:
        rows = connection.execute(statement, {"project": source.project_id, "ids": list(ids)}).all()
    holders = [row for row in rows if row.scope_id != source.scope_id or row.key not in but]
    return {one for row in holders for one in (row.document_id, row.upload_document_id)} & set(ids)
