"""What people and an audit do to rows: releasing failed ones, looking back, and putting right what an audit found.

Every change names the revision that was seen, spares rows that somebody works on, and leaves a line in the history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.state.blocks import prefix_end
from cloudindex_provider.state.conditions import ANSWERED, IDLE, NO_UPLOAD, KeyClass, Status
from cloudindex_provider.state.db.database import BLOCK, Database
from cloudindex_provider.state.drifts import note_drift
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import Finding, Run, Source, Tracked
from cloudindex_provider.state.runs import add_counts
from cloudindex_provider.state.superseded import Reason, supersede

__all__ = [
    "known_documents",
    "release",
    "requeue",
    "retry_all",
    "retry_keys",
    "tracked_rows",
    "unchanged",
]

_RELEASED = (
    f"UPDATE object SET status = '{Status.PENDING}', attempts = 0, next_attempt_at = NULL, {ANSWERED},"
    " reason = NULL, claim_owner = NULL,"
    " revision = revision + 1 WHERE scope_id = :scope AND key = :key AND source_id = :source"
    f" AND status IN ('{Status.FAILED}', '{Status.QUARANTINED}') AND {IDLE}"
)

_STUCK = f"scope_id = :scope AND key = :key AND source_id = :source AND status = '{Status.PROCESSING}' AND {IDLE}"


# Releasing


def release(
    db: Database,
    source: Source,
    user: str,
    *,
    keys: Sequence[str] = (),
    all_quarantined: bool = False,
    all_failed: bool = False,
) -> int:
    """What a person asks for: these keys, or every quarantined or failed one; gives how many are tried again.

    :raises SettingsError: unless it is said in exactly one way which, or for a key that there is nothing to do about
    """
    if [bool(keys), all_quarantined, all_failed].count(True) != 1:
        raise SettingsError(
            "It isn't said which keys to try again.",
            field="keys",
            hint="Use one of keys (--key), all_quarantined (--all-quarantined) and all_failed (--all-failed).",
        )
    if keys:
        return retry_keys(db, source, keys, user)
    return retry_all(db, source, Status.FAILED if all_failed else Status.QUARANTINED, user)


def retry_keys(db: Database, source: Source, keys: Sequence[str], user: str) -> int:
    """Let failed or quarantined keys be tried again by the next run, as if for the first time.

    So are keys that CloudIndex doesn't finish processing: what it has of them is given up, and deleted by that run.

    :raises SettingsError: naming the first key that is none of these; none is released then
    """
    with db.write() as connection:
        for key in keys:
            status = connection.execute(
                sa.text("SELECT status FROM object WHERE scope_id = :scope AND key = :key AND source_id = :source"),
                {"scope": source.scope_id, "key": key, "source": source.id},
            ).scalar()
            if status not in (Status.FAILED, Status.QUARANTINED, Status.PROCESSING):
                is_there = f"has it, and it is {status}: there is nothing to try again."
                what = "has no such key." if status is None else is_there
                raise SettingsError(f"{key!r}: source {source.id} {what}", field="key")
        return _release(db, connection, source, sorted(set(keys)), user)


def retry_all(db: Database, source: Source, status: str, user: str) -> int:
    """Release every key of the source that is ``failed``, or ``quarantined``."""
    released, after = 0, ""
    while True:
        with db.write() as connection:
            keys = connection.execute(
                sa.text(
                    "SELECT key FROM object WHERE source_id = :source AND status = :status AND"
                    f" status <> '{Status.INDEXED}'"
                    " AND key > :after ORDER BY key LIMIT :limit"
                ),
                {"source": source.id, "status": status, "after": after, "limit": BLOCK},
            ).scalars()
            some = list(keys)
            if not some:
                return released
            released += _release(db, connection, source, some, user)
        after = some[-1]


def _release(db: Database, connection: Connection, source: Source, keys: Sequence[str], user: str) -> int:
    now, done = db.now(connection), []
    for key in keys:
        values = {"scope": source.scope_id, "source": source.id, "key": key, "now": now}
        _give_up(connection, source, values)
        if connection.execute(sa.text(_RELEASED), values).rowcount:
            done.append((key, "released", f"operator action by {user}"))
    note(db, connection, source.id, done)
    return len(done)


def _give_up(connection: Connection, source: Source, values: Mapping[str, Any]) -> None:
    """A key that is processing has failed; what its upload has left of the live document isn't known."""
    statement = sa.text(f"SELECT document_id, upload_document_id FROM object WHERE {_STUCK}")
    row = connection.execute(statement, values).first()
    if row is None:
        return
    if row.upload_document_id and row.upload_document_id != row.document_id:
        supersede(connection, source, str(values["key"]), [row.upload_document_id], Reason.FAILED)
    connection.execute(
        sa.text(
            f"UPDATE object SET status = '{Status.FAILED}', indexed_etag = NULL, indexed_size = NULL,"
            f" indexed_sha256 = NULL, {NO_UPLOAD} WHERE {_STUCK}"
        ),
        values,
    )


# What an audit reads


