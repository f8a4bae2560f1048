"""The login to a Postgres on Amazon RDS or Aurora by IAM: who logs in where, and the token that is the password.

A token is good for 15 minutes, and for new connections alone, so each gets its own. Making one is signing: nobody is
asked, unless the credentials themselves must be got. Keeps no token, and lets none into a message or a log.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from cloudindex_provider.errors import SettingsError, StateError, StateUnavailableError
from cloudindex_provider.s3.error_mapping import missing_credentials, redacted
from cloudindex_provider.s3.place import partition_of

__all__ = ["DatabaseLogin", "TokenPassword"]

_PORT = 5432
# China's have the two words the other way round, older ones as everywhere.
_ENDPOINT = re.compile(r"\.(?:([a-z0-9-]+)\.rds|rds\.([a-z0-9-]+))\.amazonaws\.(?:com|com\.cn|eu)$")


@dataclass(frozen=True, slots=True)
class DatabaseLogin:
    """A user of a database at an endpoint of RDS: an instance's, a cluster's or a proxy's."""

    host: str
    port: int
    user: str

    @classmethod
    def read(cls, place: str, *, host: str | None, port: int | None, user: str | None, has_password: bool) -> Self:
        """The login that a connection or URL means.

        :param place: its name in messages
        :raises SettingsError: when a token can't be made for it
        """
        if has_password:
            raise SettingsError(
                f"{place} logs in by IAM and has a password, too.",
                field="password",
                hint="Take the password out: every connection gets a token in its place. Or turn IAM off there.",
            )
        if not user:
            raise SettingsError(
                f"{place} logs in by IAM and names no user.",
                field="login",
                hint="Name the user of the database that was granted rds_iam.",
            )
        if not host or "," in host:
            raise SettingsError(
                f"{place} logs in by IAM and names no single host.",
                field="host",
                hint="Name the endpoint of the RDS instance, the Aurora cluster or the RDS Proxy.",
            )
        # RDS knows its endpoint in this spelling alone; of other ones, DNS knows them and the token would be refused.
        return cls(host.lower().removesuffix("."), port or _PORT, user)

    @property
    def region(self) -> str | None:
        """The region that RDS's own endpoint names; ``None`` of any other host."""
        found = _ENDPOINT.search(self.host)
        return found and (found[1] or found[2])


@dataclass(frozen=True, slots=True)
class TokenPassword:
    """Gives a token for each new connection. Safe to ask from several threads.

    :param client: gives a boto3 client of ``rds``, whose region counts where the host names none
    """

    login: DatabaseLogin
    client: Callable[[], Any]

    def __call__(self) -> str:
        """A new token.

        :raises StateError: when there are no credentials to sign it with
        """
        login, client = self.login, self.client()
        try:
            with _signing():
                token = client.generate_db_auth_token(login.host, login.port, login.user, Region=self.region)
        except (BotoCoreError, ClientError, OSError) as error:
            raise _unsigned(error, login) from None
        return str(token)

    @property
    def region(self) -> str:
        """Where the database is."""
        return self.login.region or str(self.client().meta.region_name)

    @property
    def partition(self) -> str:
        """Of that region, as ARNs begin with it."""
        return partition_of(self.region)


def _unsigned(error: Exception, login: DatabaseLogin) -> StateError:
    what = f"the login to the state's database at {login.host}"
    if remedy := missing_credentials(error):
        return StateError(f"There are no AWS credentials for {what} ({type(error).__name__}).", hint=remedy)
    if isinstance(error, ClientError) and error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) == 403:
        code = redacted(error.response.get("Error", {}).get("Code", ""))
        return StateError(
            f"AWS refuses {error.operation_name} for {what} ({code}).",
            hint="Check the AWS connection's credentials, its role_arn, and that the role trusts this identity.",
        )
    return StateUnavailableError(
        f"AWS credentials for {what} can't be had now ({type(error).__name__}: {redacted(error).rstrip('. :')}).",
        hint="It is tried again; if it lasts, check what gives the worker its AWS credentials.",
    )


class _Unsaid(logging.Filter):
    """Holds back what botocore logs of a signature as DEBUG: put together, it is the token."""

    def __init__(self) -> None:
        super().__init__()
        self.of = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(self.of, "signing", False)


_UNSAID = _Unsaid()


@contextmanager
def _signing() -> Iterator[None]:
    logging.getLogger("botocore.auth").addFilter(_UNSAID)  # once: it is the same
    _UNSAID.of.signing = True
    try:
        yield
    finally:
        _UNSAID.of.signing = False
