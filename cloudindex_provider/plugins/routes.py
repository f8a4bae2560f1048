"""What the API answers: each a page at a time, of syncs that the visitor may see. Handlers block, so none is async."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.plugins import models, syncs
from cloudindex_provider.plugins.access import Visitor, visitor
from cloudindex_provider.plugins.reading import StateReader
from cloudindex_provider.plugins.runs import DagFacts, read_run_states
from cloudindex_provider.plugins.verdict import difference, remedy
from cloudindex_provider.state.conditions import Status
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.history import key_history
from cloudindex_provider.state.views.keys import KeyFilter, KeyRow, read_held, read_key, read_keys
from cloudindex_provider.state.views.overview import SyncRow, read_allowances, read_runs, read_syncs
from cloudindex_provider.state.views.plans import read_plan
from cloudindex_provider.state.views.sorting import TooMany, read_sorted

__all__ = ["Found", "FoundDep", "Limit", "reader", "router"]

MAX_PAGE, MAX_EVENTS = 200, 200
_PATIENCE = 0.1  # seconds in which rows without a match are passed over
_RESYNCED = (Status.INDEXED,)
_RETRIED = (Status.FAILED, Status.QUARANTINED, Status.PROCESSING)

router = APIRouter(prefix="/api")
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
SourceId = Annotated[int, Path(ge=1, le=models.MAX_NUMBER)]
VisitorDep = Annotated[Visitor, Depends(visitor)]


def reader(request: Request) -> StateReader:
    """The process's own."""
    found: StateReader = request.app.state.reader
    return found


ReaderDep = Annotated[StateReader, Depends(reader)]


class Found:
    """A sync that the visitor may see, with what the request needs of it."""

    def __init__(self, source: SourceId, who: VisitorDep, state: ReaderDep) -> None:
        self.db: Database = state.database()
        self.who, self.state = who, state
        rows, self.dags = who.visible(read_syncs(self.db, source))
        if not rows:  # the same as for one that isn't there: its name is nobody else's business
            raise SettingsError(f"There is no sync {source} that you may see.", field="source")
        self.row: SyncRow = rows[0]

    @property
    def may_act(self) -> bool:
        return self.who.may_act(known_dags(self.row, self.dags))

    @cached_property
    def hidden(self) -> set[str]:
        """Those of the sync's DAGs that the visitor may not read."""
        return self.who.hidden(self.row.dag_ids)

    def name_run(self, dag_id: str, run_id: str) -> models.RunName:
        """A run, without its name where that isn't the visitor's business."""
        if dag_id in self.hidden:
            dag_id = run_id = ""
        return models.RunName(dag_id=dag_id, run_id=run_id)


FoundDep = Annotated[Found, Depends()]


def known_dags(row: SyncRow, dags: dict[str, DagFacts] | object) -> list[str]:
    """Those of the sync's DAGs that Airflow has."""
    return [one for one in row.dag_ids if one in dags]  # type: ignore[operator]


