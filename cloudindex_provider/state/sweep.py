"""What a detection reads and writes: blocks of rows in key order, and the rows that differ from the listing.

Unchanged keys are read and never written. Every write names the revision that the comparison saw; a row that somebody
else changed meanwhile is left for the next sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.api.limits import MAX_FILES_PER_REQUEST
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.accounts import (
    forget_verdicts,
    hand_over,
    key_class,
    note_found,
    note_removed,
    record_outcomes,
)
from cloudindex_provider.state.approvals import Approval, Hold, record_verdict
from cloudindex_provider.state.blocks import among
from cloudindex_provider.state.bulk_insert import insert_listed
from cloudindex_provider.state.conditions import ANSWERED, IDLE, WORK, KeyClass, Outcome, Status
from cloudindex_provider.state.db.database import BLOCK, Database
from cloudindex_provider.state.db.driver import execute_many
from cloudindex_provider.state.history import note
from cloudindex_provider.state.listings import write_bounds
from cloudindex_provider.state.records import ObjectRow, Run, SweepWrites
from cloudindex_provider.state.runs import add_counts
from cloudindex_provider.state.selections import write_selection

__all__ = ["Verdict", "apply", "finish"]

_UNTOUCHED = f"revision = :seen AND {IDLE}"  # as the comparison saw it


# Of what was quarantined a day ago, as much as one request takes.
_LOOK_AGAIN = sa.text(
    f"UPDATE object SET status = '{Status.FAILED}', revision = revision + 1 WHERE (scope_id, key) IN"
    f" (SELECT scope_id, key FROM object WHERE source_id = :source AND {WORK} AND status = '{Status.QUARANTINED}'"
    f" AND next_attempt_at <= :now AND queued_run = :run AND {IDLE} ORDER BY next_attempt_at LIMIT :few)"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a complete listing's removals may be acted on, and by whose word.

    :param hold: why they may not
    :param approved: the hold that the approval lifts; it waits until the deletes begin
    :param of_keys: where named keys were looked at, their hash
    """

    removed: int = 0
    live: int = 0
    hold: Hold | None = None
    approved: Hold | None = None
    approval: Approval | None = None
    of_keys: str | None = None

    @property
    def waits(self) -> Hold | None:
        """What is a person's to decide, or was and isn't done yet."""
        return self.approved or (self.hold if self.hold and self.hold.mass else None)


def apply(db: Database, run: Run, writes: SweepWrites) -> None:
    """Write one block's findings and count them, in one transaction."""
    if writes.rows() > BLOCK * 2:
        raise ValueError(f"{writes.rows()} rows are too many for one transaction")
    writes.sort()
    with db.write() as connection:
        _lock(connection, run, writes)
        now = db.now(connection)
        found = _found(writes)
        forget_verdicts(connection, run, _other_than_before(writes))
        hand_over(connection, run, list(found), now)
        taken = _insert(connection, run, writes, now)
        _update(connection, run, writes, now)
        note_found(connection, run, found)
        _gone(db, connection, run, writes, now)
        add_counts(connection, run.id, writes.counts)
        add_counts(connection, run.id, {"new": -taken, "skipped": taken, "skipped:owned_by_other": taken})


def _other_than_before(writes: SweepWrites) -> list[str]:
    """Keys of which S3 or the selection says something else than the row."""
    rows = [row for row, _ in (*writes.requeue, *writes.restore)] + [row for row, _, _ in writes.skip]
    return [row.key for row in (*rows, *writes.forget, *writes.removed)]


def _found(writes: SweepWrites) -> dict[str, KeyClass]:
    """The keys of work that have a row already, in key order within their kind."""
    rows = [row for row, _ in (*writes.requeue, *writes.replace_wanted, *writes.take_over, *writes.waiting)]
    return {row.key: key_class(row) for row in (*rows, *writes.underway)}


