"""What a run answers for: the keys of work that its detection found, and what became of each.

A row that a detection finds new, changed or still waiting names the run (``queued_run``), in the sweep's own
transaction: on a first load that costs no write beside the row's own, and an unchanged key costs none. ``run_key`` has
what can't stand there: keys that are claimed, keys with an outcome, removed ones, and keys that a later run has found
while this one goes on. A run claims only what it has found, so its outcomes add up to its findings, whoever decides
them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.blocks import among
from cloudindex_provider.state.conditions import WORK, KeyClass, Outcome, Status
from cloudindex_provider.state.db.database import BLOCK, Database
from cloudindex_provider.state.db.driver import execute_many
from cloudindex_provider.state.records import ObjectRow, Run, Source, WorkRow

__all__ = [
    "forget_found", "forget_verdicts", "found_later", "hand_over", "has_later_runs", "key_class",
    "note_claimed", "note_found", "note_removed", "record_outcome", "record_outcomes",
]  # fmt: skip

# Seconds after which a run without an end is taken to have died: nobody asks for its report any more.
_LONGEST_RUN = 86400
_INSERT = "INSERT INTO run_key (run_id, key, class) VALUES (:run, :key, :class) ON CONFLICT (run_id, key) DO NOTHING"
# As ``key_class`` says.
_CLASS = (
    f"CASE WHEN object.indexed_etag IS NULL OR object.status = '{Status.DELETING}'"
    f" THEN '{KeyClass.NEW}' ELSE '{KeyClass.CHANGED}' END"
)
_DECIDED = (
    "UPDATE run_key SET outcome = :outcome, reason = :reason"
    f" WHERE key = :key AND outcome IS NULL AND class <> '{KeyClass.REMOVED}'"
    " AND run_id <> :but AND EXISTS (SELECT 1 FROM run WHERE run.id = run_key.run_id AND run.source_id = :source)"
)
_DECIDED_FOR_FINDER = (
    "INSERT INTO run_key (run_id, key, class, outcome, reason)"
    " SELECT queued_run, key, CAST(:class AS text), CAST(:outcome AS text), CAST(:reason AS text) FROM object"
    " WHERE scope_id = :scope AND key = :key AND source_id = :source"
    " AND queued_run <> :but AND EXISTS (SELECT 1 FROM run WHERE run.id = object.queued_run)"
    " ON CONFLICT (run_id, key) DO NOTHING"
)
_LATER_RUNS = "SELECT id FROM run WHERE source_id = :source AND id <> :run AND (complete = 0 OR detected_at >= :since)"
_CLAIMED = (
    "INSERT INTO run_key (run_id, key, class) SELECT :run, key, CAST(:class AS text) FROM object"
    " WHERE scope_id = :scope AND key = :key AND queued_run = :run ON CONFLICT (run_id, key) DO NOTHING"
)


def key_class(row: ObjectRow | WorkRow) -> KeyClass:
    """What a listed key that isn't unchanged is. Where a delete had begun, nothing is known to be indexed any more."""
    known = row.indexed_etag is not None and row.status != Status.DELETING
    return KeyClass.CHANGED if known else KeyClass.NEW


def has_later_runs(db: Database, source: Source, run: Run | None, *, since: float) -> bool:
    """Whether a run of the source has detected something since that time, or is about to. Reads every run of it.

    :param run: which isn't one of them
    :param since: by the state's clock
    """
    with db.read(snapshot=False) as connection:
        return connection.execute(sa.text(f"{_LATER_RUNS} LIMIT 1"), _later(source, run, since)).first() is not None


def found_later(db: Database, source: Source, run: Run | None, keys: Collection[str], *, since: float) -> set[str]:
    """Those of the keys that such a run has found. In one statement: a run may be folded into another one meanwhile."""
    with db.read(snapshot=False) as connection:
        one_of, known = among(connection, keys)
        statement = (
            f"SELECT key FROM object WHERE scope_id = :scope AND key {one_of} AND queued_run IN ({_LATER_RUNS})"
            f" UNION SELECT key FROM run_key WHERE run_id IN ({_LATER_RUNS}) AND key {one_of}"
        )
        values = {**_later(source, run, since), "scope": source.scope_id, "keys": known}
        return set(connection.execute(sa.text(statement), values).scalars())


def _later(source: Source, run: Run | None, since: float) -> dict[str, float]:
    return {"source": source.id, "run": run.id if run else -1, "since": since}


def hand_over(connection: Connection, run: Run, keys: Sequence[str], now: float) -> None:
    """Before this run is written down as the finder of some keys: runs that still go on keep what they have found."""
    if not keys:
        return
    one_of, values = among(connection, keys)
    connection.execute(
        sa.text(
            "INSERT INTO run_key (run_id, key, class)"
            f" SELECT object.queued_run, object.key, {_CLASS} FROM object JOIN run ON run.id = object.queued_run"
            f" WHERE object.scope_id = :scope AND object.key {one_of} AND object.source_id = :source AND object.{WORK}"
            " AND object.queued_run <> :run AND run.source_id = :source AND run.finished_at IS NULL"
            " AND run.started_at >= :begun ON CONFLICT (run_id, key) DO NOTHING"
        ),
        {
            "scope": run.source.scope_id, "keys": values, "source": run.source.id, "run": run.id,
            "begun": now - _LONGEST_RUN,
        },
    )  # fmt: skip


