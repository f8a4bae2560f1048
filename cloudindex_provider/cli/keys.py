"""``airflow cloudindex retry`` and ``history``: single keys."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from cloudindex_provider.cli.common import OK, command, state, user
from cloudindex_provider.cli.output import emit
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.state import repairs, sources
from cloudindex_provider.state.history import Event, key_history
from cloudindex_provider.sync.repair.telling import when
from cloudindex_provider.words import count, verb

__all__ = ["history", "retry"]


@command
def retry(args: Namespace) -> int:
    """Release failed, quarantined or stuck keys."""
    with state(args, writes=True) as db:
        source = sources.get_source(db, args.source)
        number = repairs.release(
            db,
            source,
            user(),
            keys=args.keys or (),
            all_quarantined=args.all_quarantined,
            all_failed=args.all_failed,
        )
    lines = [f"{count(number, 'key')} of source {source.id} {verb(number)} tried again by its next run."]
    emit(args, {"source": source.id, "released": number}, lines=lines)
    return OK


@command
def history(args: Namespace) -> int:
    """What happened to one key."""
    with state(args) as db:
        source = sources.get_source(db, args.source)
        row, events = key_history(db, source, args.key)
    if row is None and not events:
        raise SettingsError(f"Source {source.id} knows nothing of the key {args.key!r}.", field="key")
    now = None if row is None else {**row, "next_attempt_at": when(row["next_attempt_at"])}
    shown = [_shown(event) for event in events]
    lines = ["Now: " + ("not in the state" if row is None else _now(row))]
    emit(args, {"source": source.id, "key": args.key, "now": now, "events": shown}, shown, lines)
    return OK


def _shown(event: Event) -> dict[str, Any]:
    return {
        "at": when(event.at), "event": event.event, "reason": event.reason, "dag_id": event.dag_id or None,
        "run_id": event.run_id,
    }  # fmt: skip


def _now(row: dict[str, Any]) -> str:
    reason = f" ({row['reason']})" if row["reason"] else ""
    return f"{row['status']}{reason}, document {row['document_id'] or 'none'}, ETag {row['etag']}"
