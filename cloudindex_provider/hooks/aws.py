"""A boto3 client of any AWS service by an Airflow connection, and what people are told that connection is.

Builds clients, sends nothing. S3's own client has more to it: see ``s3``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk.exceptions import AirflowException
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
from botocore.session import get_session

from cloudindex_provider.errors import SettingsError, SourceUnavailableError
from cloudindex_provider.hooks.connections import check_aws_connection
from cloudindex_provider.s3.error_mapping import redacted

__all__ = ["aws_client", "aws_region", "connection_name"]


def connection_name(aws_conn_id: str | None) -> str:
    """The connection as a message names it."""
    return repr(aws_conn_id) if aws_conn_id else "none (boto3's own credentials)"


def aws_region(aws_conn_id: str | None) -> str | None:
    """The region that a connection names, or else boto3's own, also where the connection can't be had here."""
    with suppress(SettingsError, SourceUnavailableError):
        check_aws_connection(aws_conn_id)
        if region := AwsBaseHook(aws_conn_id=aws_conn_id).region_name:
            return str(region)
    region = get_session().get_config_variable("region")
    return str(region) if region else None


def aws_client(
    service: str,
    aws_conn_id: str | None,
    *,
    region_name: str | None = None,
    config: Config | None = None,
    always: Config | None = None,
) -> Any:
    """A client of ``service``, such as ``sqs``.

    :param config: defaults; what the connection's own ``config_kwargs`` say wins
    :param always: what wins over that
    :raises SettingsError: the connection isn't defined, is of another type, names no region where one is needed
        (``field`` is ``region_name`` then), or no client can be made of it
    :raises SourceUnavailableError: the connection can't be read for now
    """
    check_aws_connection(aws_conn_id)
    try:
        hook = AwsBaseHook(aws_conn_id=aws_conn_id, client_type=service, region_name=region_name)
        merged = (config or Config()).merge(hook.config).merge(always or Config())
        return hook.get_client_type(region_name=hook.region_name, config=merged)
    except NoRegionError:
        raise SettingsError(
            f"connection {connection_name(aws_conn_id)}: no client of {service} can be made of it: no region is named.",
            field="region_name",
            hint="Write region_name into the connection's extras.",
        ) from None
    except (AirflowException, BotoCoreError, ClientError, ValueError) as error:
        raise SettingsError(
            f"connection {connection_name(aws_conn_id)}: no client of {service} can be made of it:"
            f" {redacted(error).rstrip('.')}.",
            field="aws_conn_id",
            hint="Correct the connection; an endpoint for one service alone stands in its extra service_config.",
        ) from None
