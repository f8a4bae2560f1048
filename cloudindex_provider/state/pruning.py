"""Forgetting: what of the history and of the runs is old enough to go.

Victims are found by reading, outside of any writing transaction, and go by their primary keys in short ones, with a
rest after each as long as it took: nobody waits for pruning longer than for any other writer. A pass goes through the
keys in their order; one that has had its time remembers where it was, and the next run goes on there.

The newest runs always stay, however old. That also keeps the highest id: SQLite would give it to the next run, which
would then answer for whatever still names the old one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.errors import StateUnavailableError
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.db.driver import execute_many
from cloudindex_provider.state.records import Source

__all__ = ["Extent", "Pruned", "prune", "prune_daily"]

_DAY = 86400.0
_SECONDS = 10.0  # a run's report waits no longer for it
_BLOCK = 2000  # rows that are looked at, or deleted, at once: about 0.05 s on SQLite
_RUNS = 200
_LONGEST_REST = 1.0

# A key's events but its last ones, and all of a key that the source has no more. An approval has no key; the last of
# those stay, too.
_OLD_EVENTS = (
    "SELECT history.id FROM (SELECT id, key, row_number() OVER (PARTITION BY key ORDER BY id DESC) AS place"
    " FROM history WHERE source_id = :source{after}{upto}) AS ranked"
    " LEFT JOIN object ON object.scope_id = :scope AND object.key = ranked.key AND object.source_id = :source"
    " JOIN history ON history.id = ranked.id"
    " WHERE history.at < :before AND (place > :keep OR (object.key IS NULL AND ranked.key <> ''))"
)
# A person may still have to decide about a run with an open hold, or have decided about it.
_OLD_RUNS = (
    "SELECT id FROM run WHERE source_id = :source AND started_at < :before"
    " AND id NOT IN (SELECT run_id FROM hold WHERE source_id = :source AND ended_at IS NULL)"
    " AND id NOT IN (SELECT run_id FROM approval WHERE source_id = :source AND run_id IS NOT NULL) ORDER BY id"
)
# A run that was found old may have been cleared, and so have begun anew, by the time that it is to go.
_STILL_OLD = "EXISTS (SELECT 1 FROM run WHERE run.id = :run AND run.started_at < :before)"
_FORGET_EVENT = "DELETE FROM history WHERE id = :id"
_FORGET_KEY = f"DELETE FROM run_key WHERE run_id = :run AND key = :key AND {_STILL_OLD}"
_FORGET_COUNTS = f"DELETE FROM run_count WHERE run_id = :run AND {_STILL_OLD}"
_FORGET_RUN = "DELETE FROM run WHERE id = :run AND started_at < :before"


@dataclass(frozen=True, slots=True)
class Extent:
    """What is kept, and how much is done at once.

    :param days: what is younger stays
    :param events: of each key that is there, the last so many stay, however old
    :param runs: the last so many stay with their counters, however old; what became of each of their keys goes with age
    :param seconds: after which the rest is left to the next call
    :param block: rows that a transaction deletes at most
    """

    days: float
    events: int = 5
    runs: int = 30
    seconds: float = float("inf")
    block: int = _BLOCK


class Pruned(NamedTuple):
    """Rows that went, and the key after which the next call is to go on; ``None``: all was looked at."""

    rows: int
    rest: str | None


def prune_daily(
    db: Database, source: Source, *, days: float, seconds: float = _SECONDS, sleep: Callable[[float], None] = time.sleep
) -> int:
    """``prune`` once a day, and in the runs after it until all was looked at; gives how many rows went.

    A state that others keep busy is no reason to fail a run whose work is done: the next one goes on.
    """
    try:
        due, after = _begin(db, source)
        if not due:
            return 0
        done = prune(db, source, Extent(days, seconds=seconds), after=after, sleep=sleep)
        _remember(db, source, done.rest)
    except StateUnavailableError:
        return 0
    return done.rows


def prune(
    db: Database,
    source: Source,
    extent: Extent,
    *,
    after: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Pruned:
    """Forget what is old of one source's runs, and of the history of its keys after ``after``."""
    with db.read() as connection:
        before = db.now(connection) - extent.days * _DAY
    shears = _Shears(db, extent, sleep, {"source": source.id, "scope": source.scope_id, "before": before})
    shears.cut_runs()
    rest = shears.cut_history(after) if not shears.over else after or ""
    return Pruned(shears.rows, rest)


