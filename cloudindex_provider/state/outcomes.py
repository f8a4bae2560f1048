"""What became of a claimed row: sent, adopted, indexed, failed or gone; with the run's outcome and counters beside it.

A key's outcome is written in the transaction that changes its row, for every run that still waits for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.accounts import key_class, record_outcome
from cloudindex_provider.state.conditions import (
    ANSWERED,
    MINE,
    NO_UPLOAD,
    WORK,
    Outcome,
    Status,
    claim_values,
    row_values,
)
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import WORK_COLUMNS, Owner, Run, Source, WorkRow
from cloudindex_provider.state.runs import add_counts
from cloudindex_provider.state.superseded import Reason, supersede

__all__ = [
    "VANISHED",
    "Failure",
    "Fates",
    "Live",
    "Sent",
    "processing_rows",
    "read_fates",
    "record_all_sent",
    "record_failed",
    "record_gone",
    "record_processed",
    "record_same_bytes",
    "record_sent",
    "record_skipped",
]

_DONE = "claim_owner = NULL, revision = revision + 1"
_LOOK_AGAIN_AFTER = 86400.0  # seconds of quarantine, and of a skip that only reading the object has shown
VANISHED = "S3 lists it, and says 404 when it is read"
_KEY = "WHERE scope_id = :scope AND key = :key"
_TAKEN = (
    f"status = '{Status.PROCESSING}', upload_document_id = :id, document_version ="
    " CASE WHEN :id = document_id THEN coalesce(:version, document_version) ELSE :version END,"
    f" upload_sha256 = coalesce(:sha, upload_sha256), reason = NULL, {ANSWERED}"
)
# Made once: what a request's twenty files need for the most part is SQLAlchemy reading a statement again.
_SENT = sa.text(f"UPDATE object SET {_TAKEN}, {_DONE} {_KEY} AND {MINE}")
_ADOPTED = sa.text(f"UPDATE object SET {_TAKEN}, doubtful = 1, {_DONE} {_KEY} AND {MINE}")
_LOOK_ONCE_MORE = sa.text(f"UPDATE object SET doubtful = 1, revision = revision + 1 {_KEY}")
_SELECT_CLAIMED = f"SELECT key FROM object WHERE scope_id = :scope AND key IN :keys AND {MINE} ORDER BY key"
_CLAIMED = sa.text(_SELECT_CLAIMED).bindparams(sa.bindparam("keys", expanding=True))
_CLAIMED_LOCKED = sa.text(f"{_SELECT_CLAIMED} FOR UPDATE").bindparams(sa.bindparam("keys", expanding=True))


class Live(StrEnum):
    """What is known of a key's live document after an upload that was taken has ended badly."""

    KNOWN = "known"  # as it was
    UNKNOWN = "unknown"  # a service that makes versions may have given it the bytes of the upload
    GONE = "gone"  # a service that replaces has dropped it


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a key failed. ``permanent``: the same bytes would fail again."""

    reason: str
    permanent: bool = False
    strike: bool = True  # false: it says nothing about the document, so it never leads to quarantine
    live: Live = Live.KNOWN  # the key's live document after that
    ours: bool = True  # false: what was uploaded has become no document of ours, so none is deleted


_FORGET = "indexed_etag = NULL, indexed_size = NULL, indexed_sha256 = NULL, "
_AFTER = {Live.KNOWN: "", Live.UNKNOWN: _FORGET, Live.GONE: f"{_FORGET}document_id = NULL, document_version = NULL, "}


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of a run's uploads so far."""

    indexed: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # by reason


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that the service has. ``extra_ids``: further documents under its name, which are nobody's."""

    row: WorkRow
    document_id: str
    version: int | None
    sha256: str | None
    extra_ids: tuple[str, ...] = ()
    size: int | None = None  # bytes that were sent, where they aren't those that S3 stores


def _change(connection: Connection, sets: str, values: dict[str, object], guard: str) -> bool:
    statement = f"UPDATE object SET {sets}, {_DONE} WHERE scope_id = :scope AND key = :key AND {guard}"
    return connection.execute(sa.text(statement), values).rowcount == 1


def _record(connection: Connection, run: Run, row: WorkRow, outcome: Outcome, reason: str | None = None) -> None:
    record_outcome(connection, run.source, row.key, key_class(row), outcome, reason)


def record_sent(
    db: Database,
    run: Run,
    owner: Owner,
    row: WorkRow,
    *,
    document_id: str,
    version: int | None,
    sha256: str | None,
    adopted: bool = False,
    extra_ids: Sequence[str] = (),
) -> bool:
    """The service has the bytes (``adopted``: found there) and processes them. False: the claim is lost."""
    sent = Sent(row, document_id, version, sha256, tuple(extra_ids))
    return record_all_sent(db, run, owner, [sent], adopted=adopted) == 1


