"""Runs and their counters: who asked for a sync, when its steps began, and the numbers of what came of it."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.conditions import Outcome, Status
from cloudindex_provider.state.counts import CHANGES, CUMULATIVE, DETECTED, OWNER, STEPS
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run, RunName, Source

__all__ = [
    "ENDED",
    "UNTOLD",
    "add_counts",
    "add_s3_calls",
    "add_upload_time",
    "counts",
    "find_run",
    "finish_run",
    "mark_wait_started",
    "resume_run",
    "run_age",
    "start_run",
    "upload_seconds",
]

ENDED = "end:"  # what the names of the counters begin with that a run's report has closed it with
UNTOLD = "untold:"  # and of those that say what has changed and nobody has told of yet
_BUSY, _TIMED = "upload_busy_ms", "upload_busy_requests"
_DETECTED = "(name IN ('{}') OR name LIKE 'skipped:%' OR name LIKE '{}%')".format("', '".join(DETECTED), OWNER)
# What a report has said of a detection and its keys; what the steps did stays said, because it is added to.
_REPORTED = f"(name LIKE '{ENDED}%' AND name NOT IN ('{{}}'))".format("', '".join(f"{ENDED}{name}" for name in STEPS))
# What stays a verdict of the run when its detection is repeated: what it has set aside won't be tried again by it.
_STILL_SET_ASIDE = (
    f"(outcome = '{Outcome.QUARANTINED}' AND EXISTS (SELECT 1 FROM object WHERE object.scope_id = :scope"
    f" AND object.key = run_key.key AND object.status = '{Status.QUARANTINED}'))"
)
_RUN_COLUMNS = (
    "id, started_at, detected_at, wait_started_at, complete, deletes_blocked, mass_delete, plan_hash, approval_id"
)


def start_run(db: Database, source: Source, name: RunName) -> Run:
    """Begin the run's detection, or begin it again after a failed try.

    What a detection counts is counted anew; what the run has done stays done, and what it has set aside stays its
    failure as long as S3 has the same object.
    """
    names = {"source_id": source.id, "dag_id": name.dag_id, "run_id": name.run_id, "task_id": name.task_id}
    with db.write() as connection:
        now = db.now(connection)
        run_id = connection.execute(
            sa.text(
                "INSERT INTO run (source_id, dag_id, run_id, task_id, started_at)"
                " VALUES (:source_id, :dag_id, :run_id, :task_id, :now)"
                " ON CONFLICT (source_id, dag_id, run_id, task_id) DO UPDATE SET started_at = :now, detected_at = NULL,"
                " wait_started_at = NULL, finished_at = NULL, complete = 0, deletes_blocked = NULL, mass_delete = 0,"
                " plan_hash = NULL, approval_id = NULL"
                " RETURNING id"
            ),
            {**names, "now": now},
        ).scalar_one()
        values = {"id": run_id, "scope": source.scope_id}
        connection.execute(
            sa.text(f"DELETE FROM run_count WHERE run_id = :id AND ({_DETECTED} OR {_REPORTED})"), values
        )
        connection.execute(sa.text(f"DELETE FROM run_key WHERE run_id = :id AND NOT {_STILL_SET_ASIDE}"), values)
    return Run(run_id, source, name, now, None, None, complete=False, deletes_blocked=None, mass_delete=False)


def resume_run(db: Database, run: Run) -> None:
    """Go on with a run whose detection was complete, without another one: what has failed in it and may be tried again,
    and removals that weren't acted on, have no outcome any more."""
    values = {"id": run.id, "scope": run.source.scope_id}
    open_again = (
        f"(outcome IN ('{Outcome.FAILED}', '{Outcome.QUARANTINED}') AND NOT {_STILL_SET_ASIDE})"
        f" OR outcome IN ('{Outcome.KEPT}', '{Outcome.HELD}')"
    )
    with db.write() as connection:
        connection.execute(
            sa.text(f"UPDATE run_key SET outcome = NULL, reason = NULL WHERE run_id = :id AND ({open_again})"), values
        )
        connection.execute(sa.text("UPDATE run SET wait_started_at = NULL, finished_at = NULL WHERE id = :id"), values)
        connection.execute(sa.text("DELETE FROM run_count WHERE run_id = :id AND name = 'held'"), values)


