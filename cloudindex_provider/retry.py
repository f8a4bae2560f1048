"""Whether and when a failed task is tried again: the one place where that is decided.

Nothing here knows an exception by name. An exception says ``retryable: bool`` and ``retry_after: float | None``
(seconds that the server asked to wait); the policy turns that into Airflow's decision and must never raise or do I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cloudindex_provider.airflow_compat import RetryDecision, RetryPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CloudIndexRetryPolicy"]


@dataclass(frozen=True, slots=True)
class CloudIndexRetryPolicy(RetryPolicy):
    """Fail now, or retry after exactly the time the server asked for.

    The first exception of the ``__cause__`` chain that has a boolean ``retryable`` decides:

    * not retryable (wrong key, unknown project, bad setting): the task fails at once, whatever its ``retries``;
    * retryable with ``retry_after``: the next try starts after that many seconds;
    * retryable without, and every exception that says nothing: the task's own ``retry_delay``.

    Airflow logs the reason, and never goes beyond the task's ``retries``. ``AirflowFailException``, a sensor's timeout
    and a killed worker bypass every policy. Below Airflow 3.3 ``airflow_compat.RetryingOperator`` obeys it.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """The decision for one failure; see the class."""
        source = next((error for error in _causes(exception) if isinstance(_field(error, "retryable"), bool)), None)
        if source is None:
            return RetryDecision.default()
        name = type(source).__name__
        if not _field(source, "retryable"):
            return RetryDecision.fail(f"{name} would fail again at every try: {source}")
        delay = _seconds(_field(source, "retry_after"))
        if delay is None:
            return RetryDecision.retry(reason=f"{name} may pass: trying again after the task's retry_delay")
        return RetryDecision.retry(timedelta(seconds=delay), f"{name}: the server asked to wait {delay:g} s")

    def serialize(self) -> dict[str, Any]:
        """Nothing to store: all policies of this class are equal."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> CloudIndexRetryPolicy:
        return cls()


def _causes(exception: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()  # a chain can be a ring
    current: BaseException | None = exception
    while current is not None and id(current) not in seen:
        yield current
        seen.add(id(current))
        current = current.__cause__


def _field(error: BaseException, name: str) -> Any:
    try:
        return getattr(error, name, None)
    except Exception:  # noqa: BLE001 - a property of a foreign exception may raise anything; then it says nothing
        return None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Not a number, or more than Airflow's timedelta can hold: as if the server had said nothing.
    return max(0.0, float(value)) if value < timedelta.max.total_seconds() else None
