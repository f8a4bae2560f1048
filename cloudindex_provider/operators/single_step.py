"""What the single steps share: the connection, the budget of requests, what earlier tries have done, and retries.

No credential is ever an argument, a template or a result of a task. Nothing is connected before ``execute``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from cloudindex_provider.airflow_compat import RetryingOperator, attempt
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.rendered import text
from cloudindex_provider.hooks.state import SECTION
from cloudindex_provider.hooks.step import StepSession, step_session
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.state.step_memory import Forgetful, Memory, StepMemory, step_name

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

__all__ = ["CloudIndexStepOperator"]


class CloudIndexStepOperator(RetryingOperator):
    """What all of them share. The defaults stand in the signature: set in the body, they are lost on mapped operators.

    :param cloudindex_conn_id: id of the CloudIndex connection (templated)
    :param retries: tries after the first one
    :param retry_delay: seconds or timedelta between two tries, where the service asks for no other
    :param retry_policy: Airflow's; ``CloudIndexRetryPolicy`` fails permanent errors at once and obeys ``Retry-After``
    """

    ui_color = "#e8f0fe"
    _stop: threading.Event | None = None  # made when the task runs: an operator is copied and serialized

    def __init__(
        self,
        *,
        cloudindex_conn_id: str = CloudIndexHook.default_conn_name,
        retries: int | None = 3,
        retry_delay: timedelta | float = timedelta(seconds=30),
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen, so it can be shared
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, retry_policy=retry_policy, **kwargs)
        self.cloudindex_conn_id = cloudindex_conn_id

    def on_kill(self) -> None:
        """The task is cleared, or its worker stopped: begin no further request."""
        if self._stop is not None:
            self._stop.set()

    def _hook(self, project_id: object = None) -> CloudIndexHook:
        return CloudIndexHook(self.cloudindex_conn_id, project_id=text("project_id", project_id))

    @contextmanager
    def _session(self, hook: CloudIndexHook, *, reads_state: bool = False) -> Iterator[StepSession]:
        self._stop = threading.Event()
        with step_session(hook, reads_state=reads_state, stop=self._stop) as session:
            yield session

    def _memory(self, session: StepSession, hook: CloudIndexHook, context: Context | Mapping[str, Any]) -> Memory:
        """What this task instance has done in this project; nothing outside of a run, or without a state."""
        ti = context.get("ti")
        if session.db is None or ti is None:
            return Forgetful()
        name = step_name(hook.settings.base_url, hook.project_id, (ti.dag_id, ti.run_id, self.task_id, ti.map_index))
        return StepMemory(session.db, name, days=conf.getfloat(SECTION, "history_days", fallback=90.0))

    def _is_again(self, context: Context | Mapping[str, Any]) -> bool:
        """Whether an earlier try of this task instance may have done something."""
        return attempt(context) > 1
