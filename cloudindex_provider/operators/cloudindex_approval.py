"""Asking a person about a mass delete, through Airflow's human-in-the-loop. Writes an approval; deletes nothing.

The delete step of a sync with ``on_mass_delete="approve"`` triggers the DAG that holds this operator, once a hold. The
run's conf names the hold by its token, and the state that it is in. The answer is a ceiling for one later run, which
plans anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from cloudindex_provider.airflow_compat import RetryingOperator
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.hooks.state import open_state
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.state.approvals import (
    DEFAULT_DAYS,
    HoldName,
    HoldRow,
    approve_hold,
    mark_asked,
    unasked_hold,
)
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.tally import EXAMPLES
from cloudindex_provider.sync.arguments import whole
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.held import first_held
from cloudindex_provider.words import count, plain

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

__all__ = ["APPROVAL_DAG_ID", "CloudIndexApproveDeletesOperator", "ask_for_approval"]

APPROVAL_DAG_ID = "cloudindex_approve_deletes"


class CloudIndexApproveDeletesOperator(RetryingOperator, ApprovalOperator):
    """Shows a hold to a person and writes the approval, if it is given. Nothing is written unless the hold of that
    token waits in that state, for that project, bucket and prefix.

    :param hold: the token that names the hold (templated)
    :param project_id: the held sync's project (templated)
    :param bucket: its bucket (templated)
    :param prefix: its prefix (templated)
    :param ceiling: how many documents the next run may delete at most (templated)
    :param days: how long the approval is valid
    :param state_conn_id: the sync's own ``state_conn_id``, where it has one (templated)
    :param state_url: the sync's own ``state_url``, where it has one (templated)
    :param response_timeout: how long a person may take to answer
    :param retries: tries after the first one
    :param retry_delay: seconds or timedelta between two tries, where the service asks for no other
    :param retry_policy: Airflow's; ``CloudIndexRetryPolicy`` fails permanent errors at once and obeys ``Retry-After``
    """

    template_fields: Sequence[str] = (
        *ApprovalOperator.template_fields,
        "hold", "project_id", "bucket", "prefix", "ceiling", "state_conn_id", "state_url",
    )  # fmt: skip

    def __init__(
        self,
        *,
        hold: str,
        project_id: str,
        bucket: str,
        prefix: str,
        ceiling: int | str,
        days: float = DEFAULT_DAYS,
        state_conn_id: str | None = None,
        state_url: str | None = None,
        response_timeout: timedelta | None = timedelta(days=DEFAULT_DAYS),
        retries: int | None = 2,  # Airflow 3.3 may fail a task falsely that is answered at once; it asks again then
        retry_delay: timedelta | float = timedelta(seconds=30),
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen, so it can be shared
        **kwargs: Any,
    ) -> None:
        super().__init__(
            response_timeout=response_timeout,
            retries=retries,
            retry_delay=retry_delay,
            retry_policy=retry_policy,
            **kwargs,
        )
        self.hold = hold
        self.project_id = project_id
        self.bucket = bucket
        self.prefix = prefix
        self.ceiling = ceiling
        self.days = days
        self.state_conn_id = state_conn_id
        self.state_url = state_url

    def execute(self, context: Context) -> Any:
        db = self._state()
        try:
            mark_asked(db, self._name())
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
                approve_hold(db, self._name(), ceiling, _user(answer), self.days)
            finally:
                db.close()
            what = (count(ceiling, "document"), count(round(self.days), "day"))
            self.log.info("The next run may delete up to %s, within %s.", *what)
        return answer

    def _name(self) -> HoldName:
        return HoldName(str(self.hold), str(self.project_id), str(self.bucket), str(self.prefix))

    def _state(self) -> Database:
        return open_state(state_url=_given(self.state_url), state_conn_id=_given(self.state_conn_id), must_exist=True)


def _given(value: str | None) -> str | None:
    return None if value in ("", "None") else value


def _user(answer: Mapping[str, Any]) -> str:
    user = answer.get("responded_by_user") or {}
    return str(user.get("name") or user.get("id") or "unknown")


def ask_for_approval(
    ctx: SyncContext,
    context: Context,
    *,
    result: dict[str, Any],
    state_conn_id: str | None,
    state_url: str | None = None,
) -> None:
    """Trigger the approval DAG for the source's hold, when a person is to be asked and nobody was yet.

    The caller's task ends with that, as a TriggerDagRunOperator does, so its ``result`` is written before. Outside a
    run there is no DAG to trigger: the hold waits for ``airflow cloudindex approve``.

    :raises SettingsError: when Airflow has no such DAG
    """
    if ctx.settings.on_mass_delete != "approve":
        return
    hold, ti = unasked_hold(ctx.db, ctx.source.id), context.get("ti")
    if hold is None or ti is None:
        return
    run_id = f"hold_{hold.token}_{hold.removed}"  # the token is no other state's
    paused = _is_paused(ti)
    waits = f"It waits for a person in the run {run_id} of the DAG {APPROVAL_DAG_ID}"
    if paused:
        waits += ", which is paused: unpause it"
    if ti.get_dr_count(dag_id=APPROVAL_DAG_ID, run_ids=[run_id]):
        ctx.log.warning("The approval of the held removals was asked for already. %s.", waits)
        return
    ctx.log.warning("Asking for approval of the held removals. %s.", waits)
    context["ti"].xcom_push("return_value", result)
    trigger = TriggerDagRunOperator(
        task_id="ask_for_approval",
        trigger_dag_id=APPROVAL_DAG_ID,
        trigger_run_id=run_id,
        conf={
            **_question(hold, first_held(ctx, ctx.run(), EXAMPLES)),
            "state_conn_id": state_conn_id or "",
            "state_url": state_url or "",
        },
    )
    # Unwrapped: of an operator within an operator Airflow warns in the log, which nobody who reads it can mend.
    inspect.unwrap(TriggerDagRunOperator.execute)(trigger, context)


def _is_paused(ti: Any) -> bool:
    try:
        return bool(ti.get_dag(APPROVAL_DAG_ID).is_paused)
    except Exception as error:  # its type is another one where the task is a process of its own, and in dag.test()
        if _status(error) != 404:
            raise
    raise SettingsError(
        f"Removals are held for a person's approval, and Airflow has no DAG {APPROVAL_DAG_ID} to ask with.",
        field="on_mass_delete",
        hint="Copy it into Airflow's DAGs folder by `airflow cloudindex dags --copy-to DIR`, and unpause it.",
    )


def _status(error: Exception) -> Any:
    """The status of Airflow's API, as far as its error has one."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return answer.status_code
    detail = getattr(getattr(error, "error", None), "detail", None)
    return detail.get("status_code") if isinstance(detail, Mapping) else None


