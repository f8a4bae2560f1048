"""Holds and approvals of mass deletes: what waits for a person, and what a person has allowed.

A hold has a random token, because its number is that of another hold in another state. An approval is a ceiling, for
one run, with an end: the run that uses it plans anew and deletes at most that many. One that was given for a hold is
good for that hold alone, and it is used up when the deletes begin, not before. The hold of a run of named keys and that
of a whole listing are two questions, of which the latter is the greater one: a source has one open hold at a time.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import Run, Source
from cloudindex_provider.words import count

__all__ = [
    "DEFAULT_DAYS",
    "Approval",
    "Hold",
    "HoldName",
    "HoldRow",
    "approve",
    "approve_hold",
    "check_days",
    "find_approval",
    "find_hold",
    "keep_hold",
    "mark_asked",
    "open_holds",
    "record_verdict",
    "unasked_hold",
    "use_approval",
]

DEFAULT_DAYS = 7.0
_LONGEST = 366  # days
_HOLDS = (
    "SELECT hold.id, hold.source_id, project_id, bucket, prefix, removed, live, reason, at, asked_at, token,"
    " hold.endpoint, made_from FROM hold"
    " JOIN source ON source.id = hold.source_id JOIN scope ON scope.id = source.scope_id WHERE ended_at IS NULL"
)
# Two holds are one question only at one store; which it was isn't known of holds of older versions.
_SAME_STORE = (
    "coalesce(CAST(:endpoint AS text), hold.endpoint, '') = coalesce(hold.endpoint, CAST(:endpoint AS text), '')"
)
# And about the same keys; what is empty is of named keys which aren't known.
_SAME_KEYS = (
    "CASE WHEN CAST(:of_keys AS text) IS NULL THEN hold.of_keys IS NULL"
    " ELSE coalesce(hold.of_keys, '-') IN ('', CAST(:of_keys AS text)) END"
)


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a run's removals aren't acted on.

    :param mass: a person should look at it; else it ends by itself
    :param endpoint: the store that lists the keys no more
    :param made_from: the store that their documents were made from, where that is another one
    """

    reason: str
    mass: bool = True
    endpoint: str | None = None
    made_from: str | None = None


@dataclass(frozen=True, slots=True)
class HoldName:
    """What names a hold outside of its state: the token finds it, the rest must agree."""

    token: str
    project_id: str
    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class HoldRow:
    """Removals that wait, with where they belong. Times are seconds since 1970."""

    id: int
    source_id: int
    project_id: str
    bucket: str
    prefix: str
    removed: int
    live: int
    reason: str
    at: float
    asked_at: float | None
    token: str | None  # none before the first run of a version that gives one
    endpoint: str | None
    made_from: str | None


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person has allowed."""

    id: int
    ceiling: int
    approved_by: str
    until: float


def open_holds(db: Database, source_id: int | None = None) -> list[HoldRow]:
    """Every hold that waits, or those of one source, oldest first."""
    where = "AND hold.source_id = :source" if source_id is not None else ""
    with db.read() as connection:
        rows = connection.execute(
            sa.text(f"{_HOLDS} {where} ORDER BY at"), {"source": source_id} if source_id is not None else {}
        )
        return [HoldRow(*row) for row in rows]


def unasked_hold(db: Database, source_id: int) -> HoldRow | None:
    """The source's hold, where no person was asked about it and none has allowed it unasked."""
    allowed = (
        "SELECT 1 FROM approval WHERE approval.source_id = hold.source_id AND run_id IS NULL AND ceiling >= removed"
        " AND until > :now AND (hold_id IS NULL OR hold_id = hold.id)"
    )
    where = "hold.source_id = :source AND asked_at IS NULL AND token IS NOT NULL"
    with db.read() as connection:
        row = connection.execute(
            sa.text(f"{_HOLDS} AND {where} AND NOT EXISTS ({allowed})"),
            {"source": source_id, "now": db.now(connection)},
        ).one_or_none()
    return HoldRow(*row) if row else None


def find_hold(db: Database, name: HoldName) -> HoldRow:
    """The hold of that name, which waits in this state.

    :raises SettingsError: when there is none: it has ended, or it is another state's
    """
    with db.read() as connection:
        return _named(db, connection, name)


