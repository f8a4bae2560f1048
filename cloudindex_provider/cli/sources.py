"""``airflow cloudindex sources``: list, forget, adopt; and ``migrate``, which is about all of them."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from cloudindex_provider.cli.common import OK, command, state
from cloudindex_provider.cli.output import emit
from cloudindex_provider.state import rebuilt, sources
from cloudindex_provider.state.db.migrations import SCHEMA_VERSION
from cloudindex_provider.state.sources import SourceInfo
from cloudindex_provider.sync.repair.telling import when
from cloudindex_provider.words import count

__all__ = ["adopt", "forget", "list_sources", "migrate"]


@command
def list_sources(args: Namespace) -> int:
    """Every source of the state."""
    with state(args) as db:
        found = sources.list_sources(db)
    emit(
        args,
        [{**_facts(one), "statuses": one.statuses} for one in found],
        [{**_facts(one), "keys": _statuses(one)} for one in found],
        [] if found else ["The state has no source."],
    )
    return OK


def _facts(info: SourceInfo) -> dict[str, Any]:
    source = info.source
    return {
        "id": source.id,
        "project_id": source.project_id,
        "bucket": source.bucket,
        "prefix": source.prefix,
        "sync_id": source.sync_id,
        "documents": info.live,
        "last_sweep": when(info.last_sweep_at),
    }


def _statuses(info: SourceInfo) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in sorted(info.statuses.items())) or "none"


@command
def forget(args: Namespace) -> int:
    """Drop a source from the state."""
    with state(args, writes=args.yes) as db:
        source = sources.get_source(db, args.source)
        keys = sources.forget(db, source) if args.yes else rebuilt.count_rows(db, source)
    where = f"source {source.id}, s3://{source.bucket}/{source.prefix}"
    lines = [
        f"Forgot {where}: {count(keys, 'key')}. Its documents stay in CloudIndex, and no sync looks after them now."
    ]
    if not args.yes:
        lines = [
            f"This drops {where}: {count(keys, 'key')}. Its documents stay in CloudIndex.",
            "Nothing was changed. Use --yes to do it.",
        ]
    emit(args, {"source": source.id, "keys": keys, "forgotten": args.yes}, lines=lines)
    return OK


@command
def adopt(args: Namespace) -> int:
    """Hand keys over from one source to another."""
    with state(args, writes=True) as db:
        to, giver = sources.get_source(db, args.source), sources.get_source(db, args.giver)
        done = sources.adopt(db, to, giver)
    emit(
        args,
        {
            "source": to.id, "from": giver.id, "keys": done.keys, "documents": done.documents,
            "superseded": done.superseded,
        },
        lines=[
            f"Source {to.id} has taken over {count(done.keys, 'key')} from source {giver.id}, with"
            f" {count(done.documents, 'document')} and {done.superseded:,} superseded.",
        ],
    )  # fmt: skip
    return OK


@command
def migrate(args: Namespace) -> int:
    """Bring a state that an older version has written up to date, as a sync does by itself."""
    with state(args, writes=True) as db:
        name = db.name
    emit(args, {"state": name, "schema": SCHEMA_VERSION}, lines=[f"The state in {name} has schema {SCHEMA_VERSION}."])
    return OK
