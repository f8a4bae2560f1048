"""The queue side of a session: one boto3 client for SQS from an Airflow connection. Builds clients, sends nothing."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.sqs import SqsHook
from airflow.sdk.exceptions import AirflowException
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloudindex_provider.errors import EventQueueError
from cloudindex_provider.s3.error_mapping import redacted
from cloudindex_provider.s3.event_queue import EventQueue, queue_region

__all__ = ["event_queue"]

# What the connection's own config_kwargs say wins. A long poll takes seconds, and an answer comes soon after it.
_DEFAULTS = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})


def event_queue(url: str, aws_conn_id: str | None, *, region_name: str | None = None, visibility: float) -> EventQueue:
    """The queue, by a connection. A queue of AWS is asked in the region that its URL names.

    :param visibility: seconds after which a message that was received and not deleted comes again
    :raises EventQueueError: when no client can be made of the connection
    """
    return EventQueue(_client(url, aws_conn_id, region_name), url, visibility)


def _client(url: str, aws_conn_id: str | None, region_name: str | None) -> Any:
    name = repr(aws_conn_id) if aws_conn_id else "none (boto3's own credentials)"
    try:
        hook = SqsHook(aws_conn_id=aws_conn_id, region_name=region_name or queue_region(url))
        return hook.get_client_type(region_name=hook.region_name, config=_DEFAULTS.merge(hook.config))
    except (AirflowException, BotoCoreError, ClientError, ValueError) as error:
        raise EventQueueError(
            f"AWS connection {name}: no SQS client can be made of it: {redacted(error).rstrip('.')}.",
            code="setup",
            hint="Correct the connection; a service of its own for SQS stands in its extra service_config.",
        ) from None
