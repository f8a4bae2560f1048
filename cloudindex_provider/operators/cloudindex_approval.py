"""Asking a person about a mass delete, through Airflow's human-in-the-loop. Writes an approval; deletes nothing.

The delete step of a sync with ``on_mass_delete="approve"`` triggers the DAG that holds this operator, once a hold. The
answer is a ceiling for one later run, which plans anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from cloudindex_provider.hooks.state import resolve_state_url
from cloudindex_provider.state.approvals import DEFAULT_DAYS, HoldRow, approve, mark_asked, open_holds
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.sync.arguments import whole
from cloudindex_provider.sync.context import SyncContext

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["APPROVAL_DAG_ID", "CloudIndexApproveDeletesOperator", "ask_for_approval"]

APPROVAL_DAG_ID = "cloudindex_approve_deletes"


class CloudIndexApproveDeletesOperator(ApprovalOperator):
    """Shows a hold to a person and writes the approval, if it is given.

    :param hold_id: id of the hold (templated)
    :param source_id: id of the held source (templated)
    :param ceiling: how many documents the next run may delete at most (templated)
    :param days: how long the approval is valid
    :param state_conn_id: the sync's own ``state_conn_id``, where it has one (templated)
    """

    template_fields: Sequence[str] = (
        *ApprovalOperator.template_fields,
        "hold_id",
        "source_id",
        "ceiling",
        "state_conn_id",
    )

    def __init__(
        self,
        *,
        hold_id: int | str,
        source_id: int | str,
        ceiling: int | str,
        days: float = DEFAULT_DAYS,
        state_conn_id: str | None = None,
        response_timeout: timedelta | None = timedelta(days=DEFAULT_DAYS),
        retries: int | None = 2,  # Airflow 3.3 may fail a task falsely that is answered at once; it asks again then
        retry_delay: timedelta | float = timedelta(seconds=30),
        **kwargs: Any,
    ) -> None:
        super().__init__(response_timeout=response_timeout, retries=retries, retry_delay=retry_delay, **kwargs)
        self.hold_id = hold_id
        self.source_id = source_id
        self.ceiling = ceiling
        self.days = days
        self.state_conn_id = state_conn_id

    def execute(self, context: Context) -> Any:
        db = self._state()
        try:
            mark_asked(db, whole("hold_id", self.hold_id))
        finally:
            db.close()
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Write the approval once a person has said yes."""
        answer = super().execute_complete(context, event)
        if answer["chosen_options"] == [self.APPROVE]:
            ceiling = whole("ceiling", self.ceiling)
            db = self._state()
            try:
                approve(db, whole("source_id", self.source_id), ceiling, _user(answer), self.days)
            finally:
                db.close()
            self.log.info("The next run may delete up to %d documents, within %g days.", ceiling, self.days)
        return answer

    def _state(self) -> Database:
        conn_id = self.state_conn_id if self.state_conn_id not in ("", "None") else None
        return Database(resolve_state_url(state_conn_id=conn_id))


def _user(answer: Mapping[str, Any]) -> str:
    user = answer.get("responded_by_user") or {}
    return str(user.get("name") or user.get("id") or "unknown")


def ask_for_approval(ctx: SyncContext, context: Context, *, result: dict[str, Any], state_conn_id: str | None) -> None:
    """Trigger the approval DAG for the source's hold, when a person is to be asked and nobody was yet.

    The caller's task ends with that, as a TriggerDagRunOperator does, so its ``result`` is written before. Outside a
    run there is no DAG to trigger: the hold waits for ``airflow cloudindex approve``.
    """
    if ctx.settings.on_mass_delete != "approve":
        return
    holds = [hold for hold in open_holds(ctx.db, ctx.source.id) if hold.asked_at is None]
    if not holds or context.get("ti") is None:
        return
    hold = holds[0]
    ctx.log.warning("Asking for approval in the DAG %s.", APPROVAL_DAG_ID)
    context["ti"].xcom_push("return_value", result)
    TriggerDagRunOperator(
        task_id="ask_for_approval",
        trigger_dag_id=APPROVAL_DAG_ID,
        trigger_run_id=f"hold_{hold.id}_{hold.removed}",
        conf=_question(hold, state_conn_id),
        skip_when_already_exists=True,
    ).execute(context)


def _question(hold: HoldRow, state_conn_id: str | None) -> dict[str, Any]:
    return {
        "hold_id": hold.id,
        "source_id": hold.source_id,
        "ceiling": hold.removed,
        "subject": f"Delete {hold.removed} of {hold.live} documents?",
        "body": f"S3 lists {hold.removed} objects of s3://{hold.bucket}/{hold.prefix} no more: {hold.reason}."
        f" Look at the bucket first. Approved, the next sync of project {hold.project_id} plans anew and deletes at"
        f" most {hold.removed} documents.",
        "state_conn_id": state_conn_id or "",
    }