def forget_verdicts(connection: Connection, run: Run, keys: Sequence[str]) -> None:
    """What an earlier try of the run has decided about keys that have changed since counts no more."""
    if keys:
        one_of, values = among(connection, keys)
        statement = sa.text(f"DELETE FROM run_key WHERE run_id = :run AND key {one_of} AND outcome IS NOT NULL")
        connection.execute(statement, {"run": run.id, "keys": values})


def forget_found(db: Database, run: Run) -> None:
    """Before a detection is repeated: what its earlier try had found is found again, or isn't this run's any more."""
    for status in Status:
        after: str | None = ""
        while after is not None and status is not Status.INDEXED:
            after = _forget_found_block(db, run, status, after)


def _forget_found_block(db: Database, run: Run, status: Status, after: str) -> str | None:
    values = {"source": run.source.id, "scope": run.source.scope_id, "run": run.id, "status": str(status)}
    with db.write() as connection:
        found = sa.text(
            f"SELECT key FROM object WHERE source_id = :source AND {WORK} AND status = :status AND key > :after"
            " AND queued_run = :run ORDER BY key LIMIT :limit"
        )
        keys = list(connection.execute(found, {**values, "after": after, "limit": BLOCK}).scalars())
        if not keys:
            return None
        one_of, bound = among(connection, keys)
        connection.execute(
            sa.text(
                f"UPDATE object SET queued_run = NULL WHERE scope_id = :scope AND key {one_of} AND queued_run = :run"
            ),
            {**values, "keys": bound},
        )
    return str(keys[-1])


def note_found(connection: Connection, run: Run, classes: Mapping[str, KeyClass]) -> None:
    """Write down this run as the finder of keys (key -> class) that have a row, whatever else has become of it."""
    if not classes:
        return
    one_of, keys = among(connection, list(classes))
    values = {"scope": run.source.scope_id, "keys": keys, "source": run.source.id, "run": run.id}
    mine = f"scope_id = :scope AND key {one_of} AND source_id = :source AND {WORK}"
    connection.execute(
        sa.text(f"UPDATE object SET queued_run = :run WHERE {mine} AND (queued_run IS NULL OR queued_run <> :run)"),
        values,
    )
    noted = connection.execute(sa.text(f"SELECT count(*) FROM object WHERE {mine}"), values).scalar_one()
    if noted < len(classes):  # others were faster with some, and have indexed or forgotten them by now
        there = set(connection.execute(sa.text(f"SELECT key FROM object WHERE {mine}"), values).scalars())
        lost = [{"run": run.id, "key": key, "class": str(cls)} for key, cls in classes.items() if key not in there]
        execute_many(connection, _INSERT, lost)


def note_claimed(connection: Connection, run: Run, classes: Mapping[str, KeyClass]) -> None:
    """Of some keys (key -> class) that are claimed in the run's name, note those that it has found."""
    if classes:
        values = {"run": run.id, "scope": run.source.scope_id}
        execute_many(connection, _CLAIMED, [{**values, "key": key, "class": str(cls)} for key, cls in classes.items()])


def note_removed(connection: Connection, run: Run, keys: Sequence[str]) -> None:
    """Keys that S3 lists no more; whether they may go is decided later."""
    if keys:
        execute_many(connection, _INSERT, [{"run": run.id, "key": key, "class": str(KeyClass.REMOVED)} for key in keys])


def record_outcome(
    connection: Connection, source: Source, key: str, cls: KeyClass, outcome: Outcome, reason: str | None = None
) -> None:
    """Write a key's outcome for every run that still waits for one, in the transaction that decides it.

    :param cls: what the key was before
    """
    record_outcomes(connection, source, [(key, cls, reason)], outcome)


def record_outcomes(
    connection: Connection,
    source: Source,
    keys: Sequence[tuple[str, KeyClass, str | None]],
    outcome: Outcome,
    *,
    but: Run | None = None,
) -> None:
    """``record_outcome`` of several keys: (key, what it was before, reason).

    :param but: a run that has not found these keys in its present listing, though an earlier try of it had
    """
    if keys:
        shared = {
            "scope": source.scope_id, "source": source.id, "outcome": str(outcome), "but": but.id if but else 0,
        }  # fmt: skip
        rows = [{**shared, "key": key, "class": str(cls), "reason": reason} for key, cls, reason in keys]
        execute_many(connection, _DECIDED, rows)
        execute_many(connection, _DECIDED_FOR_FINDER, rows)