def known_documents(db: Database, project_id: str) -> Iterator[list[str]]:
    """Every document id that the state knows in a project, in blocks."""
    for table, columns in (("object", ("document_id", "upload_document_id")), ("superseded", ("document_id",))):
        order = "key" if table == "object" else "document_id"
        for scope_id in _scopes(db, project_id):
            after = ""
            while True:
                with db.read() as connection:
                    rows = connection.execute(
                        sa.text(
                            f"SELECT {order}, {', '.join(columns)} FROM {table} WHERE scope_id = :scope"
                            f" AND coalesce({', '.join((*columns, 'NULL'))}) IS NOT NULL"
                            f" AND {order} > :after ORDER BY {order} LIMIT :limit"
                        ),
                        {"scope": scope_id, "after": after, "limit": BLOCK},
                    ).all()
                if not rows:
                    break
                after = rows[-1][0]
                yield [one for row in rows for one in row[1:] if one]


def _scopes(db: Database, project_id: str) -> list[int]:
    with db.read() as connection:
        statement = sa.text("SELECT id FROM scope WHERE project_id = :project")
        return list(connection.execute(statement, {"project": project_id}).scalars())


def tracked_rows(db: Database, source: Source, *, stuck: float) -> Iterator[list[Tracked]]:
    """Every row under the source's prefix, whoever owns it, in blocks; ``stuck``: seconds of processing."""
    end = prefix_end(source.prefix)
    first = "key >= :prefix"
    values: dict[str, Any] = {
        "scope": source.scope_id, "source": source.id, "prefix": source.prefix, "end": end, "limit": BLOCK,
    }  # fmt: skip
    while True:
        with db.read() as connection:
            values["now"] = db.now(connection)
            rows = connection.execute(
                sa.text(
                    "SELECT key, source_id = :source, CASE WHEN doubtful = 0 AND status NOT IN"
                    f" ('{Status.UPLOADING}', '{Status.DELETING}') AND {IDLE} THEN 1 ELSE 0 END,"
                    f" CASE WHEN status = '{Status.PROCESSING}' AND coalesce(intent_at, 0) < :before THEN 1 ELSE 0 END,"
                    " revision, status, document_id, indexed_sha256, file_name FROM object"
                    f" WHERE scope_id = :scope AND {first}{' AND key < :end' if end is not None else ''}"
                    " ORDER BY key LIMIT :limit"
                ),
                {**values, "before": values["now"] - stuck},
            ).all()
        if not rows:
            return
        yield [Tracked(r[0], bool(r[1]), bool(r[2]), bool(r[3]), r[4], r[5], r[6], r[7], r[8]) for r in rows]
        first, values["after"] = "key > :after", rows[-1][0]


def unchanged(db: Database, source: Source, findings: Sequence[Finding]) -> list[Finding]:
    """The findings whose rows are still as they were seen."""
    statement = sa.text(
        "SELECT count(*) FROM object WHERE scope_id = :scope AND key = :key AND source_id = :source"
        " AND revision = :seen"
    )
    with db.read() as connection:
        return [
            one
            for one in findings
            if connection.execute(
                statement,
                {"scope": source.scope_id, "key": one.key, "source": source.id, "seen": one.revision},
            ).scalar_one()
        ]


# What an audit writes


def requeue(
    db: Database, source: Source, findings: Sequence[Finding], *, gone: bool, why: str, run: Run | None = None
) -> int:
    """Upload these keys again. A live document that still exists stays the live one until the new one is processed.

    What is known of the indexed bytes is forgotten, so that no upload is saved by it.

    :param run: it has found them and uploads them, in place of keys that it has found unchanged
    """
    sets = "indexed_etag = NULL, indexed_size = NULL, document_id = NULL" if gone else "indexed_etag = ''"
    where = (
        " WHERE scope_id = :scope AND key = :key AND source_id = :source AND revision = :seen"
        f" AND status NOT IN ('{Status.UPLOADING}', '{Status.PROCESSING}', '{Status.DELETING}') AND {IDLE}"
    )
    queued = ""
    if run is not None:  # what the run has an outcome of, or found removed, is for a later one
        where += " AND NOT EXISTS (SELECT 1 FROM run_key WHERE run_id = :run AND run_key.key = object.key)"
        queued = ", queued_run = :run"
    same = f"UPDATE object SET {sets}, indexed_sha256 = NULL, claim_owner = NULL, revision = revision + 1"
    live = sa.text(f"{same}, status = '{Status.PENDING}'{queued}{where} AND status = '{Status.INDEXED}'")
    # What failed or isn't selected stays so: it has its own reasons.
    other = sa.text(f"{same}{where} AND status <> '{Status.INDEXED}'")
    with db.write() as connection:
        now, done, moved = db.now(connection), [], 0
        for one in findings:
            values = {
                "scope": source.scope_id, "key": one.key, "source": source.id, "seen": one.revision, "now": now,
                "run": run.id if run else None,
            }  # fmt: skip
            was_live = connection.execute(live, values).rowcount
            if was_live or connection.execute(other, values).rowcount:
                done.append((one.key, "requeued", why))
                moved += was_live
        note(db, connection, source.id, done, run=run)
        if run is not None:
            note_drift(connection, source.id, [key for key, _, _ in done], why)
            found = KeyClass.NEW if gone else KeyClass.CHANGED
            add_counts(connection, run.id, {"unchanged": -moved, str(found): moved, "drifted": len(done)})
    return len(done)
