"""What a detection reads and writes: blocks of rows in key order, and the rows that differ from the listing.

Unchanged keys are read and never written. Every write names the revision that the comparison saw; a row that somebody
else changed meanwhile is left for the next sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.approvals import Approval, record_verdict
from cloudindex_provider.state.blocks import among, next_key, prefix_end, read_block, read_keys, read_lines
from cloudindex_provider.state.bounds import write_bounds
from cloudindex_provider.state.bulk_insert import insert_listed
from cloudindex_provider.state.db.database import BLOCK, Database
from cloudindex_provider.state.db.driver import execute_many
from cloudindex_provider.state.records import ObjectRow, Run
from cloudindex_provider.state.runs import add_counts, note_history
from cloudindex_provider.sync.detect.guard import Hold

__all__ = [
    "SweepWrites",
    "Verdict",
    "apply",
    "finish",
    "next_key",
    "prefix_end",
    "read_block",
    "read_keys",
    "read_lines",
]

_IDLE = "revision = :seen AND (claim_owner IS NULL OR claim_until < :now)"


@dataclass(slots=True)
class SweepWrites:
    """What one block of the comparison found out. Rows come with the revision that was seen."""

    insert: list[ListedObject] = field(default_factory=list)  # new and selected
    insert_skipped: list[tuple[ListedObject, str]] = field(default_factory=list)
    requeue: list[tuple[ObjectRow, ListedObject]] = field(default_factory=list)  # another ETag: strikes forgotten
    replace_wanted: list[tuple[ObjectRow, ListedObject]] = field(default_factory=list)  # in flight with an older ETag
    restore: list[tuple[ObjectRow, ListedObject]] = field(default_factory=list)  # what is indexed is what S3 has again
    skip: list[tuple[ObjectRow, ListedObject, str]] = field(default_factory=list)
    forget: list[ObjectRow] = field(default_factory=list)  # gone, and nothing of it was ever sent
    removed: list[ObjectRow] = field(default_factory=list)  # gone, documents to delete
    waiting: list[tuple[ObjectRow, ListedObject]] = field(default_factory=list)  # queued already: no write
    counts: dict[str, int] = field(default_factory=dict)

    def rows(self) -> int:
        """How many rows a transaction would touch."""
        lists: Sequence[Sequence[Any]] = (
            self.insert, self.insert_skipped, self.requeue, self.replace_wanted, self.restore, self.skip,
            self.forget, self.removed,
        )  # fmt: skip
        return sum(map(len, lists))

    def sort(self) -> None:
        """Bring the rows of each list into key order."""
        self.insert.sort(key=itemgetter(0))
        self.insert_skipped.sort(key=lambda pair: pair[0].key)
        self.skip.sort(key=lambda triple: triple[0].key)
        for pairs in (self.requeue, self.replace_wanted, self.restore):
            pairs.sort(key=lambda pair: pair[0].key)
        for rows in (self.forget, self.removed):
            rows.sort(key=lambda row: row.key)

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def add(self, more: SweepWrites) -> None:
        """Take over the writes and counts of the block that follows; what needs no write isn't kept."""
        for name in ("insert", "insert_skipped", "requeue", "replace_wanted", "restore", "skip", "forget", "removed"):
            getattr(self, name).extend(getattr(more, name))
        for name, number in more.counts.items():
            self.count(name, number)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a complete listing's removals may be acted on, and by whose word."""

    removed: int = 0
    live: int = 0
    hold: Hold | None = None
    approval: Approval | None = None


def apply(db: Database, run: Run, writes: SweepWrites) -> None:
    """Write one block's findings and count them, in one transaction."""
    if writes.rows() > BLOCK * 2:
        raise ValueError(f"{writes.rows()} rows are too many for one transaction")
    writes.sort()
    with db.write() as connection:
        _lock(connection, run, writes)
        now = db.now(connection)
        taken = _insert(connection, run, writes)
        _update(connection, run, writes, now)
        _gone(db, connection, run, writes, now)
        add_counts(connection, run.id, writes.counts)
        add_counts(connection, run.id, {"new": -taken, "skipped": taken, "skipped:owned_by_other": taken})


def _lock(connection: Connection, run: Run, writes: SweepWrites) -> None:
    """Lock the rows that are to change in key order, so that two transactions never wait for each other's."""
    rows = [row for row, _ in (*writes.requeue, *writes.replace_wanted, *writes.restore)]
    rows += [row for row, _, _ in writes.skip]
    keys = [row.key for row in (*rows, *writes.forget)]
    if keys and connection.dialect.name != "sqlite":  # which has one writer
        one_of, values = among(connection, keys)
        connection.execute(
            sa.text(f"SELECT 1 FROM object WHERE scope_id = :scope AND key {one_of} ORDER BY key FOR UPDATE"),
            {"scope": run.source.scope_id, "keys": values},
        )


