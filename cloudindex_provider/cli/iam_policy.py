"""``airflow cloudindex iam-policy``: the least-privilege policy of AWS for each part. Asks AWS nothing."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from cloudindex_provider.cli.common import OK, command
from cloudindex_provider.cli.output import emit, say
from cloudindex_provider.cli.session import aws_conn_id
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.hooks.aws import aws_region
from cloudindex_provider.hooks.state import resolve_state
from cloudindex_provider.s3.aws_policies import iam_policy, state_policy
from cloudindex_provider.s3.database_login import TokenPassword
from cloudindex_provider.s3.place import is_access_point, partition_of

__all__ = ["policy"]

_ANY = "*"
_ALIASES = ("-s3alias", "--ol-s3")  # ends of what AWS takes for a bucket's name in requests
_RESOURCE_ID = re.compile(r"\*|(?:db|cluster|prx)-[A-Za-z0-9]+")
_ACCOUNT = re.compile(r"\*|[0-9]{12}")


@command
def policy(args: Namespace) -> int:
    """The policy, and beside the output what would narrow it."""
    if args.part == "state":
        found, notes = _of_state(args), list(_notes(args))
    else:
        found, notes = _of_bucket(args), list(_bucket_notes(args))
    emit(args, found, [], json.dumps(found, indent=2).splitlines())
    for note in notes:
        say(note, aside=True)
    return OK


def _of_bucket(args: Namespace) -> dict[str, Any]:
    _check_bucket(args.part, args.bucket)
    if args.part != "sync" and not args.queue_arn:
        raise SettingsError("No queue is named.", field="queue_arn", hint="Give --queue-arn.")
    _check_arn("--queue-arn", args.queue_arn, "sqs")
    _check_arn("--key-arn", args.key_arn, "kms")
    return iam_policy(
        args.part,
        bucket=args.bucket,
        prefix=args.prefix or "",
        queue_arn=args.queue_arn or "",
        key_arn=args.key_arn or "",
        partition=partition_of(aws_region(aws_conn_id(args))),
    )


def _check_bucket(part: str, bucket: str | None) -> None:
    if not bucket:
        raise SettingsError("No bucket is named.", field="bucket", hint="Give --bucket.")
    if part == "notifications" and is_access_point(bucket):
        raise SettingsError(
            f"--bucket is the access point {bucket!r}, which has no notifications.",
            field="bucket",
            hint="Give the name of the bucket behind it.",
        )
    if bucket.endswith(_ALIASES):
        raise SettingsError(
            f"--bucket is {bucket!r}, the alias of an access point, which means nothing in a policy.",
            field="bucket",
            hint="Give the ARN of the access point: arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME.",
        )
    if bucket.startswith("arn:") and ":accesspoint/" not in bucket:
        raise SettingsError(
            f"--bucket is {bucket!r}, which is no ARN of an access point.",
            field="bucket",
            hint="Give a bucket by its name.",
        )


def _check_arn(option: str, arn: str | None, service: str) -> None:
    parts = (arn or "").split(":")
    is_alias = service == "kms" and not parts[-1].startswith("key/")
    if arn and (len(parts) < 6 or parts[0] != "arn" or parts[2] != service or is_alias):
        raise SettingsError(
            f"{option} is {arn!r}, which is no ARN of {service}.",
            field=option.removeprefix("--").replace("-", "_"),
            hint=f"Give arn:aws:{service}:REGION:ACCOUNT:...; of a key :key/..., because an alias means nothing there.",
        )


def _bucket_notes(args: Namespace) -> Iterator[str]:
    if not args.key_arn:
        encrypted = "bucket" if args.part == "sync" else "queue"
        yield f"Where a KMS key of your own encrypts the {encrypted}, --key-arn adds the right to use it."
    if args.part == "notifications":
        yield (
            "The statements of sns and events are for `notifications check` alone, where S3's events come by a topic or"
            " a rule: leave out what the bucket doesn't use."
        )
    if args.bucket.startswith("arn:") and args.part == "sync":
        yield "The policy of the bucket must let its access point do the same."


def _of_state(args: Namespace) -> dict[str, Any]:
    password = _token_password(args)
    return state_policy(
        partition=password.partition,
        region=password.region,
        account=_account(args.db_account or _ANY),
        resource_id=_resource_id(args.db_resource_id or _ANY),
        user=password.login.user,
    )


def _resource_id(text: str) -> str:
    if _RESOURCE_ID.fullmatch(text):
        return text
    raise SettingsError(
        f"--db-resource-id is {text!r}, which is no resource ID of RDS.",
        field="db_resource_id",
        hint="Give the id that never changes, not the name: db-..., cluster-... or prx-....",
    )


def _account(text: str) -> str:
    if _ACCOUNT.fullmatch(text):
        return text
    raise SettingsError(
        f"--db-account is {text!r}, which is no account of AWS.", field="db_account", hint="Give its 12 digits."
    )


def _token_password(args: Namespace) -> TokenPassword:
    address = resolve_state(state_url=args.state_url, state_conn_id=args.state_conn_id)
    if isinstance(address.password, TokenPassword):
        return address.password
    if address.url.get_backend_name() == "sqlite":
        raise SettingsError(
            f"The state is the file {address.url.database}, so it needs no right of AWS's.",
            field="state_conn_id",
            hint="Name a state in Postgres by --state-conn-id, or in [cloudindex], where it isn't that file.",
        )
    raise SettingsError(
        f"The state in {address.url.render_as_string()} is logged in to without IAM, so it needs no right of AWS's.",
        field="state_conn_id",
        hint="Its user needs GRANT CREATE, USAGE ON SCHEMA public in that database; or, to use IAM, GRANT rds_iam, and"
        ' "iam": true in the extras of the connection in the place of its password.',
    )


def _notes(args: Namespace) -> Iterator[str]:
    """How to find out what no connection says."""
    if args.db_resource_id in (None, _ANY):
        yield (
            "The policy is for every database there. --db-resource-id narrows it to one: DbiResourceId (db-...) in"
            " `aws rds describe-db-instances`, of Aurora DbClusterResourceId (cluster-...) in"
            " `aws rds describe-db-clusters`, of an RDS Proxy the end of DBProxyArn (prx-...) in"
            " `aws rds describe-db-proxies`."
        )
    if args.db_account in (None, _ANY):
        yield "--db-account narrows it to the database's account."
