"""The login to the state's Postgres by IAM, as the extras of its connection say; Airflow's own ``PostgresHook`` reads
the same ones. Makes the client at its first use, and sends nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.hooks.aws import aws_client
from cloudindex_provider.hooks.extras import Extras
from cloudindex_provider.s3.database_login import DatabaseLogin, TokenPassword

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = ["token_password"]

_DEFAULT_AWS_CONN_ID = "aws_default"  # as of PostgresHook
_ELSEWHERE = ("redshift", "redshift-serverless", "azure_conn_id")
# RDS takes this signature alone; connections that serve S3, too, often say another one.
_SIGNATURE = Config(signature_version="v4")


def token_password(connection: Connection) -> TokenPassword | None:
    """What gives each new connection its token; ``None`` where the extra ``iam`` doesn't ask for that.

    :raises SettingsError: when no token can be made for it
    :raises ConfigurationError: when the extras, or one of these, can't be read
    """
    extras = Extras.of(connection)  # not extra_dejson, of which broken JSON is no extras: a login without iam and TLS
    if not extras.flag("iam"):
        return None
    name = f"connection {connection.conn_id!r}"
    for other in _ELSEWHERE:
        if extras.values.get(other):
            raise SettingsError(
                f"{name} has the extras iam and {other}, and that is no Postgres of Amazon RDS or Aurora.",
                field="state_conn_id",
                hint="Keep the state in one of those, or in any Postgres with a password.",
            )
    login = DatabaseLogin.read(
        name,
        host=connection.host,
        port=connection.port,
        user=connection.login,
        has_password=bool(connection.password),
    )
    # None, or nothing, is boto3's own credentials, as everywhere.
    aws_conn_id = extras.text("aws_conn_id") if "aws_conn_id" in extras.values else _DEFAULT_AWS_CONN_ID
    return TokenPassword(login, _LazyClient(login, aws_conn_id))


@dataclass(slots=True)
class _LazyClient:
    """Gives the same client each time: its credentials renew themselves."""

    login: DatabaseLogin
    aws_conn_id: str | None
    _made: Any = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Any:
        try:
            return aws_client("rds", self.aws_conn_id, region_name=self.login.region, always=_SIGNATURE)
        except SettingsError as error:
            if error.field != "region_name":
                raise
            raise SettingsError(
                f"The region of the state's database isn't known: its host {self.login.host} is no endpoint of RDS.",
                field="region_name",
                hint="Write RDS's own endpoint as the host, because AWS takes a token for no other name of it; or else"
                " region_name into the extras of the AWS connection.",
            ) from None