def _question(hold: HoldRow, first: Sequence[str]) -> dict[str, Any]:
    """What a person is asked, as Markdown: keys stand in a block of code, in which nothing of them acts.

    :param first: the first keys whose documents would go
    """
    where = plain(f"s3://{hold.bucket}/{hold.prefix}")
    documents = count(hold.removed, "document")
    keys = "\n".join(f"    {key}" for key in first)
    more = hold.removed - len(first)
    rest = f"\n\nand {more:,} more" if more > 0 else ""
    return {
        "hold": hold.token,
        "project_id": hold.project_id,
        "bucket": hold.bucket,
        "prefix": hold.prefix,
        "ceiling": hold.removed,
        "subject": f"Delete {hold.removed:,} of {count(hold.live, 'document')}?",
        "body": f"S3 lists {count(hold.removed, 'object')} of `{where}` no more: {hold.reason}. Look at the bucket"
        f" first. Approved, the next sync of project {hold.project_id} plans anew and deletes at most {documents}.\n\n"
        f"Their documents would go:\n\n{keys}{rest}\n\nThe page CloudIndex in Airflow's navigation has all of them,"
        " and lets you allow fewer or keep them. So does"
        f" `airflow cloudindex approve --source {hold.source_id} --ceiling {hold.removed}`, and the limit that is named"
        " here, raised for one run.",
    }
