"""What a person does on the page: each a POST of JSON from the page itself, by who may edit or trigger the sync's DAG.

Every action leaves a line in the key's history and in Airflow's audit log. None starts a run: the next one does it.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.plugins import models
from cloudindex_provider.plugins.access import require_own_page
from cloudindex_provider.plugins.bodies import body_of
from cloudindex_provider.plugins.routes import Found
from cloudindex_provider.plugins.runs import log_action
from cloudindex_provider.state import approvals, repairs
from cloudindex_provider.state.approvals import HoldName
from cloudindex_provider.state.conditions import Status
from cloudindex_provider.state.records import Finding
from cloudindex_provider.state.views.keys import read_key
from cloudindex_provider.words import count

__all__ = ["router"]

_LOGGED = 10  # keys that a line of the audit log names


class Actor(Found):
    """A sync that the visitor may act on."""

    def require(self) -> None:
        if not self.may_act:
            raise HTTPException(
                403, "You may look at this sync, and not act on it: it takes the right to trigger its DAG."
            )

    def log(self, event: str, **details: Any) -> None:
        source = self.row.source
        there = (one for one in self.row.dag_ids if one in self.dags and one not in self.hidden)
        dag_id = next(there, None)
        where = {"sync": source.id, "bucket": source.bucket, "prefix": source.prefix}
        log_action(event, self.who.name, dag_id, where | details)


def _actor(actor: Annotated[Actor, Depends()]) -> Actor:
    actor.require()
    return actor


ActorDep = Annotated[Actor, Depends(_actor)]
router = APIRouter(prefix="/api/syncs/{source}", dependencies=[Depends(require_own_page)])


@router.post("/retry")
def retry(actor: ActorDep, wanted: Annotated[models.Retry, Depends(body_of(models.Retry))]) -> models.Done:
    """Let keys be tried again by the next run, as if for the first time."""
    if bool(wanted.keys) == (wanted.all is not None):
        raise SettingsError(
            "It isn't said which keys to try again.", field="keys", hint="Name keys, or all of a status."
        )
    source = actor.row.source
    with actor.state.writing() as db:
        number = (
            repairs.retry_all(db, source, wanted.all, actor.who.name)
            if wanted.all
            else repairs.retry_keys(db, source, wanted.keys, actor.who.name)
        )
    actor.log("retry", keys=wanted.keys[:_LOGGED], all=wanted.all, number=number)
    return _done(number, "tried again by the next run")


@router.post("/resync")
def resync(actor: ActorDep, wanted: Annotated[models.Resync, Depends(body_of(models.Resync))]) -> models.Done:
    """Upload keys again that are in step. What is indexed of them is served until then."""
    source, findings = actor.row.source, []
    for key in wanted.keys:
        row = read_key(actor.db, source, key)
        if row is None or row.status != Status.INDEXED:
            raise SettingsError(f"{key!r} isn't in step, so there is nothing to upload anew.", field="keys")
        findings.append(Finding(key, row.revision, row.document_id or ""))
    with actor.state.writing() as db:
        number = repairs.requeue(db, source, findings, gone=False, why=f"operator action by {actor.who.name}")
    actor.log("resync", keys=wanted.keys[:_LOGGED], number=number)
    return _done(number, "uploaded again by the next run")


@router.post("/approve")
def approve(actor: ActorDep, wanted: Annotated[models.Approve, Depends(body_of(models.Approve))]) -> models.Done:
    """Let the next run delete up to a number of documents of the hold that was looked at."""
    with actor.state.writing() as db:
        if wanted.token is None:
            given = approvals.approve(db, actor.row.source.id, wanted.ceiling, actor.who.name)
        else:
            given = approvals.approve_hold(db, _name(actor, wanted.token), wanted.ceiling, actor.who.name)
    actor.log("approve", ceiling=given.ceiling)
    most = count(given.ceiling, "document")
    return models.Done(number=given.ceiling, message=f"The next run may delete up to {most}, within seven days.")


@router.post("/keep")
def keep(actor: ActorDep, wanted: Annotated[models.Keep, Depends(body_of(models.Keep))]) -> models.Done:
    """Let the documents of the hold stay; what was allowed of it is withdrawn."""
    with actor.state.writing() as db:
        approvals.keep_hold(db, _name(actor, wanted.token), actor.who.name)
    removed = actor.row.hold.removed if actor.row.hold else 0
    actor.log("keep", removed=removed)
    return models.Done(number=removed, message="The documents stay. You are asked again when more would go.")


def _name(actor: Actor, token: str) -> HoldName:
    source = actor.row.source
    return HoldName(token, source.project_id, source.bucket, source.prefix)


def _done(number: int, what: str) -> models.Done:
    return models.Done(number=number, message=f"{count(number, 'key is', 'keys are')} {what}.")
