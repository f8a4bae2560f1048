"""Documents of keys that a selection leaves out: reading them, and what is written when they go or change hands.

Nothing here decides. A row is changed only as it was seen, and while nobody works on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from cloudindex_provider.state.blocks import prefix_end
from cloudindex_provider.state.claims import free_key
from cloudindex_provider.state.conditions import FREE, IDLE, NO_UPLOAD, Status, claim_values
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import Owner, Run, Source
from cloudindex_provider.state.removals import Removal
from cloudindex_provider.state.runs import add_counts

__all__ = ["Documented", "documented", "give_away", "record_pruned"]

# On its way to CloudIndex, or perhaps: what becomes of it isn't known yet.
_IN_FLIGHT = (Status.UPLOADING, Status.PROCESSING)


class Documented(NamedTuple):
    """A key of which something may be in CloudIndex, as S3 has listed it last."""

    removal: Removal
    size: int
    storage_class: str
    busy: bool  # somebody works on it, or an upload of it isn't over


def documented(db: Database, source: Source, owner: Owner, *, after: str | None, limit: int) -> list[Documented]:
    """The next keys of the source that have documents, in key order."""
    end = prefix_end(source.prefix)
    bounds = "key >= :prefix" if after is None else "key > :after"
    bounds += "" if end is None else " AND key < :end"
    with db.read() as connection:
        now = db.now(connection)
        rows = connection.execute(
            sa.text(
                "SELECT key, document_id, upload_document_id, file_name, doubtful, intent_at, revision, size,"
                f" storage_class, status, CASE WHEN {FREE} THEN 1 ELSE 0 END FROM object"
                f" WHERE scope_id = :scope AND {bounds} AND source_id = :source AND (document_id IS NOT NULL"
                f" OR upload_document_id IS NOT NULL OR doubtful = 1 OR status = '{Status.UPLOADING}')"
                " ORDER BY key LIMIT :limit"
            ),
            claim_values(
                owner, scope=source.scope_id, source=source.id, prefix=source.prefix, end=end, after=after,
                limit=limit, now=now,
            ),
        )  # fmt: skip
        return [
            Documented(
                Removal(row[0], row[1], row[2], row[3], bool(row[4]), now - (row[5] or 0.0), row[6]),
                row[7],
                row[8],
                row[9] in _IN_FLIGHT or not row[10],
            )
            for row in rows
        ]


def record_pruned(
    db: Database, run: Run, owner: Owner, reason: str, user: str, removal: Removal, ids: Sequence[str]
) -> None:
    """The service has none of these documents any more. The row stays, as that of a key that is left out."""
    with db.write() as connection:
        values = {"scope": run.source.scope_id, "key": removal.key, "seen": removal.revision, "reason": reason}
        connection.execute(
            sa.text(
                f"UPDATE object SET status = '{Status.SKIPPED}', reason = :reason, document_id = NULL,"
                " document_version = NULL, file_name = NULL, indexed_etag = NULL, indexed_size = NULL,"
                f" indexed_sha256 = NULL, {NO_UPLOAD}, doubtful = 0, doubt_until = NULL, attempts = 0,"
                " next_attempt_at = NULL, queued_run = NULL, revision = revision + 1"
                " WHERE scope_id = :scope AND key = :key AND revision = :seen"
            ),
            values,
        )
        if ids:
            connection.execute(
                sa.text("DELETE FROM superseded WHERE scope_id = :scope AND document_id = :id"),
                [{"scope": run.source.scope_id, "id": one} for one in ids],
            )
        free_key(connection, run, owner, removal.key)
        add_counts(connection, run.id, {"deleted_documents": len(ids)})
        note(db, connection, run.source.id, [(removal.key, "pruned", f"not selected: {reason}; by {user}")], run=run)


def give_away(db: Database, source: Source, to: int, rows: Sequence[Removal], user: str) -> int:
    """Hand keys and their documents over to another source, whose selection takes them; gives how many went."""
    with db.write() as connection:
        now, gone = db.now(connection), []
        for one in rows:
            values = {
                "scope": source.scope_id, "key": one.key, "seen": one.revision, "source": source.id, "to": to,
                "now": now,
            }  # fmt: skip
            taken = connection.execute(
                sa.text(
                    "UPDATE object SET source_id = :to, queued_run = NULL, claim_owner = NULL, revision = revision + 1"
                    f" WHERE scope_id = :scope AND key = :key AND source_id = :source AND revision = :seen AND {IDLE}"
                ),
                values,
            ).rowcount
            if not taken:
                continue
            for table in ("history", "superseded"):
                mine = "source_id = :source AND key = :key"
                connection.execute(sa.text(f"UPDATE {table} SET source_id = :to WHERE {mine}"), values)
            gone.append((one.key, "handed over", f"source {source.id} leaves it out; by {user}"))
        note(db, connection, to, gone)
    return len(gone)
