"""Opening the state: made once, refused when it isn't ours, and never empty when it is damaged."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.errors import StateError, StateUnavailableError
from cloudindex_provider.state import looks, sources
from cloudindex_provider.state.db import engines, sqlite_file
from cloudindex_provider.state.db.address import Address
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.db.migrations import MIGRATIONS, SCHEMA_VERSION
from cloudindex_provider.state.db.tables import metadata
from tests.support.postgres import FAST, find_binaries, running_postgres


def open_and_write(url: str) -> int:
    """What a process does first: open the state and its source."""
    db = Database(url)
    try:
        return sources.open_source(db, project_id="p", bucket="b", prefix="").id
    finally:
        db.close()


def text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def statement(url: sa.URL, *sqls: str) -> list[Any]:
    """The last statement's rows, over a connection of the test's own."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        results = [connection.exec_driver_sql(sql) for sql in sqls]
        rows = [tuple(row) for row in results[-1]] if results[-1].returns_rows else []
    engine.dispose()
    return rows


def test_a_second_opening_in_a_process_leaves_the_first_its_locks(tmp_path: Path) -> None:
    """Without them another process that closes the state deletes the log to which the first still writes: what that
    commits is seen by nobody, and lost when it is killed."""
    url = f"sqlite:///{tmp_path}/state.db"
    first = Database(url)
    insert = "INSERT INTO meta VALUES (:name, '')"
    with first.write() as connection:
        connection.execute(sa.text(insert), {"name": "one"})
    Database(url).close()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(open_and_write, url).result()
    with first.write() as connection:
        connection.execute(sa.text(insert), {"name": "two"})
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(statement, sa.make_url(url), "SELECT name FROM meta").result()
    first.close()
    assert {("one",), ("two",)} <= set(found)


def test_an_empty_database_gets_every_table(empty_url: sa.URL) -> None:
    """The first opening makes all tables and notes the schema; the second finds them."""
    for _ in range(2):
        db = Database(empty_url)
        with db.read() as connection:
            assert set(sa.inspect(connection).get_table_names()) == set(metadata.tables)
            stored = connection.execute(sa.text("SELECT value FROM meta WHERE name = 'schema'")).scalar_one()
            assert stored == str(SCHEMA_VERSION)
        db.close()


def test_an_older_schema_is_brought_up_to_date_and_keeps_its_rows(empty_url: sa.URL) -> None:
    """A state that the first version wrote gets the tables of later ones, and loses nothing."""
    Database(empty_url, migrations=MIGRATIONS[:1]).close()
    assert statement(empty_url, "SELECT value FROM meta WHERE name = 'schema'") == [("1",)]
    statement(empty_url, "INSERT INTO scope (project_id, bucket) VALUES ('p', 'b')")
    db = Database(empty_url)
    with db.read() as connection:
        assert set(sa.inspect(connection).get_table_names()) == set(metadata.tables)
    db.close()
    found = statement(empty_url, "SELECT bucket, (SELECT value FROM meta WHERE name = 'schema') FROM scope")
    assert found == [("b", str(SCHEMA_VERSION))]


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_eight_first_openings_at_once(empty_url: sa.URL, pool: Callable[..., Any], process_context: Any) -> None:
    """Eight threads or processes open a state that doesn't exist yet, and all end up in the same one."""
    more = {"mp_context": process_context} if pool is ProcessPoolExecutor else {}
    with pool(8, **more) as workers:
        ids = list(workers.map(open_and_write, [text(empty_url)] * 8))
    assert len(set(ids)) == 1


def test_a_newer_schema_is_refused(empty_url: sa.URL) -> None:
    """A state of a later version is named and left as it is."""
    Database(empty_url).close()
    statement(empty_url, "UPDATE meta SET value = '99' WHERE name = 'schema'")
    with pytest.raises(StateError, match="schema 99") as caught:
        Database(empty_url)
    assert not caught.value.retryable
    assert statement(empty_url, "SELECT value FROM meta") == [("99",)]


@pytest.mark.parametrize(
    "made",
    [
        ["CREATE TABLE orders (id integer)"],
        ["CREATE TABLE object (id integer)"],
        ["CREATE TABLE meta (id integer)"],
        ["CREATE TABLE meta (name text, value text)"],
        ["CREATE TABLE meta (name text, value text)", "INSERT INTO meta VALUES ('schema', 'blue')"],
    ],
)
def test_a_database_of_something_else_is_refused(empty_url: sa.URL, tmp_path: Path, made: list[str]) -> None:
    """A database with tables that aren't a state's gets none of ours."""
    (tmp_path / "state").mkdir()
    statement(empty_url, *made)
    with pytest.raises(StateError, match="isn't ours"):
        Database(empty_url)
    engine = sa.create_engine(empty_url)
    assert len(sa.inspect(engine).get_table_names()) == 1
    engine.dispose()


