"""The queue side of a session: S3's events by an Airflow connection. Builds a client, sends nothing."""

from __future__ import annotations

from botocore.config import Config

from cloudindex_provider.errors import EventQueueError, SettingsError
from cloudindex_provider.hooks.aws import aws_client
from cloudindex_provider.s3.event_queue import EventQueue, queue_region

__all__ = ["event_queue"]

# A long poll takes seconds, and an answer comes soon after it.
_DEFAULTS = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})


def event_queue(url: str, aws_conn_id: str | None, *, region_name: str | None = None, visibility: float) -> EventQueue:
    """The queue, by a connection. A queue of AWS is asked in the region that its URL names.

    :param visibility: seconds after which a message that was received and not deleted comes again
    :raises EventQueueError: when no client can be made of the connection
    :raises SourceUnavailableError: when the connection can't be read for now
    """
    try:
        client = aws_client("sqs", aws_conn_id, region_name=region_name or queue_region(url), config=_DEFAULTS)
    except SettingsError as error:
        raise EventQueueError(f"AWS {error.message}", code="setup", hint=error.hint) from None
    return EventQueue(client, url, visibility)
