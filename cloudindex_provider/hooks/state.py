"""Where the state is, as Airflow's configuration and an operator's arguments say. Builds URLs, opens nothing.

One setting for all, so that operators and other readers see the same state: ``[cloudindex] state_conn_id`` (Postgres),
else ``state_path`` (SQLite), else ``$AIRFLOW_HOME/cloudindex/state.db``. An operator's own argument wins.
"""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from cloudindex_provider.errors import SettingsError, StateError
from cloudindex_provider.hooks.one_machine import refuse_several_machines, warn_of_passing_disk
from cloudindex_provider.state.db.database import Database

__all__ = ["SECTION", "open_state", "resolve_state_url"]

SECTION = "cloudindex"


def resolve_state_url(*, state_url: str | None = None, state_conn_id: str | None = None) -> URL:
    """The SQLAlchemy URL of the state's database.

    :raises SettingsError: when an argument can't be used
    :raises StateError: when it would be SQLite, and tasks may run on several machines
    """
    if state_url and state_conn_id:
        raise SettingsError("Both state_url and state_conn_id are given.", field="state_url", hint="Give one of them.")
    if state_url:
        url = _given(state_url)
    elif conn_id := state_conn_id or conf.get(SECTION, "state_conn_id", fallback="") or "":
        url = _postgres(conn_id)
    else:
        url = URL.create("sqlite", database=str(_default_path()))
    if url.get_backend_name() == "sqlite":
        refuse_several_machines()
    return url


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
        return _check_absolute("[cloudindex] state_path", Path(configured).expanduser())
    home = os.environ.get("AIRFLOW_HOME") or "~/airflow"  # Airflow's own default
    return Path(home).expanduser() / "cloudindex" / "state.db"


def _check_absolute(field: str, path: Path) -> Path:
    if not path.is_absolute() and str(path) != ":memory:":
        raise SettingsError(
            f"{field} is the relative path {str(path)!r}, which is another file in every working directory.",
            field=field,
            hint="Write the whole path: /path/state.db, as a URL with four slashes (sqlite:////path/state.db).",
        )
    return path


def _postgres(conn_id: str) -> URL:
    connection = BaseHook.get_connection(conn_id)
    if connection.conn_type not in ("postgres", "postgresql"):
        raise SettingsError(
            f"connection {conn_id!r} is of type {connection.conn_type!r}; the state needs a Postgres connection.",
            field="state_conn_id",
            hint="Use a connection of type postgres, or leave it out for SQLite on one machine.",
        )
    query = {name: str(value) for name, value in connection.extra_dejson.items() if name in _LIBPQ_OPTIONS}
    return URL.create(
        "postgresql+psycopg2",
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port,
        database=connection.schema or None,
        query=query,
    )


_LIBPQ_OPTIONS = {"sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name", "options"}


def open_state(*, state_url: str | None = None, state_conn_id: str | None = None, must_exist: bool = False) -> Database:
    """The state, for the caller to close.

    :param must_exist: refuse to begin a new one, for callers that only look at what is there
    :raises StateError: when it can't be used; a damaged or newer state is never taken for an empty one
    """
    url = resolve_state_url(state_url=state_url, state_conn_id=state_conn_id)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        (_check_existing if must_exist else warn_of_passing_disk)(path)
    try:
        return Database(url)
    except ModuleNotFoundError as error:
        raise StateError(
            f"The state is in a {url.get_backend_name()} database, and its driver {error.name} isn't installed.",
            hint="Install airflow-provider-cloudindex[postgres].",
        ) from None


def _check_existing(path: Path) -> None:
    if not path.exists():
        raise StateError(
            f"There is no state in {path}.",
            hint="Run a sync first, or say where its state is: [cloudindex] state_path or state_conn_id.",
        )
    if not path.stat().st_size:
        raise StateError(
            f"The state in {path} is an empty file, so it is lost.",
            hint="Restore a backup of it, or run a sync, which finds by itself what CloudIndex has already.",
        )
