"""Tasks that have given their worker's slot back and go on in the same try: since when its time goes on, how often.

A task's row is kept until another try of it pauses, because Airflow counts a try's reschedules and doesn't say why they
were. Who finds that its own try pauses is the one that goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from cloudindex_provider.state.db.database import Database

__all__ = ["Pauses", "read_pauses"]

_KEPT = 7 * 86400.0  # seconds after which nobody comes back
_READ = sa.text("SELECT begun_at, pauses FROM pause WHERE owner = :owner AND attempt = :try")
_BEGIN = sa.text(
    "INSERT INTO pause (owner, attempt, paused_at, begun_at, pauses) VALUES (:owner, :try, :now, :begun, 1)"
    " ON CONFLICT (owner) DO UPDATE SET attempt = excluded.attempt, paused_at = excluded.paused_at,"
    " begun_at = CASE WHEN pause.attempt = excluded.attempt THEN coalesce(pause.begun_at, excluded.begun_at)"
    " ELSE excluded.begun_at END,"
    " pauses = CASE WHEN pause.attempt = excluded.attempt THEN pause.pauses + 1 ELSE 1 END"
)


@dataclass(frozen=True, slots=True)
class Pauses:
    """Those of one try of a task.

    :param count: how many there were
    :param elapsed: seconds since the try began, where it is in a pause or comes back from one
    """

    db: Database
    owner: str
    attempt: int
    count: int = 0
    elapsed: float | None = None

    def begin(self, worked: float) -> None:
        """Remember, before the task gives its slot back, when its try has begun.

        :param worked: seconds since then
        """
        with self.db.write() as connection:
            now = self.db.now(connection)
            connection.execute(sa.text("DELETE FROM pause WHERE paused_at < :old"), {"old": now - _KEPT})
            values = {"owner": self.owner, "try": self.attempt, "now": now, "begun": now - worked}
            connection.execute(_BEGIN, values)

    def end(self) -> None:
        """The task has ended in another way: whatever runs under its name later isn't its continuation."""
        with self.db.write() as connection:
            values = {"owner": self.owner, "try": self.attempt}
            connection.execute(
                sa.text("UPDATE pause SET begun_at = NULL WHERE owner = :owner AND attempt = :try"), values
            )


def read_pauses(db: Database, owner: str, attempt: int) -> Pauses:
    """What is known of a try's pauses.

    :param owner: the task's name, as its claims have it
    :param attempt: the number of its try, which a pause keeps
    """
    with db.read() as connection:
        row = connection.execute(_READ, {"owner": owner, "try": attempt}).one_or_none()
        if row is None:
            return Pauses(db, owner, attempt)
        elapsed = None if row[0] is None else max(0.0, db.now(connection) - float(row[0]))
        return Pauses(db, owner, attempt, int(row[1]), elapsed)
