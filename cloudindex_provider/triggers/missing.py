"""A deferred task that nobody has woken: an error that says who should have, instead of Airflow's plain time-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferralTimeout

from cloudindex_provider.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["NamesSensorsTriggerer", "NamesTriggerer"]


class NamesTriggerer(BaseOperator):
    """Below all other bases, so that a retry policy judges what it raises."""

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """As Airflow does; a trigger that nobody has fired is an error that says who should have.

        :raises ConfigurationError: the time is over that the trigger was given
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout as error:
            raise ConfigurationError(
                "No triggerer has woken this task, which has given its slot back to wait.",
                hint="Run `airflow triggerer` and look at its log, or set deferrable=False to wait in the worker."
                " What was done is kept; the next run goes on from there.",
            ) from error


class NamesSensorsTriggerer(BaseOperator):
    """The same for a sensor, below Airflow's own, whose time-out may also be what it says."""

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """As Airflow does; a time-out says both of what it may mean.

        :raises TaskDeferralTimeout: which Airflow's sensor makes its own time-out, or a skip, of
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout as error:
            raise TaskDeferralTimeout(
                "The documents weren't processed within the sensor's timeout, or no triggerer has watched them: where"
                " the task's log has no line of its trigger, run `airflow triggerer`, or set deferrable=False."
            ) from error
