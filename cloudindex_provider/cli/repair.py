"""``airflow cloudindex rebuild`` and ``audit``: putting the state right by what S3 and CloudIndex have."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from cloudindex_provider.cli.common import FINDINGS, OK, command, preview, state, user
from cloudindex_provider.cli.output import emit, is_for_people, out, say
from cloudindex_provider.cli.session import command_session, command_settings
from cloudindex_provider.state import sources
from cloudindex_provider.sync.repair import audit as auditing
from cloudindex_provider.sync.repair import rebuild as rebuilding
from cloudindex_provider.sync.repair.index_copy import index_copy
from cloudindex_provider.sync.repair.telling import audit_line, rebuilt_lines, survey_lines

__all__ = ["audit", "rebuild"]


@command
def rebuild(args: Namespace) -> int:
    """Make the state again."""
    with (
        state(args, begins=True) if args.yes else preview(args) as db,
        command_session(args, db, lambda hook: command_settings(args, hook, dry_run=not args.yes)) as ctx,
        index_copy() as copy,
    ):
        rebuilding.check_source(ctx, replace=args.replace)
        found = rebuilding.survey(ctx, copy)
        facts: dict[str, Any] = {
            "source": ctx.source.id or None,
            "survey": {**asdict(found), "seconds": round(found.seconds)},
        }
        if is_for_people(args):
            for line in survey_lines(found, ctx.settings):
                say(line)
            out().flush()
        if args.yes:
            done = rebuilding.rebuild(ctx, copy, replace=args.replace)
            facts["rebuilt"] = asdict(done)
            emit(args, facts, lines=rebuilt_lines(done))
        else:
            emit(args, facts, lines=["Nothing was read or changed. Pause the DAG, then use --yes to do it."])
    return OK


@command
def audit(args: Namespace) -> int:
    """Compare state, S3 and CloudIndex."""
    stuck_hours = auditing.check_hours(args.stuck_hours)
    with state(args, writes=args.repair) as db:
        source = sources.get_source(db, args.source)
        settings = auditing.audit_settings(source, request_payer=bool(args.request_payer), dry_run=not args.repair)
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
        [audit_line(done)],
    )  # fmt: skip
    return OK if done.is_clean else FINDINGS
