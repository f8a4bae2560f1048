"""The plan of a source's last dry run, and its keys a page at a time; and what the last comparison has queued."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.plans import PlanKey, Total
from cloudindex_provider.state.views.keys import KeyFilter, Page, key_range

__all__ = ["DriftKey", "PlanRow", "read_drift", "read_plan", "read_plan_keys"]

_PLAN = (
    "SELECT id, hash, made_at, dag_id, run_id, totals, held, of_keys, overtaken_at FROM plan"
    " WHERE source_id = :source AND complete = 1 ORDER BY id DESC LIMIT 1"
)
_RAN = (
    "SELECT dag_id, run_id, finished_at FROM run WHERE source_id = :source AND plan_hash = :hash"
    " AND started_at >= :made ORDER BY id DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan in numbers. Times are seconds since 1970; ``ran`` is the (DAG, run) that does it, and
    ``is_done`` says that it has come to its end."""

    id: int
    hash: str
    made_at: float
    dag_id: str
    run_id: str
    totals: Mapping[str, Total]
    held: str | None
    of_keys: str | None
    overtaken_at: float | None
    ran: tuple[str, str] | None
    is_done: bool


@dataclass(frozen=True, slots=True)
class DriftKey:
    """A key that is uploaded again, and why."""

    key: str
    reason: str


def read_plan(db: Database, source_id: int) -> PlanRow | None:
    """The newest plan that is whole; ``None``: there was no dry run."""
    with db.read() as connection:
        row = connection.execute(sa.text(_PLAN), {"source": source_id}).one_or_none()
        if row is None:
            return None
        values = {"source": source_id, "hash": row.hash, "made": row.made_at}
        ran = connection.execute(sa.text(_RAN), values).one_or_none()
    totals = {action: Total(*numbers) for action, numbers in json.loads(row.totals).items()}
    fields = {**row._mapping, "totals": totals}
    if ran is None:
        return PlanRow(**fields, ran=None, is_done=False)
    return PlanRow(**fields, ran=(ran.dag_id, ran.run_id), is_done=ran.finished_at is not None)


def read_plan_keys(
    db: Database, source_id: int, plan_id: int, action: str, wanted: KeyFilter, *, limit: int
) -> Page[PlanKey]:
    """A page of the keys of one action that are kept of a plan, in key order."""
    range_, values = key_range("", wanted)
    statement = sa.text(
        "SELECT action, key, class, size, reason FROM plan_key WHERE source_id = :source AND plan_id = :plan"
        f" AND action = :action AND {' AND '.join(range_)} ORDER BY key LIMIT :limit"
    )
    values |= {"source": source_id, "plan": plan_id, "action": action, "limit": limit + 1}
    with db.read() as connection:
        rows = [PlanKey(*row) for row in connection.execute(statement, values)]
    return Page.cut(rows, limit)


def read_drift(db: Database, source_id: int, wanted: KeyFilter, *, limit: int) -> Page[DriftKey]:
    """A page of the keys that the last comparison with the project has queued, as far as they are kept."""
    range_, values = key_range("", wanted)
    statement = sa.text(
        f"SELECT key, reason FROM drift WHERE source_id = :source AND {' AND '.join(range_)} ORDER BY key LIMIT :limit"
    )
    with db.read() as connection:
        rows = connection.execute(statement, values | {"source": source_id, "limit": limit + 1})
        found = [DriftKey(*row) for row in rows]
    return Page.cut(found, limit)
