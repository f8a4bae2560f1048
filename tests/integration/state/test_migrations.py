"""Every version's databases come to today's schema, and one more column takes one more migration.

``schemas/`` holds a dump of each version's schema, with rows as that version had them. A missing one is made here from
the one before it, and is to be committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.errors import StateError, StateUnavailableError
from cloudindex_provider.state.conditions import WORK
from cloudindex_provider.state.db import engines
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.db.first_migrations import Migration
from cloudindex_provider.state.db.migrations import MIGRATIONS, SCHEMA_VERSION
from cloudindex_provider.state.db.tables import metadata
from tests.support.schemas import describe, dump, load

SCHEMAS = Path(__file__).with_name("schemas")
RECORDED = sorted({int(path.name.partition(".")[0]) for path in SCHEMAS.glob("*.sql")})
FRESH = 0
STARTS = [FRESH, *RECORDED]
# One more migration, as the next version would have it: a type that differs, a default, and a % that is no placeholder.
NEXT = Migration(
    SCHEMA_VERSION + 1,
    sqlite="""
        ALTER TABLE object ADD COLUMN seen_at DOUBLE;
        ALTER TABLE object ADD COLUMN pages INTEGER DEFAULT 0 NOT NULL;
        CREATE INDEX object_paged ON object (pages) WHERE reason LIKE '100%';
    """,
    postgresql="""
        ALTER TABLE object ADD COLUMN seen_at DOUBLE PRECISION;
        ALTER TABLE object ADD COLUMN pages INTEGER DEFAULT 0 NOT NULL;
        CREATE INDEX object_paged ON object (pages) WHERE reason LIKE '100%';
    """,
)
AGAIN = Migration(SCHEMA_VERSION + 2, sqlite=NEXT.sqlite, postgresql=NEXT.postgresql)  # fails: the columns are there


@pytest.fixture
def make_url(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> Iterator[Callable[[], sa.URL]]:
    """URLs of databases that nobody has opened yet."""
    names: list[str] = []
    server: Any = None if backend == "sqlite" else request.getfixturevalue("postgres_server")

    def make() -> sa.URL:
        names.append(f"schema_{len(names)}")
        if server is None:
            return sa.make_url(f"sqlite:///{tmp_path}/{names[-1]}.db")
        server.sql(f"CREATE DATABASE {names[-1]}")
        return server.url(backend, names[-1])

    yield make
    for name in names if server else ():
        server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def start_at(make_url: Callable[[], sa.URL]) -> Callable[[int], sa.URL]:
    """A database as a version left it; an empty one of ``FRESH``."""

    def start(version: int) -> sa.URL:
        url = make_url()
        if version != FRESH:
            load(url, recording(version, url).read_text(encoding="utf-8"))
        return url

    return start


def recording(version: int, url: sa.URL) -> Path:
    return SCHEMAS / f"{version}.{url.get_backend_name()}.sql"


def next_tables() -> sa.MetaData:
    """Today's tables with the columns and the index of ``NEXT``."""
    tables = sa.MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(tables)
    pages = sa.Column("pages", sa.Integer, nullable=False, server_default=sa.text("0"))
    tables.tables["object"].append_column(sa.Column("seen_at", sa.Double))
    tables.tables["object"].append_column(pages)
    where = sa.text("reason LIKE '100%'")
    sa.Index("object_paged", pages, sqlite_where=where, postgresql_where=where)
    return tables


def created(url: sa.URL, tables: sa.MetaData) -> set[str]:
    """The schema of these tables, made in an empty database."""
    engine = sa.create_engine(url)
    tables.create_all(engine)
    engine.dispose()
    return describe(url)


