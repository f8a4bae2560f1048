"""The connection to the state: opening, checking, migrating, and transactions that several tasks can run at once.

On SQLite every writing transaction starts with BEGIN IMMEDIATE: with the driver's deferred BEGIN, writers that read
first fail at once instead of waiting. No transaction may span a network call. One ``Database`` per process, made after
the fork.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from cloudindex_provider.sync.errors import StateError
from cloudindex_provider.sync.state.schema import MIGRATIONS, SCHEMA_VERSION, metadata

__all__ = ["BLOCK", "Database"]

BLOCK = 5000  # rows a writing transaction holds at most
_BUSY_TIMEOUT = 30.0  # seconds
# File systems on which SQLite's locks or its shared memory don't work between machines.
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.s3fs", "fuse.sshfs"}
# One migration at a time, whatever starts at once.
_MIGRATION_LOCK = 0x436C6F75


class StateUnavailableError(StateError):
    """The state's database can't be reached, or stayed locked, for now."""

    retryable = True
    default_hint = "Check the state's database; nothing is lost, the next try goes on."


class Database:
    """The state's database, opened, checked and at this version's schema.

    :param url: an SQLAlchemy URL (sqlite or postgresql)
    :raises StateError: when it can't be used; a damaged or newer state is never taken for an empty one
    """

    def __init__(self, url: str | URL) -> None:
        self.url = make_url(url)
        self._write_lock = threading.Lock()
        if self.is_sqlite:
            _prepare_sqlite_file(self.url)
        self._engine = _engine(self.url)
        try:
            self._migrate()
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def name(self) -> str:
        """Where the state is, without a password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close every connection of this process."""
        self._engine.dispose()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A writing transaction. Keep it short: no network call, at most ``BLOCK`` rows."""
        # SQLite has one writer; threads of this process queue here instead of polling its lock.
        with self._write_lock if self.is_sqlite else _no_lock(), self._errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot for reading."""
        with self._errors(), self._engine.connect().execution_options(cloudindex_read=True) as connection:
            yield connection

    def now(self, connection: Connection) -> float:
        """The database server's clock, in seconds since 1970. Leases and times are told by it alone."""
        sql = (
            "SELECT (julianday('now') - 2440587.5) * 86400.0"
            if self.is_sqlite
            else "SELECT extract(epoch FROM clock_timestamp())"
        )
        return float(connection.execute(sa.text(sql)).scalar_one())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise StateUnavailableError(f"The state in {self.name} can't be used now: {_cause(error)}.") from None
        except DatabaseError as error:
            if _is_damage(error):
                raise StateError(
                    f"The state in {self.name} is damaged: {_cause(error)}.",
                    hint="Nothing was changed. Restore a backup of the file, or move it away to begin anew.",
                ) from None
            raise

    def _migrate(self) -> None:
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:id)"), {"id": _MIGRATION_LOCK})
            version = self._version(connection)
            if version > SCHEMA_VERSION:
                raise StateError(
                    f"The state in {self.name} has schema {version}; this version knows {SCHEMA_VERSION} at most.",
                    hint="Install the version of airflow-provider-cloudindex that wrote it, or a newer one.",
                )
            for migrate in MIGRATIONS[version:]:
                migrate(connection)
            if version < SCHEMA_VERSION:
                connection.execute(
                    sa.text(
                        "INSERT INTO meta (name, value) VALUES ('schema', :v)"
                        " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
                    ),
                    {"v": str(SCHEMA_VERSION)},
                )

    def _version(self, connection: Connection) -> int:
        tables = set(sa.inspect(connection).get_table_names())
        if "meta" in tables:
            found = connection.execute(sa.text("SELECT value FROM meta WHERE name = 'schema'")).scalar()
            if found is not None:
                return int(found)
        if tables & set(metadata.tables):
            raise StateError(
                f"The state in {self.name} has tables but no schema version, so it isn't ours or is damaged.",
                hint="Nothing was changed. Point the state at an empty database of its own.",
            )
        return 0


@contextmanager
def _no_lock() -> Iterator[None]:
    yield


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # the driver begins nothing by itself
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")  # in WAL a power cut may lose the last commits, never the file
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("cloudindex_read")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _prepare_sqlite_file(url: URL) -> None:
    if not url.database or url.database == ":memory:":
        raise StateError("The state can't be in memory: it must outlive the process.", hint="Give a file's path.")
    path = Path(url.database).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"The state's folder {path.parent} can't be made: {error.strerror}.") from None
    kind = _file_system(path.parent)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StateError(
            f"The state {path} lies on a network file system ({kind}), where SQLite's locks don't hold.",
            hint="Set [cloudindex] state_conn_id to a Postgres connection, or use a local disk.",
        )


def _file_system(folder: Path) -> str:
    """The type of the file system that holds ``folder``; ``""`` where the system doesn't tell."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in mounts:
        _, point, found, *_ = line.split(" ")
        if folder.is_relative_to(point.replace("\\040", " ")) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _is_damage(error: SQLAlchemyError) -> bool:
    original = getattr(error, "orig", None)
    return type(original) is sqlite3.DatabaseError  # "malformed", "not a database": the class, not the text


def _cause(error: SQLAlchemyError) -> str:
    # The driver's own words only: SQLAlchemy's text repeats the statement and its values.
    return str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0].rstrip(".")
