"""The sources of a state, as a person sees them: listing, forgetting, and handing keys over from one to another.

Nothing here touches CloudIndex. What works through many rows does so in blocks, each a whole step: a command that is
killed in between is run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.errors import ClaimLostError, SettingsError
from cloudindex_provider.state.accounts import record_outcomes
from cloudindex_provider.state.blocks import prefix_end
from cloudindex_provider.state.conditions import CLAIMED, WORK, KeyClass, Outcome
from cloudindex_provider.state.db.database import BLOCK, Database
from cloudindex_provider.state.db.tables import metadata
from cloudindex_provider.state.records import Source
from cloudindex_provider.words import count

__all__ = [
    "Adopted",
    "SourceInfo",
    "adopt",
    "claimed_rows",
    "forget",
    "get_source",
    "has_odd_etags",
    "list_sources",
    "note_budget",
    "note_odd_etags",
    "open_source",
    "peek_source",
]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source with its numbers."""

    source: Source
    last_sweep_at: float | None  # seconds since 1970
    live: int = 0  # documents
    statuses: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Adopted:
    """What was handed over."""

    keys: int = 0
    documents: int = 0
    superseded: int = 0


def list_sources(db: Database) -> list[SourceInfo]:
    """Every source of the state, by project, bucket and prefix. Reads every row."""
    with db.read() as connection:
        sources = connection.execute(
            sa.text(
                "SELECT source.id, scope_id, project_id, bucket, prefix, sync_id, fingerprint, endpoint, last_sweep_at"
                " FROM source JOIN scope ON scope.id = source.scope_id ORDER BY project_id, bucket, prefix, sync_id"
            )
        )
        found = {row[0]: SourceInfo(Source(*row[:8]), row[8]) for row in sources}
        numbers = connection.execute(
            sa.text("SELECT source_id, status, count(*), count(document_id) FROM object GROUP BY source_id, status")
        )
        live: dict[int, int] = {}
        for source_id, status, rows, documents in numbers:
            if source_id in found:
                found[source_id].statuses[status] = int(rows)
                live[source_id] = live.get(source_id, 0) + int(documents)
    return [
        SourceInfo(one.source, one.last_sweep_at, live.get(one.source.id, 0), one.statuses) for one in found.values()
    ]


def get_source(db: Database, source_id: int) -> Source:
    """A source by its number.

    :raises SettingsError: when there is none
    """
    with db.read() as connection:
        row = connection.execute(
            sa.text(
                "SELECT source.id, scope_id, project_id, bucket, prefix, sync_id, fingerprint, endpoint FROM source"
                " JOIN scope ON scope.id = source.scope_id WHERE source.id = :id"
            ),
            {"id": source_id},
        ).one_or_none()
    if row is None:
        raise SettingsError(
            f"The state in {db.name} has no source {source_id}.",
            field="source",
            hint="`airflow cloudindex sources list` shows all there are.",
        )
    return Source(*row)


def peek_source(db: Database, *, project_id: str, bucket: str, prefix: str, sync_id: str = "") -> Source:
    """A source for looking alone, with the number 0 where the state has none yet; nothing is written."""
    names = {"project": project_id, "bucket": bucket, "prefix": prefix, "sync": sync_id}
    with db.read() as connection:
        row = connection.execute(
            sa.text(
                "SELECT coalesce(source.id, 0), scope.id, fingerprint, endpoint FROM scope LEFT JOIN source"
                " ON source.scope_id = scope.id AND prefix = :prefix AND sync_id = :sync"
                " WHERE project_id = :project AND bucket = :bucket"
            ),
            names,
        ).one_or_none()
    source_id, scope_id, fingerprint, endpoint = row if row is not None else (0, 0, None, None)
    return Source(source_id, scope_id, project_id, bucket, prefix, sync_id, fingerprint, endpoint)


def has_odd_etags(db: Database, source: Source) -> bool:
    """Whether it was proven that ETags of this source look like MD5s and are none."""
    with db.read() as connection:
        found = connection.execute(sa.text("SELECT odd_etags FROM source WHERE id = :id"), {"id": source.id})
        return bool(found.scalar_one_or_none())