def _lock(connection: Connection, run: Run, writes: SweepWrites) -> None:
    """Lock the rows that are to change in key order, so that two transactions never wait for each other's."""
    rows = [row for row, _ in (*writes.requeue, *writes.replace_wanted, *writes.take_over, *writes.restore)]
    rows += [row for row, _, _ in writes.skip]
    keys = [row.key for row in (*rows, *writes.forget)]
    if keys and connection.dialect.name != "sqlite":  # which has one writer
        one_of, values = among(connection, keys)
        connection.execute(
            sa.text(f"SELECT 1 FROM object WHERE scope_id = :scope AND key {one_of} ORDER BY key FOR UPDATE"),
            {"scope": run.source.scope_id, "keys": values},
        )


def _insert(connection: Connection, run: Run, writes: SweepWrites, now: float) -> int:
    """Add the new keys; gives how many of them another sync has made its own since the comparison read the state."""
    added = insert_listed(connection, run, writes.insert, status=Status.PENDING)
    for reason in sorted({why for _, why in writes.insert_skipped}):
        items = [item for item, why in writes.insert_skipped if why == reason]
        insert_listed(connection, run, items, status=Status.SKIPPED, reason=str(reason))
    if added == len(writes.insert):
        return 0
    taken = _taken_by_others(connection, run, writes.insert)
    # Others of this very sync may have been faster, too.
    mine = [item.key for item in writes.insert if item.key not in taken]
    hand_over(connection, run, mine, now)
    note_found(connection, run, dict.fromkeys(mine, KeyClass.NEW))
    return len(taken)


def _taken_by_others(connection: Connection, run: Run, items: Sequence[ListedObject]) -> set[str]:
    one_of, keys = among(connection, [item.key for item in items])
    statement = sa.text(f"SELECT key FROM object WHERE scope_id = :scope AND key {one_of} AND source_id <> :source")
    values = {"scope": run.source.scope_id, "keys": keys, "source": run.source.id}
    return set(connection.execute(statement, values).scalars())


def _update(connection: Connection, run: Run, writes: SweepWrites, now: float) -> None:
    wanted = (
        "etag = :etag, size = :size, last_modified = :last_modified, storage_class = :storage_class,"
        " listed_etag = NULL, listed_size = NULL"
    )
    fresh = f"attempts = 0, next_attempt_at = NULL, reason = NULL, {ANSWERED}"
    # A row whose delete had begun may have lost its document: its hash must not pass for something indexed.
    unsure = ", ".join(
        f"{name} = CASE WHEN status = '{Status.DELETING}' THEN NULL ELSE {name} END"
        for name in ("indexed_etag", "indexed_sha256")
    )
    _many(
        connection,
        f"status = '{Status.PENDING}', {wanted}, {fresh}, {unsure}, queued_run = :run, claim_owner = NULL",
        _UNTOUCHED,
        [_seen(run, row, item, now) for row, item in writes.requeue],
    )
    _many(
        connection,
        f"source_id = :source, status = '{Status.PENDING}', {wanted}, {fresh}, queued_run = :run, claim_owner = NULL",
        f"status = '{Status.SKIPPED}' AND {_UNTOUCHED}",
        [_seen(run, row, item, now) for row, item in writes.take_over],
    )
    # In flight: the upload goes on; when it is processed, the row sees that S3 has moved on and queues itself again.
    _many(connection, wanted, "revision = :seen", [_seen(run, row, item, now) for row, item in writes.replace_wanted])
    _many(
        connection,
        f"status = '{Status.INDEXED}', {wanted}, {fresh}, claim_owner = NULL",
        _UNTOUCHED,
        [_seen(run, row, item, now) for row, item in writes.restore],
    )
    _many(
        connection,
        f"status = '{Status.SKIPPED}', {wanted}, reason = :reason, next_attempt_at = NULL, {unsure},"
        " claim_owner = NULL",
        _UNTOUCHED,
        [{**_seen(run, row, item, now), "reason": reason} for row, item, reason in writes.skip],
    )


def _seen(run: Run, row: ObjectRow, item: ListedObject, now: float) -> dict[str, Any]:
    return {
        **item._asdict(), "scope": run.source.scope_id, "source": run.source.id, "seen": row.revision, "run": run.id,
        "now": now,
    }  # fmt: skip


