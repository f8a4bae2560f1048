"""The connection to the state: opening, checking, migrating, and transactions that several tasks can run at once.

On SQLite every writing transaction starts with BEGIN IMMEDIATE: with the driver's deferred BEGIN, writers that read
first fail at once instead of waiting. No transaction may span a network call. One ``Database`` per process, made after
the fork.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cloudindex_provider.errors import StateError, StateUnavailableError
from cloudindex_provider.state.db.address import Address
from cloudindex_provider.state.db.engines import make_engine, postgres_engine
from cloudindex_provider.state.db.first_migrations import Migration
from cloudindex_provider.state.db.migrations import MIGRATIONS
from cloudindex_provider.state.db.sqlite_file import (
    DAMAGE_HINT,
    MISSING_HINT,
    RIGHTS_HINT,
    find_denial,
    has_sqlite_file,
    prepare_sqlite_file,
)

__all__ = ["BLOCK", "Database", "has_state"]

BLOCK = 5000  # rows a writing transaction holds at most
# One migration at a time, whatever starts at once.
_MIGRATION_LOCK = 0x436C6F75
_SCHEMA_HINT = (
    "Nothing was changed, and another try would fail alike. Check that the state's user may create and alter tables;"
    " if it may, report this, and go back to the version of airflow-provider-cloudindex that wrote the state."
)


class Database:
    """The state's database, opened, checked and at this version's schema.

    :param place: an SQLAlchemy URL (sqlite or postgresql), or an address with what else a login needs
    :param migrations: those that make this version's schema, from the first on
    :param must_exist: refuse to begin a new state
    :param read_only: only look: nothing is begun, brought up to date or written
    :param lock_timeout: seconds for which a transaction waits for what somebody has locked in Postgres
    :raises StateError: when it can't be used, or there is none and none is to be begun; a damaged or newer state is
        never taken for an empty one
    """

    def __init__(
        self,
        place: str | URL | Address,
        *,
        migrations: Sequence[Migration] = MIGRATIONS,
        must_exist: bool = False,
        read_only: bool = False,
        lock_timeout: int | None = None,
    ) -> None:
        self.address = Address.of(place)
        self.url = self.address.url
        self.read_only = read_only
        self._lock_timeout = None if self.is_sqlite else lock_timeout
        self._must_exist = must_exist or read_only
        self._migrations = migrations
        self._write_lock = threading.Lock()
        self._next_write = threading.local()  # ``is_durable``, of this thread's
        if self.is_sqlite:
            prepare_sqlite_file(self.url, must_exist=self._must_exist)
        self._engine = make_engine(self.address, read_only=read_only)
        try:
            self._migrate()
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.url.get_backend_name()

    @property
    def is_sqlite(self) -> bool:
        return self.dialect == "sqlite"

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
        if self.read_only:
            raise StateError(f"The state in {self.name} is open for reading alone, and something would write to it.")
        # SQLite has one writer; threads of this process queue here instead of polling its lock.
        with self._write_lock if self.is_sqlite else _no_lock(), self._errors(), self._engine.connect() as connection:
            if self.is_sqlite:
                _set_durable(connection, durable=getattr(self._next_write, "is_durable", False))
            with connection.begin():
                self._limit_waits(connection)
                yield connection

    @contextmanager
    def write_durably(self) -> Iterator[Connection]:
        """``write``, whose commit and all before it outlast a power cut: for what must be known of a request to come.

        Postgres does that for every transaction: ``synchronous_commit`` is on unless somebody has turned it off.
        """
        self._next_write.is_durable = True
        try:
            with self.write() as connection:
                yield connection
        finally:
            self._next_write.is_durable = False

    @contextmanager
    def read(self, *, snapshot: bool = True) -> Iterator[Connection]:
        """A snapshot for reading.

        :param snapshot: one for all statements; without it each has its own, for fewer round trips to Postgres, and on
            SQLite for fewer waits for Python's lock
        """
        if self.is_sqlite:
            options = {"cloudindex_begin": "BEGIN" if snapshot else None}
        else:
            options = {"isolation_level": "REPEATABLE READ" if snapshot else "AUTOCOMMIT"}
        with self._errors(), self._engine.connect().execution_options(**options) as connection:
            if snapshot:
                self._limit_waits(connection)
            yield connection

    def _limit_waits(self, connection: Connection) -> None:
        if self._lock_timeout is not None:  # of this transaction alone, which a pooler lets pass
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{self._lock_timeout}s'"))

    def now(self, connection: Connection) -> float:
        """The database server's clock, in seconds since 1970. Leases and times are told by it alone."""
        sql = (
            "SELECT (julianday('now') - 2440587.5) * 86400.0"
            if self.is_sqlite
            else "SELECT extract(epoch FROM clock_timestamp())"
        )
        return float(connection.execute(sa.text(sql)).scalar_one())

    def clock(self) -> float:
        """``now``, in a transaction of its own."""
        with self.read(snapshot=False) as connection:
            return self.now(connection)

    def analyze(self) -> None:
        """Let Postgres look at the table of objects: without statistics of a first load, claims read all of it."""
        if not self.is_sqlite:
            with self.write() as connection:
                connection.execute(sa.text("ANALYZE object"))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, InterfaceError, PoolTimeoutError) as error:
            if _is_damage(error):
                raise StateError(f"The state in {self.name} is damaged: {_cause(error)}.", hint=DAMAGE_HINT) from None
            if denial := self._denial(error):
                raise StateError(f"The state in {self.name} can't be used: {denial}.", hint=RIGHTS_HINT) from None
            if not _is_refusal(error):
                raise StateUnavailableError(
                    f"The state in {self.name} can't be used now: {_cause(error)}.", hint=self.address.hint
                ) from None
            raise StateError(
                f"The state in {self.name} refused a statement: {_cause(error)}.",
                hint="Check that the database is the state's own, and that its user may create tables there.",
            ) from None

    def _denial(self, error: SQLAlchemyError) -> str | None:
        original = getattr(error, "orig", None)
        if not isinstance(original, sqlite3.Error):
            return None
        return find_denial(self.url, original, read_only=self.read_only)

    def _migrate(self) -> None:
        with self.read() as connection:
            there = self._version(connection)
        if there == len(self._migrations):
            return
        if self._must_exist and not there:
            raise StateError(f"There is no state in {self.name}: the database is empty.", hint=MISSING_HINT)
        if self.read_only:
            raise StateError(
                f"The state in {self.name} has schema {there}, and this version reads schema {len(self._migrations)}.",
                hint="Nothing was changed. `airflow cloudindex migrate` brings it up to date, and so does every sync.",
            )
        # One transaction for all: where one of them fails, the version that wrote the state can still use it.
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:id)"), {"id": _MIGRATION_LOCK})
            for migration in self._migrations[self._version(connection) :]:
                self._apply(connection, migration)
            connection.execute(
                sa.text(
                    "INSERT INTO meta (name, value) VALUES ('schema', :v)"
                    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
                ),
                {"v": str(len(self._migrations))},
            )

    def _apply(self, connection: Connection, migration: Migration) -> None:
        for statement in migration.statements(self.dialect):
            try:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            except DatabaseError as error:
                if _is_damage(error) or not _is_refusal(error):
                    raise
                raise StateError(
                    f"The schema of the state in {self.name} can't be brought to version {migration.number}:"
                    f" {_cause(error)}, at {statement.splitlines()[0]!r}.",
                    hint=_SCHEMA_HINT,
                ) from None

    def _version(self, connection: Connection) -> int:
        """The schema that is there, 0 in an empty database."""
        if not self.is_sqlite:
            encoding = connection.execute(sa.text("SHOW server_encoding")).scalar_one()
            if encoding != "UTF8":
                raise StateError(f"The database of {self.name} stores {encoding}; keys need UTF8.")
        tables = sa.inspect(connection).get_table_names()
        if not tables:
            return 0
        version = _stored_version(connection) if "meta" in tables else None
        if version is None:
            raise StateError(
                f"The state in {self.name} has tables but no schema version, so it isn't ours or is damaged.",
                hint="Nothing was changed. Point the state at an empty database of its own.",
            )
        if version > len(self._migrations):
            raise StateError(
                f"The state in {self.name} has schema {version}; this version knows {len(self._migrations)} at most.",
                hint="Install the version of airflow-provider-cloudindex that wrote it, or a newer one.",
            )
        return version


