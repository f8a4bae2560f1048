"""A sensor that waits until CloudIndex has processed documents.

It only looks; it never uploads, deletes or retries a document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.configuration import conf

from cloudindex_provider.airflow_compat import RetryingOperator
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.rendered import Text, Texts, document_ids, text
from cloudindex_provider.hooks.step import step_session
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.sync.polling import MAX_POLL_INTERVAL, SENSOR_POLL_INTERVAL
from cloudindex_provider.triggers.cloudindex import CloudIndexProcessingTrigger, error_from_event, still_processing
from cloudindex_provider.triggers.missing import NamesSensorsTriggerer
from cloudindex_provider.words import count, verb

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

__all__ = ["CloudIndexProcessingSensor"]

MAX_DOCUMENTS = 20  # each costs a request per look, and a plan may allow 60 a minute


class CloudIndexProcessingSensor(RetryingOperator, BaseSensorOperator, NamesSensorsTriggerer):
    """Waits until all given documents are processed, and can be searched.

    Fails at once, without another try, when one of them failed or is gone; the message names it and the service's
    reason. Returns nothing.

    :param document_ids: one id, or up to 20 of them, also as JSON text (templated); an empty list succeeds at once
    :param project_id: their project (templated); default: the connection's
    :param cloudindex_conn_id: id of the CloudIndex connection (templated)
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``
    :param poke_interval: seconds between looks; deferred at least 5, growing by half up to ``max_wait`` (default 120)
    :param timeout: seconds after which the task fails without another try. Deferred, it counts from the deferral
    :param retries: tries after the first one
    :param retry_delay: seconds or timedelta between two tries, where the service asks for no other
    :param retry_policy: Airflow's; ``CloudIndexRetryPolicy`` fails permanent errors at once and obeys ``Retry-After``
    """

    template_fields: Sequence[str] = ("document_ids", "project_id", "cloudindex_conn_id")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        document_ids: Texts,
        project_id: Text | None = None,
        cloudindex_conn_id: str = CloudIndexHook.default_conn_name,
        deferrable: bool | None = None,
        poke_interval: timedelta | float = SENSOR_POLL_INTERVAL,
        timeout: timedelta | float = 3600.0,
        retries: int | None = 3,
        retry_delay: timedelta | float = timedelta(seconds=30),
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen, and lost on mapped tasks if set in the body
        **kwargs: Any,
    ) -> None:
        super().__init__(
            poke_interval=poke_interval,
            timeout=timeout,
            retries=retries,
            retry_delay=retry_delay,
            retry_policy=retry_policy,
            **kwargs,
        )
        self.document_ids = document_ids
        self.project_id = project_id
        self.cloudindex_conn_id = cloudindex_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> None:
        """Look once here; then wait in the worker, or defer."""
        deferrable = self.deferrable
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        if not deferrable:
            super().execute(context)
            return
        waiting = self._waiting()
        if not waiting:
            return
        self.defer(
            trigger=CloudIndexProcessingTrigger(
                cloudindex_conn_id=self.cloudindex_conn_id,
                project_id=self._hook().project_id,
                document_ids=waiting,
                poll_interval=self.poke_interval,
                max_poll_interval=MAX_POLL_INTERVAL if self.max_wait is None else self.max_wait.total_seconds(),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def poke(self, context: Context) -> bool:
        """Whether all documents are processed."""
        return not self._waiting()

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> None:
        """Where a deferred task goes on: raises the trigger's error again, with its own type."""
        if event is None or event.get("status") != "success":
            raise error_from_event(event or {})
        self.log.info("All documents are processed")

    def _waiting(self) -> list[str]:
        ids = document_ids(self.document_ids, at_most=MAX_DOCUMENTS)
        if not ids:
            self.log.info("No documents to wait for")
            return []
        hook = self._hook()
        with step_session(hook, reads_state=True) as session:
            waiting = still_processing(session.client, ids, hook.project_id)
        what = (f"{len(waiting):,}", count(len(ids), "document"), verb(len(waiting)))
        self.log.info("%s of %s %s still being processed", *what)
        return waiting

    def _hook(self) -> CloudIndexHook:
        return CloudIndexHook(self.cloudindex_conn_id, project_id=text("project_id", self.project_id))
