"""What tasks that follow events have found and not settled, because their process died.

Nobody tells of a key a second time, so what was committed and not done is found again here. By the rows themselves, not
by which runs have no end: Airflow may start a task's next try while the last one still writes.
"""

from __future__ import annotations

import sqlalchemy as sa

from cloudindex_provider.state.conditions import WORK, KeyClass, Status
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Source

__all__ = ["abandoned_keys", "close_abandoned"]

_OF_TASK = "run.source_id = :source AND dag_id = :dag AND substr(task_id, 1, :length) = :prefix"
# What has failed, the next full run tries again.
_UNSETTLED = f"{WORK} AND status NOT IN ('{Status.FAILED}', '{Status.QUARANTINED}', '{Status.SKIPPED}')"
_UNDONE = (
    "SELECT object.key FROM object JOIN run ON run.id = object.queued_run WHERE object.source_id = :source"
    f" AND {_UNSETTLED} AND {_OF_TASK}"
)
# Removed ones; and others that a later run has found, too, which may be over by now.
_UNANSWERED = (
    "SELECT run_key.key FROM run_key JOIN run ON run.id = run_key.run_id JOIN object ON object.scope_id = :scope"
    " AND object.key = run_key.key AND object.source_id = :source"
    f" WHERE outcome IS NULL AND (class = '{KeyClass.REMOVED}' OR {_UNSETTLED}) AND {_OF_TASK}"
)
_REPLACED = "SELECT key FROM superseded WHERE source_id = :source"


def abandoned_keys(db: Database, source: Source, *, dag_id: str, task_prefix: str) -> list[str]:
    """The keys that runs of such a task have found, and that are neither indexed nor removed; and those of which a
    document is still to be deleted, whoever has replaced it. In key order; a living task's are among them."""
    values = _values(source, dag_id, task_prefix)
    with db.read() as connection:
        found = [connection.execute(sa.text(sql), values).scalars() for sql in (_UNDONE, _UNANSWERED, _REPLACED)]
        return sorted({key for keys in found for key in keys})


def close_abandoned(db: Database, source: Source, *, dag_id: str, task_prefix: str) -> None:
    """Note the end of such a task's runs that have none."""
    with db.write() as connection:
        connection.execute(
            sa.text(f"UPDATE run SET finished_at = :now WHERE finished_at IS NULL AND {_OF_TASK}"),
            {**_values(source, dag_id, task_prefix), "now": db.now(connection)},
        )


def _values(source: Source, dag_id: str, task_prefix: str) -> dict[str, object]:
    return {
        "source": source.id, "scope": source.scope_id, "dag": dag_id, "prefix": task_prefix,
        "length": len(task_prefix),
    }  # fmt: skip
