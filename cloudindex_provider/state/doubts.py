"""Uploads whose outcome is unknown: noting them, claiming those to be looked up, and what the look has shown.

A row is in doubt while it is ``uploading`` and nobody works on it, and once more after it was indexed (``doubtful``):
a cut request may commit late.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.blocks import among
from cloudindex_provider.state.claims import take
from cloudindex_provider.state.conditions import FREE, MINE, NO_UPLOAD, WORK, KeyClass, Status, claim_values, row_values
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import WORK_COLUMNS, Owner, Run, WorkRow
from cloudindex_provider.state.runs import add_counts
from cloudindex_provider.state.superseded import Reason, supersede

__all__ = [
    "Doubtful",
    "clear_doubt",
    "doubtful_indexed",
    "doubtful_uploads",
    "lose_live",
    "record_not_sent",
    "record_suspects",
    "record_unknown",
    "replace_live",
    "seconds_since_intent",
    "seconds_unanswered",
    "took_others",
]


# A request that was answered by a 5xx is looked up soon, and looked for until it can't be committed any more.
_SETTLED = "doubtful = CASE WHEN doubt_until > :now THEN 1 ELSE 0 END"
# What is known of a live document, whose bytes an upload may have replaced.
_FORGET = "indexed_etag = NULL, indexed_size = NULL, indexed_sha256 = NULL"


class Doubtful(NamedTuple):
    """An indexed key, one of whose uploads had an unknown outcome."""

    key: str
    file_name: str
    document_id: str
    sha256: str | None  # of the live document, as far as is known
    revision: int


def doubtful_indexed(
    db: Database, run: Run, *, before: float | None = None, keys: Collection[str] | None = None
) -> list[Doubtful]:
    """Keys to be looked at once more: indexed, with an upload of theirs that may have been committed late.

    :param before: only those whose last upload began before that moment
    :param keys: only these
    """
    with db.read() as connection:
        one_of, bound = among(connection, keys) if keys is not None else ("", None)
        of_run = f" AND scope_id = :scope AND key {one_of}" if one_of else ""
        rows = connection.execute(
            sa.text(
                "SELECT key, file_name, document_id, indexed_sha256, revision FROM object"
                f" WHERE source_id = :source AND doubtful = 1 AND status = '{Status.INDEXED}'{of_run}"
                f"{'' if before is None else ' AND intent_at < :before'} ORDER BY key"
            ),
            {"source": run.source.id, "scope": run.source.scope_id, "before": before, "keys": bound},
        )
        return [Doubtful(*row) for row in rows]


def clear_doubt(db: Database, run: Run, row: Doubtful, extra_ids: Sequence[str]) -> None:
    """Every copy of the key that there is now is known; more may come only while a request may still be committed."""
    _end_doubt(db, run, row, _SETTLED, extra_ids)


def replace_live(db: Database, run: Run, row: Doubtful, live_id: str, extra_ids: Sequence[str]) -> None:
    """The document that has the key's bytes is another one than the row says."""
    _end_doubt(db, run, row, f"{_SETTLED}, document_id = :live", extra_ids, live=live_id)


def lose_live(db: Database, run: Run, row: Doubtful, extra_ids: Sequence[str], *, why: str, swept: bool) -> None:
    """No document has the key's bytes any more, so it is uploaded again, by the next run.

    :param swept: the run has found the key unchanged, so this is a finding of its own
    """
    sets = f"{_SETTLED}, status = '{Status.PENDING}', reason = :why, document_id = NULL, {_FORGET}"
    with db.write() as connection:
        if not _end_doubt_in(db, connection, run, row, sets, extra_ids, why=why):
            return
        note(db, connection, run.source.id, [(row.key, "requeued", why)], run=run)
        values = {"run": run.id, "key": row.key, "scope": run.source.scope_id}
        noted = connection.execute(
            sa.text(
                f"UPDATE run_key SET outcome = CASE WHEN class = '{KeyClass.REMOVED}' THEN outcome END"
                " WHERE run_id = :run AND key = :key"
            ),
            values,
        ).rowcount
        if swept and not noted:
            connection.execute(
                sa.text("UPDATE object SET queued_run = :run WHERE scope_id = :scope AND key = :key"), values
            )
            add_counts(connection, run.id, {"unchanged": -1, str(KeyClass.NEW): 1})


def _end_doubt(
    db: Database, run: Run, row: Doubtful, sets: str, extra_ids: Sequence[str], live: str | None = None
) -> None:
    with db.write() as connection:
        _end_doubt_in(db, connection, run, row, sets, extra_ids, live=live)