def test_a_password_is_never_shown() -> None:
    """A state that can't be reached is named without its password, and a retry may help."""
    with pytest.raises(StateUnavailableError) as caught:
        Database("postgresql+psycopg2://user:hush@127.0.0.1:1/state")
    assert "hush" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert caught.value.retryable


def test_a_database_of_another_encoding_is_refused(request: pytest.FixtureRequest) -> None:
    """Keys compared as bytes are in S3's order only where those bytes are UTF-8."""
    server = request.getfixturevalue("postgres_server")
    server.sql(
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    try:
        with pytest.raises(StateError, match="LATIN1"):
            Database(server.url("psycopg2", "latin"))
    finally:
        server.sql("DROP DATABASE latin WITH (FORCE)")


def test_missing_rights_are_a_state_error(request: pytest.FixtureRequest) -> None:
    """A user who may not create tables is told so in a sentence, not in a driver's traceback."""
    server = request.getfixturevalue("postgres_server")
    server.sql("CREATE ROLE reader LOGIN", "CREATE DATABASE locked")
    try:
        with pytest.raises(StateError, match="permission denied") as caught:
            Database(server.url("psycopg2", "locked").set(username="reader"))
        assert not caught.value.retryable
    finally:
        server.sql("DROP DATABASE locked WITH (FORCE)", "DROP ROLE reader")


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_server_that_is_only_a_replica_now_is_away_and_left_for_the_one_after_it(
    request: pytest.FixtureRequest, driver: str
) -> None:
    """After a failover the old primary answers and refuses to write, and only a new connection finds the new one."""
    server = request.getfixturevalue("postgres_server")
    server.sql("CREATE DATABASE failover")
    change = sa.text("UPDATE meta SET value = value")
    db = Database(server.url(driver, "failover"))
    try:
        with db.write() as connection:  # a connection of the pool, to what is the primary so far
            connection.exec_driver_sql("SET default_transaction_read_only = on")
        with pytest.raises(StateUnavailableError, match="read-only transaction") as caught, db.write() as connection:
            connection.execute(change)
        assert caught.value.retryable
        with db.write() as connection:  # over a new connection
            connection.execute(change)
    finally:
        db.close()
        server.sql("DROP DATABASE failover WITH (FORCE)")


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_server_that_has_gone_without_a_word_is_noticed_in_a_minute(driver: str) -> None:
    """A failover of RDS drops every packet to the old primary: without probes of the connection's own a read waits two
    hours there, and a write a quarter of one. What the connection says itself counts."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's binaries are missing: apt-get install postgresql")
    with running_postgres(binaries, f"{FAST} -c listen_addresses=127.0.0.1") as server:
        url = sa.URL.create(f"postgresql+{driver}", "postgres", None, "127.0.0.1", server.port, "state")
        assert _probing(url) == (30, 5, 5, 55_000)
        assert _probing(url.update_query_dict({"keepalives_idle": "90", "tcp_user_timeout": "7000"})) == (
            90,
            5,
            5,
            7000,
        )


def _probing(url: sa.URL) -> tuple[int, ...]:
    """What the socket of a state's connection has been told."""
    db = Database(url)
    with db.read() as connection, socket.socket(fileno=os.dup(connection.connection.fileno())) as one:
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        found = tuple(one.getsockopt(socket.IPPROTO_TCP, name) for name in names)
    db.close()
    return found


def test_a_driver_that_is_not_libpqs_is_told_nothing_of_its_options() -> None:
    """It would end at the first one that it doesn't know."""
    assert Address.of("postgresql+pg8000://user@host/state").probing == {}


def _write_after_a_rest(connection: sa.Connection) -> None:
    for _ in range(2):
        connection.execute(sa.text("UPDATE meta SET value = value"))
        time.sleep(0.5)


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_connection_that_the_server_has_ended_refuses_nothing(request: pytest.FixtureRequest, driver: str) -> None:
    """Whatever the reason that it gives: here a limit on idle transactions, as managed databases have."""
    server = request.getfixturevalue("postgres_server")
    server.sql("CREATE DATABASE idle", "ALTER DATABASE idle SET idle_in_transaction_session_timeout = 100")
    db = Database(server.url(driver, "idle"))
    try:
        with pytest.raises(StateUnavailableError), db.write() as connection:
            _write_after_a_rest(connection)
    finally:
        db.close()
        server.sql("DROP DATABASE idle WITH (FORCE)")


# The file

ROWS = 3000


@pytest.fixture
def full_file(tmp_path: Path) -> Path:
    """A state with enough rows for several hundred pages, closed."""
    path = tmp_path / "state.db"
    db = Database(f"sqlite:///{path}")
    source = sources.open_source(db, project_id="p", bucket="b", prefix="")
    with db.write() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO object (scope_id, key, source_id, status, etag, size, last_modified, storage_class)"
                " VALUES (:s, :k, :s, 'indexed', 'e', 1, 't', 'STANDARD')"
            ),
            [{"s": source.id, "k": f"{number:0200}"} for number in range(ROWS)],
        )
    db.close()
    assert not path.with_name("state.db-wal").exists()
    return path


