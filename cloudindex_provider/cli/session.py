"""A command's session with S3, CloudIndex and the state, and its settings, as a task of the sync would have them."""

from __future__ import annotations

import uuid
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cloudindex_provider.cli.common import user
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.session import connection_settings, sync_session
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync.arguments import is_unset
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.settings import SETTINGS, SyncSettings

__all__ = ["aws_conn_id", "command_session", "command_settings"]


def aws_conn_id(args: Namespace) -> str | None:
    """The AWS connection that a command was told; ``''`` on the command line is none."""
    return "aws_default" if args.aws_conn_id is None else args.aws_conn_id or None


@contextmanager
def command_session(
    args: Namespace, db: Database, settings_of: Callable[[CloudIndexHook], SyncSettings]
) -> Iterator[SyncContext]:
    project_id = getattr(args, "project_id", None) or getattr(args, "of_dag", {}).get("project_id")
    conn_id = args.cloudindex_conn_id or CloudIndexHook.default_conn_name
    hook = CloudIndexHook(conn_id, project_id=None if is_unset(project_id) else project_id)
    run = f"cli__{uuid.uuid4()}"
    with sync_session(
        settings_of(hook),
        db,
        hook=hook,
        aws_conn_id=aws_conn_id(args),
        name=RunName(*_task(args, run)),
        owner=Owner(f"{user()}|{run}", 1),
    ) as ctx:
        yield ctx


def command_settings(args: Namespace, hook: CloudIndexHook, *, dry_run: bool) -> SyncSettings:
    """The settings of a sync as its task would have them; what the command wasn't told is the DAG's, or the default."""
    given = {name: value for name in SETTINGS if (value := getattr(args, name, None)) is not None}
    return connection_settings({**getattr(args, "of_dag", {}), **given, "dry_run": dry_run}, hook)


def _task(args: Namespace, run: str) -> tuple[str, str, str]:
    """The run's name: of the task that the command speaks for, whose last selection its own is compared with."""
    if scope := getattr(args, "scope", ""):
        return args.dag_id, run, scope
    return "", run, "airflow cloudindex"
