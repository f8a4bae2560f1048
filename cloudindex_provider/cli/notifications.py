"""``airflow cloudindex notifications``: how S3's events get to a queue."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from cloudindex_provider.cli.common import FINDINGS, OK, command
from cloudindex_provider.cli.output import emit
from cloudindex_provider.cli.session import aws_conn_id
from cloudindex_provider.hooks.notifications import BucketNotifications, Change, target_of
from cloudindex_provider.s3.event_chain import BROKEN
from cloudindex_provider.s3.event_chain import OK as LINK_OK

__all__ = ["apply", "check", "remove", "test"]


@command
def check(args: Namespace) -> int:
    """Each link of the chain from a prefix to a queue."""
    links = _bucket(args).links(prefix=args.prefix or "", queue_url=args.queue_url)
    rows = [{"link": one.name, "state": one.state, "seen": one.seen, "remedy": one.remedy} for one in links]
    emit(args, rows, rows, [])
    return FINDINGS if any(one.state == BROKEN for one in links) else OK


@command
def test(args: Namespace) -> int:
    """S3's own test message, from the bucket to a queue and out of it."""
    hearers, link = _bucket(args).test(args.queue_url, seconds=args.seconds, write=args.yes)
    shown: dict[str, Any] = {"heard_by": hearers, "state": None, "seen": "", "remedy": ""}
    lines = [f"S3 tells {', '.join(hearers) or 'nobody'} of a test."]
    if link is None:
        lines.append("Nothing was sent. Use --yes to have it sent, by writing the bucket's notification as it is.")
    else:
        shown |= {"state": link.state, "seen": link.seen, "remedy": link.remedy}
        lines += [f"{link.state}: {link.seen}.", *([link.remedy] if link.remedy else [])]
    emit(args, shown, [], lines)
    return FINDINGS if link is not None and link.state != LINK_OK else OK


@command
def apply(args: Namespace) -> int:
    """Let the bucket tell a target."""
    target = target_of(args.target, prefix=args.prefix or "", suffix=args.suffix or "")
    change = _bucket(args).apply(target, queue_policy=args.queue_policy, account=args.bucket_account, write=args.yes)
    return _say(change, args)


@command
def remove(args: Namespace) -> int:
    """Take back what ``apply`` has made."""
    target = target_of(args.target, prefix=args.prefix or "", suffix=args.suffix or "") if args.target else None
    return _say(_bucket(args).remove(target, write=args.yes), args)


def _bucket(args: Namespace) -> BucketNotifications:
    return BucketNotifications(args.bucket, aws_conn_id(args))


def _say(change: Change, args: Namespace) -> int:
    """What was written, or would be: AWS's own documents."""
    shown: dict[str, Any] = {"changes": change.is_one, "written": change.is_one and bool(args.yes)}
    shown["notification"] = change.after
    if change.policy != change.policy_before:
        shown["queue_policy"] = json.loads(change.policy or "{}")
    lines = ["Nothing is to be changed."]
    if change.is_one:
        documents = (name for name in ("notification", "queue_policy") if name in shown)
        lines = [line for name in documents for line in (f"{name}:", *json.dumps(shown[name], indent=2).splitlines())]
        lines.append("This was written." if args.yes else "Nothing was changed. Use --yes to write it.")
    emit(args, shown, [], lines)
    return OK