def damage(path: Path, how: str) -> None:
    if how == "overwritten header":
        with path.open("r+b") as file:
            file.write(os.urandom(100))
    elif how == "overwritten schema":
        with path.open("r+b") as file:
            file.seek(100)
            file.write(os.urandom(3900))
    elif how == "not a database":
        path.write_bytes(b"once upon a time " * 500)
    elif how == "emptied":
        path.write_bytes(b"")
        os.utime(path, (time.time() - 3600,) * 2)
    elif how == "emptied, with its log":
        path.write_bytes(b"")
        path.with_name("state.db-wal").write_bytes(b"x" * 100)
    else:
        os.truncate(path, int(how.split()[-1]))


@pytest.mark.parametrize(
    "how",
    [
        "overwritten header", "overwritten schema", "not a database",
        "cut to 50", "cut to 512", "cut to 4096", "cut to 8192", "cut to 300000",
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_and_refused(full_file: Path, how: str) -> None:
    """However it was damaged, the file is named, refused and not written to, and never passes for an empty state."""
    damage(full_file, how)
    before = full_file.read_bytes()
    with pytest.raises(StateError, match="damaged") as caught:
        Database(f"sqlite:///{full_file}")
    assert str(full_file) in str(caught.value)
    assert not caught.value.retryable
    assert full_file.read_bytes() == before


@pytest.mark.parametrize("how", ["emptied", "emptied, with its log"])
def test_an_emptied_file_is_named_and_begun_anew_as_a_lost_state(
    full_file: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of no bytes never passes silently for a new state: the log names it, and a sync looks at its project."""
    damage(full_file, how)
    db = Database(f"sqlite:///{full_file}")
    source = sources.open_source(db, project_id="p", bucket="b", prefix="")
    assert not looks.read_looks(db, source).looked
    db.close()
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"{full_file} is an empty file" in warning
    assert "lost" in warning


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_file_of_somebody_else_is_refused_and_not_a_byte_of_it_changes(tmp_path: Path, mode: str) -> None:
    """Another program's database is named, and stays as it is, its header too."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE orders (id integer)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match="isn't ours") as caught:
        Database(f"sqlite:///{path}")
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_damage_that_shows_later_is_named_too(full_file: Path) -> None:
    """A page that is spoilt in the middle fails the read that meets it, with the file's name."""
    with full_file.open("r+b") as file:
        for page in range(40, 200):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    db = Database(f"sqlite:///{full_file}")
    with pytest.raises(StateError, match="damaged") as caught, db.read() as connection:
        connection.execute(sa.text("SELECT sum(length(key) + length(etag)) FROM object")).all()
    assert str(full_file) in str(caught.value)
    db.close()


def test_a_new_and_a_crashed_file_open(tmp_path: Path, full_file: Path) -> None:
    """A file of no bytes that was made just now is a first opening; one left with a log by a crash is recovered."""
    fresh = tmp_path / "fresh.db"
    fresh.touch()
    Database(f"sqlite:///{fresh}").close()
    db = Database(f"sqlite:///{full_file}")
    with db.write() as connection:
        connection.execute(sa.text("UPDATE object SET size = 2"))
    copy = tmp_path / "crashed.db"  # what the disk holds while a process is killed
    for suffix in ("", "-wal"):
        Path(f"{copy}{suffix}").write_bytes(Path(f"{full_file}{suffix}").read_bytes())
    db.close()
    recovered = Database(f"sqlite:///{copy}")
    with recovered.read() as connection:
        assert connection.execute(sa.text("SELECT sum(size) FROM object")).scalar_one() == 2 * ROWS
    recovered.close()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.s3fs", "9p", "fuse", "fuse.ceph-fuse", "fuse.blobfuse2"])
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """SQLite isn't used where its locks don't hold, also through a symlink; the mount that is nearest counts."""
    share, local = tmp_path / "a share", tmp_path / "local"
    mounts = [
        "/dev/sda1 / ext4 rw 0 0",
        f"server:/x {str(share).replace(' ', chr(92) + '040')} {kind} rw 0 0",
        f"/dev/sdb1 {str(share / 'disk').replace(' ', chr(92) + '040')} ext4 rw 0 0",
    ]
    monkeypatch.setattr(sqlite_file, "_mounts", lambda: mounts)
    (share / "disk").mkdir(parents=True)
    local.symlink_to(share)
    for folder in (share, share / "deep", local):
        with pytest.raises(StateError, match=kind):
            Database(sa.URL.create("sqlite", database=str(folder / "state.db")))
    Database(sa.URL.create("sqlite", database=str(share / "disk" / "state.db"))).close()
    Database(sa.URL.create("sqlite", database=str(tmp_path / "state.db"))).close()


def test_memory_is_no_place_for_a_state() -> None:
    """A state that ends with its process is refused."""
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(StateError, match="memory"):
            Database(url)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is a sentence, not a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="folder"):
        Database(f"sqlite:///{tmp_path}/file/state.db")


def _open_as_nobody(path: str, *, read_only: bool) -> str:
    """In a process of its own: what another user than the state's is told; root would be refused nothing."""
    os.setgid(65534)
    os.setuid(65534)
    os.umask(0o022)
    try:
        db = Database(f"sqlite:///{path}", read_only=read_only)
        with db.read() if read_only else db.write() as connection:
            connection.exec_driver_sql("SELECT * FROM meta" if read_only else "UPDATE meta SET value = value")
        db.close()
    except StateError as error:
        return f"{type(error).__name__}: {error}"
    return "opened"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root, to become somebody else")
@pytest.mark.parametrize(
    ("what", "folder", "file", "read_only", "told"),
    [
        (
            "a new one in a folder of root's, as a Docker volume is",
            0o755,
            None,
            False,
            "{folder}, and user 65534 may not",
        ),
        ("root's file in root's folder", 0o755, 0o644, False, "{file}, and user 65534 may not"),
        ("root's file, open folder", 0o777, 0o644, False, "{file}, and user 65534 may not"),
        ("an open file in root's folder", 0o755, 0o666, False, "{folder}, and user 65534 may not"),
        ("to look, where the log's index can't be made", 0o755, 0o644, True, "{folder}, and user 65534"),
        ("to look at a secret file", 0o777, 0o600, True, "{file}, and user 65534 may not"),
        ("to look at a file, in an open folder", 0o777, 0o644, True, None),
        ("all open", 0o777, 0o666, False, None),
    ],
)
def test_a_file_or_folder_of_another_user_is_named_and_no_try_helps(
    what: str, folder: int, file: int | None, read_only: bool, told: str | None
) -> None:
    """As ``run_as_user``, a volume or a command as root make it."""
    where = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are closed to other users
    path = where / "state.db"
    try:
        if file is not None:
            Database(f"sqlite:///{path}").close()
            path.chmod(file)
        where.chmod(folder)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(_open_as_nobody, str(path), read_only=read_only).result()
    finally:
        shutil.rmtree(where)
    assert found == "opened" if told is None else found.startswith("StateError: ")
    assert told is None or told.format(folder=where, file=path) in found


def test_a_folder_of_the_files_name_is_named(tmp_path: Path) -> None:
    """``state_path`` is a file."""
    with pytest.raises(StateError, match="is a folder") as caught:
        Database(f"sqlite:///{tmp_path}")
    assert not caught.value.retryable


def test_the_file_is_in_wal_mode(full_file: Path) -> None:
    """Readers don't wait for the writer."""
    with sqlite3.connect(full_file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


class _Locked:
    """A cursor whose first statements fail as SQLite does."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def execute(self, _sql: str) -> None:
        if self.codes:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.codes.pop(0)
            raise error


def test_a_lock_during_the_switch_to_wal_is_waited_for() -> None:
    """Another first opening that holds the new file's lock for a moment fails nobody; any other error does at once."""
    cursor: Any = _Locked(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY | (1 << 8))
    engines._use_wal(cursor)
    assert cursor.codes == []
    broken: Any = _Locked(sqlite3.SQLITE_CANTOPEN)
    with pytest.raises(sqlite3.OperationalError):
        engines._use_wal(broken)