def record_all_sent(db: Database, run: Run, owner: Owner, sent: Sequence[Sent], *, adopted: bool = False) -> int:
    """``record_sent`` for all files of a request in one transaction; gives how many are still ours."""
    sent = sorted(sent, key=lambda one: one.row.key)
    with db.write() as connection:
        still = _still_mine(db, connection, run, owner, [one.row.key for one in sent])
        kept = [one for one in sent if one.row.key in still]
        lost = [one for one in sent if one.row.key not in still]
        if kept:
            connection.execute(
                _ADOPTED if adopted else _SENT,
                [
                    row_values(run, owner, one.row.key, id=one.document_id, version=one.version, sha=one.sha256)
                    for one in kept
                ],
            )
            size = 0 if adopted else sum(one.size or one.row.upload_size or one.row.size for one in kept)
            add_counts(connection, run.id, {"adopted" if adopted else "uploaded": len(kept), "bytes": size})
        if lost:
            # Somebody else has the key now, and our bytes may have come after theirs: it must be looked at once more.
            connection.execute(_LOOK_ONCE_MORE, [row_values(run, owner, one.row.key) for one in lost])
        for one in sent:
            # A document that no row points to would never be found again, so it is noted whatever became of the claim.
            unbound = () if one.row.key in still else (one.document_id,)
            strays = [other for other in (*one.extra_ids, *unbound) if other != one.row.document_id]
            supersede(connection, run.source, one.row.key, strays, Reason.COPY)
    return len(kept)


def _still_mine(db: Database, connection: Connection, run: Run, owner: Owner, keys: Sequence[str]) -> set[str]:
    """Those of the keys whose claim is still the owner's, and stays so until the transaction's end."""
    statement = _CLAIMED if db.is_sqlite else _CLAIMED_LOCKED
    values = claim_values(owner, scope=run.source.scope_id, keys=list(keys))
    return set(connection.execute(statement, values).scalars()) if keys else set()


def record_same_bytes(db: Database, run: Run, owner: Owner, row: WorkRow, sha256: str) -> None:
    """Another ETag, the bytes that are indexed already: nothing to upload."""
    with db.write() as connection:
        if _change(
            connection,
            f"status = '{Status.INDEXED}', etag = :etag, size = :size, indexed_etag = :etag, indexed_size = :size,"
            f" indexed_sha256 = :sha, attempts = 0, next_attempt_at = NULL, reason = NULL, last_modified = :at,"
            f" listed_etag = :listed_etag, listed_size = :listed_size, {NO_UPLOAD}",
            row_values(
                run,
                owner,
                row.key,
                etag=row.etag,
                size=row.size,
                sha=sha256,
                at=row.last_modified,
                listed_etag=row.listed_etag,
                listed_size=row.listed_size,
            ),
            MINE,
        ):
            _record(connection, run, row, Outcome.INDEXED, "same bytes")
            add_counts(connection, run.id, {"same_bytes": 1})


def record_failed(
    db: Database, run: Run, owner: Owner | None, row: WorkRow, failure: Failure, *, max_attempts: int
) -> str:
    """A strike: ``failed``, which the next run tries again, or ``quarantined`` when it was the last. Gives the outcome.

    Without an owner the row is nobody's (processing) and guarded by its revision.
    """
    attempts = row.attempts + int(failure.strike)
    last = failure.strike and (failure.permanent or attempts >= max_attempts)
    status = Status.QUARANTINED if last or row.on_probation else Status.FAILED
    outcome = Outcome.SET_ASIDE if row.on_probation else Outcome(status)
    with db.write() as connection:
        values: dict[str, object] = {
            "status": str(status), "reason": failure.reason, "attempts": attempts,
            "next": db.now(connection) + _LOOK_AGAIN_AFTER if status is Status.QUARANTINED else None,
        }  # fmt: skip
        guard, where = _guard(run, owner, row)
        if _change(
            connection,
            "status = :status, reason = :reason, attempts = :attempts, next_attempt_at = :next,"
            f" {_AFTER[failure.live]}{NO_UPLOAD}",
            {**values, **where},
            guard,
        ):
            if row.upload_document_id and row.upload_document_id != row.document_id and failure.ours:
                supersede(connection, run.source, row.key, [row.upload_document_id], Reason.FAILED)
            _record(connection, run, row, outcome, failure.reason)
            note(db, connection, run.source.id, [(row.key, status, failure.reason)], run=run)
    return status


def _guard(run: Run, owner: Owner | None, row: WorkRow) -> tuple[str, dict[str, object]]:
    if owner is not None:
        return MINE, row_values(run, owner, row.key)
    return "revision = :seen", {"scope": run.source.scope_id, "key": row.key, "seen": row.revision}


