"""The commands of ``airflow cloudindex``: names, arguments and help. Airflow imports it at every start of its CLI.

Imports nothing but Airflow's own CLI types; what a command does is loaded when it is called, and what its settings
mean when help is shown.
"""

from __future__ import annotations

from typing import Any

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand, Arg, GroupCommand, lazy_load_command
from lazy_object_proxy import Proxy

__all__ = ["get_cloudindex_cli_commands"]

_MODULES = "cloudindex_provider.cli"


def _arg(*flags: str, **options: Any) -> Arg:
    return Arg(flags, **options)  # type: ignore[no-untyped-call]  # Airflow's own class has no types


def _setting(name: str, *, flag: str = "", note: str = "", **options: Any) -> Arg:
    """A setting of a sync, by its declaration: its text is the help, and its value is read as a task reads it.

    The declaration is loaded when help is shown, or the command called.
    """
    text = Proxy(lambda: _setting_help(name, note))  # Airflow's own way for a help that is costly to make
    return _arg(flag or f"--{name.replace('_', '-')}", help=text, **options)


def _setting_help(name: str, note: str) -> str:
    from cloudindex_provider.sync.settings import SETTINGS, default_text

    default = default_text(name)
    notes = [note, "" if default == "required" else f"default: {default}"]
    text = SETTINGS[name].text.replace("``", "`")
    more = "; ".join(filter(None, notes))
    return f"{text[:1].upper()}{text[1:]}" + (f" ({more})" if more else "")