def _named(db: Database, connection: Connection, name: HoldName) -> HoldRow:
    row = connection.execute(sa.text(f"{_HOLDS} AND token = :token"), {"token": name.token}).one_or_none()
    if row is None or (row.project_id, row.bucket, row.prefix) != (name.project_id, name.bucket, name.prefix):
        raise SettingsError(
            f"In the state in {db.name} no removals of s3://{name.bucket}/{name.prefix} and project {name.project_id}"
            " wait under the name of this question, so nothing was approved.",
            field="token",
            hint="The hold has ended, or it is in another state: `airflow cloudindex holds` shows what waits.",
        )
    return HoldRow(*row)


def check_days(days: float) -> float:
    """How long a person lets an approval hold.

    :raises SettingsError: for no time, and for more than a year
    """
    if not 0 < days < _LONGEST:
        raise SettingsError(f"days is {days:g}.", field="days", hint=f"Use a number below {_LONGEST} (--days).")
    return days


def approve(db: Database, source_id: int, ceiling: int, user: str, days: float = DEFAULT_DAYS) -> Approval:
    """Allow the next run of a source to delete up to ``ceiling`` documents; where a hold waits, of that hold.

    :raises SettingsError: when there is no such source, or nothing would be allowed
    """
    with db.write() as connection:
        known = connection.execute(sa.text("SELECT 1 FROM source WHERE id = :id"), {"id": source_id}).scalar()
        if known is None:
            raise SettingsError(f"The state has no source {source_id}.", field="source_id")
        waits = connection.execute(
            sa.text("SELECT id FROM hold WHERE source_id = :id AND ended_at IS NULL"), {"id": source_id}
        ).scalar()
        return _allow(db, connection, source_id, waits, ceiling, user, days)


def approve_hold(db: Database, name: HoldName, ceiling: int, user: str, days: float = DEFAULT_DAYS) -> Approval:
    """Allow the next run to delete up to ``ceiling`` documents of the named hold.

    :raises SettingsError: when no such hold waits in this state, or nothing would be allowed; nothing is written then
    """
    with db.write() as connection:
        row = _named(db, connection, name)
        return _allow(db, connection, row.source_id, row.id, ceiling, user, days)


def _allow(
    db: Database, connection: Connection, source_id: int, hold_id: int | None, ceiling: int, user: str, days: float
) -> Approval:
    if ceiling < 1:
        raise SettingsError(f"An approval of {count(ceiling, 'document')} allows nothing.", field="ceiling")
    now = db.now(connection)
    values = {"source": source_id, "ceiling": ceiling, "user": user, "now": now, "until": now + days * 86400}
    made = connection.execute(
        sa.text(
            "INSERT INTO approval (source_id, ceiling, approved_by, at, until, hold_id)"
            " VALUES (:source, :ceiling, :user, :now, :until, :hold) RETURNING id"
        ),
        {**values, "hold": hold_id},
    ).scalar_one()
    note(db, connection, source_id, [("", "deletes approved", f"up to {ceiling:,}, by {user}")])
    return Approval(int(made), ceiling, user, now + days * 86400)


def find_approval(
    db: Database, run: Run | Source, removed: int, endpoint: str | None = None, *, of_keys: str | None = None
) -> Approval | None:
    """An approval that covers this many removals in this run: this run's own, or a valid one that none has used.

    :param run: a source, where it is only asked what its next run may do
    :param endpoint: the store that lists the keys no more; what was allowed at another one doesn't count
    :param of_keys: of a run of named keys, their hash; what was allowed of others, or of all, doesn't count
    """
    waits = f"SELECT id FROM hold WHERE source_id = :source AND ended_at IS NULL AND {_SAME_STORE} AND {_SAME_KEYS}"
    source_id, run_id = (run.source.id, run.id) if isinstance(run, Run) else (run.id, None)
    with db.read() as connection:
        row = connection.execute(
            sa.text(
                "SELECT id, ceiling, approved_by, until FROM approval WHERE source_id = :source AND ceiling >= :removed"
                " AND until > :now"
                " AND (run_id = CAST(:run AS bigint)"
                f" OR (run_id IS NULL AND (hold_id IS NULL OR hold_id IN ({waits}))))"
                " ORDER BY id DESC LIMIT 1"
            ),
            {
                "source": source_id, "removed": removed, "now": db.now(connection), "run": run_id,
                "endpoint": endpoint, "of_keys": of_keys,
            },
        ).one_or_none()  # fmt: skip
    return Approval(*row) if row else None


