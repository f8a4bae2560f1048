"""The Airflow connection of CloudIndex: what it may hold, the client made from it, and errors that name it.

Owns the reading and checking of the connection. The API key goes from the connection into the client and nowhere else:
it is in no setting, message, ``repr`` or serialised argument.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.connection import AUTH_SCHEMES, DEFAULT_AUTH_SCHEME, DEFAULT_BASE_URL, normalize_base_url
from cloudindex_provider.api.limits import DEFAULT_MAX_FILE_SIZE, DEFAULT_MAX_REQUEST_SIZE
from cloudindex_provider.api.network import Network
from cloudindex_provider.errors import (
    AuthenticationError,
    CloudIndexError,
    ConfigurationError,
    InvalidAnswerError,
    NotFoundError,
    PermissionDeniedError,
    TransportError,
)
from cloudindex_provider.hooks.connections import ConnectionType, Unusable, afind_connection, find_connection
from cloudindex_provider.hooks.extras import Extras
from cloudindex_provider.hooks.metrics import airflow_metrics
from cloudindex_provider.sync.metrics import RequestMetrics

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from cloudindex_provider.api.ratelimit import Pacer

__all__ = ["EXTRAS", "CloudIndexHook", "CloudIndexSettings"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CloudIndexSettings:
    """What a connection says, checked; the API key is deliberately not among it."""

    base_url: str
    project_id: str | None = None
    auth_scheme: str = DEFAULT_AUTH_SCHEME
    connect_timeout: float = 10.0  # seconds
    read_timeout: float = 120.0  # seconds
    max_file_size: int = DEFAULT_MAX_FILE_SIZE  # bytes
    max_request_size: int = DEFAULT_MAX_REQUEST_SIZE  # bytes, all files of a request together
    max_concurrency: int = 5  # requests under way at the same time, over all tasks of the connection together
    project_url: str | None = None  # where people look at a project; {project_id} stands for its id
    network: Network = field(default_factory=Network)  # certificates and proxy

    @classmethod
    def from_connection(cls, connection: Connection) -> CloudIndexSettings:
        """The checked settings of an Airflow connection.

        :raises ConfigurationError: naming the connection, the field, its value and what to write instead
        """
        conn_id = connection.conn_id
        try:
            base_url = normalize_base_url(connection.host, connection.schema, connection.port)
        except CloudIndexError as error:
            message = f"the host of connection {conn_id!r} is no usable base URL: {error}"
            raise ConfigurationError(message, hint=_HOST_HINT) from None
        extras = Extras.of(connection)
        given = {
            "project_id": extras.text("project_id"),
            "auth_scheme": extras.choice("auth_scheme", AUTH_SCHEMES),
            "connect_timeout": extras.seconds("connect_timeout"),
            "read_timeout": extras.seconds("read_timeout"),
            "max_file_size": extras.count("max_file_size"),
            "max_request_size": extras.count("max_request_size"),
            "max_concurrency": extras.count("max_concurrency"),
            "project_url": extras.web_address("project_url"),
            "network": (network := _network(extras)),
        }
        _warn(connection, extras, network)
        return cls(base_url, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # each value was checked by its reader above


# The names of the connection's extras.
EXTRAS = (
    *(item.name for item in fields(CloudIndexSettings) if item.name not in ("base_url", "network")),
    *("verify", "cert", "proxy", "trust_env"),
)


class CloudIndexHook(BaseHook):
    """Access to CloudIndex through an Airflow connection of type ``cloudindex``.

    Host is the base URL, password the API key; the extras are those of ``CloudIndexSettings``. Nothing is read
    before it is needed. Build the hook in ``execute``: an HTTP client doesn't survive the fork of a worker.

    :param cloudindex_conn_id: id of the connection
    :param project_id: the project; default: the connection's ``project_id``
    """

    conn_name_attr = "cloudindex_conn_id"
    default_conn_name = "cloudindex_default"
    conn_type = "cloudindex"
    hook_name = "CloudIndex"

    def __init__(self, cloudindex_conn_id: str = default_conn_name, project_id: str | None = None) -> None:
        super().__init__()
        self.cloudindex_conn_id = cloudindex_conn_id
        self._project_id = project_id
        self._connection: Connection | None = None
        self._in_loop = False
        self._settings: CloudIndexSettings | None = None
        self._client: CloudIndexClient | None = None

    @property
    def settings(self) -> CloudIndexSettings:
        """The connection's settings, checked.

        :raises ConfigurationError: a field of the connection is wrong
        """
        if self._settings is None:
            self._settings = CloudIndexSettings.from_connection(self._load())
        return self._settings

    @property
    def project_id(self) -> str:
        """The project: the hook's argument, else the connection's extra.

        :raises ConfigurationError: neither names one
        """
        project_id = self._project_id or self.settings.project_id
        if not project_id:
            message = f"no project: neither the task nor connection {self.cloudindex_conn_id!r} names one."
            raise ConfigurationError(message, hint="Set project_id on the task, or in the extras of the connection.")
        return project_id

    async def aload(self) -> None:
        """Read the connection without blocking the event loop; for triggers, before anything else.

        :raises TransportError: it can't be read just now
        :raises ConfigurationError: it is of another type
        """
        if self._connection is None:
            self._connection = _usable(await afind_connection(self.cloudindex_conn_id, _TYPE))
            self._in_loop = True

    async def arenew(self) -> bool:
        """Read the connection anew, and say whether its API key is another one now; for triggers, at a 401."""
        return self._take(await afind_connection(self.cloudindex_conn_id, _TYPE))

    def create_client(self, *, pacer: Pacer | None = None) -> CloudIndexClient:
        """A new client, for the caller to close.

        :param pacer: what spaces the requests; default: the client's own
        :raises ConfigurationError: the connection is wrong or has no API key
        """
        settings, connection = self.settings, self._load()
        api_key = _key(connection)
        if not api_key:
            message = f"connection {self.cloudindex_conn_id!r} has no API key."
            login = " Its login is not read; in a URI a colon precedes the key." if connection.login else ""
            raise ConfigurationError(
                message, hint=f"Put the API key of CloudIndex into the connection's password.{login}"
            )
        metrics = airflow_metrics(conn_id=self.cloudindex_conn_id)
        try:
            self._mask(settings)
            return CloudIndexClient(
                settings.base_url,
                api_key,
                project_id=self._project_id or settings.project_id,
                auth_scheme=settings.auth_scheme,
                new_key=self._new_key,
                network=settings.network,
                connect_timeout=settings.connect_timeout,
                read_timeout=settings.read_timeout,
                max_concurrency=settings.max_concurrency,
                pacer=pacer,
                observer=None if metrics is None else RequestMetrics(metrics),
            )
        except ConfigurationError as error:
            raise ConfigurationError(
                f"connection {self.cloudindex_conn_id!r}: {error.message}", hint=error.hint
            ) from None

    def get_conn(self) -> CloudIndexClient:
        """The hook's own client, made at the first call; ``close`` ends it."""
        if self._client is None:
            self._client = self.create_client()
        return self._client

    def close(self) -> None:
        """Close the hook's own client; a later ``get_conn`` makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @contextmanager
    def session(self, *, pacer: Pacer | None = None) -> Iterator[CloudIndexClient]:
        """The hook's client for a ``with`` block: closed at its end, and every error of it names the connection.

        :param pacer: what spaces the requests of a client that is made here
        """
        try:
            if self._client is None:
                self._client = self.create_client(pacer=pacer)
            yield self._client
        except CloudIndexError as error:
            named = self.name_error(error)
            if named is error:
                raise
            raise named from None  # the cause says the same without the connection's name
        finally:
            self.close()

    def name_error(self, error: CloudIndexError) -> CloudIndexError:
        """The same error, of the same type and with the same fields, whose message names this connection.

        One that was raised before the first request comes back as it is: what makes it names what has to change.
        """
        if self._connection is None or (isinstance(error, ConfigurationError) and not error.operation):
            return error
        problem, remedy = self._diagnose(error)
        return error.saying(f"connection {self.cloudindex_conn_id!r}: {problem}", hint=remedy)

    def describe_error(self, error: CloudIndexError) -> str:
        """One sentence for people: what is wrong, with which connection, and what to do."""
        named = self.name_error(error)
        facts = [str(named.status)] if named.status else []
        facts += [f"request {named.request_id}"] if named.request_id else []
        subject = named.message.removesuffix(".") + (f" ({', '.join(facts)})" if facts else "")
        remedy = named.hint[:1].lower() + named.hint[1:] if named.hint else ""
        sentence = "; ".join(part for part in (subject, remedy) if part)
        return sentence[:1].upper() + sentence[1:]

    def test_connection(self) -> tuple[bool, str]:
        """Ask CloudIndex once, for the connection form's Test button. Never raises for a wrong connection."""
        try:
            project_id = self.project_id
            self.get_conn().check(project_id=project_id)
        except CloudIndexError as error:
            # Airflow tests what stands in the form under an id made up for it, which would tell a person nothing.
            name = rf"\bconnection {re.escape(repr(self.cloudindex_conn_id))}"
            said = re.sub(name, "this connection", self.describe_error(error), flags=re.IGNORECASE)
            return False, said[:1].upper() + said[1:]
        finally:
            self.close()
        return True, f"CloudIndex at {self.settings.base_url} accepts the API key for project {project_id}."

    def _load(self) -> Connection:
        if self._connection is None:
            self._connection = _usable(find_connection(self.cloudindex_conn_id, _TYPE))
        return self._connection

    def _new_key(self) -> str | None:
        """The API key as the connection has it now, where it is another one than was refused."""
        if self._in_loop:  # a trigger's thread must not read connections; see ``arenew``
            return None
        return _key(self._load()) if self._take(find_connection(self.cloudindex_conn_id, _TYPE)) else None

    def _take(self, found: Connection | Unusable) -> bool:
        """Go on with the connection as it was read again, if it has another key for the same service."""
        if isinstance(found, Unusable) or _key(found) in ("", _key(self._load())):
            return False
        try:
            settings = CloudIndexSettings.from_connection(found)
        except ConfigurationError:
            return False
        if settings.base_url != self.settings.base_url:  # that key is nothing for this service
            return False
        self.log.info("The API key of connection %r has changed; going on with the new one.", self.cloudindex_conn_id)
        self._connection, self._settings = found, settings
        return True

    def _mask(self, settings: CloudIndexSettings) -> None:
        """Let Airflow's log hide the passwords that stand in extras and variables, which it doesn't know for such."""
        if not self._in_loop:  # it would block there
            for secret in settings.network.secrets(settings.base_url):
                mask_secret(secret)

    def _diagnose(self, error: CloudIndexError) -> tuple[str, str]:
        """What is wrong, and what to do about it."""
        base_url = self.settings.base_url
        project = self._project_id or self.settings.project_id
        if error.foreign and isinstance(error, _REFUSALS):
            return f"what answers at {base_url} is not the CloudIndex API. {error.message}", _HOST_HINT
        if isinstance(error, AuthenticationError):
            return (
                f"CloudIndex at {base_url} refused the API key.",
                "Put a valid key into the connection's password, or try the other auth_scheme"
                f" ({', '.join(AUTH_SCHEMES)}).",
            )
        if isinstance(error, PermissionDeniedError):
            return (
                f"the API key may not do this in project {project!r}.",
                "Use a key of this project, or ask for the permission.",
            )
        if isinstance(error, NotFoundError) and error.operation in _NEED_ONLY_A_PROJECT:
            return (
                f"CloudIndex at {base_url} does not know project {project!r}.",
                "Correct the project_id, and check that the host ends in the API's path.",
            )
        if isinstance(error, InvalidAnswerError):
            return f"what answers at {base_url} is not the CloudIndex API. {error.message}", _HOST_HINT
        return error.message, error.hint


