"""What the single steps share: the connection, and how their failures are retried.

No credential is ever an argument, a template or a result of a task.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cloudindex_provider.airflow_compat import RetryingOperator
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.retry import CloudIndexRetryPolicy

if TYPE_CHECKING:
    from airflow.sdk import RetryPolicy

__all__ = ["CloudIndexStepOperator"]


class CloudIndexStepOperator(RetryingOperator):
    """What all of them share: the connection, and how their failures are retried.

    The defaults stand in the signature because values set in the body are lost on mapped operators.

    :param cloudindex_conn_id: id of the CloudIndex connection (templated)
    """

    ui_color = "#e8f0fe"

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

    def _hook(self, project_id: str | None = None) -> CloudIndexHook:
        return CloudIndexHook(self.cloudindex_conn_id, project_id=project_id)