def execute(url: sa.URL, *statements: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def rows_of(url: sa.URL, columns: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """All rows but the schema's number, of all tables or of these tables' columns."""
    engine = sa.create_engine(url)
    found: dict[str, Any] = {}
    with engine.connect() as connection:
        known = sa.inspect(connection)
        here = {table: [one["name"] for one in known.get_columns(table)] for table in known.get_table_names()}
        for table, names in (columns or here).items():
            listed = ", ".join(f'"{name}"' for name in names)
            where = " WHERE name <> 'schema'" if table == "meta" else ""
            rows = [tuple(row) for row in connection.exec_driver_sql(f"SELECT {listed} FROM {table}{where}")]
            found[table] = (names, sorted(rows, key=repr))
    engine.dispose()
    return found


def assert_same(wanted: set[str], found: set[str], advice: str) -> None:
    lines = [f"  lacks {line}" for line in sorted(wanted - found)]
    lines += [f"  has   {line}" for line in sorted(found - wanted)]
    assert not lines, "\n".join([advice, *lines])


# The versions so far


def test_migrations_are_numbered_from_one() -> None:
    """The number of a migration is the version that it leads to."""
    assert [migration.number for migration in MIGRATIONS] == list(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("backend", ["sqlite", "psycopg2"])
@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_every_version_is_recorded_and_frozen(
    make_url: Callable[[], sa.URL], start_at: Callable[[int], sa.URL], version: int
) -> None:
    """A version's databases can be made again without its code, and its migrations still make the same."""
    made = make_url()
    file = recording(version, made)
    if not file.exists():
        old = start_at(version - 1)
        Database(old, migrations=MIGRATIONS[:version]).close()
        file.write_text(dump(old), encoding="utf-8")
        pytest.fail(f"{file.name} was missing in {SCHEMAS} and is written now: look at it, and commit it.")
    Database(made, migrations=MIGRATIONS[:version]).close()
    advice = (
        f"Migrations 1 to {version} no longer make what {file.name} says. Put the change into a migration of its own"
        f" (or, while {version} is in no release, delete the file, run this again and commit what it writes)."
    )
    assert_same(describe(start_at(version)), describe(made), advice)


@pytest.mark.parametrize("start", STARTS)
def test_every_version_comes_to_the_tables_of_today(
    make_url: Callable[[], sa.URL], start_at: Callable[[int], sa.URL], start: int
) -> None:
    """Migrated from any version, the schema is that of ``tables``, and no row is lost or changed."""
    url = start_at(start)
    before = rows_of(url)
    Database(url).close()
    advice = f"tables.py and the migrations differ; from version {start} the state (add a migration, or the Column):"
    assert_same(created(make_url(), metadata), describe(url), advice)
    assert rows_of(url, {table: names for table, (names, _) in before.items()} or None).items() >= before.items()
    empty = [table for table, (_, rows) in before.items() if not rows]
    assert not empty, f"No row of {empty} shows that rows are kept: add an INSERT to {recording(start, url).name}."


@pytest.mark.parametrize("backend", ["sqlite"])  # Postgres writes the term in its own way, and goes by its meaning
def test_the_index_of_work_is_that_of_the_queries(make_url: Callable[[], sa.URL]) -> None:
    """The index that the migrations make has the very term that the queries repeat."""
    url = make_url()
    Database(url).close()
    line = next(line for line in describe(url) if line.startswith("index object_work of"))
    assert line.endswith(f", where {WORK}"), f"conditions.WORK is {WORK!r} now: make object_work anew in a migration."


# The next version


@pytest.mark.parametrize("start", STARTS)
def test_a_column_takes_one_migration(
    make_url: Callable[[], sa.URL], start_at: Callable[[int], sa.URL], start: int
) -> None:
    """Two columns of ``object`` come by one more migration, to a fresh state and to one of every version."""
    url = start_at(start)
    before = rows_of(url)
    for _ in range(2):
        Database(url, migrations=(*MIGRATIONS, NEXT)).close()
    assert_same(created(make_url(), next_tables()), describe(url), "The added columns aren't those of the tables:")
    assert rows_of(url, {table: names for table, (names, _) in before.items()} or None).items() >= before.items()
    assert {pages for (pages,) in rows_of(url, {"object": ["pages"]})["object"][1]} <= {0}
    with pytest.raises(StateError, match=f"schema {SCHEMA_VERSION + 1}"):
        Database(url)


@pytest.mark.parametrize("start", STARTS)
def test_a_migration_that_fails_changes_nothing(start_at: Callable[[int], sa.URL], start: int) -> None:
    """Schema, rows and version stay, also of the migrations before it, and the error says what no retry mends."""
    url = start_at(start)
    before = describe(url), rows_of(url)
    with pytest.raises(StateError) as caught:
        Database(url, migrations=(*MIGRATIONS, NEXT, AGAIN))
    error = caught.value
    assert type(error) is StateError
    assert not error.retryable
    assert str(url.database) in error.message
    assert f"version {AGAIN.number}" in error.message
    assert "seen_at" in error.message
    assert "ALTER TABLE object" in error.message
    assert "Nothing was changed" in error.hint
    assert (describe(url), rows_of(url)) == before
    Database(url).close()


def test_a_locked_state_is_no_error_of_the_schema(
    start_at: Callable[[int], sa.URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that another's lock keeps waiting too long may be tried again."""
    url = start_at(1)
    monkeypatch.setattr(engines, "_BUSY_TIMEOUT", 0.2)
    engine = sa.create_engine(url)
    lock = "BEGIN IMMEDIATE" if url.get_backend_name() == "sqlite" else "LOCK TABLE object"
    impatient = url if lock == "BEGIN IMMEDIATE" else url.update_query_dict({"options": "-c lock_timeout=200"})
    with engine.connect() as connection:
        if lock == "BEGIN IMMEDIATE":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql(lock)
        with pytest.raises(StateUnavailableError, match="lock") as caught:
            Database(impatient, migrations=(*MIGRATIONS, NEXT))
        assert caught.value.retryable
        connection.rollback()
    engine.dispose()
    Database(url, migrations=(*MIGRATIONS, NEXT)).close()


def test_eight_openings_of_an_old_state_at_once(start_at: Callable[[int], sa.URL]) -> None:
    """Each migration is made once, whoever comes first."""
    url = start_at(1)
    with ThreadPoolExecutor(8) as workers:
        for state in workers.map(lambda _: Database(url, migrations=(*MIGRATIONS, NEXT)), range(8)):
            state.close()
    assert any(line.startswith("column object.seen_at") for line in describe(url))


def test_a_statement_that_does_not_fit_the_schema_is_no_hiccup(make_url: Callable[[], sa.URL]) -> None:
    """A column that isn't there is named, and no retry is promised to bring it."""
    state = Database(make_url())
    with pytest.raises(StateError, match="nowhere") as caught, state.read() as connection:
        connection.execute(sa.text("SELECT nowhere FROM object"))
    state.close()
    assert not caught.value.retryable


# The comparison itself

BASE = (
    "CREATE TABLE other (id INTEGER PRIMARY KEY);CREATE TABLE t (a INTEGER NOT NULL, b TEXT DEFAULT 1, PRIMARY KEY (a))"
)
OTHERS = {
    "a column's name": ("b TEXT", "c TEXT"),
    "a type": ("b TEXT", "b VARCHAR(9)"),
    "a default": ("DEFAULT 1", "DEFAULT 2"),
    "no null": ("DEFAULT 1", "DEFAULT 1 NOT NULL"),
    "a collation": ("b TEXT", "b TEXT COLLATE {collation}"),
    "a primary key": ("PRIMARY KEY (a)", "PRIMARY KEY (a, b)"),
    "a unique constraint": ("PRIMARY KEY (a)", "PRIMARY KEY (a), UNIQUE (b)"),
    "a foreign key": ("PRIMARY KEY (a)", "PRIMARY KEY (a), FOREIGN KEY (a) REFERENCES other (id)"),
    "a table": ("KEY (a))", "KEY (a));CREATE TABLE u (a INTEGER)"),
    "a table without rowid": ("KEY (a))", "KEY (a)) WITHOUT ROWID"),
}  # fmt: skip
INDEXES = [
    "CREATE INDEX i ON t (b)",
    "CREATE INDEX i ON t (a)",
    "CREATE INDEX i ON t (b, a)",
    "CREATE INDEX i ON t (b DESC)",
    "CREATE UNIQUE INDEX i ON t (b)",
    "CREATE INDEX i ON t (b) WHERE b <> 'x'",
    "CREATE INDEX i ON t (b) WHERE b <> 'y'",
]


@pytest.mark.parametrize("backend", ["sqlite", "psycopg2"])
def test_the_comparison_sees_every_difference(make_url: Callable[[], sa.URL], backend: str) -> None:
    """Two schemas that differ in one thing are described differently, and one made twice alike."""
    url = make_url()
    collation = "NOCASE" if backend == "sqlite" else '"C"'
    found = {}
    variants = {name: BASE.replace(old, new.format(collation=collation)) for name, (old, new) in OTHERS.items()}
    variants |= {"base": BASE, **{text: f"{BASE};{text}" for text in INDEXES}}
    for name, text in variants.items():
        if name == "a table without rowid" and backend != "sqlite":
            continue
        execute(url, *text.split(";"))
        found[name] = frozenset(describe(url))
        execute(url, "DROP TABLE t", "DROP TABLE other", "DROP TABLE IF EXISTS u")
    assert len(set(found.values())) == len(found)
    execute(url, *BASE.split(";"))
    assert describe(url) == found["base"]