@router.get("/syncs")
def list_syncs(
    who: VisitorDep,
    state: ReaderDep,
    dag_id: str | None = None,
    limit: Limit = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> models.Syncs:
    """Every sync, or those of one DAG; first those that need a person."""
    db, numbers = state.database(), state.numbers()
    rows, dags = who.visible(read_syncs(db))
    wanted = [row for row in rows if dag_id is None or dag_id in row.dag_ids]
    judged = syncs.judge_all(db, wanted, numbers, dags, counted=False)
    page = syncs.judge_all(db, [one.row for one in judged[offset : offset + limit]], numbers, dags)
    allowed = read_allowances(db)
    budgets = {one.row.budget for one in judged}
    hidden = who.hidden({dag_id for one in page for dag_id in one.row.dag_ids})
    return models.Syncs(
        syncs=[
            syncs.show(one, dags, allowed, may_act=who.may_act(known_dags(one.row, dags)), hidden=hidden)
            for one in page
        ],
        total=len(judged),
        totals=syncs.totals(db, judged),
        need_person=sum(one.verdict.needs_person for one in judged),
        counted_at=numbers.at,
        now=db.clock(),
        budget=syncs.budget(allowed, budgets.pop()) if len(budgets) == 1 else None,
    )


@router.get("/syncs/{source}")
def show_sync(found: FoundDep) -> models.SyncDetail:
    """One sync: what isn't in step and why, and what waits for a person."""
    numbers = found.state.numbers()
    [one] = syncs.judge_all(found.db, [found.row], numbers, found.dags)
    sync = syncs.show(one, found.dags, read_allowances(found.db), may_act=found.may_act, hidden=found.hidden)
    plan = read_plan(found.db, found.row.source.id)
    # Another sync's name is for those who may see that one, too.
    others = [
        owner
        for owner in syncs.other_owners(found.db, one)
        if found.who.visible(read_syncs(found.db, owner.source_id))[0]
    ]
    return models.SyncDetail(
        sync=sync,
        groups=syncs.groups(found.db, one, others),
        hold=syncs.hold(found.db, found.row),
        plan=found.name_run(plan.dag_id, plan.run_id) if plan else None,
        drifted=found.row.drifted,
        audited_at=found.row.audited_at,
        counted_at=numbers.at,
        now=found.db.clock(),
    )


@router.get("/syncs/{source}/runs")
def list_runs(found: FoundDep, limit: Limit = 30, before: float | None = None) -> models.Runs:
    """The sync's runs, newest first."""
    runs = read_runs(found.db, [found.row.source.id], limit=limit + 1, before=before).get(found.row.source.id, [])
    states = read_run_states({(run.dag_id, run.run_id) for run in runs})
    shown = syncs.show_runs(runs[:limit], states, found.hidden)
    return models.Runs(runs=shown, before=shown[-1].started_at if len(runs) > limit else None)


@router.get("/syncs/{source}/keys")
def list_keys(
    found: FoundDep,
    prefix: str = "",
    status: Status | None = None,
    reason: str | None = None,
    after: str | None = None,
    sort: Literal["key", "size", "last_modified"] = "key",
    descending: bool = False,
    limit: Limit = 50,
) -> models.Keys:
    """The sync's keys. A page in key order may be short, or empty, and have a cursor all the same."""
    wanted = KeyFilter(
        prefix=prefix,
        status=None if status is None else str(status),
        reason=None if reason is None else lambda *one: syncs.group_name(*one) == reason,
        after=after,
        descending=descending,
    )
    if sort != "key":
        sorted_ = read_sorted(found.db, found.row.source, wanted, sort, limit=limit)
        if isinstance(sorted_, TooMany):
            return models.Keys(keys=[], after=None, too_many=sorted_.most)
        return models.Keys(keys=[_listed(row) for row in sorted_.rows], after=sorted_.after)
    began = time.monotonic()
    page = read_keys(found.db, found.row.source, wanted, limit=limit)
    while not page.rows and page.after is not None and time.monotonic() - began < _PATIENCE:
        page = read_keys(found.db, found.row.source, replace(wanted, after=page.after), limit=limit)
    return models.Keys(keys=[_listed(row) for row in page.rows], after=page.after)


@router.get("/syncs/{source}/held")
def list_held(found: FoundDep, prefix: str = "", after: str | None = None, limit: Limit = 50) -> models.HeldKeys:
    """The keys whose documents wait to be deleted."""
    if found.row.held_run is None:
        return models.HeldKeys(keys=[], after=None)
    wanted = KeyFilter(prefix=prefix, after=after)
    page = read_held(found.db, found.row.source, found.row.held_run, wanted, limit=limit)
    keys = [models.Held(key=one.key, size=one.indexed_size, document_id=one.document_id) for one in page.rows]
    return models.HeldKeys(keys=keys, after=page.after)


@router.get("/syncs/{source}/key")
def show_key(found: FoundDep, key: Annotated[str, Query(min_length=1, max_length=1024)]) -> models.KeyDetail:
    """Everything about one key."""
    source = found.row.source
    row = read_key(found.db, source, key)
    events = key_history(found.db, source, key)[1][-MAX_EVENTS:] if "\0" not in key else []
    now, may_act = found.db.clock(), found.may_act
    hidden = found.who.hidden({one.dag_id for one in events if one.dag_id})
    is_busy = row is not None and bool(row.claim_owner) and (row.claim_until or 0) >= now
    return models.KeyDetail(
        key=key,
        sync_id=source.id,
        known=row is not None,
        status=row.status if row else None,
        reason=row.reason if row else None,
        difference=difference(row),
        remedy=remedy(row.status, row.reason) if row else "",
        s3=_in_s3(row) if row else None,
        cloudindex=_in_cloudindex(row) if row else None,
        attempts=row.attempts if row else 0,
        next_attempt_at=row.next_attempt_at if row else None,
        worked_on_by=row.claim_owner if row and is_busy else None,
        may_act=may_act,
        may_retry=row is not None and may_act and not is_busy and row.status in _RETRIED,
        may_resync=row is not None and may_act and not is_busy and row.status in _RESYNCED,
        events=[
            models.Event(
                at=one.at,
                event=one.event,
                reason=one.reason,
                dag_id=None if one.dag_id in hidden else one.dag_id or None,
                run_id="" if one.dag_id in hidden else one.run_id,
            )
            for one in reversed(events)
        ],
        now=now,
    )


def _listed(row: KeyRow) -> models.Key:
    return models.Key(
        key=row.key,
        status=row.status,
        reason=row.reason,
        size=row.size,
        last_modified=row.last_modified,
        indexed=row.document_id is not None,
        attempts=row.attempts,
    )


def _in_s3(row: KeyRow) -> models.Side | None:
    if row.status == Status.DELETING:
        return None
    return models.Side(etag=row.etag, size=row.size, last_modified=row.last_modified, storage_class=row.storage_class)


def _in_cloudindex(row: KeyRow) -> models.Side | None:
    if row.document_id is None:
        return None
    return models.Side(
        etag=row.indexed_etag or None,
        size=row.indexed_size,
        document_id=row.document_id,
        document_version=row.document_version,
        file_name=row.file_name,
        sha256=row.indexed_sha256,
    )