def _end_doubt_in(
    db: Database, connection: Connection, run: Run, row: Doubtful, sets: str, extra_ids: Sequence[str], **more: object
) -> bool:
    """False: the row has changed since it was read."""
    values = {"scope": run.source.scope_id, "key": row.key, "seen": row.revision, "now": db.now(connection), **more}
    ended = connection.execute(
        sa.text(
            f"UPDATE object SET {sets}, revision = revision + 1"
            f" WHERE scope_id = :scope AND key = :key AND revision = :seen AND status = '{Status.INDEXED}'"
        ),
        values,
    ).rowcount
    if ended:
        supersede(connection, run.source, row.key, extra_ids, Reason.COPY)
    return bool(ended)


def record_unknown(
    db: Database, run: Run, owner: Owner, rows: Sequence[WorkRow], reason: str, *, grace: float = 0.0
) -> None:
    """The request's outcome is unknown: the rows stay ``uploading`` and ours until they are looked up.

    :param grace: seconds from now on in which it may still be committed
    """
    with db.write() as connection:
        until = db.now(connection) + grace
        for row in sorted(rows, key=lambda one: one.key):
            connection.execute(
                sa.text(
                    "UPDATE object SET doubtful = 1, reason = :reason, revision = revision + 1, doubt_until ="
                    " CASE WHEN doubt_until > :until THEN doubt_until ELSE :until END"
                    f" WHERE scope_id = :scope AND key = :key AND {MINE}"
                ),
                row_values(run, owner, row.key, reason=reason, until=until),
            )


def record_not_sent(
    db: Database, run: Run, owner: Owner, row: WorkRow, *, extra_ids: Sequence[str] = (), live_is_known: bool = True
) -> bool:
    """A doubtful upload isn't there: the row is pending and stays claimed. False: the claim is lost.

    :param extra_ids: documents under the key's name that are nobody's
    :param live_is_known: false: the upload may have replaced the bytes of the live document, so what was known of them
        is forgotten
    """
    forget = "" if live_is_known else f", {_FORGET}"
    with db.write() as connection:
        statement = sa.text(
            f"UPDATE object SET status = '{Status.PENDING}', doubtful = 1, reason = NULL, {NO_UPLOAD}{forget},"
            f" revision = revision + 1 WHERE scope_id = :scope AND key = :key AND {MINE}"
        )
        kept = connection.execute(statement, row_values(run, owner, row.key)).rowcount == 1
        if kept:
            supersede(
                connection, run.source, row.key, [one for one in extra_ids if one != row.document_id], Reason.COPY
            )
    return kept


def record_suspects(db: Database, run: Run, keys: Iterable[str]) -> None:
    """Count the uploads that got no answer though they were sent alone. That is no strike: see ``sync.doubt``."""
    with db.write() as connection:
        now = db.now(connection)
        for key in sorted(keys):
            connection.execute(
                sa.text(
                    "UPDATE object SET unanswered = unanswered + 1, unanswered_at = coalesce(unanswered_at, :now),"
                    " revision = revision + 1"
                    f" WHERE scope_id = :scope AND key = :key AND status = '{Status.UPLOADING}'"
                ),
                {"scope": run.source.scope_id, "key": key, "now": now},
            )


def doubtful_uploads(db: Database, run: Run, owner: Owner, *, lease: float) -> list[WorkRow]:
    """Claim the rows whose upload was begun by somebody who is gone, or by us with an unknown outcome.

    Not while the owner has a request under way: its rows would seem to be in doubt.
    """
    with db.write() as connection:
        now = db.now(connection)
        values = claim_values(owner, source=run.source.id, now=now)
        rows = connection.execute(
            sa.text(
                f"SELECT {WORK_COLUMNS} FROM object WHERE source_id = :source AND status ="
                f" '{Status.UPLOADING}' AND {WORK}"
                f" AND ({FREE} OR {MINE}) ORDER BY key"
            ),
            values,
        )
        found = [WorkRow(*row) for row in rows]
        take(connection, run, owner, found, now + lease)
    return [row.revised() for row in found]


def took_others(db: Database, run: Run, row: WorkRow, *, within: float) -> bool:
    """Whether the service took an upload of another key in the last ``within`` seconds before this row's intent."""
    statement = sa.text(
        f"SELECT count(*) FROM object WHERE scope_id = :scope AND status IN ('{Status.PROCESSING}', '{Status.INDEXED}')"
        " AND intent_at <= :intent AND intent_at > :intent - :within"
    )
    values = {"scope": run.source.scope_id, "intent": row.intent_at or 0.0, "within": within}
    with db.read() as connection:
        return bool(connection.execute(statement, values).scalar_one())


def seconds_since_intent(db: Database, rows: Sequence[WorkRow]) -> float:
    """Seconds since the newest of these intents, by the database's clock."""
    with db.read() as connection:
        return db.now(connection) - max((row.intent_at or 0.0 for row in rows), default=0.0)


def seconds_unanswered(db: Database, row: WorkRow) -> float:
    """Seconds since the first of the requests with this file alone that got no answer."""
    with db.read() as connection:
        now = db.now(connection)
    return now - (now if row.unanswered_at is None else row.unanswered_at)
