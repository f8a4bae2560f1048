"""The S3 side of a session: one boto3 client from an Airflow connection, and S3's errors with that connection's name.

Builds clients, sends nothing itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore.config import Config
from botocore.exceptions import ClientError

from cloudindex_provider.errors import AccessDeniedError, S3IntegrationError, SettingsError
from cloudindex_provider.hooks.aws import connection_name
from cloudindex_provider.hooks.connections import check_aws_connection
from cloudindex_provider.s3.error_mapping import redacted, s3_errors

__all__ = ["made_client", "named_s3_errors", "s3_client"]

# What the connection's own config_kwargs say wins. The readers of several upload loops share one client; a host that
# drops packets is known after 10 seconds, not after botocore's 60; and S3Source is the one that tries again.
_DEFAULTS = Config(max_pool_connections=50, connect_timeout=10, retries={"total_max_attempts": 1})

_REDIRECTS = (301, 302, 303, 307, 308)


def s3_client(aws_conn_id: str | None, bucket: str) -> Any:
    """A boto3 client as the connection says, made at its first use: botocore takes 0.1 CPU-seconds to make one, and
    most tasks of a run never ask S3. Its first use raises, beside what S3 does:

    :raises SettingsError: when the connection isn't defined, or is of another type, or no client can be made of it
    :raises S3IntegrationError: when there are no credentials, or the role that they lead to is refused
    """
    return _LazyClient(aws_conn_id, bucket)


def made_client(client: Any) -> Any:
    """The client behind one of ``s3_client``, if it was used; asking for it makes none and logs in nowhere."""
    return client._made if isinstance(client, _LazyClient) else client


class _LazyClient:
    """Stands for a boto3 client; safe to use from several threads, as that is."""

    def __init__(self, aws_conn_id: str | None, bucket: str) -> None:
        self._arguments = (aws_conn_id, bucket)
        self._lock = threading.Lock()
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _make_client(*self._arguments)
        return getattr(self._made, name)


def _make_client(aws_conn_id: str | None, bucket: str) -> Any:
    check_aws_connection(aws_conn_id)
    try:
        with s3_errors("the login", bucket):
            try:
                hook = S3Hook(aws_conn_id=aws_conn_id)
                made = hook.get_client_type(region_name=hook.region_name, config=_DEFAULTS.merge(hook.config))
                made.meta.events.register("response-received.s3.*", _refuse_redirect, unique_id="cloudindex-redirects")
                return made
            except ClientError as error:
                raise _refused_login(error) from None
    except ValueError as error:  # botocore's word for an endpoint that is no URL
        raise SettingsError(
            f"AWS connection {connection_name(aws_conn_id)}: no S3 client can be made of it: {str(error).rstrip('.')}.",
            field="aws_conn_id",
            hint="Correct the connection's extras, such as endpoint_url (http://host:port).",
        ) from None


def _refuse_redirect(
    response_dict: Mapping[str, Any] | None = None, parsed_response: Mapping[str, Any] | None = None, **_: Any
) -> None:
    """Stop at a redirect that isn't S3's own. botocore would ask for the bucket's region, be redirected again, and on
    until Python's stack is full: 81 requests.

    :raises S3IntegrationError: naming where the endpoint leads to
    """
    if response_dict is None or response_dict.get("status_code") not in _REDIRECTS:
        return
    headers = response_dict.get("headers") or {}
    code = str(((parsed_response or {}).get("Error") or {}).get("Code", ""))
    if "x-amz-bucket-region" in headers or code.endswith("Redirect"):
        return
    target = urlsplit(str(headers.get("location", "")))
    to = redacted(f"{target.scheme}://{target.hostname}") if target.hostname else "elsewhere"
    raise S3IntegrationError(
        f"The endpoint redirects to {to} ({response_dict['status_code']}).",
        code="EndpointRedirects",
        details={"setup": True, "status": response_dict["status_code"]},
        hint="Set endpoint_url in the AWS connection to where S3 itself answers: https:// or http://, host and port.",
    )


def _refused_login(error: ClientError) -> AccessDeniedError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    return AccessDeniedError(
        f"AWS refuses {error.operation_name} ({code}).",
        code=code,
        hint="Check the connection's credentials, its role_arn, and that the role trusts this identity.",
    )


@contextmanager
def named_s3_errors(aws_conn_id: str | None) -> Iterator[None]:
    """Let every S3 error of the block name the connection; type and fields stay."""
    try:
        yield
    except S3IntegrationError as error:
        raise error.saying(f"AWS connection {connection_name(aws_conn_id)}: {error.message}") from None