ARG_JSON_LINES = _arg(
    "--json-lines",
    help="A line of JSON for each key, and one with the summary, instead of --output",
    action="store_true",
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
ARG_EXCLUDED = _arg("--excluded", help="Documents of keys that the selection leaves out", action="store_true")
ARG_PRUNE_CEILING = _arg("--ceiling", help="How many documents may go, whatever the limits say", type=int)
ARG_IGNORE = _arg(
    "--ignore",
    help="A task that is no more, whose selection doesn't count (may be repeated)",
    nargs=2,
    metavar=("DAG_ID", "TASK_ID"),
    action="append",
)
ARG_CEILING = _arg("--ceiling", help="How many documents the next run may delete at most", type=int, required=True)
ARG_DAYS = _arg("--days", help="How long that holds (default: 7)", type=float, default=7.0)
ARG_REPAIR = _arg("--repair", help="Put the state right where it differs", action="store_true")
ARG_REPLACE = _arg("--replace", help="Replace the keys that the source has in the state", action="store_true")
ARG_STUCK_HOURS = _arg(
    "--stuck-hours", help="Hours after which processing is taken to be stuck (default: 24)", type=float, default=24.0
)

ARG_COPY_TO = _arg("--copy-to", help="Copy them into this folder, which is made where it isn't there", metavar="DIR")
ARG_OVERWRITE = _arg("--overwrite", help="Also over files that were changed there", action="store_true")

ARG_AWS_CONN_ID = _arg("--aws-conn-id", help="AWS connection (default: aws_default; '' for none)")
ARG_CLOUDINDEX_CONN_ID = _arg("--cloudindex-conn-id", help="CloudIndex connection (default: cloudindex_default)")
ARG_DAG_ID = _arg("-d", "--dag-id", help="Settings as a task of this DAG has them; other options win")
ARG_TASK_ID = _arg("-t", "--task-id", help="That task, or its group (default: the only sync of the DAG)")
ARG_CONF = _arg("-c", "--conf", help="JSON object of params that the task's templates ask for (default: the DAG's own)")
ARG_LOGICAL_DATE = _arg("--logical-date", help="Logical date that the task's templates ask for")

ARG_BUCKET = _arg("--bucket", help="The S3 bucket's name", required=True)
ARG_PREFIX = _arg("--prefix", help="Only keys that start with it")
ARG_SUFFIX = _arg("--suffix", help="Only keys that end with it")
ARG_TARGET = _arg(
    "--target", help="ARN of an SQS queue, an SNS topic or a Lambda function, or eventbridge", required=True
)
ARG_ANY_TARGET = _arg("--target", help="Only what was applied for this target (default: all that was applied)")
ARG_QUEUE_URL = _arg("--queue-url", help="URL of the SQS queue", required=True)
ARG_TEST_SECONDS = _arg("--seconds", help="How long to wait for it (default: 60)", type=float, default=60.0)
ARG_QUEUE_POLICY = _arg("--queue-policy", help="Also let S3 send to the queue, by its policy", action="store_true")
ARG_BUCKET_ACCOUNT = _arg("--bucket-account", help="Account of the bucket, for that policy")
ARG_PART = _arg(
    "--for", help="What runs by it", choices=("sync", "events", "notifications", "state"), required=True, dest="part"
)
ARG_POLICY_BUCKET = _arg("--bucket", help="The S3 bucket's name, or its access point's ARN (of all but state)")
ARG_DB_RESOURCE_ID = _arg(
    "--db-resource-id", help="Resource ID of the state's RDS instance (db-...), cluster or proxy (default: *, any)"
)
ARG_DB_ACCOUNT = _arg("--db-account", help="Account of the state's database (default: *, any)")
ARG_QUEUE_ARN = _arg("--queue-arn", help="ARN of the SQS queue")
ARG_KEY_ARN = _arg("--key-arn", help="ARN of the KMS key of your own that encrypts the bucket or the queue")

ARG_REQUEST_PAYER = _setting("request_payer", action="store_true", default=None)
_STATE = (ARG_STATE_CONN_ID, ARG_STATE_URL, ARG_OUTPUT)
_CONNECTIONS = (ARG_AWS_CONN_ID, ARG_CLOUDINDEX_CONN_ID)
_REPEATED = {"action": "append", "note": "may be repeated"}
_SYNC = (
    _setting("bucket", required=True),
    _setting("prefix"),
    _setting("project_id"),
    _setting("sync_id"),
    _setting("include", **_REPEATED),
    _setting("exclude", **_REPEATED),
    _setting("file_types", note="between commas"),
    _setting("max_file_size"),
    ARG_REQUEST_PAYER,
    *_CONNECTIONS,
    *_STATE,
)
# Every setting of a task but ``dry_run``: a test compares them. What isn't written here is one text.
_FORMS: dict[str, dict[str, Any]] = {
    "bucket": {"note": "required, unless a DAG is named"},
    "keys": {"flag": "--key", "dest": "keys", **_REPEATED},
    "include": _REPEATED,
    "exclude": _REPEATED,
    "file_types": {"note": "between commas"},
    "request_payer": {"action": "store_true", "default": None},
}
_SETTINGS = (
    "bucket", "prefix", "project_id", "sync_id", "keys", "include", "exclude", "file_types", "max_file_size",
    "max_request_size", "on_removed", "on_mass_delete", "max_delete_documents", "max_delete_percent",
    "max_delete_absolute", "max_failed_documents", "max_documents_per_run", "max_run_time", "processing_timeout",
    "stuck_after", "upload_tasks", "upload_order", "listing_ranges", "audit_interval", "request_payer",
    "wait_for_processing", "plan_hash",
)  # fmt: skip
_DAG = (ARG_DAG_ID, ARG_TASK_ID, ARG_CONF, ARG_LOGICAL_DATE)
_TASK = (*_DAG, *(_setting(name, **_FORMS.get(name, {})) for name in _SETTINGS), *_CONNECTIONS)
_PLAN = (*_TASK, ARG_JSON_LINES, *_STATE)


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


_NOTIFICATIONS = (
    _command(
        "check",
        "notifications.check",
        "Each link of the chain from a prefix to a queue, and what mends it",
        (ARG_BUCKET, ARG_PREFIX, ARG_QUEUE_URL, ARG_AWS_CONN_ID, ARG_OUTPUT),
        "Exit codes: 0 the chain is whole, 1 a link is broken, 2 an error.",
    ),
    _command(
        "test",
        "notifications.test",
        "Have S3 send its test message, and wait for it at a queue",
        (ARG_BUCKET, ARG_QUEUE_URL, ARG_TEST_SECONDS, ARG_AWS_CONN_ID, ARG_YES, ARG_OUTPUT),
        "With --yes it writes the bucket's notification as it is, upon which S3 tells every queue and topic in it. What"
        " else waits in the queue is looked at once, and comes again. Pause the consumer, which may take the message."
        " Exit codes: 0 it came, 1 it didn't, 2 an error.",
    ),
    _command(
        "apply",
        "notifications.apply",
        "Let a bucket tell a queue, topic, function or EventBridge of its changes; others' notifications stay",
        (
            ARG_BUCKET,
            ARG_PREFIX,
            ARG_SUFFIX,
            ARG_TARGET,
            ARG_QUEUE_POLICY,
            ARG_BUCKET_ACCOUNT,
            ARG_AWS_CONN_ID,
            ARG_YES,
            ARG_OUTPUT,
        ),
    ),
    _command(
        "remove",
        "notifications.remove",
        "Take back what apply has made",
        (ARG_BUCKET, ARG_PREFIX, ARG_SUFFIX, ARG_ANY_TARGET, ARG_AWS_CONN_ID, ARG_YES, ARG_OUTPUT),
    ),
)


def get_cloudindex_cli_commands() -> list[GroupCommand]:
    """What Airflow adds to its parser."""
    return [
        GroupCommand(
            name="cloudindex",
            help="Look after syncs from S3 to CloudIndex",
            description="Exit codes: 0 done; 1 findings of an audit, or another plan than that of --plan-hash;"
            " 2 an error; 130 stopped by Ctrl-C; 141 whoever reads the output has seen enough.",
            subcommands=(
                GroupCommand(name="sources", help="What the state knows of", subcommands=_SOURCES),
                GroupCommand(name="notifications", help="How S3's events get to a queue", subcommands=_NOTIFICATIONS),
                _command(
                    "iam-policy",
                    "iam_policy.policy",
                    "The least-privilege AWS policy for a sync, for following events, for notifications, or for a"
                    " state on Amazon RDS",
                    (
                        ARG_PART,
                        ARG_POLICY_BUCKET,
                        ARG_PREFIX,
                        ARG_QUEUE_ARN,
                        ARG_KEY_ARN,
                        ARG_AWS_CONN_ID,
                        ARG_DB_RESOURCE_ID,
                        ARG_DB_ACCOUNT,
                        *_STATE,
                    ),
                ),
                _command(
                    "retry",
                    "keys.retry",
                    "Let failed, quarantined or stuck keys be tried again by the next run",
                    (ARG_SOURCE, ARG_KEYS, ARG_ALL_QUARANTINED, ARG_ALL_FAILED, *_STATE),
                ),
                _command(
                    "dags", "dags.dags", "The DAGs that come with the package", (ARG_COPY_TO, ARG_OVERWRITE, ARG_OUTPUT)
                ),
                _command("history", "keys.history", "What happened to one key", (ARG_SOURCE, ARG_KEY, *_STATE)),
                _command("holds", "deletes.holds", "Deletes that wait for a person's word", (ARG_ANY_SOURCE, *_STATE)),
                _command(
                    "approve",
                    "deletes.approve",
                    "Let the next run of a source delete up to a number of documents",
                    (ARG_SOURCE, ARG_CEILING, ARG_DAYS, *_STATE),
                ),
                _command("plan", "plan.plan", "What a run would do, key by key; changes nothing", _PLAN),
                _command(
                    "prune",
                    "prune.prune",
                    "Delete the documents of keys that a later selection leaves out",
                    (ARG_EXCLUDED, *_TASK, ARG_PRUNE_CEILING, ARG_IGNORE, ARG_YES, ARG_JSON_LINES, *_STATE),
                    "Says first what would go, and deletes only with --yes, within the limits of removals or up to"
                    " --ceiling. What another task selects stays, or goes over to its source with its document.",
                ),
                _command(
                    "rebuild",
                    "repair.rebuild",
                    "Make a lost state again from S3 and CloudIndex",
                    (*_SYNC, ARG_REPLACE, ARG_YES),
                    "Compares each object with its document by SHA-256: S3's own, else by reading the object once."
                    " Says how much there is to read, and reads it only with --yes. Pause the DAG first.",
                ),
                _command("migrate", "sources.migrate", "Bring an older version's state up to date", _STATE),
                _command(
                    "audit",
                    "repair.audit",
                    "Compare state, S3 and CloudIndex",
                    (ARG_SOURCE, *_CONNECTIONS, ARG_REQUEST_PAYER, ARG_REPAIR, ARG_STUCK_HOURS, *_STATE),
                    "Exit codes: 0 everything agrees, 1 there are findings (also those that --repair put right),"
                    " 2 an error.",
                ),
            ),
        )
    ]
