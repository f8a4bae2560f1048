"""A command's session with S3, CloudIndex and the state, and its settings, as a task of the sync would have them."""

from __future__ import annotations

import uuid
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cloudindex_provider.cli.common import user
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.session import sync_session
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.settings import Selection, SyncSettings

__all__ = ["command_session", "command_settings"]


@contextmanager
def command_session(
    args: Namespace, db: Database, settings_of: Callable[[CloudIndexHook], SyncSettings]
) -> Iterator[SyncContext]:
    hook = CloudIndexHook(args.cloudindex_conn_id, project_id=getattr(args, "project_id", None) or None)
    run = f"cli__{uuid.uuid4()}"
    with sync_session(
        settings_of(hook),
        db,
        hook=hook,
        aws_conn_id=args.aws_conn_id or None,
        name=RunName("", run, "airflow cloudindex"),
        owner=Owner(f"{user()}|{run}", 1),
    ) as ctx:
        yield ctx


def command_settings(args: Namespace, hook: CloudIndexHook, **more: Any) -> SyncSettings:
    """The settings of a sync as its task would have them."""
    selection = Selection(
        include=arguments.strings("include", args.include),
        exclude=arguments.strings("exclude", args.exclude),
        file_types=arguments.file_types(args.file_types),
        max_file_size=hook.settings.max_file_size if args.max_file_size is None else args.max_file_size,
    )
    return SyncSettings(
        project_id=hook.project_id,
        bucket=args.bucket,
        prefix=args.prefix,
        sync_id=args.sync_id,
        selection=selection,
        **more,
    ).validate()