def _insert(connection: Connection, run: Run, writes: SweepWrites) -> int:
    """Add the new keys; gives how many of them another sync has made its own since the comparison read the state."""
    added = insert_listed(connection, run, writes.insert, status="pending")
    for reason in sorted({why for _, why in writes.insert_skipped}):
        items = [item for item, why in writes.insert_skipped if why == reason]
        insert_listed(connection, run, items, status="skipped", reason=str(reason))
    return 0 if added == len(writes.insert) else _taken_by_others(connection, run, writes.insert)


def _taken_by_others(connection: Connection, run: Run, items: Sequence[ListedObject]) -> int:
    one_of, keys = among(connection, [item.key for item in items])
    statement = sa.text(
        f"SELECT count(*) FROM object WHERE scope_id = :scope AND key {one_of} AND source_id <> :source"
    )
    values = {"scope": run.source.scope_id, "keys": keys, "source": run.source.id}
    return int(connection.execute(statement, values).scalar_one())


def _update(connection: Connection, run: Run, writes: SweepWrites, now: float) -> None:
    wanted = "etag = :etag, size = :size, last_modified = :last_modified, storage_class = :storage_class"
    fresh = "attempts = 0, next_attempt_at = NULL, reason = NULL"
    # A row whose delete had begun may have lost its document: its hash must not pass for something indexed.
    unsure = ", ".join(
        f"{name} = CASE WHEN status = 'deleting' THEN NULL ELSE {name} END"
        for name in ("indexed_etag", "indexed_sha256")
    )
    _many(
        connection,
        f"status = 'pending', {wanted}, {fresh}, {unsure}, queued_run = :run, claim_owner = NULL",
        _IDLE,
        [_seen(run, row, item, now) for row, item in writes.requeue],
    )
    # In flight: the upload goes on; when it is processed, the row sees that S3 has moved on and queues itself again.
    _many(connection, wanted, "revision = :seen", [_seen(run, row, item, now) for row, item in writes.replace_wanted])
    _many(
        connection,
        f"status = 'indexed', {wanted}, {fresh}, claim_owner = NULL",
        _IDLE,
        [_seen(run, row, item, now) for row, item in writes.restore],
    )
    _many(
        connection,
        f"status = 'skipped', {wanted}, reason = :reason, {unsure}, claim_owner = NULL",
        _IDLE,
        [{**_seen(run, row, item, now), "reason": reason} for row, item, reason in writes.skip],
    )


def _seen(run: Run, row: ObjectRow, item: ListedObject, now: float) -> dict[str, Any]:
    return {**item._asdict(), "scope": run.source.scope_id, "seen": row.revision, "run": run.id, "now": now}


def _many(connection: Connection, sets: str, where: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        statement = (
            f"UPDATE object SET {sets}, revision = revision + 1 WHERE scope_id = :scope AND key = :key AND {where}"
        )
        execute_many(connection, statement, rows)


def _gone(db: Database, connection: Connection, run: Run, writes: SweepWrites, now: float) -> None:
    if writes.forget:
        connection.execute(
            sa.text(f"DELETE FROM object WHERE scope_id = :scope AND key = :key AND {_IDLE}"),
            [{"scope": run.source.scope_id, "key": r.key, "seen": r.revision, "now": now} for r in writes.forget],
        )
        note_history(
            db, connection, run, [(row.key, "forgotten", "gone before it was uploaded") for row in writes.forget]
        )
    if writes.removed:
        connection.execute(
            sa.text(
                "INSERT INTO run_key (run_id, key, class) VALUES (:run, :key, 'removed')"
                " ON CONFLICT (run_id, key) DO NOTHING"
            ),
            [{"run": run.id, "key": row.key} for row in writes.removed],
        )


def finish(
    db: Database, run: Run, *, fingerprint: str | None, verdict: Verdict, bounds: Sequence[str] | None = None
) -> None:
    """Close a complete listing: only now may its removals be acted on.

    :param bounds: where the next listing can be cut into ranges; ``None`` keeps what is known
    """
    with db.write() as connection:
        now = db.now(connection)
        hold = verdict.hold
        held = (verdict.removed, verdict.live, hold.reason) if hold and hold.mass else None
        record_verdict(connection, run, now=now, held=held, used=verdict.approval)
        connection.execute(
            sa.text(
                "UPDATE run SET complete = 1, detected_at = :now, deletes_blocked = :why, mass_delete = :mass"
                " WHERE id = :id"
            ),
            {"now": now, "why": hold.reason if hold else None, "mass": int(bool(hold and hold.mass)), "id": run.id},
        )
        connection.execute(
            sa.text("UPDATE source SET fingerprint = :fingerprint, last_sweep_at = :now WHERE id = :id"),
            {"fingerprint": fingerprint, "now": now, "id": run.source.id},
        )
        if bounds is not None:
            write_bounds(connection, run.source, bounds)
