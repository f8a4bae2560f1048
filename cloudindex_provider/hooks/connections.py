"""Finds an Airflow connection, or says in one sentence why there is none to be had.

Airflow takes a secrets backend that could not be asked for one that has no such connection. Here the two are told
apart: what isn't defined would be missing at every try, an outage passes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from cloudindex_provider.errors import SettingsError, SourceUnavailableError

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = ["ConnectionType", "Unusable", "afind_connection", "check_aws_connection", "find_connection"]


@dataclass(frozen=True, slots=True)
class ConnectionType:
    """A connection type by its own name and by the one that people read in the form."""

    name: str
    shown: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a connection can't be used, and what to do; ``may_pass``: a later try may find it."""

    message: str
    hint: str
    may_pass: bool = False


def find_connection(conn_id: str, kind: ConnectionType) -> Connection | Unusable:
    """The connection of this id, if it is of this type."""
    try:
        return _of_type(BaseHook.get_connection(conn_id), conn_id, kind)
    except AirflowNotFoundException:
        unasked = _unasked_backend(conn_id)
        return _unread(conn_id, unasked) if unasked else _undefined(conn_id, kind)
    except (AirflowException, PermissionError) as error:
        return _refused(conn_id, error)


async def afind_connection(conn_id: str, kind: ConnectionType) -> Connection | Unusable:
    """The same for an event loop. The task that deferred had the connection, so it may be there again."""
    try:
        return _of_type(await BaseHook.aget_connection(conn_id), conn_id, kind)
    except AirflowNotFoundException:
        return _unread(conn_id, "whoever had it when the task deferred")
    except (AirflowException, PermissionError) as error:
        return _refused(conn_id, error)


def check_aws_connection(aws_conn_id: str | None) -> None:
    """Stop where the connection can't be had: the amazon hooks would go on with whatever credentials the machine has.

    :raises SettingsError: it isn't defined, or is of another type
    :raises SourceUnavailableError: it can't be read for now
    """
    found = find_connection(aws_conn_id, _AWS) if aws_conn_id else None
    if not isinstance(found, Unusable):
        return
    if found.may_pass:
        raise SourceUnavailableError(found.message, code="ConnectionUnread", details={"setup": True}, hint=found.hint)
    hint = f"{found.hint} Or give aws_conn_id=None for boto3's own credentials, such as a role of the machine."
    raise SettingsError(found.message, field="aws_conn_id", hint=hint)


_AWS = ConnectionType("aws", "Amazon Web Services")


def _of_type(connection: Connection, conn_id: str, kind: ConnectionType) -> Connection | Unusable:
    if connection.conn_type in (None, "", "generic", kind.name):
        return connection
    return Unusable(
        f"connection {conn_id!r} is of type {connection.conn_type!r}, not {kind.name!r}.",
        hint=f"Make it one of type {kind.shown}, or name another connection.",
    )


def _undefined(conn_id: str, kind: ConnectionType) -> Unusable:
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    if os.environ.get(variable):
        return Unusable(
            f"connection {conn_id!r}: the environment variable {variable} is neither a connection's URI nor its JSON.",
            hint=f"Write {kind.name}://... with every part percent-encoded, or a JSON object.",
        )
    return Unusable(f"connection {conn_id!r} is not defined.", hint=f"Add it with the type {kind.shown}.")


def _unread(conn_id: str, unasked: str) -> Unusable:
    return Unusable(
        f"connection {conn_id!r} can't be read: {unasked} can't be asked for it.",
        hint="It is tried again; if it lasts, look at Airflow's API server and secrets backend.",
        may_pass=True,
    )


def _refused(conn_id: str, error: Exception) -> Unusable:
    if isinstance(error, PermissionError):
        return Unusable(
            f"connection {conn_id!r} may not be read by this task.", hint="Ask whoever runs Airflow to allow it."
        )
    return _unread(conn_id, f"Airflow ({type(error).__name__})")  # its text may repeat the connection


def _unasked_backend(conn_id: str) -> str | None:
    """The first backend that fails when it is asked again for what Airflow did not find."""
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        name = type(backend).__name__
        if name == "EnvironmentVariablesBackend":  # can always be asked; it fails at what can't be read
            continue
        try:
            if name == "ExecutionAPISecretsBackend":
                _ask_api_server(conn_id)
            else:
                backend.get_connection(conn_id=conn_id)
        except Exception:  # noqa: BLE001 - a backend raises what it likes; its text may hold secrets
            return name
    return None


def _ask_api_server(conn_id: str) -> None:
    """Raises where the API server gives no answer; its backend would say "not found" then."""
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection

    answer = task_runner.SUPERVISOR_COMMS.send(GetConnection(conn_id=conn_id))
    if isinstance(answer, ErrorResponse) and answer.error != ErrorType.CONNECTION_NOT_FOUND:
        raise RuntimeError(str(answer.error))
