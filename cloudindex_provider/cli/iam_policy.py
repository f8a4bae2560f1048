"""``airflow cloudindex iam-policy``: the least-privilege policy of AWS for each part. Asks AWS nothing."""

from __future__ import annotations

import json
from argparse import Namespace

from cloudindex_provider.cli.common import OK, command
from cloudindex_provider.cli.output import emit
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.s3.aws_policies import iam_policy

__all__ = ["policy"]


@command
def policy(args: Namespace) -> int:
    """The least-privilege policy of one part."""
    if args.part != "sync" and not args.queue_arn:
        raise SettingsError("No queue is named.", field="queue_arn", hint="Give --queue-arn.")
    found = iam_policy(args.part, bucket=args.bucket, prefix=args.prefix or "", queue_arn=args.queue_arn or "")
    emit(args, found, [], json.dumps(found, indent=2).splitlines())
    return OK
