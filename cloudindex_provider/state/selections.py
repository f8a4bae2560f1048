"""By which selection each task judged its last complete listing of a source.

Several tasks may mirror parts of one prefix, each with a selection of its own, and none of them has changed because of
the others. A run that is repeated compares with what was before it, as its first try did.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Run, RunName, Source

__all__ = ["Judge", "judges", "read_selection", "write_selection"]

_WRITE = (
    "INSERT INTO selection (source_id, dag_id, task_id, run_id, fingerprint, before, rules)"
    " VALUES (:source, :dag, :task, :run, :fingerprint, :before, :rules)"
    " ON CONFLICT (source_id, dag_id, task_id) DO UPDATE SET fingerprint = excluded.fingerprint,"
    " before = CASE WHEN selection.run_id = excluded.run_id THEN selection.before ELSE selection.fingerprint END,"
    " run_id = excluded.run_id, rules = excluded.rules"
)


@dataclass(frozen=True, slots=True)
class Judge:
    """A task that mirrors a source, with the selection of its last complete listing."""

    source_id: int
    prefix: str
    dag_id: str  # "" and the next: nothing is known but that the source was listed
    task_id: str
    fingerprint: str
    rules: str | None  # the selection as JSON; not known of the runs of older versions


def read_selection(db: Database, source: Source, name: RunName) -> str | None:
    """The fingerprint that this run's selection is compared with: of the task's last run or, before its first, of the
    source's last one; ``None`` where there was none."""
    with db.read() as connection:
        statement = sa.text(
            "SELECT CASE WHEN run_id = :run THEN before ELSE fingerprint END FROM selection"
            " WHERE source_id = :source AND dag_id = :dag AND task_id = :task"
        )
        row = connection.execute(statement, _values(source, name)).one_or_none()
    return source.fingerprint if row is None else row[0]


def write_selection(connection: Connection, run: Run, fingerprint: str, rules: str | None = None) -> None:
    """Remember by what the run has judged."""
    values = {**_values(run.source, run.name), "fingerprint": fingerprint, "before": run.source.fingerprint}
    connection.execute(sa.text(_WRITE), {**values, "rules": rules})


def judges(db: Database, source: Source) -> list[Judge]:
    """Every task that has listed a source of the same project and bucket, this one and others.

    A source that only an older version has listed has one without a name.
    """
    with db.read() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT source.id, prefix, coalesce(dag_id, ''), coalesce(task_id, ''),"
                " coalesce(selection.fingerprint, source.fingerprint), rules FROM source"
                " LEFT JOIN selection ON selection.source_id = source.id"
                " WHERE scope_id = :scope AND coalesce(selection.fingerprint, source.fingerprint) IS NOT NULL"
                " ORDER BY source.id, dag_id, task_id"
            ),
            {"scope": source.scope_id},
        )
        return [Judge(*row) for row in rows]


def _values(source: Source, name: RunName) -> dict[str, object]:
    return {"source": source.id, "dag": name.dag_id, "task": name.task_id, "run": name.run_id}
