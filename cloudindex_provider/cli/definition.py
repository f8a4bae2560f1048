"""The commands of ``airflow cloudindex``: names, arguments and help. Airflow imports it at every start of its CLI.

Imports nothing but Airflow's own CLI types; what a command does is loaded when it is called.
"""

from __future__ import annotations

from typing import Any

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

__all__ = ["get_cloudindex_cli_commands"]

_MODULES = "cloudindex_provider.cli"


def _arg(*flags: str, **options: Any) -> Arg:
    return Arg(flags, **options)  # type: ignore[no-untyped-call]  # Airflow's own class has no types


ARG_OUTPUT = _arg(
    "-o",
    "--output",
    help="Output format: table or json (default: table)",
    metavar="(table, json)",
    choices=("table", "json"),
    default="table",
)
ARG_YES = _arg("-y", "--yes", help="Do it; without this nothing is changed", action="store_true")
ARG_STATE_CONN_ID = _arg(
    "--state-conn-id", help="Postgres connection of the state (default: as Airflow's configuration says)"
)
ARG_STATE_URL = _arg("--state-url", help="Database URL of the state, without a password, where tasks have one")
ARG_SOURCE = _arg("--source", help="Number of the source, see `sources list`", type=int, required=True)
ARG_ANY_SOURCE = _arg("--source", help="Only this source, see `sources list`", type=int)
ARG_FROM = _arg("--from", help="Number of the source that gives keys away", type=int, required=True, dest="giver")
ARG_KEYS = _arg("--key", help="A whole S3 key; may be repeated", action="append", dest="keys")
ARG_KEY = _arg("--key", help="A whole S3 key", required=True)
ARG_ALL_QUARANTINED = _arg("--all-quarantined", help="Every quarantined key", action="store_true")
ARG_ALL_FAILED = _arg("--all-failed", help="Every failed key", action="store_true")
ARG_CEILING = _arg("--ceiling", help="How many documents the next run may delete at most", type=int, required=True)
ARG_DAYS = _arg("--days", help="How long that holds (default: 7)", type=float, default=7.0)
ARG_REPAIR = _arg("--repair", help="Put the state right where it differs", action="store_true")
ARG_REPLACE = _arg("--replace", help="Replace the keys that the source has in the state", action="store_true")
ARG_STUCK_HOURS = _arg(
    "--stuck-hours", help="Hours after which processing is taken to be stuck (default: 24)", type=float, default=24.0
)

ARG_BUCKET = _arg("--bucket", help="Name of the S3 bucket", required=True)
ARG_PREFIX = _arg("--prefix", help="Only keys that start with it", default="")
ARG_PROJECT_ID = _arg("--project-id", help="CloudIndex project (default: the connection's)")
ARG_SYNC_ID = _arg("--sync-id", help="The sync_id of the task, where it has one", default="")
ARG_AWS_CONN_ID = _arg(
    "--aws-conn-id", help="AWS connection (default: aws_default; '' for none)", default="aws_default"
)
ARG_CLOUDINDEX_CONN_ID = _arg(
    "--cloudindex-conn-id", help="CloudIndex connection (default: cloudindex_default)", default="cloudindex_default"
)
ARG_INCLUDE = _arg("--include", help="Glob of whole keys; may be repeated", action="append")
ARG_EXCLUDE = _arg("--exclude", help="Glob of whole keys; may be repeated", action="append")
ARG_FILE_TYPES = _arg("--file-types", help="Extensions between commas; * for any")
ARG_MAX_FILE_SIZE = _arg("--max-file-size", help="Bytes (default: the connection's)", type=int)

_STATE = (ARG_STATE_CONN_ID, ARG_STATE_URL, ARG_OUTPUT)
_CONNECTIONS = (ARG_AWS_CONN_ID, ARG_CLOUDINDEX_CONN_ID)
_SYNC = (
    ARG_BUCKET, ARG_PREFIX, ARG_PROJECT_ID, ARG_SYNC_ID, *_CONNECTIONS, ARG_INCLUDE, ARG_EXCLUDE, ARG_FILE_TYPES,
    ARG_MAX_FILE_SIZE, *_STATE,
)  # fmt: skip


def _command(name: str, function: str, text: str, args: tuple[Arg, ...], description: str = "") -> ActionCommand:
    func = lazy_load_command(f"{_MODULES}.{function}")
    return ActionCommand(name=name, help=text, func=func, args=args, description=description or None)


_SOURCES = (
    _command("list", "sources.list_sources", "Every source of the state, with its numbers", _STATE),
    _command(
        "forget",
        "sources.forget",
        "Drop a source from the state; its documents in CloudIndex stay",
        (ARG_SOURCE, ARG_YES, *_STATE),
    ),
    _command(
        "adopt",
        "sources.adopt",
        "Hand the keys under a source's prefix over to it from another source of the same project and bucket",
        (ARG_SOURCE, ARG_FROM, *_STATE),
    ),
)


def get_cloudindex_cli_commands() -> list[GroupCommand]:
    """What Airflow adds to its parser."""
    return [
        GroupCommand(
            name="cloudindex",
            help="Look after syncs from S3 to CloudIndex",
            description="Exit codes: 0 done, 1 findings of an audit, 2 an error.",
            subcommands=(
                GroupCommand(name="sources", help="What the state knows of", subcommands=_SOURCES),
                _command(
                    "retry",
                    "keys.retry",
                    "Let failed or quarantined keys be tried again by the next run",
                    (ARG_SOURCE, ARG_KEYS, ARG_ALL_QUARANTINED, ARG_ALL_FAILED, *_STATE),
                ),
                _command("history", "keys.history", "What happened to one key", (ARG_SOURCE, ARG_KEY, *_STATE)),
                _command("holds", "deletes.holds", "Deletes that wait for a person's word", (ARG_ANY_SOURCE, *_STATE)),
                _command(
                    "approve",
                    "deletes.approve",
                    "Let the next run of a source delete up to a number of documents",
                    (ARG_SOURCE, ARG_CEILING, ARG_DAYS, *_STATE),
                ),
                _command("plan", "plan.plan", "What a run would do, key by key; changes nothing", _SYNC),
                _command(
                    "rebuild",
                    "repair.rebuild",
                    "Make a lost state again from S3 and CloudIndex",
                    (*_SYNC, ARG_REPLACE, ARG_YES),
                    "Compares each object with its document by SHA-256: S3's own, else by reading the object once."
                    " Says how much there is to read, and reads it only with --yes. Pause the DAG first.",
                ),
                _command(
                    "audit",
                    "repair.audit",
                    "Compare state, S3 and CloudIndex",
                    (ARG_SOURCE, *_CONNECTIONS, ARG_REPAIR, ARG_STUCK_HOURS, *_STATE),
                    "Exit codes: 0 everything agrees, 1 there are findings (also those that --repair put right),"
                    " 2 an error.",
                ),
            ),
        )
    ]
