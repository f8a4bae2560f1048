"""Watching a queue of S3 events without a worker. It counts messages and takes none, so a triggerer may die.

Like every trigger of this package it lets no exception out: Airflow would lose its type.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from cloudindex_provider.errors import EventQueueUnavailableError
from cloudindex_provider.hooks.sqs import event_queue
from cloudindex_provider.sync.polling import EVENTS_POLL_INTERVAL
from cloudindex_provider.triggers.cloudindex import event_fields

__all__ = ["CloudIndexS3EventsTrigger"]

_VISIBILITY = 30.0  # of nothing: no message is received here
_OUTAGE = 600.0  # seconds for which SQS may fail here, until a worker is to find out whether it does there, too


class CloudIndexS3EventsTrigger(BaseTrigger):
    """Fires once: when the queue has a message, or fails for long, or ``until`` is over, or SQS refuses.

    Yields ``{"status": "success"}``, ``{"status": "over"}`` or ``{"status": "error", "error": {"type": ..., fields}}``,
    the first two with ``until`` and ``so_far``: Airflow's ``dag.test`` gives a resumed task the event alone.

    :param queue_url: the queue's URL
    :param aws_conn_id: the AWS connection; ``None`` uses boto3's own credentials
    :param region_name: the queue's region, where its URL doesn't name it
    :param poll_interval: seconds between two looks
    :param until: seconds since 1970
    :param so_far: what the task is to know when it goes on: numbers and names, no secret
    """

    def __init__(
        self,
        *,
        queue_url: str,
        until: float,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        poll_interval: float = EVENTS_POLL_INTERVAL,
        so_far: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's has no annotations
        self.queue_url = queue_url
        self.until = until
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.poll_interval = poll_interval
        self.so_far = so_far

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, no secret."""
        names = ("queue_url", "until", "aws_conn_id", "region_name", "poll_interval", "so_far")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See the class."""
        payload: dict[str, Any]
        try:
            status = await self._watch()
        except Exception as error:  # whatever leaves here loses its type
            self.log.warning("Watching the queue ended with an error", exc_info=True)
            payload = {"status": "error", "error": event_fields(error)}
        else:
            payload = {"status": status, "until": self.until, "so_far": self.so_far}
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's has no annotations

    async def _watch(self) -> str:
        queue = await sync_to_async(event_queue)(
            self.queue_url, self.aws_conn_id, region_name=self.region_name, visibility=_VISIBILITY
        )
        answered = time.time()
        while time.time() < self.until:
            try:
                if await asyncio.to_thread(queue.depth):
                    return "success"
                answered = time.time()
            except EventQueueUnavailableError as error:
                self.log.warning("%s", error)
                if time.time() - answered >= _OUTAGE:
                    return "success"
            await asyncio.sleep(self.poll_interval)
        return "over"