def note_odd_etags(db: Database, source: Source) -> None:
    """Remember that they are none."""
    with db.write() as connection:
        connection.execute(sa.text("UPDATE source SET odd_etags = 1 WHERE id = :id"), {"id": source.id})


def note_budget(db: Database, source: Source, name: str) -> None:
    """Remember which budget of requests the source's tasks use, for whoever shows what is left of it."""
    with db.read() as connection:
        known = connection.execute(sa.text("SELECT budget FROM source WHERE id = :id"), {"id": source.id})
        if known.scalar_one_or_none() == name:
            return
    with db.write() as connection:
        connection.execute(sa.text("UPDATE source SET budget = :name WHERE id = :id"), {"name": name, "id": source.id})


def claimed_rows(db: Database, source: Source) -> int:
    """How many rows of the source somebody works on now."""
    with db.read() as connection:
        statement = sa.text(f"SELECT count(*) FROM object WHERE source_id = :source AND {CLAIMED}")
        return int(connection.execute(statement, {"source": source.id, "now": db.now(connection)}).scalar_one())


def forget(db: Database, source: Source) -> int:
    """Drop everything that the state knows of the source; gives how many keys. Documents in CloudIndex stay.

    :raises ClaimLostError: when a run works on its rows
    """
    if busy := claimed_rows(db, source):
        raise _busy(source, busy)
    keys = 0
    after: str | None = ""
    while after is not None:
        after, number = _forget_objects(db, source, after)
        keys += number
    of_run = "run_id IN (SELECT id FROM run WHERE source_id = :source)"
    for table in metadata.sorted_tables:
        names = [column.name for column in table.primary_key]
        if "run_id" in names:
            _delete(db, table.name, names, of_run, source)
        elif "source_id" in table.columns and table.name not in ("object", "run"):
            _delete(db, table.name, names, "source_id = :source", source)
    _delete(db, "run", ["id"], "source_id = :source", source)
    with db.write() as connection:
        connection.execute(sa.text("DELETE FROM source WHERE id = :source"), {"source": source.id})
        connection.execute(
            sa.text("DELETE FROM scope WHERE id = :id AND NOT EXISTS (SELECT 1 FROM source WHERE scope_id = :id)"),
            {"id": source.scope_id},
        )
    return keys


def _forget_objects(db: Database, source: Source, after: str) -> tuple[str | None, int]:
    values: dict[str, Any] = {"scope": source.scope_id, "source": source.id, "after": after, "limit": BLOCK}
    mine = "scope_id = :scope AND source_id = :source AND key > :after"
    with db.write() as connection:
        last = connection.execute(
            sa.text(f"SELECT max(key) FROM (SELECT key FROM object WHERE {mine} ORDER BY key LIMIT :limit) AS block"),
            values,
        ).scalar()
        if last is None:
            return None, 0
        deleted = connection.execute(
            sa.text(f"DELETE FROM object WHERE {mine} AND key <= :last"), {**values, "last": last}
        ).rowcount
    return last, deleted


def _delete(db: Database, table: str, names: list[str], where: str, source: Source) -> None:
    columns = ", ".join(names)
    statement = sa.text(
        f"DELETE FROM {table} WHERE ({columns}) IN (SELECT {columns} FROM {table} WHERE {where} LIMIT :limit)"
    )
    while True:
        with db.write() as connection:
            if not connection.execute(statement, {"source": source.id, "limit": BLOCK}).rowcount:
                return


def adopt(db: Database, to: Source, giver: Source) -> Adopted:
    """Hand the keys of ``giver`` that lie under ``to``'s prefix over to ``to``, with their documents.

    :raises SettingsError: when the two aren't of one project and bucket
    :raises ClaimLostError: when a run works on the rows of one of them
    """
    if to.id == giver.id:
        raise SettingsError("A source can't adopt from itself.", field="from")
    if to.scope_id != giver.scope_id:
        raise SettingsError(
            f"Source {giver.id} is {giver.project_id} and s3://{giver.bucket}, source {to.id} is"
            f" {to.project_id} and s3://{to.bucket}.",
            field="from",
            hint="Keys can only be handed over within one project and one bucket.",
        )
    for one in (to, giver):
        if busy := claimed_rows(db, one):
            raise _busy(one, busy)
    done = Adopted()
    after: str | None = None
    while (after := _adopt_block(db, to, giver, after, done)) is not None:
        pass
    with db.write() as connection:
        done.superseded = connection.execute(
            sa.text(f"UPDATE superseded SET source_id = :to WHERE {_range(to, None)}"), _values(to, giver, None)
        ).rowcount
    return done