def find_run(db: Database, source: Source, name: RunName) -> Run | None:
    """The run that a detection began, or ``None``."""
    with db.read() as connection:
        row = connection.execute(
            sa.text(
                f"SELECT {_RUN_COLUMNS} FROM run WHERE source_id = :source_id"
                " AND dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id"
            ),
            {"source_id": source.id, "dag_id": name.dag_id, "run_id": name.run_id, "task_id": name.task_id},
        ).one_or_none()
    if row is None:
        return None
    return Run(
        row[0],
        source,
        name,
        row[1],
        row[2],
        row[3],
        complete=bool(row[4]),
        deletes_blocked=row[5],
        mass_delete=bool(row[6]),
        plan_hash=row[7],
        approval_id=row[8],
    )


def mark_wait_started(db: Database, run: Run) -> float:
    """Seconds since the run's first wait began; the first call begins it."""
    with db.write() as connection:
        now = db.now(connection)
        connection.execute(
            sa.text("UPDATE run SET wait_started_at = :now WHERE id = :id AND wait_started_at IS NULL"),
            {"now": now, "id": run.id},
        )
        begun = connection.execute(
            sa.text("SELECT wait_started_at FROM run WHERE id = :id"), {"id": run.id}
        ).scalar_one()
    return float(now - begun)


def run_age(db: Database, run: Run) -> float:
    """Seconds since the run's detection began, by the database's clock."""
    with db.read() as connection:
        return db.now(connection) - run.started_at


def finish_run(db: Database, run: Run, report: Mapping[str, int] | None = None) -> dict[str, int]:
    """Close the run: what has no outcome by now is deferred to the next one.

    :param report: the counts of its report; whoever looks at the run later reads them instead of counting its keys
    :returns: what the run has done that no earlier report of it had counted; of that, what has changed the index waits
        for whoever tells of it (``state.changes``)
    """
    report = report or {}
    with db.write() as connection:
        told = _read_counts(connection, run.id)
        added = {name: max(0, report.get(name, 0) - told.get(f"{ENDED}{name}", 0)) for name in CUMULATIVE}
        values = {"now": db.now(connection), "id": run.id}
        connection.execute(sa.text("UPDATE run SET finished_at = :now WHERE id = :id"), values)
        connection.execute(sa.text(f"DELETE FROM run_count WHERE run_id = :id AND name LIKE '{ENDED}%'"), values)
        add_counts(connection, run.id, {f"{ENDED}{name}": value for name, value in report.items()})
        add_counts(connection, run.id, {f"{UNTOLD}{name}": added[name] for name in CHANGES})
    return added


def add_counts(connection: Connection, run_id: int, values: Mapping[str, int]) -> None:
    """Add to the run's counters, in the transaction of the rows that they count."""
    # In one order, so that two transactions never wait for each other's counters.
    rows = [{"run_id": run_id, "name": name, "value": value} for name, value in sorted(values.items()) if value]
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO run_count (run_id, name, value) VALUES (:run_id, :name, :value)"
                " ON CONFLICT (run_id, name) DO UPDATE SET value = run_count.value + excluded.value"
            ),
            rows,
        )


def add_s3_calls(db: Database, run: Run, calls: Mapping[str, int]) -> None:
    """Add S3 requests, by operation, to the run's counters."""
    with db.write() as connection:
        add_counts(connection, run.id, {f"s3:{name}": number for name, number in calls.items()})


def add_upload_time(db: Database, run: Run, *, seconds: float, requests: int) -> None:
    """Add how long some upload requests kept their task busy."""
    if requests:
        with db.write() as connection:
            add_counts(connection, run.id, {_BUSY: max(1, round(seconds * 1000)), _TIMED: requests})


def upload_seconds(db: Database, source: Source) -> float | None:
    """Seconds that an upload request of the source's last such run kept its task busy; ``None``: there was none."""
    statement = sa.text(
        "SELECT busy.value, timed.value FROM run"
        f" JOIN run_count AS busy ON busy.run_id = run.id AND busy.name = '{_BUSY}'"
        f" JOIN run_count AS timed ON timed.run_id = run.id AND timed.name = '{_TIMED}'"
        " WHERE run.source_id = :source ORDER BY run.id DESC LIMIT 1"
    )
    with db.read() as connection:
        row = connection.execute(statement, {"source": source.id}).first()
    return None if row is None else float(row[0]) / 1000 / float(row[1])


def counts(db: Database, run: Run) -> dict[str, int]:
    """The run's counters so far."""
    with db.read() as connection:
        return _read_counts(connection, run.id)


def _read_counts(connection: Connection, run_id: int) -> dict[str, int]:
    rows = connection.execute(sa.text("SELECT name, value FROM run_count WHERE run_id = :id"), {"id": run_id})
    return {name: int(value) for name, value in rows}
