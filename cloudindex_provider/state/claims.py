"""Who works on which rows: claiming the next request's worth, the intent before a request, and what is in doubt.

A claim is (owner, try, lease end by the database's clock). The same owner with a higher try takes over at once, anybody
else after the lease. Every change of a claimed row names the claim; 0 rows changed means that it is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.api.limits import MAX_FILES_PER_REQUEST, fit_request
from cloudindex_provider.errors import ClaimLostError
from cloudindex_provider.state.accounts import key_class, note_claimed
from cloudindex_provider.state.blocks import among
from cloudindex_provider.state.conditions import (
    ADOPTED,
    CLAIMED,
    FOUND,
    IDLE,
    MAY_CLAIM,
    MINE,
    READY,
    UNTRIED,
    WORK,
    KeyClass,
    Status,
    claim_values,
    row_values,
)
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import WORK_COLUMNS, Owner, Run, Source, WorkRow

__all__ = [
    "Finder",
    "backlog",
    "claim_request",
    "claimed_by_others",
    "free_key",
    "give_back",
    "has_untried",
    "live_documents",
    "ready_rows",
    "record_intent",
    "release_key",
    "renew",
    "take",
    "untried",
    "withdraw",
]

# (database, transaction, bound values, most rows) -> rows in the order of their uploads
Finder = Callable[[Database, Connection, Mapping[str, object], int], list[WorkRow]]


_INTEND = sa.text(
    f"UPDATE object SET status = '{Status.UPLOADING}', etag = :etag, size = :size, last_modified ="
    " :at, upload_etag = :etag,"
    " upload_size = :size, upload_sha256 = :sha, upload_document_id = NULL, file_name = :name, intent_at = :now,"
    " listed_etag = :listed_etag, listed_size = :listed_size,"
    " claim_until = :until, revision = revision + 1"
    f" WHERE scope_id = :scope AND key = :key AND (etag = :etag OR revision = :seen) AND {MINE}"
)
_FREE_KEY = sa.text(f"UPDATE object SET claim_owner = NULL WHERE scope_id = :scope AND key = :key AND {MINE}")
_UNDEALT = sa.text(
    "DELETE FROM run_key WHERE run_id = :run AND key = :key AND outcome IS NULL AND EXISTS (SELECT 1 FROM object"
    f" WHERE scope_id = :scope AND key = :key AND status IN ('{Status.PENDING}', '{Status.FAILED}')"
    " AND claim_owner IS NULL AND queued_run = :run)"
)


def backlog(db: Database, source: Source, run: Run | None = None) -> tuple[int, int]:
    """(documents, bytes) that are ready to be uploaded, and those whose upload is in doubt.

    :param run: of what is ready, only what this run has found, also where a later one has found it, too, and may never
        get to it; doubts are everybody's
    """
    found = "" if run is None else f" AND ({FOUND} OR status = '{Status.UPLOADING}')"
    with db.read() as connection:
        row = connection.execute(
            sa.text(
                "SELECT count(*), coalesce(sum(size), 0) FROM object"
                f" WHERE source_id = :source{found} AND {WORK} AND (status = '{Status.UPLOADING}' OR {READY})"
            ),
            {"source": source.id, "run": run.id if run else None},
        ).one()
    return int(row[0]), int(row[1])


def has_untried(db: Database, run: Run, keys: Collection[str]) -> bool:
    """Whether one of these keys, which the run has found and hasn't tried, is ready and free.

    S3 may move on during an upload; the key is queued anew once that is processed, by whoever asks.
    """
    with db.read() as connection:
        one_of, known = among(connection, keys)
        statement = sa.text(f"SELECT 1 FROM object WHERE scope_id = :scope AND key {one_of} AND {UNTRIED} AND {IDLE}")
        values = {"scope": run.source.scope_id, "source": run.source.id, "run": run.id, "now": db.now(connection)}
        return connection.execute(statement, {**values, "keys": known}).first() is not None


def claimed_by_others(db: Database, run: Run, owner: Owner) -> dict[str, float]:
    """key -> end of its claim: what other runs have claimed of the keys that this one has found, up to 1,000.

    Not what other tasks of this run have: Airflow sees to them.
    """
    of_run = f"{run.name.dag_id}|{run.name.run_id}|"
    statement = sa.text(
        f"SELECT key, claim_until FROM object WHERE source_id = :source AND {WORK} AND {CLAIMED}"
        f" AND status IN ('{Status.PENDING}', '{Status.FAILED}', '{Status.UPLOADING}')"
        f" AND {FOUND} AND substr(claim_owner, 1, :length) <> :of_run AND claim_owner <> :task"
        " AND substr(claim_owner, 1, :workers_length) <> :workers ORDER BY key LIMIT 1000"
    )
    with db.read() as connection:
        values = claim_values(
            owner, source=run.source.id, run=run.id, now=db.now(connection), of_run=of_run, length=len(of_run)
        )
        return {row.key: float(row.claim_until) for row in connection.execute(statement, values)}


def live_documents(db: Database, source: Source) -> int:
    """How many documents of the source are live."""
    with db.read() as connection:
        statement = sa.text("SELECT count(document_id) FROM object WHERE source_id = :source")
        return int(connection.execute(statement, {"source": source.id}).scalar_one())


def claim_request(
    db: Database,
    run: Run,
    owner: Owner,
    *,
    lease: float,
    max_request_size: int,
    max_documents: int | None,
    find: Finder | None = None,
) -> list[WorkRow]:
    """The next rows for one upload request, claimed, sorted by key; empty when there is nothing to do.

    Rows that this run has tried already, or found removed, are left to the next run; a key is counted in the run that
    claims it.

    :param find: gives the rows that come next, in the order of their uploads, locked; ``None``: in key order
    """
    with db.write() as connection:
        now = db.now(connection)
        room = _room(connection, run, max_documents)
        if room <= 0:
            return []
        values = claim_values(owner, source=run.source.id, run=run.id, scope=run.source.scope_id, now=now)
        ready = (find or _in_key_order)(db, connection, values, room)
        # What got no answer when it was sent alone stays alone, after everything else.
        others = [row for row in ready if not row.unanswered]
        chosen = others[: min(room, fit_request((row.size for row in others), max_request_size))] or ready[:1]
        chosen.sort(key=_key)
        take(connection, run, owner, chosen, now + lease)
    return [row.revised() for row in chosen]


def _in_key_order(db: Database, connection: Connection, values: Mapping[str, object], room: int) -> list[WorkRow]:
    # One status a query: the index gives its rows in key order.
    statuses = (f"status = '{Status.FAILED}'", f"status = '{Status.PENDING}'")
    return [row for status in statuses for row in ready_rows(db, connection, {**values, "room": room}, status, "key")]


def ready_rows(
    db: Database, connection: Connection, values: Mapping[str, object], where: str, order: str
) -> list[WorkRow]:
    """Up to ``:room`` of the rows that this run may claim now, locked, of those ``where`` (SQL, as ``order`` is)."""
    skip_locked = "" if db.is_sqlite else " FOR UPDATE SKIP LOCKED"
    statement = (
        f"SELECT {WORK_COLUMNS} FROM object WHERE {where} AND {MAY_CLAIM} ORDER BY {order} LIMIT :room{skip_locked}"
    )
    return [WorkRow(*row) for row in connection.execute(sa.text(statement), values)]


def _key(row: WorkRow) -> str:
    # Several rows are always changed in key order: transactions that lock the same rows can't wait for each other.
    return row.key


def _room(connection: Connection, run: Run, max_documents: int | None) -> int:
    if max_documents is None:
        return MAX_FILES_PER_REQUEST
    if connection.dialect.name != "sqlite":  # which has one writer: claims that count what others claim go one by one
        connection.execute(sa.text("SELECT 1 FROM run WHERE id = :run FOR UPDATE"), {"run": run.id})
    statement = sa.text(
        f"SELECT count(*) FROM run_key WHERE run_id = :run AND class <> '{KeyClass.REMOVED}'"
        f" AND coalesce(reason, '') <> '{ADOPTED}'"
    )
    return min(MAX_FILES_PER_REQUEST, max_documents - int(connection.execute(statement, {"run": run.id}).scalar_one()))


def take(connection: Connection, run: Run, owner: Owner, rows: Sequence[WorkRow], until: float) -> None:
    """Claim rows that were found free and are locked."""
    if not rows:
        return
    connection.execute(
        sa.text(
            "UPDATE object SET claim_owner = :owner, claim_try = :try, claim_until = :until, revision = revision + 1"
            " WHERE scope_id = :scope AND key = :key"
        ),
        [row_values(run, owner, row.key, until=until) for row in rows],
    )
    note_claimed(connection, run, {row.key: key_class(row) for row in rows})


def renew(db: Database, owner: Owner, source: Source, lease: float) -> int:
    """Prolong the owner's claims; gives how many there are."""
    with db.write() as connection:
        values = claim_values(owner, until=db.now(connection) + lease, scope=source.scope_id, source=source.id)
        mine = f"source_id = :source AND claim_owner IS NOT NULL AND {MINE}"
        if not db.is_sqlite:  # locked in key order first
            mine = f"scope_id = :scope AND key IN (SELECT key FROM object WHERE {mine} ORDER BY key FOR UPDATE)"
        return connection.execute(sa.text(f"UPDATE object SET claim_until = :until WHERE {mine}"), values).rowcount


