"""``airflow cloudindex rebuild`` and ``audit``: putting the state right by what S3 and CloudIndex have."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from cloudindex_provider.cli.common import FINDINGS, OK, command, emit, out, say, state, user
from cloudindex_provider.cli.session import command_session, command_settings
from cloudindex_provider.state import sources
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.repair import audit as auditing
from cloudindex_provider.sync.repair import rebuild as rebuilding
from cloudindex_provider.sync.repair.index_copy import index_copy

__all__ = ["audit", "rebuild"]


# plan


# rebuild


@command
def rebuild(args: Namespace) -> int:
    """Make the state again."""
    with (
        state(args, must_exist=False) as db,
        command_session(args, db, lambda hook: command_settings(args, hook, dry_run=not args.yes)) as ctx,
        index_copy() as copy,
    ):
        rebuilding.check_source(ctx, replace=args.replace)
        found = rebuilding.survey(ctx, copy)
        facts: dict[str, Any] = {
            "source": ctx.source.id or None,
            "survey": {**asdict(found), "seconds": round(found.seconds)},
        }
        if args.output != "json":
            for line in _survey_lines(ctx, found):
                say(line)
            out().flush()
        if args.yes:
            done = rebuilding.rebuild(ctx, copy, replace=args.replace)
            facts["rebuilt"] = asdict(done)
            emit(args, facts, lines=_rebuilt_lines(done))
        else:
            emit(args, facts, lines=["Nothing was read or changed. Pause the DAG, then use --yes to do it."])
    return OK


def _survey_lines(ctx: SyncContext, found: rebuilding.Survey) -> list[str]:
    where = f"s3://{ctx.settings.bucket}/{ctx.settings.prefix}"
    lines = [
        f"{where}: {found.listed:,} keys, of which {found.keys:,} are selected and have documents;"
        f" CloudIndex has {found.documents:,} documents.",
        f"To read: {found.keys:,} keys, {found.bytes:,} bytes at most, about {_duration(found.seconds)}."
        " Objects with a SHA-256 of S3's own aren't read.",
    ]
    if found.orphans:
        names = ", ".join(found.orphan_names)
        lines.append(
            f"{found.orphans:,} documents are named like ours, but not after a listed key; not touched: {names}"
        )
    return lines


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(1, round(seconds)), 60)
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes >= 60
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )


def _rebuilt_lines(done: rebuilding.Rebuild) -> list[str]:
    lines = [
        f"Made again: {done.indexed:,} indexed, {done.processing:,} processing, {done.pending:,} to upload,"
        f" {done.skipped:,} not selected; {done.copies:,} copies will be removed,"
        f" {done.dropped:,} old rows are dropped.",
        *([f"{done.kept:,} keys that weren't found keep their documents: the next sync decides."] if done.kept else []),
        f"Read {done.bytes_read:,} bytes; S3's own SHA-256 was enough for {done.checksums:,} keys.",
    ]
    if done.unreadable:
        first = "; ".join(f"{row['key']}: {row['reason']}" for row in done.unreadable_keys[:3])
        lines.append(f"{done.unreadable:,} keys couldn't be read and count as changed: {first}")
    return lines


# audit


@command
def audit(args: Namespace) -> int:
    """Compare state, S3 and CloudIndex."""
    stuck_hours = auditing.check_hours(args.stuck_hours)
    with state(args) as db:
        source = sources.get_source(db, args.source)
        settings = auditing.audit_settings(source, request_payer=bool(args.request_payer))
        args.project_id = source.project_id
        with command_session(args, db, lambda _: settings) as ctx:
            done = auditing.audit(ctx, repair=args.repair, user=user(), stuck_hours=stuck_hours)
    emit(
        args,
        {"source": source.id, "clean": done.is_clean, "repair": args.repair, **asdict(done)},
        [
            {
                "finding": kind, "number": done.found[kind],
                **({"repaired": done.repaired.get(kind, 0)} if args.repair else {}),
                "meaning": meaning, "first": ", ".join(done.examples[kind][:3]),
            }
            for kind, meaning in auditing.KINDS.items()
        ],
        [f"Compared {done.rows:,} rows, {done.listed:,} keys in S3 and {done.documents:,} documents."],
    )  # fmt: skip
    return OK if done.is_clean else FINDINGS