_TYPE = ConnectionType(CloudIndexHook.conn_type, CloudIndexHook.hook_name)
_NEED_ONLY_A_PROJECT = ("list documents", "upload documents")  # operations whose 404 can mean nothing else
_REFUSALS = (AuthenticationError, PermissionDeniedError, NotFoundError)
_HOST_HINT = f"Set the connection's host to the base URL of the API, such as {DEFAULT_BASE_URL}."


def _usable(found: Connection | Unusable) -> Connection:
    if isinstance(found, Unusable):
        kind = TransportError if found.may_pass else ConfigurationError
        raise kind(found.message, hint=found.hint)
    return found


def _key(connection: Connection) -> str:
    return (connection.password or "").strip()


def _network(extras: Extras) -> Network:
    given = {
        "verify": extras.flag_or_path("verify"),
        "certificate": extras.certificate("cert"),
        "proxy": extras.url("proxy"),
        "trust_env": extras.flag("trust_env"),
    }
    return Network(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # each value was checked by its reader


_told: set[tuple[str, str]] = set()


def _warn(connection: Connection, extras: Extras, network: Network) -> None:
    """Say what is odd about a connection: a mistyped extra looks as if it were obeyed."""
    names = [f"extra {name}" for name in extras.unknown(EXTRAS)] + ["login"] * bool(connection.login)
    if names:
        known = ", ".join(EXTRAS)
        _tell_once(connection.conn_id, f"its {', '.join(names)} mean nothing here; the extras are {known}.")
    if network.verify is False:
        _tell_once(connection.conn_id, "its extra verify is false, so whoever answers is taken for CloudIndex.")


def _tell_once(conn_id: str, what: str) -> None:
    """Once in each process."""
    if (conn_id, what) not in _told:
        _told.add((conn_id, what))
        log.warning("Connection %r: %s", conn_id, what)
