"""A sync's session from Airflow connections: the state, S3 and CloudIndex, for tasks and for commands alike.

Opens and closes; decides nothing about the sync. Nothing here may be called before a worker's fork.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.sdk.configuration import conf

from cloudindex_provider.errors import StoppedError
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.metrics import airflow_metrics
from cloudindex_provider.hooks.s3 import named_s3_errors, s3_client
from cloudindex_provider.hooks.state import SECTION
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state import sources
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.pacer import SharedPacer, budget_name
from cloudindex_provider.state.pauses import Pauses, read_pauses
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.pausing import PATIENCE
from cloudindex_provider.sync.settings import SyncSettings, build_settings

__all__ = ["LONGEST_WAIT", "connection_settings", "shared_pacer", "sync_session"]

LONGEST_WAIT = 30.0  # seconds that a closed budget is waited for in place; longer is a pause, or Airflow's retry
_WHOLE_BUCKET = "/"  # as a tag, which can't be empty
_IN_LINE = 120.0  # seconds that a request waits for its turn where its task has no slot to give back, or has done so


def connection_settings(values: Mapping[str, Any], hook: CloudIndexHook) -> SyncSettings:
    """Settings from raw values, and from the connection where those say nothing.

    :raises SettingsError: naming the first value that can't be read or can't work
    :raises ConfigurationError: the connection is wrong, or no project is named
    """
    return build_settings(
        values,
        project_id=hook.project_id,
        max_file_size=hook.settings.max_file_size,
        max_request_size=hook.settings.max_request_size,
    )


@contextmanager
def sync_session(
    settings: SyncSettings,
    db: Database,
    *,
    hook: CloudIndexHook,
    aws_conn_id: str | None,
    name: RunName,
    owner: Owner,
    stop: threading.Event | None = None,
    try_number: int | None = None,
) -> Iterator[SyncContext]:
    """Everything connected, for one step; closed and its errors named at the end. The state stays the caller's.

    A dry run writes nothing of the source but its plan, so its row isn't made here. All requests of all tasks and syncs
    that use the same service by the same connection share one budget, in the state.

    :param try_number: of a task that can end with a ``PauseError``, and is started again then in the same try
    :param stop: set by whoever stops the task: no further request is begun then
    :raises StoppedError: at the end, when the task was stopped before it had done its work
    """
    begun = time.monotonic()
    find = sources.peek_source if settings.dry_run else sources.open_source
    stop = stop or threading.Event()
    pauses = None if try_number is None or settings.dry_run else read_pauses(db, owner.name, try_number)
    with (
        _budgets(db) as budgets,
        named_s3_errors(aws_conn_id),
        hook.session(pacer=(pacer := shared_pacer(budgets, hook, stop, pauses))) as client,
    ):
        place = {"project_id": settings.project_id, "bucket": settings.bucket, "prefix": settings.prefix}
        source = find(db, **place, sync_id=settings.sync_id)
        if not settings.dry_run:
            sources.note_budget(db, source, budget_name(hook.settings.base_url, hook.cloudindex_conn_id))
        yield SyncContext(
            settings=settings,
            db=db,
            source=source,
            s3=S3Source(
                s3_client(aws_conn_id, settings.bucket),
                settings.bucket,
                request_payer=settings.request_payer,
                max_decoded=settings.selection.max_file_size,
            ),
            client=client,
            name=name,
            owner=owner,
            stop=stop,
            request_timeout=hook.settings.read_timeout,
            requests_per_minute=pacer.requests_per_minute,
            requests_left=pacer.requests_left,
            budgets=budgets,
            requests_within=pacer.requests_within,
            answered=pacer.answered,
            pauses=pauses,
            begun=begun - (pauses.elapsed or 0.0 if pauses else 0.0),
            metrics=airflow_metrics(
                dag_id=name.dag_id, sync=name.task_id, bucket=settings.bucket, prefix=settings.prefix or _WHOLE_BUCKET
            ),
            history_days=conf.getfloat(SECTION, "history_days", fallback=90.0),
        )
        if stop.is_set():
            raise StoppedError("The task was stopped.")


@contextmanager
def _budgets(db: Database) -> Iterator[Database]:
    """Where requests are booked, and a dry run's plan is kept: the state, written to for that alone where it is open
    for reading."""
    if not db.read_only:
        yield db
        return
    budgets = Database(db.address, must_exist=True)
    try:
        yield budgets
    finally:
        budgets.close()


def shared_pacer(
    db: Database, hook: CloudIndexHook, stop: threading.Event, pauses: Pauses | None = None
) -> SharedPacer:
    """What spaces the requests of all tasks that use the same service by the same connection.

    :param pauses: of a task that may give its slot back; who has come back for its turn stands in line for it, so that
        others can't always be faster
    """
    in_line = pauses is None or pauses.elapsed is not None
    return SharedPacer(
        db,
        budget_name(hook.settings.base_url, hook.cloudindex_conn_id),
        slots=hook.settings.max_concurrency,
        max_wait=LONGEST_WAIT,
        patience=_IN_LINE if in_line else PATIENCE,
        in_line=in_line,
        request_timeout=hook.settings.read_timeout,
        stop=stop,
    )
