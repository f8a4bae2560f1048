"""The plan of a sync's last dry run: what it would do, key by key, and what starts a run that does exactly that.

Nothing is started here. The page sends ``Start`` to Airflow's own API, whose permissions and audit log are the user's.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from cloudindex_provider.plugins import models
from cloudindex_provider.plugins.routes import Found, FoundDep, Limit
from cloudindex_provider.plugins.runs import read_conf, read_params
from cloudindex_provider.state.drifts import MOST_KEYS as MOST_DRIFT
from cloudindex_provider.state.plans import MOST_KEYS
from cloudindex_provider.state.views.keys import KeyFilter
from cloudindex_provider.state.views.plans import PlanRow, read_drift, read_plan, read_plan_keys

__all__ = ["router"]

_ORDER: tuple[models.Action, ...] = ("delete", "upload", "keep", "skip")
_PARAMS = {"dry_run", "plan_hash"}

router = APIRouter(prefix="/api/syncs/{source}")


@router.get("/plan")
def show_plan(found: FoundDep) -> models.Plans:
    """The newest plan, in numbers."""
    row = read_plan(found.db, found.row.source.id)
    return models.Plans(plan=None if row is None else _shown(found, row), now=found.db.clock())


@router.get("/plan/keys")
def list_plan_keys(
    found: FoundDep,
    plan: Annotated[int, Query(ge=1, le=models.MAX_NUMBER)],
    action: models.Action,
    prefix: str = "",
    after: str | None = None,
    limit: Limit = 50,
) -> models.PlanKeys:
    """Keys of one action of a plan, in key order; none of a plan that another one has taken the place of."""
    wanted = KeyFilter(prefix=prefix, after=after)
    page = read_plan_keys(found.db, found.row.source.id, plan, action, wanted, limit=limit)
    keys = [models.PlanKey(key=one.key, kind=one.cls, size=one.size, reason=one.reason) for one in page.rows]
    return models.PlanKeys(keys=keys, after=page.after)


@router.get("/drift")
def list_drift(found: FoundDep, prefix: str = "", after: str | None = None, limit: Limit = 50) -> models.DriftKeys:
    """The first keys that the last comparison with the project has found changed there."""
    page = read_drift(found.db, found.row.source.id, KeyFilter(prefix=prefix, after=after), limit=limit)
    keys = [models.Drift(key=one.key, reason=one.reason) for one in page.rows]
    return models.DriftKeys(keys=keys, after=page.after, most=MOST_DRIFT)


def _shown(found: Found, row: PlanRow) -> models.Plan:
    start, cant_start = _start(found, row)
    return models.Plan(
        id=row.id,
        hash=row.hash,
        made_at=row.made_at,
        made_by=found.name_run(row.dag_id, row.run_id),
        totals=[
            models.Total(action=action, keys=total.keys, bytes=total.bytes, kept=min(total.keys, MOST_KEYS))
            for action in _ORDER
            if (total := row.totals.get(action)) is not None
        ],
        held=row.held,
        overtaken=_overtaken(found, row),
        ran=found.name_run(*row.ran) if row.ran else None,
        is_done=row.is_done,
        start=start,
        cant_start=cant_start,
    )


def _overtaken(found: Found, row: PlanRow) -> str | None:
    if row.ran is not None:
        return None
    if row.overtaken_at is not None:
        return "A run that was bound to this plan found that S3 or the state had changed since, and did nothing."
    last = found.row.last_sweep_at
    if last is not None and last > row.made_at:
        return "A run has synced since without being bound to this plan, so what it would do has changed."
    return None


def _start(found: Found, row: PlanRow) -> tuple[models.Start | None, str | None]:
    """What starts the run; or why it isn't to be started from the page."""
    if row.of_keys is not None:
        return None, "The dry run was about named keys alone: give the same keys to the run that is bound to its hash."
    if row.dag_id not in found.dags:
        return None, "The plan was made by no DAG that Airflow has."
    if row.dag_id in found.hidden or not found.who.may_trigger(row.dag_id):
        return None, "It takes the right to trigger this sync's DAG."
    if not read_params(row.dag_id) >= _PARAMS:
        return None, (
            "The DAG has no params dry_run and plan_hash that it hands to its sync, as the shipped DAGs do. Give the"
            " hash to the task as plan_hash instead, or add the params."
        )
    conf = read_conf(row.dag_id, row.run_id)
    return models.Start(dag_id=row.dag_id, conf={**conf, "dry_run": False, "plan_hash": row.hash}), None
