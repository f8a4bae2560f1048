"""One try of a sync in a process of its own, to be killed. Imported by the fork server, so that a fork is cheap."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

import boto3  # noqa: F401 - loaded before the fork

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.errors import CloudIndexError, SyncError
from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state import sources
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.events.consumer import EventConsumer
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.settings import Limits, SyncSettings
from tests.support.crashing import CrashingClient, CrashingDatabase, CrashingS3, Switch
from tests.support.mirror import s3_client, sqs_client

__all__ = ["VISIBILITY", "Try", "run"]

VISIBILITY = 1.0  # seconds until a message that a killed consumer had comes again

# Warm: boto3 reads its descriptions once, here, and not after every fork.
s3_client("http://127.0.0.1:9")
sqs_client("http://127.0.0.1:9")


@dataclass(frozen=True)
class Try:
    """What a child needs to know; with a ``queue_url`` it follows events, else it syncs."""

    s3_url: str
    bucket: str
    api_url: str
    api_key: str
    project_id: str
    state_url: str
    run_name: str
    attempt: int
    tasks: int
    request_timeout: float
    doubt_grace: float
    lease: float
    die_at: int | None = None  # step
    queue_url: str = ""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _work(ctx: SyncContext, what: Try, switch: Switch) -> None:
    if not what.queue_url:
        synchronize(ctx)
        return
    queue = EventQueue(CrashingS3(sqs_client(what.s3_url), switch), what.queue_url, VISIBILITY)
    EventConsumer(queue, [ctx], idle=0.0, first_look=0.02, gather_seconds=0.2).run(30.0)


def run(what: Try, answer: Any) -> None:
    """Run the sync; says that it begins, and sends ``(steps, error)`` if it lives to see its end."""
    switch = Switch(what.die_at, die=_kill)
    settings = SyncSettings(
        project_id=what.project_id, bucket=what.bucket, prefix="docs/", limits=Limits(upload_tasks=what.tasks)
    )
    db = CrashingDatabase(what.state_url, switch)
    source = sources.open_source(db, project_id=what.project_id, bucket=what.bucket, prefix="docs/")
    with CloudIndexClient(what.api_url, what.api_key, project_id=what.project_id) as client:
        ctx = SyncContext(
            settings,
            db,
            source,
            S3Source(CrashingS3(s3_client(what.s3_url), switch), what.bucket, first_wait=0.01),
            CrashingClient(client, switch),
            RunName("dag", what.run_name, "sync"),
            Owner(f"dag|{what.run_name}|sync|-1", what.attempt),
            request_timeout=what.request_timeout,
            doubt_grace=what.doubt_grace,
            lease=what.lease,
            poll_interval=0.02,
        )
        error = ""
        answer.send("begins")
        try:
            _work(ctx, what, switch)
        except (SyncError, CloudIndexError) as problem:
            error = f"{type(problem).__name__}: {problem}"
    answer.send((switch.steps, error))
