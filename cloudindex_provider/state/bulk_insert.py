"""New object rows by the thousand, by the fastest way that each driver has: COPY on Postgres, executemany on SQLite."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.records import Run

__all__ = ["COPY_FROM", "insert_listed"]

COPY_FROM = 500  # rows; below, COPY's savepoint costs more than it saves
_COLUMNS = ", ".join(("scope_id", *ListedObject._fields, "source_id", "queued_run", "status", "reason"))
_UNLESS_THERE = "ON CONFLICT (scope_id, key) DO NOTHING"
# COPY's text format: https://www.postgresql.org/docs/current/sql-copy.html
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def insert_listed(
    connection: Connection, run: Run, items: Sequence[ListedObject], *, status: str, reason: str | None = None
) -> int:
    """Add rows for keys that have none; gives how many were added. Keys that have a row by now keep it as it is."""
    if not items:
        return 0
    if connection.dialect.name == "sqlite":
        return connection.exec_driver_sql(
            f"INSERT INTO object ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) {_UNLESS_THERE}",
            [(run.source.scope_id, *item, run.source.id, run.id, status, reason) for item in items],
        ).rowcount
    if len(items) >= COPY_FROM:
        try:
            with connection.begin_nested():
                _copy(connection, run, items, status, reason)
            return len(items)
        except IntegrityError:
            pass  # somebody else has made a row of one of them meanwhile, and COPY skips none
    return _insert_arrays(connection, run, items, status, reason)


def _insert_arrays(
    connection: Connection, run: Run, items: Sequence[ListedObject], status: str, reason: str | None
) -> int:
    """One statement for all rows: psycopg2 would make a round trip of each, and count the last one's rows alone."""
    lists = {name: list(values) for name, values in zip(ListedObject._fields, zip(*items, strict=True), strict=True)}
    arrays = ", ".join(f"CAST(:{name} AS {'bigint' if name == 'size' else 'text'}[])" for name in lists)
    statement = sa.text(
        f"INSERT INTO object ({_COLUMNS})"
        f" SELECT :scope, {', '.join(lists)}, :source, :run, :status, CAST(:reason AS text)"
        f" FROM unnest({arrays}) AS listed ({', '.join(lists)}) {_UNLESS_THERE}"
    )
    fixed = {"scope": run.source.scope_id, "source": run.source.id, "run": run.id, "status": status, "reason": reason}
    return connection.execute(statement, {**lists, **fixed}).rowcount


def _copy(connection: Connection, run: Run, items: Sequence[ListedObject], status: str, reason: str | None) -> None:
    text = copy_text(items, run, status, reason)
    statement = f"COPY object ({_COLUMNS}) FROM STDIN"
    cursor = connection.connection.cursor()
    errors = connection.dialect.loaded_dbapi.Error
    try:
        if hasattr(cursor, "copy_expert"):  # psycopg2
            cursor.copy_expert(statement, io.StringIO(text))
        else:
            with cursor.copy(statement) as copy:
                copy.write(text)
    except errors as error:
        raise DBAPIError.instance(statement, None, error, errors, dialect=connection.dialect) from None
    finally:
        cursor.close()


def copy_text(items: Sequence[ListedObject], run: Run, status: str, reason: str | None) -> str:
    """The rows as lines of COPY's text format."""
    texts = "".join(["".join((item[0], item[1], item[4])) for item in items])
    rows: Sequence[tuple[Any, ...]] = items
    if any(sign in texts for sign in "\\\t\n\r"):
        rows = [
            (key.translate(_ESCAPES), etag.translate(_ESCAPES), size, modified, storage.translate(_ESCAPES))
            for key, etag, size, modified, storage in items
        ]
    head = run.source.scope_id
    tail = f"{run.source.id}\t{run.id}\t{status}\t{_null_or(reason)}"
    return "".join(
        [f"{head}\t{key}\t{etag}\t{size}\t{at}\t{storage}\t{tail}\n" for key, etag, size, at, storage in rows]
    )


def _null_or(value: str | None) -> str:
    return r"\N" if value is None else value.translate(_ESCAPES)