def give_back(db: Database, run: Run, owner: Owner, rows: Sequence[WorkRow]) -> None:
    """Give rows back that were claimed and not sent. One that is ``uploading`` stays: it must be looked up.

    The run hasn't dealt with what is given back: it takes no room of ``max_documents_per_run`` from the next try.
    """
    if rows:
        with db.write() as connection:  # one transaction: who claims a row next finds that nobody has dealt with it
            _set_mine(connection, run, owner, rows, "claim_owner = NULL", f"AND status <> '{Status.UPLOADING}'")
            values = {"run": run.id, "scope": run.source.scope_id}
            connection.execute(_UNDEALT, [{**values, "key": key} for key in sorted(row.key for row in rows)])


def untried(db: Database, run: Run) -> list[WorkRow]:
    """The first and the last of what the run has found and nobody has begun: they stand for all the others."""
    found = (
        f"SELECT {WORK_COLUMNS} FROM object WHERE source_id = :source AND {WORK} AND status = '{Status.PENDING}'"
        " AND queued_run = :run AND claim_owner IS NULL ORDER BY key"
    )
    with db.read() as connection:
        values = {"source": run.source.id, "run": run.id}
        ends = [connection.execute(sa.text(f"{found}{way} LIMIT 1"), values).one_or_none() for way in ("", " DESC")]
    return list({row.key: WorkRow(*row) for row in ends if row is not None}.values())