def has_state(address: Address) -> bool:
    """Whether there is something where the state should be; whoever opens it finds out whether it is one."""
    if address.url.get_backend_name() == "sqlite":
        return has_sqlite_file(address.url)
    try:
        engine = postgres_engine(address)
    except ModuleNotFoundError:  # its driver: said by the opening
        return True
    try:
        with engine.connect() as connection:
            return bool(sa.inspect(connection).get_table_names())
    except SQLAlchemyError:
        return True
    finally:
        engine.dispose()


def _stored_version(connection: Connection) -> int | None:
    columns = {column["name"] for column in sa.inspect(connection).get_columns("meta")}
    if not {"name", "value"} <= columns:
        return None
    found = connection.execute(sa.text("SELECT value FROM meta WHERE name = 'schema'")).scalar()
    return int(found) if isinstance(found, str) and found.isdecimal() else None


@contextmanager
def _no_lock() -> Iterator[None]:
    yield


def _set_durable(connection: Connection, *, durable: bool) -> None:
    """Have the next commit wait for the disk or not; SQLite takes that only outside of a transaction.

    Waiting took 2 to 3 ms where it was measured, once a request of up to twenty files.
    """
    if connection.info.get("durable", False) is not durable:
        cursor = connection.connection.cursor()
        cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        cursor.close()
        connection.info["durable"] = durable


def _is_damage(error: SQLAlchemyError) -> bool:
    original = getattr(error, "orig", None)
    return type(original) is sqlite3.DatabaseError  # "malformed", "not a database": the class, not the text


def _is_refusal(error: SQLAlchemyError) -> bool:
    """Whether the statement itself is refused (a table or column that isn't there, say), so that no retry helps."""
    if not isinstance(error, OperationalError):
        # Whatever a server says when it ends the connection, it is no word on the statement.
        return isinstance(error, DatabaseError) and not error.connection_invalidated
    # SQLite has one class for this and for locks, full disks and the like, and tells them apart by code.
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_ERROR


def _cause(error: SQLAlchemyError) -> str:
    # The driver's own words only: SQLAlchemy's text repeats the statement and its values.
    return str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0].rstrip(".")
