"""Where the state is, as Airflow's configuration and an operator's arguments say, and its opening.

One setting for all, so that operators and other readers see the same state: ``[cloudindex] state_conn_id`` (Postgres),
else ``state_path`` (SQLite), else ``$AIRFLOW_HOME/cloudindex/state.db``. An operator's own argument wins.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow.sdk.configuration import conf
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from cloudindex_provider.errors import SettingsError, StateError, StateUnavailableError
from cloudindex_provider.hooks.connections import ConnectionType, Unusable, find_connection
from cloudindex_provider.hooks.database_login import token_password
from cloudindex_provider.hooks.one_machine import refuse_several_machines, warn_of_passing_disk
from cloudindex_provider.state.db.address import Address
from cloudindex_provider.state.db.database import Database, has_state

__all__ = ["SECTION", "open_state", "preview_state", "resolve_state"]

log = logging.getLogger("cloudindex_provider.state")
SECTION = "cloudindex"


def resolve_state(*, state_url: str | None = None, state_conn_id: str | None = None) -> Address:
    """The address of the state's database: its URL, and the login by IAM where its connection asks for that.

    :raises SettingsError: when an argument or the connection can't be used
    :raises StateError: when it would be SQLite, and tasks may run on several machines
    """
    if state_url and state_conn_id:
        raise SettingsError("Both state_url and state_conn_id are given.", field="state_url", hint="Give one of them.")
    if state_url:
        address = Address(_given(state_url))
    elif conn_id := state_conn_id or conf.get(SECTION, "state_conn_id", fallback="") or "":
        address = _postgres(conn_id)
    else:
        address = Address(URL.create("sqlite", database=str(_default_path())))
    if address.url.get_backend_name() == "sqlite":
        refuse_several_machines()
    return address


def _given(state_url: str) -> URL:
    try:
        url = make_url(state_url)
    except (
        ArgumentError,
        ValueError,
    ):  # ValueError: its port is no number. The text stays untold: it may hold a secret
        url = None
    if url is None or url.get_backend_name() not in ("sqlite", "postgresql"):
        raise SettingsError(
            "state_url is no URL of a SQLite or Postgres database.",
            field="state_url",
            hint="Write sqlite:////path/state.db or postgresql://user@host/database.",
        )
    if url.password or any("password" in name.lower() for name in url.query):
        raise SettingsError(
            "state_url holds a password, which would show in the DAG's code and the UI.",
            field="state_url",
            hint="Put it into a connection and name that as state_conn_id.",
        )
    if url.get_backend_name() == "sqlite" and url.database:
        _check_absolute("state_url", Path(url.database))
    return url


def _default_path() -> Path:
    configured = conf.get(SECTION, "state_path", fallback="")
    if configured:
        return _check_absolute("[cloudindex] state_path", _expanded(configured))
    home = os.environ.get("AIRFLOW_HOME") or "~/airflow"  # Airflow's own default
    return _check_absolute("The state's default place below AIRFLOW_HOME", _expanded(home) / "cloudindex" / "state.db")


def _expanded(path: str) -> Path:
    """As Airflow reads its paths: what sets a variable may have expanded nothing."""
    return Path(os.path.expanduser(os.path.expandvars(path)))  # noqa: PTH111 - Path's raises where there is no such user


def _check_absolute(field: str, path: Path) -> Path:
    if not path.is_absolute() and str(path) != ":memory:":
        raise SettingsError(
            f"{field} is the relative path {str(path)!r}, which is another file in every working directory.",
            field=field,
            hint="Write the whole path: /path/state.db, as a URL with four slashes (sqlite:////path/state.db).",
        )
    return path


def _postgres(conn_id: str) -> Address:
    connection = find_connection(conn_id, _POSTGRES)
    if isinstance(connection, Unusable):
        if connection.may_pass:
            raise StateUnavailableError(connection.message, hint=connection.hint)
        raise SettingsError(
            connection.message,
            field="state_conn_id",
            hint=f"{connection.hint} Or leave state_conn_id out, for SQLite on one machine.",
        )
    query = {name: str(value) for name, value in connection.extra_dejson.items() if name in _LIBPQ_OPTIONS}
    url = URL.create(
        "postgresql+psycopg2",
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port,
        database=connection.schema or None,
        query=query,
    )
    password = token_password(connection)
    return Address(url) if password is None else Address.of_rds(url, password)


_POSTGRES = ConnectionType("postgres", "Postgres")
# All of libpq's but what a connection has fields for, names of other files of settings, and secrets: the state's name,
# which is shown, has them. Other extras are those of Airflow's own hook.
_LIBPQ_OPTIONS = {
    "sslmode", "sslnegotiation", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslsni", "sslcompression",
    "ssl_min_protocol_version", "ssl_max_protocol_version", "requirepeer", "require_auth", "channel_binding",
    "gssencmode", "gsslib", "gssdelegation", "krbsrvname", "hostaddr", "target_session_attrs", "load_balance_hosts",
    "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    "application_name", "fallback_application_name", "options",
}  # fmt: skip


def open_state(
    *,
    state_url: str | None = None,
    state_conn_id: str | None = None,
    must_exist: bool = False,
    read_only: bool = False,
    connect_timeout: int | None = None,
    lock_timeout: int | None = None,
) -> Database:
    """The state, for the caller to close.

    :param must_exist: refuse to begin a new one
    :param read_only: only look: nothing is begun, brought up to date or written
    :param connect_timeout: seconds to wait for a Postgres that doesn't answer, where its connection doesn't say
    :param lock_timeout: seconds for which a transaction waits for what somebody has locked in Postgres
    :raises StateError: when it can't be used, or there is none and none is to be begun; a damaged or newer state is
        never taken for an empty one
    """
    address = resolve_state(state_url=state_url, state_conn_id=state_conn_id)
    url = address.url
    if connect_timeout is not None and url.get_backend_name() == "postgresql":
        address = address.defaulting(connect_timeout=str(connect_timeout))
    if url.get_backend_name() == "sqlite" and not (must_exist or read_only):
        warn_of_passing_disk(Path(url.database or ""))
    try:
        return Database(address, must_exist=must_exist, read_only=read_only, lock_timeout=lock_timeout)
    except ModuleNotFoundError as error:
        raise StateError(
            f"The state is in a {url.get_backend_name()} database, and its driver {error.name} isn't installed.",
            hint="Install airflow-provider-cloudindex[postgres].",
        ) from None


@contextmanager
def preview_state(*, state_url: str | None = None, state_conn_id: str | None = None) -> Iterator[Database]:
    """The state for looking at what a run would do; where there is none, an empty one that goes at the end.

    :raises StateError: when it can't be used
    """
    address = resolve_state(state_url=state_url, state_conn_id=state_conn_id)
    url = address.url
    with ExitStack() as stack:
        if has_state(address):
            db = open_state(state_url=state_url, state_conn_id=state_conn_id, read_only=True)
        else:
            where = url.database if url.get_backend_name() == "sqlite" else url.render_as_string()
            log.warning("There is no state in %s, so what is shown is what a first run would do.", where)
            folder = stack.enter_context(TemporaryDirectory(prefix="cloudindex-preview-"))
            db = Database(f"sqlite:///{folder}/state.db")
        stack.callback(db.close)
        yield db
