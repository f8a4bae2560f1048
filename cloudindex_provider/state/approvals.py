"""Holds and approvals of mass deletes: what waits for a person, and what a person has allowed.

An approval is a ceiling, for one run, with an end: the run that uses it plans anew and deletes at most that many.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.history import note
from cloudindex_provider.state.records import Run

__all__ = [
    "DEFAULT_DAYS",
    "Approval",
    "Hold",
    "HoldRow",
    "approve",
    "find_approval",
    "mark_asked",
    "open_holds",
    "record_verdict",
]

DEFAULT_DAYS = 7.0


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
            sa.text(
                "SELECT hold.id, hold.source_id, project_id, bucket, prefix, removed, live, reason, at, asked_at"
                " FROM hold"
                " JOIN source ON source.id = hold.source_id JOIN scope ON scope.id = source.scope_id"
                f" WHERE ended_at IS NULL {where} ORDER BY at"
            ),
            {"source": source_id} if source_id is not None else {},
        )
        return [HoldRow(*row) for row in rows]


def approve(db: Database, source_id: int, ceiling: int, user: str, days: float = DEFAULT_DAYS) -> Approval:
    """Allow the next run of a source to delete up to ``ceiling`` documents.

    :raises SettingsError: when there is no such source, or nothing would be allowed
    """
    if ceiling < 1:
        raise SettingsError(f"An approval of {ceiling} documents allows nothing.", field="ceiling")
    with db.write() as connection:
        known = connection.execute(sa.text("SELECT 1 FROM source WHERE id = :id"), {"id": source_id}).scalar()
        if known is None:
            raise SettingsError(f"The state has no source {source_id}.", field="source_id")
        now = db.now(connection)
        values = {"source": source_id, "ceiling": ceiling, "user": user, "now": now, "until": now + days * 86400}
        made = connection.execute(
            sa.text(
                "INSERT INTO approval (source_id, ceiling, approved_by, at, until)"
                " VALUES (:source, :ceiling, :user, :now, :until) RETURNING id"
            ),
            values,
        ).scalar_one()
        note(db, connection, source_id, [("", "deletes approved", f"up to {ceiling}, by {user}")])
    return Approval(int(made), ceiling, user, now + days * 86400)


def find_approval(db: Database, run: Run, removed: int) -> Approval | None:
    """An approval that covers this many removals in this run: valid, and not used by another run."""
    with db.read() as connection:
        row = connection.execute(
            sa.text(
                "SELECT id, ceiling, approved_by, until FROM approval WHERE source_id = :source AND ceiling >= :removed"
                " AND until > :now AND (run_id IS NULL OR run_id = :run) ORDER BY id DESC LIMIT 1"
            ),
            {"source": run.source.id, "removed": removed, "now": db.now(connection), "run": run.id},
        ).one_or_none()
    return Approval(*row) if row else None


def record_verdict(
    connection: Connection,
    run: Run,
    *,
    now: float,
    held: tuple[int, int, str] | None,
    used: Approval | None,
) -> None:
    """Write a verdict: the hold (removed, live, reason) opened or renewed, else ended; the approval used."""
    values = {"source": run.source.id, "run": run.id, "now": now}
    if used is not None:
        connection.execute(sa.text("UPDATE approval SET run_id = :run WHERE id = :id"), {**values, "id": used.id})
    if held is None:
        connection.execute(
            sa.text("UPDATE hold SET ended_at = :now WHERE source_id = :source AND ended_at IS NULL"), values
        )
        return
    connection.execute(
        sa.text(
            "INSERT INTO hold (source_id, run_id, removed, live, reason, at)"
            " VALUES (:source, :run, :removed, :live, :reason, :now)"
            " ON CONFLICT (source_id) WHERE ended_at IS NULL DO UPDATE SET run_id = excluded.run_id,"
            " removed = excluded.removed, live = excluded.live, reason = excluded.reason,"
            # More than a person was asked about is a new question.
            " asked_at = CASE WHEN excluded.removed > hold.removed THEN NULL ELSE hold.asked_at END"
        ),
        {**values, "removed": held[0], "live": held[1], "reason": held[2]},
    )


def mark_asked(db: Database, hold_id: int) -> bool:
    """Say that a person is being asked about this hold; False when somebody has been asked already."""
    with db.write() as connection:
        changed = connection.execute(
            sa.text("UPDATE hold SET asked_at = :now WHERE id = :id AND asked_at IS NULL AND ended_at IS NULL"),
            {"now": db.now(connection), "id": hold_id},
        ).rowcount
    return bool(changed)


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a run's removals aren't acted on; ``mass``: because they are too many, which a person should look at."""

    reason: str
    mass: bool = True
