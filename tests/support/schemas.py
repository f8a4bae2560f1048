"""Databases described, dumped and made again from dumps, so that two schemas can be compared line by line."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tests.support.postgres import find_binaries

__all__ = ["describe", "dump", "load"]


def describe(url: sa.URL) -> set[str]:
    """A line for each column, constraint and index that is there, with all that they are made of.

    The order of columns is left out: a migration can only append, and nothing in the package goes by it.
    """
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            describing = _sqlite if url.get_backend_name() == "sqlite" else _postgresql
            return set(describing(connection))
    finally:
        engine.dispose()


def _sqlite(connection: Connection) -> Iterator[str]:
    objects = _rows(connection, "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    for kind, name, _, _ in objects:
        yield f"{kind} {name}"
    conditions = {name: sql.partition(" WHERE ")[2] for kind, name, _, sql in objects if kind == "index"}
    for _, table, _, _, without_rowid, strict in _rows(connection, "PRAGMA table_list"):
        if not table.startswith("sqlite_"):
            yield f"table {table}: without rowid {without_rowid}, strict {strict}"
            yield from _sqlite_table(connection, table, conditions)


def _sqlite_table(connection: Connection, table: str, conditions: dict[str, str]) -> Iterator[str]:
    columns = _rows(connection, f"PRAGMA table_xinfo({table})")
    # An index takes over its columns' collations, and SQLite tells an index's alone.
    names = ", ".join(f'"{column[1]}"' for column in columns)
    connection.exec_driver_sql(f"CREATE INDEX of_all ON {table} ({names})")
    collations = {row[2]: row[4] for row in _rows(connection, "PRAGMA index_xinfo(of_all)")}
    connection.exec_driver_sql("DROP INDEX of_all")
    for _, name, kind, not_null, default, key, hidden in columns:
        more = f"not null {not_null}, default {default}, collation {collations[name]}, hidden {hidden}"
        yield f"column {table}.{name}: {kind}, {more}, place in the primary key {key}"
    for _, name, unique, origin, partial in _rows(connection, f"PRAGMA index_list({table})"):
        parts = [row[2:5] for row in _rows(connection, f"PRAGMA index_xinfo({name})") if row[5]]
        known = name if origin == "c" else {"u": "unique constraint", "pk": "primary key"}[origin]
        where = f", where {conditions[name]}" if partial else ""
        yield f"index {known} of {table}: unique {unique}, (column, descending, collation) {parts}{where}"
    for row in _rows(connection, f"PRAGMA foreign_key_list({table})"):
        yield f"foreign key of {table}: {row[2:]}"


_POSTGRES = """
SELECT format('relation %s: kind %s, persistence %s, options %s', relname, relkind, relpersistence, reloptions)
FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT format('column %s.%s: %s, not null %s, default %s, collation %s, identity "%s", generated "%s"',
    attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid), collname,
    attidentity, attgenerated)
FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid LEFT JOIN pg_collation ON pg_collation.oid = attcollation
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT format('constraint %s of %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT format('index %s: %s', indexname, indexdef) FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT format('sequence %s of %s.%s: %s from %s by %s, %s to %s, cycle %s', seqrelid::regclass, attrelid::regclass,
    attname, seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcycle)
FROM pg_sequence JOIN pg_depend ON objid = seqrelid AND deptype = 'a'
JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
UNION ALL
SELECT format('trigger %s of %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal
"""


def _postgresql(connection: Connection) -> Iterator[str]:
    for (line,) in _rows(connection, _POSTGRES):
        yield line


def _rows(connection: Connection, sql: str) -> list[Any]:
    result = connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
    return [tuple(row) for row in result]


def dump(url: sa.URL) -> str:
    """SQL that makes the database again, rows and all."""
    if url.get_backend_name() == "sqlite":
        connection = sqlite3.connect(str(url.database))
        try:
            return "\n".join(connection.iterdump()) + "\n"
        finally:
            connection.close()
    binaries = find_binaries()
    assert binaries is not None
    where = ["-h", str(url.query["host"]), "-p", str(url.query["port"]), "-U", str(url.username), str(url.database)]
    options = ["--inserts", "--column-inserts", "--no-owner", "--no-privileges"]
    done = subprocess.run([binaries / "pg_dump", *options, *where], capture_output=True, check=True, timeout=60)
    # Without the lines that only some versions of the server know, or only psql.
    noise = re.compile(r"^(--|SET |SELECT pg_catalog.set_config|\\(un)?restrict ).*\n", re.MULTILINE)
    return re.sub(r"\n{2,}", "\n", noise.sub("", done.stdout.decode())).lstrip()


def load(url: sa.URL, sql: str) -> None:
    """Make the database that was dumped, in an empty one."""
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(str(url.database))) as file:
            file.executescript(sql)
        return
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
    finally:
        engine.dispose()