def withdraw(db: Database, run: Run, owner: Owner, rows: Sequence[WorkRow]) -> None:
    """Take an intent back whose request is known to have done nothing; the claim stays."""
    if rows:
        with db.write() as connection:
            _set_mine(
                connection, run, owner, rows, f"status = '{Status.PENDING}'", f"AND status = '{Status.UPLOADING}'"
            )


def _set_mine(connection: Connection, run: Run, owner: Owner, rows: Sequence[WorkRow], sets: str, guard: str) -> None:
    statement = sa.text(
        f"UPDATE object SET {sets}, revision = revision + 1 WHERE scope_id = :scope AND key = :key AND {MINE} {guard}"
    )
    keys = sorted(row.key for row in rows)
    connection.execute(statement, [row_values(run, owner, key) for key in keys])


def record_intent(
    db: Database, run: Run, owner: Owner, rows: Sequence[tuple[WorkRow, str, str | None]], *, lease: float
) -> None:
    """Write, before a request, what it is about to upload: (row, file name, SHA-256 where it is known already).

    A row may name a newer ETag than the listing did, as long as nobody has changed it since it was claimed.

    :raises ClaimLostError: when a row is claimed by somebody else or wants another ETag by now; nothing is written then
    """
    with db.write_durably() as connection:
        now = db.now(connection)
        for row, name, sha256 in sorted(rows, key=lambda item: _key(item[0])):
            values = {
                "owner": owner.claim, "try": owner.attempt, "scope": run.source.scope_id, "key": row.key,
                "etag": row.etag, "size": row.size, "name": name, "sha": sha256, "at": row.last_modified,
                "seen": row.revision, "now": now, "until": now + lease,
                "listed_etag": row.listed_etag, "listed_size": row.listed_size,
            }  # fmt: skip
            if connection.execute(_INTEND, values).rowcount != 1:
                raise ClaimLostError(f"{row.key!r} was changed or claimed by another run meanwhile.", key=row.key)


def release_key(db: Database, run: Run, owner: Owner, key: str) -> None:
    """Let go of a key whose documents couldn't be deleted."""
    with db.write() as connection:
        free_key(connection, run, owner, key)


def free_key(connection: Connection, run: Run, owner: Owner, key: str) -> None:
    """End the owner's claim of a key, in the transaction of what it was claimed for."""
    connection.execute(_FREE_KEY, row_values(run, owner, key))