def _many(connection: Connection, sets: str, where: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        statement = (
            f"UPDATE object SET {sets}, revision = revision + 1 WHERE scope_id = :scope AND key = :key AND {where}"
        )
        execute_many(connection, statement, rows)


def _gone(db: Database, connection: Connection, run: Run, writes: SweepWrites, now: float) -> None:
    note_removed(connection, run, [row.key for row in writes.removed])
    _forget(db, connection, run, writes.forget, now)
    # What earlier runs have found, and this one finds to need no work any more.
    restored = [(row.key, key_class(row), "S3 has the indexed version again") for row, _ in writes.restore]
    record_outcomes(connection, run.source, restored, Outcome.INDEXED, but=run)
    settled = (Status.INDEXED, Status.SKIPPED)
    skipped = [(row.key, key_class(row), str(why)) for row, _, why in writes.skip if row.status not in settled]
    record_outcomes(connection, run.source, skipped, Outcome.SKIPPED, but=run)


def _forget(db: Database, connection: Connection, run: Run, rows: Sequence[ObjectRow], now: float) -> None:
    """Drop rows of keys that are gone and of which nothing was ever sent."""
    if not rows:
        return
    one_of, keys = among(connection, [row.key for row in rows])
    values = {"scope": run.source.scope_id, "keys": keys, "now": now}
    idle = f"scope_id = :scope AND key {one_of} AND {IDLE}"
    rows_now = connection.execute(sa.text(f"SELECT key, revision FROM object WHERE {idle}"), values)
    seen = {row.key: row.revision for row in rows_now}
    gone = [row for row in rows if seen.get(row.key) == row.revision]
    vanished = [(row.key, key_class(row), "deleted since") for row in gone]
    record_outcomes(connection, run.source, vanished, Outcome.GONE, but=run)
    one_of, keys = among(connection, [row.key for row in gone])
    connection.execute(
        sa.text(f"DELETE FROM object WHERE scope_id = :scope AND key {one_of}"), {**values, "keys": keys}
    )
    note(
        db, connection, run.source.id, [(row.key, "forgotten", "gone before it was uploaded") for row in gone], run=run
    )


def finish(
    db: Database,
    run: Run,
    *,
    fingerprint: str | None,
    rules: str | None = None,
    verdict: Verdict,
    bounds: Sequence[str] | None = None,
    endpoint: str | None = None,
    plan_hash: str | None = None,
) -> None:
    """Close a complete listing: only now may its removals be acted on.

    :param fingerprint: of the selection; ``None`` where named keys were looked at, which judges nothing about the rest
    :param rules: the selection itself, as JSON
    :param bounds: where the next listing can be cut into ranges; ``None`` keeps what is known
    :param endpoint: the store that was listed; what is known stays while it has removals, which a person must see
    :param plan_hash: the plan that the run is bound to
    """
    with db.write() as connection:
        now = db.now(connection)
        hold, waits = verdict.hold, verdict.waits
        record_verdict(
            connection, run, now=now, removed=verdict.removed, live=verdict.live, hold=waits, of_keys=verdict.of_keys
        )
        connection.execute(
            sa.text(
                "UPDATE run SET complete = 1, detected_at = :now, deletes_blocked = :why, mass_delete = :mass,"
                " plan_hash = :plan, approval_id = :approval WHERE id = :id"
            ),
            {
                "now": now, "why": hold.reason if hold else None, "mass": int(bool(hold and hold.mass)), "id": run.id,
                "plan": plan_hash, "approval": verdict.approval.id if verdict.approval and not hold else None,
            },
        )  # fmt: skip
        connection.execute(
            sa.text(
                "UPDATE source SET fingerprint = coalesce(:fingerprint, fingerprint), last_sweep_at = :now,"
                " endpoint = CASE WHEN endpoint IS NULL OR :removed = 0 THEN coalesce(:endpoint, endpoint)"
                " ELSE endpoint END WHERE id = :id"
            ),
            {
                "fingerprint": fingerprint, "now": now, "id": run.source.id, "endpoint": endpoint,
                "removed": verdict.removed,
            },
        )  # fmt: skip
        connection.execute(
            _LOOK_AGAIN, {"source": run.source.id, "run": run.id, "now": now, "few": MAX_FILES_PER_REQUEST}
        )
        if fingerprint is not None:
            write_selection(connection, run, fingerprint, rules)
        if bounds is not None:
            write_bounds(connection, run.source, bounds)