def _range(to: Source, after: str | None) -> str:
    bounds = "key >= :prefix" if after is None else "key > :after"
    end = "" if prefix_end(to.prefix) is None else " AND key < :end"
    return f"scope_id = :scope AND source_id = :giver AND {bounds}{end}"


def _values(to: Source, giver: Source, after: str | None) -> dict[str, Any]:
    return {
        "scope": to.scope_id, "giver": giver.id, "to": to.id, "after": after, "prefix": to.prefix,
        "end": prefix_end(to.prefix), "limit": BLOCK,
    }  # fmt: skip


def _adopt_block(db: Database, to: Source, giver: Source, after: str | None, done: Adopted) -> str | None:
    """Hand over one block; gives its last key, ``None`` when there was nothing left."""
    values = _values(to, giver, after)
    with db.write() as connection:
        values["now"] = db.now(connection)
        rows = connection.execute(
            sa.text(
                f"SELECT key, document_id, CASE WHEN {CLAIMED} THEN 1 ELSE 0 END, indexed_etag,"
                f" CASE WHEN {WORK} THEN 1 ELSE 0 END FROM object"
                f" WHERE {_range(to, after)} ORDER BY key LIMIT :limit{'' if db.is_sqlite else ' FOR UPDATE'}"
            ),
            values,
        ).all()
        if not rows:
            return None
        if busy := sum(row[2] for row in rows):
            raise _busy(giver, busy)
        lost = [(row[0], KeyClass.CHANGED if row[3] else KeyClass.NEW, "another sync's now") for row in rows if row[4]]
        record_outcomes(connection, giver, lost, Outcome.ELSEWHERE)
        _hand_over(connection, {**values, "last": rows[-1][0]}, _range(to, after))
    done.keys += len(rows)
    done.documents += sum(1 for row in rows if row[1] is not None)
    return str(rows[-1][0])


def _hand_over(connection: Connection, values: dict[str, Any], where: str) -> None:
    for statement in (
        "UPDATE object SET source_id = :to, queued_run = NULL, claim_owner = NULL, revision = revision + 1"
        f" WHERE {where} AND key <= :last",
        "UPDATE history SET source_id = :to WHERE source_id = :giver AND key IN"
        " (SELECT key FROM object WHERE scope_id = :scope AND source_id = :to AND key >= :prefix AND key <= :last)",
    ):
        connection.execute(sa.text(statement), values)


def _busy(source: Source, busy: int) -> ClaimLostError:
    return ClaimLostError(
        f"A run works on {count(busy, 'key')} of source {source.id} (s3://{source.bucket}/{source.prefix}) now.",
        hint="Pause its DAG and wait for the run's end.",
    )


def open_source(db: Database, *, project_id: str, bucket: str, prefix: str, sync_id: str = "") -> Source:
    """The source's row, made at its first use."""
    with db.write() as connection:
        scope_id = _get_or_insert(
            connection,
            "scope",
            {"project_id": project_id, "bucket": bucket},
            "project_id = :project_id AND bucket = :bucket",
        )
        source_id = _get_or_insert(
            connection,
            "source",
            {"scope_id": scope_id, "prefix": prefix, "sync_id": sync_id},
            "scope_id = :scope_id AND prefix = :prefix AND sync_id = :sync_id",
        )
        fingerprint, endpoint = connection.execute(
            sa.text("SELECT fingerprint, endpoint FROM source WHERE id = :id"), {"id": source_id}
        ).one()
    return Source(source_id, scope_id, project_id, bucket, prefix, sync_id, fingerprint, endpoint)


def _get_or_insert(connection: Connection, table: str, values: Mapping[str, Any], where: str) -> int:
    # Table and column names are this module's own; values are bound.
    names = ", ".join(values)
    params = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({params}) ON CONFLICT DO NOTHING"), values)
    return int(connection.execute(sa.text(f"SELECT id FROM {table} WHERE {where}"), values).scalar_one())