class _Shears:
    """One call's way through a source."""

    def __init__(self, db: Database, extent: Extent, sleep: Callable[[float], None], values: Mapping[str, Any]) -> None:
        self.db, self.extent, self.sleep, self.values = db, extent, sleep, values
        self.end = time.monotonic() + extent.seconds
        self.rows = 0

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.end

    def cut_history(self, after: str | None) -> str | None:
        """The key after which there is more; ``None`` at the end."""
        while True:
            with self.db.read() as connection:
                upto = self._block_end(connection, after)
                ids = self._old_events(connection, after, upto)
            self._delete(_FORGET_EVENT, [{"id": one} for one in ids])
            if upto is None or self.over:
                return upto
            after = upto

    def cut_runs(self) -> None:
        """Old runs, with their counters and keys; of the newest ones, only keys."""
        with self.db.read() as connection:
            old = list(connection.execute(sa.text(_OLD_RUNS), self.values).scalars())
            newest = sa.text("SELECT id FROM run WHERE source_id = :source ORDER BY id DESC LIMIT :runs")
            kept = set(connection.execute(newest, {**self.values, "runs": max(1, self.extent.runs)}).scalars())
        for start in range(0, len(old), _RUNS):
            some = old[start : start + _RUNS]
            self._cut_keys(some)
            if self.over:
                return
            gone = [{"run": run, "before": self.values["before"]} for run in some if run not in kept]
            self._delete(_FORGET_COUNTS, gone, counted=False)
            self._delete(_FORGET_RUN, gone)

    def _cut_keys(self, some: Sequence[int]) -> None:
        """What became of each key in these runs; one of them that begins anew meanwhile keeps what it has."""
        statement = sa.text(
            "SELECT run_id, key FROM run_key WHERE run_id IN :runs AND (run_id, key) > (:run, :key)"
            " ORDER BY run_id, key LIMIT :limit"
        ).bindparams(sa.bindparam("runs", expanding=True))
        run, key = 0, ""
        while not self.over:
            with self.db.read() as connection:
                values = {"runs": list(some), "run": run, "key": key, "limit": self.extent.block}
                found = connection.execute(statement, values).all()
            if not found:
                return
            run, key = found[-1]
            before = self.values["before"]
            self._delete(_FORGET_KEY, [{"run": one, "key": of_run, "before": before} for one, of_run in found])

    def _block_end(self, connection: Connection, after: str | None) -> str | None:
        sql = f"SELECT key FROM history WHERE source_id = :source{_after(after)} ORDER BY key LIMIT 1 OFFSET :block"
        found = connection.execute(sa.text(sql), {**self.values, "after": after, "block": self.extent.block}).scalar()
        return None if found is None else str(found)

    def _old_events(self, connection: Connection, after: str | None, upto: str | None) -> list[int]:
        sql = _OLD_EVENTS.format(after=_after(after), upto=" AND key <= :upto" if upto is not None else "")
        values = {**self.values, "keep": self.extent.events, "after": after, "upto": upto}
        return sorted(connection.execute(sa.text(sql), values).scalars())

    def _delete(self, statement: str, rows: Sequence[Mapping[str, Any]], *, counted: bool = True) -> None:
        for start in range(0, len(rows), self.extent.block):
            some = rows[start : start + self.extent.block]
            began = time.monotonic()
            with self.db.write() as connection:
                execute_many(connection, statement, some)
            self.rows += len(some) if counted else 0
            # Who waits for SQLite's lock looks for it now and then only: without a rest, we would have it again.
            self.sleep(min(time.monotonic() - began, _LONGEST_REST))


def _after(after: str | None) -> str:
    return " AND key > :after" if after is not None else ""


def _begin(db: Database, source: Source) -> tuple[bool, str | None]:
    """(whether it is time, the key after which to go on); it is no other run's time then."""
    last, rest = f"pruned:{source.id}", f"prune_after:{source.id}"
    with db.read() as connection:
        found = sa.text("SELECT name, value FROM meta WHERE name IN (:last, :rest)")
        known = {row[0]: row[1] for row in connection.execute(found, {"last": last, "rest": rest})}
        now = db.now(connection)
    if rest not in known and last in known and now - float(known[last]) < _DAY:
        return False, None
    with db.write() as connection:
        _put(connection, last, str(now))
    return True, known.get(rest)


def _remember(db: Database, source: Source, after: str | None) -> None:
    with db.write() as connection:
        name = f"prune_after:{source.id}"
        if after is None:
            connection.execute(sa.text("DELETE FROM meta WHERE name = :name"), {"name": name})
        else:
            _put(connection, name, after)


def _put(connection: Connection, name: str, value: str) -> None:
    connection.execute(
        sa.text(
            "INSERT INTO meta (name, value) VALUES (:name, :value)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        ),
        {"name": name, "value": value},
    )