def record_gone(db: Database, run: Run, owner: Owner, row: WorkRow, now_there: ListedObject | None) -> None:
    """S3 no longer has what was listed: the next sweep sees what it has. A row whose object is 404 says so."""
    with db.write() as connection:
        if now_there is None:
            sets = f"status = '{Status.PENDING}', reason = :reason, {NO_UPLOAD}"
            values = row_values(run, owner, row.key, reason=VANISHED)
        else:
            sets = (
                f"status = '{Status.PENDING}', etag = :etag, size = :size, last_modified = :at,"
                f" attempts = 0, {ANSWERED}, {NO_UPLOAD}"
            )
            values = row_values(
                run, owner, row.key, etag=now_there.etag, size=now_there.size, at=now_there.last_modified
            )
        if _change(connection, sets, values, MINE):
            _record(connection, run, row, Outcome.GONE, "deleted since" if now_there is None else "changed since")


def record_skipped(db: Database, run: Run, owner: Owner, row: WorkRow, reason: str) -> None:
    """Reading the object has shown that it isn't to be indexed. A document that it has already is kept and shown.

    It is read again a day later: an archive tier is left, and a limit raised, without another ETag.
    """
    with db.write() as connection:
        values = {"reason": reason, "next": db.now(connection) + _LOOK_AGAIN_AFTER}
        if _change(
            connection,
            f"status = '{Status.SKIPPED}', reason = :reason, next_attempt_at = :next, {NO_UPLOAD}",
            row_values(run, owner, row.key, **values),
            MINE,
        ):
            _record(connection, run, row, Outcome.SKIPPED, reason)
            add_counts(connection, run.id, {f"skipped:{reason}": 1})
            note(db, connection, run.source.id, [(row.key, "skipped", reason)], run=run)


def processing_rows(db: Database, source: Source, *, after: str | None = None, limit: int = 1000) -> list[WorkRow]:
    """What the service has taken and not finished, in key order, whichever run has sent it."""
    with db.read() as connection:
        rows = connection.execute(
            sa.text(
                f"SELECT {WORK_COLUMNS} FROM object"
                f" WHERE source_id = :source AND status = '{Status.PROCESSING}' AND {WORK}"
                f"{' AND key > :after' if after is not None else ''} ORDER BY key LIMIT :limit"
            ),
            {"source": source.id, "after": after, "limit": limit},
        )
        return [WorkRow(*row) for row in rows]


def read_fates(db: Database, run: Run) -> Fates:
    """What CloudIndex has processed and what it hasn't, of the keys that the run answers for."""
    statement = sa.text(
        "SELECT outcome, reason, count(*) FROM run_key WHERE run_id = :run AND (outcome = :indexed AND reason IS NULL"
        " OR outcome IN (:failed, :quarantined)) GROUP BY outcome, reason"
    )
    words = {word: str(Outcome(word)) for word in ("indexed", "failed", "quarantined")}
    with db.read() as connection:
        rows = connection.execute(statement, {"run": run.id, **words}).all()
    failed: dict[str, int] = {}
    for outcome, reason, number in rows:
        if outcome != Outcome.INDEXED:
            failed[reason or ""] = failed.get(reason or "", 0) + int(number)
    return Fates(sum(int(row[2]) for row in rows if row[0] == Outcome.INDEXED), failed)


def record_processed(db: Database, run: Run, row: WorkRow, *, sha256: str | None, version: int | None) -> bool:
    """The service has indexed the upload: it is the key's live document now, and an older one is superseded.

    Where S3 has moved on meanwhile, the row is queued again at once.
    """
    with db.write() as connection:
        sets = (
            "document_id = upload_document_id, indexed_etag = upload_etag, indexed_size = upload_size,"
            " indexed_sha256 = coalesce(:sha, upload_sha256), document_version = coalesce(:version, document_version),"
            " attempts = 0, next_attempt_at = NULL, reason = NULL,"
            f" status = CASE WHEN etag = upload_etag THEN '{Status.INDEXED}' ELSE '{Status.PENDING}' END, {NO_UPLOAD}"
        )
        values: dict[str, object] = {"scope": run.source.scope_id, "key": row.key, "seen": row.revision}
        if not _change(connection, sets, {**values, "sha": sha256, "version": version}, "revision = :seen"):
            return False
        connection.execute(
            sa.text("DELETE FROM superseded WHERE scope_id = :scope AND document_id = :id"),
            {**values, "id": row.upload_document_id},  # a version of a document that seemed to be a stray copy
        )
        if row.document_id and row.document_id != row.upload_document_id:
            supersede(connection, run.source, row.key, [row.document_id], Reason.REPLACED)
        if row.etag == row.upload_etag:
            _record(connection, run, row, Outcome.INDEXED)
        note(db, connection, run.source.id, [(row.key, "indexed", None)], run=run)
    return True
