"""The newest plan of each source, as its last dry run made it: its numbers, and the first keys of each action.

What a run does never depends on it: a run that is bound to a plan makes it anew, and compares the hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from cloudindex_provider.state.db.database import BLOCK, Database
from cloudindex_provider.state.db.driver import execute_many
from cloudindex_provider.state.records import RunName, Source

__all__ = ["MOST_KEYS", "PlanKey", "Planned", "Total", "mark_overtaken", "save_plan"]

MOST_KEYS = 10_000  # that are kept of each action
_INSERT = (
    "INSERT INTO plan_key (source_id, plan_id, action, key, class, size, reason)"
    " VALUES (:source, :plan, :action, :key, :class, :size, :reason) ON CONFLICT DO NOTHING"
)
_BEGIN = (
    "INSERT INTO plan (source_id, hash, made_at, dag_id, run_id, totals, held, of_keys)"
    " VALUES (:source, :hash, :now, :dag, :run, :totals, :held, :of_keys) RETURNING id"
)
_FORGET = (
    "DELETE FROM plan_key WHERE (source_id, plan_id, action, key) IN (SELECT source_id, plan_id, action, key"
    " FROM plan_key WHERE source_id = :source AND plan_id < :plan LIMIT :limit)"
)


class PlanKey(NamedTuple):
    """What would be done with one key. ``size``: of the object, or of the document that would go."""

    action: str  # upload | delete | keep | skip
    key: str
    cls: str  # new | changed | removed | skipped
    size: int | None
    reason: str | None = None


@dataclass(slots=True)
class Total:
    """How many keys an action is about, and how many bytes they have together."""

    keys: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Planned:
    """What a dry run would do: all of it in numbers, and the first keys of each action."""

    totals: dict[str, Total] = field(default_factory=dict)
    keys: dict[str, list[PlanKey]] = field(default_factory=dict)

    def add(self, items: Iterable[PlanKey]) -> None:
        """Count these keys, and keep what there is room for."""
        for item in items:
            total = self.totals.setdefault(item.action, Total())
            total.keys += 1
            total.bytes += item.size or 0
            kept = self.keys.setdefault(item.action, [])
            if len(kept) < MOST_KEYS:
                kept.append(item)


def save_plan(
    db: Database,
    source: Source,
    name: RunName,
    planned: Planned,
    *,
    plan_hash: str,
    held: str | None,
    of_keys: str | None,
) -> None:
    """Put the plan in the place of the source's last one, which is read until this one is whole.

    :param held: why its deletes would wait for a person
    :param of_keys: where the dry run was about named keys, their hash
    """
    totals = {action: [one.keys, one.bytes] for action, one in planned.totals.items()}
    values = {
        "source": source.id, "hash": plan_hash, "dag": name.dag_id, "run": name.run_id,
        "totals": json.dumps(totals), "held": held, "of_keys": of_keys,
    }  # fmt: skip
    with db.write() as connection:
        plan = int(connection.execute(sa.text(_BEGIN), {**values, "now": db.now(connection)}).scalar_one())
    rows = [item for some in planned.keys.values() for item in some]
    for start in range(0, len(rows), BLOCK):
        with db.write() as connection:
            execute_many(connection, _INSERT, _rows(source, plan, rows[start : start + BLOCK]))
    with db.write() as connection:
        connection.execute(sa.text("UPDATE plan SET complete = 1 WHERE id = :plan"), {"plan": plan})
    _forget_before(db, source, plan)


def _rows(source: Source, plan: int, some: Sequence[PlanKey]) -> list[Mapping[str, object]]:
    same = {"source": source.id, "plan": plan}
    return [
        {**same, "action": one.action, "key": one.key, "class": one.cls, "size": one.size, "reason": one.reason}
        for one in some
    ]


def _forget_before(db: Database, source: Source, plan: int) -> None:
    """Older plans go, those that a killed task has left unfinished among them; newer ones are another task's."""
    values = {"source": source.id, "plan": plan, "limit": BLOCK}
    with db.write() as connection:
        connection.execute(sa.text("DELETE FROM plan WHERE source_id = :source AND id < :plan"), values)
    while True:
        with db.write() as connection:
            if not connection.execute(sa.text(_FORGET), values).rowcount:
                return


def mark_overtaken(db: Database, source: Source, plan_hash: str) -> None:
    """A run that was bound to this plan has found that it would do something else."""
    with db.write() as connection:
        connection.execute(
            sa.text("UPDATE plan SET overtaken_at = :now WHERE source_id = :source AND hash = :hash"),
            {"now": db.now(connection), "source": source.id, "hash": plan_hash},
        )