def use_approval(db: Database, run: Run, endpoint: str | None = None, *, of_keys: str | None = None) -> bool:
    """Use up what the run's removals need, just before the first of them; false: another run has used it.

    The hold ends, and the documents that stay are those of the store that the person has decided about.
    """
    if run.approval_id is None:
        return True
    values = {
        "id": run.approval_id, "run": run.id, "source": run.source.id, "endpoint": endpoint, "of_keys": of_keys,
    }  # fmt: skip
    with db.write() as connection:
        used = connection.execute(
            sa.text("UPDATE approval SET run_id = :run WHERE id = :id AND (run_id IS NULL OR run_id = :run)"), values
        ).rowcount
        if used:
            _end_hold(connection, {**values, "now": db.now(connection)}, f" AND {_SAME_KEYS}")
            connection.execute(
                sa.text("UPDATE source SET endpoint = coalesce(:endpoint, endpoint) WHERE id = :source"), values
            )
    return bool(used)


def record_verdict(
    connection: Connection,
    run: Run,
    *,
    now: float,
    removed: int,
    live: int,
    hold: Hold | None,
    of_keys: str | None = None,
) -> None:
    """Open or renew the hold of a source, also where an approval waits to be used; ``None`` ends it.

    :param of_keys: the verdict is about some keys, and this is their hash; then it leaves the hold of all of the source
        alone, which is about others, too, and ends no other keys' hold unless it has a question of its own
    """
    values: dict[str, Any] = {"source": run.source.id, "run": run.id, "now": now, "of_keys": of_keys}
    if of_keys is not None and _is_held_whole(connection, values, hold):
        return
    if hold is None:
        _end_hold(connection, values, f" AND {_SAME_KEYS}" if of_keys is not None else "")
        return
    values |= {"endpoint": hold.endpoint, "from": hold.made_from}
    _end_hold(connection, values, f" AND NOT ({_SAME_STORE} AND {_SAME_KEYS})")
    connection.execute(
        sa.text(
            "INSERT INTO hold (source_id, run_id, removed, live, reason, at, token, endpoint, made_from, of_keys)"
            " VALUES (:source, :run, :removed, :live, :reason, :now, :token, :endpoint, :from, :of_keys)"
            " ON CONFLICT (source_id) WHERE ended_at IS NULL DO UPDATE SET run_id = excluded.run_id,"
            " removed = excluded.removed, live = excluded.live, reason = excluded.reason,"
            " token = coalesce(hold.token, excluded.token), endpoint = coalesce(excluded.endpoint, hold.endpoint),"
            " made_from = excluded.made_from, of_keys = excluded.of_keys,"
            # More than a person was asked about is a new question.
            " asked_at = CASE WHEN excluded.removed > hold.removed THEN NULL ELSE hold.asked_at END"
        ),
        {**values, "removed": removed, "live": live, "reason": hold.reason, "token": secrets.token_hex(16)},
    )


def _is_held_whole(connection: Connection, values: Mapping[str, Any], hold: Hold | None) -> bool:
    """Whether a hold of all of the source waits, at the same store as this one where there is one."""
    statement = sa.text(
        f"SELECT 1 FROM hold WHERE source_id = :source AND ended_at IS NULL AND of_keys IS NULL AND {_SAME_STORE}"
    )
    found = connection.execute(statement, {**values, "endpoint": hold.endpoint if hold else None})
    return found.one_or_none() is not None


def _end_hold(connection: Connection, values: Mapping[str, Any], more: str = "") -> None:
    connection.execute(
        sa.text(f"UPDATE hold SET ended_at = :now WHERE source_id = :source AND ended_at IS NULL{more}"), values
    )


def mark_asked(db: Database, name: HoldName) -> bool:
    """Say that a person is being asked about this hold; False when somebody has been asked already."""
    with db.write() as connection:
        row = _named(db, connection, name)
        changed = connection.execute(
            sa.text("UPDATE hold SET asked_at = :now WHERE id = :id AND asked_at IS NULL AND ended_at IS NULL"),
            {"now": db.now(connection), "id": row.id},
        ).rowcount
    return bool(changed)


def keep_hold(db: Database, name: HoldName, user: str) -> None:
    """Let the documents of the named hold stay: what was allowed of it and isn't used is withdrawn.

    The hold itself stays for as long as runs find its removals, and nobody is asked again until they are more.

    :raises SettingsError: when no such hold waits in this state
    """
    with db.write() as connection:
        row = _named(db, connection, name)
        values = {"source": row.source_id, "hold": row.id, "now": db.now(connection)}
        connection.execute(
            sa.text("DELETE FROM approval WHERE source_id = :source AND hold_id = :hold AND run_id IS NULL"), values
        )
        connection.execute(sa.text("UPDATE hold SET asked_at = :now WHERE id = :hold"), values)
        note(db, connection, row.source_id, [("", "deletes kept", f"{count(row.removed, 'removal')}, by {user}")])
