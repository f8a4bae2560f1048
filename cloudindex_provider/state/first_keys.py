"""The first keys of each outcome of a run, for its report. Every query follows an index and is cut before it is joined.

An outcome that has no key would be looked for in all of the run's: ask only for those that the counters have some of.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from cloudindex_provider.state.blocks import prefix_end
from cloudindex_provider.state.conditions import ADOPTED, WORK, KeyClass, Outcome, Status
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run, Source

__all__ = ["FirstKey", "OtherOwner", "read_first_keys", "read_former_sources", "read_other_owner"]

_FEW = 5  # keys: what went well needs no more, and the report is an XCom

_REMOVED = f"class = '{KeyClass.REMOVED}'"
_LISTED = f"class <> '{KeyClass.REMOVED}'"
_WHERE = {
    "indexed": f"{_LISTED} AND outcome = '{Outcome.INDEXED}'",
    "uploaded": f"{_LISTED} AND outcome = '{Outcome.INDEXED}' AND reason IS NULL",
    "adopted": f"{_LISTED} AND outcome = '{Outcome.INDEXED}' AND reason = '{ADOPTED}'",
    "deleted": f"{_REMOVED} AND outcome = '{Outcome.DELETED}'",
    "held": f"{_REMOVED} AND outcome = '{Outcome.HELD}'",
}
_FIRST = (
    "SELECT first.key, first.reason, object.size, object.indexed_size FROM"
    " (SELECT key, reason FROM run_key WHERE run_id = :run AND {where} ORDER BY key LIMIT :limit) AS first"
    " LEFT JOIN object ON object.scope_id = :scope AND object.key = first.key AND object.source_id = :source"
    " ORDER BY first.key"
)
# Uploaded by the run, and not processed yet.
_PROCESSING = (
    f"SELECT key, reason, size, indexed_size FROM object WHERE source_id = :source AND {WORK}"
    f" AND status = '{Status.PROCESSING}' AND queued_run = :run ORDER BY key LIMIT :limit"
)
_WINDOW = 2_000  # rows in which the first keys of another sync are looked for
_OTHERS = (
    "SELECT key FROM (SELECT key, source_id FROM object WHERE scope_id = :scope AND key >= :low{end}"
    " ORDER BY key LIMIT :window) AS near WHERE source_id = :other ORDER BY key LIMIT :limit"
)

_EARLIER = "SELECT 1 FROM run WHERE source_id = :mine AND id <> :run LIMIT 1"
_LAST = "SELECT {} FROM run WHERE run.source_id = source.id ORDER BY started_at DESC, id DESC LIMIT 1"
_FORMER = (
    "SELECT source.id, prefix, sync_id FROM source WHERE scope_id = :scope AND source.id <> :mine"
    f" AND ({_LAST.format('dag_id')}) = :dag AND ({_LAST.format('task_id')}) = :task"
    " AND EXISTS (SELECT 1 FROM object WHERE object.scope_id = :scope AND object.source_id = source.id"
    " AND object.key >= source.prefix AND document_id IS NOT NULL)"
    " ORDER BY source.id LIMIT 3"
)


@dataclass(frozen=True, slots=True)
class FirstKey:
    """A key with an outcome. ``size``: bytes of its document, where it has one, else of the object."""

    key: str
    reason: str | None
    size: int | None


@dataclass(frozen=True, slots=True)
class OtherOwner:
    """A sync that has keys under another one's prefix: who it is, who runs it, and the first of these keys."""

    source_id: int
    prefix: str
    sync_id: str
    dag_ids: tuple[str, ...]
    keys: tuple[str, ...]


def read_first_keys(db: Database, run: Run, wanted: Collection[str], *, limit: int = _FEW) -> dict[str, list[FirstKey]]:
    """By outcome, in key order.

    :param wanted: of ``indexed``, ``uploaded``, ``adopted``, ``deleted`` and ``held``, those that there are some of
    """
    values = {"run": run.id, "source": run.source.id, "scope": run.source.scope_id, "limit": limit}
    found: dict[str, list[FirstKey]] = {}
    with db.read() as connection:
        for name in wanted:
            statements = [_FIRST.format(where=_WHERE[name]), *([_PROCESSING] if name == "uploaded" else [])]
            rows = [row for sql in statements for row in connection.execute(sa.text(sql), values)]
            keys = [FirstKey(row[0], row[1], row[2] if row[3] is None else row[3]) for row in rows]
            found[name] = sorted(keys, key=lambda one: one.key)[:limit]
    return found


def read_former_sources(db: Database, run: Run) -> list[tuple[int, str, str]]:
    """(number, prefix, sync_id) of what the run's task has mirrored until now and nobody else has since, with documents
    that are still there; asked at the first run of a source, whose task may have been given another prefix."""
    values = {
        "scope": run.source.scope_id, "mine": run.source.id, "run": run.id, "dag": run.name.dag_id,
        "task": run.name.task_id,
    }  # fmt: skip
    if not run.name.dag_id:
        return []
    with db.read() as connection:
        if connection.execute(sa.text(_EARLIER), values).first() is not None:
            return []
        return [(row[0], row[1], row[2]) for row in connection.execute(sa.text(_FORMER), values)]


def read_other_owner(db: Database, mine: Source, source_id: int, *, limit: int) -> OtherOwner | None:
    """Who has keys under this source's prefix; ``None``: it was forgotten meanwhile."""
    with db.read() as connection:
        row = connection.execute(
            sa.text("SELECT prefix, sync_id FROM source WHERE id = :other"), {"other": source_id}
        ).one_or_none()
        if row is None:
            return None
        low = max(row.prefix, mine.prefix, key=len)  # of two prefixes that share keys, one begins with the other
        end = prefix_end(low)
        dags = connection.execute(
            sa.text("SELECT DISTINCT dag_id FROM run WHERE source_id = :other AND dag_id <> '' ORDER BY 1"),
            {"other": source_id},
        ).scalars()
        keys = connection.execute(
            sa.text(_OTHERS.format(end=" AND key < :end" if end is not None else "")),
            {
                "scope": mine.scope_id, "low": low, "end": end, "other": source_id, "window": _WINDOW,
                "limit": limit,
            },
        ).scalars()  # fmt: skip
        return OtherOwner(source_id, row.prefix, row.sync_id, tuple(dags), tuple(keys))
