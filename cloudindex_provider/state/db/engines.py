"""SQLAlchemy's engines for the state: how each driver connects, begins and gives up a connection."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext

from cloudindex_provider.state.db.address import Address

__all__ = ["make_engine", "postgres_engine"]

_BUSY_TIMEOUT = 30.0  # seconds
_READ_ONLY = "25006"  # read_only_sql_transaction


def make_engine(address: Address, *, read_only: bool) -> Engine:
    """The engine for an address; nothing is connected yet."""
    if address.url.get_backend_name() == "sqlite":
        return _sqlite_reader(address.url) if read_only else _sqlite(address.url)
    return postgres_engine(address)


def _sqlite_reader(url: URL) -> Engine:
    """SQLite itself refuses to make the file, or to write to it."""
    place = f"{Path(url.database or '').absolute().as_uri()}?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(place, uri=True, timeout=_BUSY_TIMEOUT, check_same_thread=False, isolation_level=None)

    # Each for one use: opening takes a fraction of a millisecond, and a server that only looks need not hold a lock.
    engine = sa.create_engine(url, creator=connect, poolclass=sa.NullPool)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    begin = connection.get_execution_options().get("cloudindex_begin", "BEGIN IMMEDIATE")
    if begin is not None:
        connection.exec_driver_sql(begin)


def postgres_engine(address: Address) -> Engine:
    """That of a Postgres."""
    engine = _psycopg2(address) if address.url.get_driver_name() == "psycopg2" else _psycopg(address)
    address.listen(engine)
    sa.event.listen(engine, "handle_error", _leave_replica)
    return engine


def _psycopg(address: Address) -> Engine:
    return sa.create_engine(address.url, pool_pre_ping=True, connect_args=address.probing)


def _psycopg2(address: Address) -> Engine:
    # psycopg2's own executemany makes a round trip of every row; psycopg 3 sends them in one pipeline.
    engine = sa.create_engine(
        address.url, pool_pre_ping=True, connect_args=address.probing, executemany_mode="values_plus_batch"
    )

    @sa.event.listens_for(engine, "checkin")
    def _on_checkin(dbapi_connection: Any, _record: Any) -> None:
        if dbapi_connection is not None:
            # With the level that SQLAlchemy has put back, every change of autocommit would be a round trip of its own.
            dbapi_connection.isolation_level = None

    return engine


def _leave_replica(context: ExceptionContext) -> None:
    """Give up connections to what may only be read now: after a failover that is the old primary, which answers every
    ping, and a new connection leads to the new one."""
    code = getattr(context.original_exception, "sqlstate", None) or getattr(context.original_exception, "pgcode", None)
    if code == _READ_ONLY:
        context.is_disconnect = True


def _sqlite(url: URL) -> Engine:
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # the driver begins nothing by itself
        cursor = dbapi_connection.cursor()
        _use_wal(cursor)
        # In WAL a power cut may lose the last commits, never the file; ``write`` says which commits it mustn't lose.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    sa.event.listen(engine, "begin", _begin)
    return engine


def _use_wal(cursor: sqlite3.Cursor) -> None:
    # The busy timeout doesn't cover all of the switch: of 4,800 first openings, 12 at a time, one failed at once.
    deadline = time.monotonic() + _BUSY_TIMEOUT
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(0.02)
