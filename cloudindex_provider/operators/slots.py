"""Giving a worker's slot back in Airflow: the task is rescheduled, as a sensor in that mode is, and runs again later.

That needs no triggerer, works for mapped tasks too, and keeps the number of the try: none of the task's retries is used
up. Schedulers wait for the date of any rescheduled task since Airflow 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from airflow.sdk.exceptions import AirflowRescheduleException

from cloudindex_provider.sync.pausing import PauseError

__all__ = ["gives_slot_back"]


@contextmanager
def gives_slot_back() -> Iterator[None]:
    """Around a task's work, when all that it holds is closed at the end: a pause of it is Airflow's business.

    :raises AirflowRescheduleException: instead of a ``PauseError``
    """
    try:
        yield
    except PauseError as pause:
        when = datetime.now(UTC) + timedelta(seconds=pause.seconds)
        raise AirflowRescheduleException(when) from None  # type: ignore[no-untyped-call]  # Airflow's has no annotations
