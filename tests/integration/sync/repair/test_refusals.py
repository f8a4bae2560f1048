"""What every command refuses in one sentence: a state that can't be trusted, and connections that lead nowhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudindex_provider.state import sources
from tests.integration.state.conftest import postgres_server  # noqa: F401 - a fixture
from tests.integration.sync.repair.conftest import Cli
from tests.support.mirror import Mirror

COMMANDS = [
    ("sources", "list"),
    ("sources", "forget", "--source", 1, "--yes"),
    ("sources", "adopt", "--source", 1, "--from", 2),
    ("retry", "--source", 1, "--all-failed"),
    ("history", "--source", 1, "--key", "k"),
    ("holds",),
    ("approve", "--source", 1, "--ceiling", 5),
    ("plan", "--bucket", "some-bucket"),
    ("rebuild", "--bucket", "some-bucket", "--yes", "--replace"),
    ("audit", "--source", 1, "--repair"),
    ("audit", "--source", 1),
    ("sources", "forget", "--source", 1),
    ("migrate",),
    ("prune", "--excluded", "--bucket", "some-bucket"),
    ("prune", "--excluded", "--bucket", "some-bucket", "--yes"),
]
PREVIEWS = [("plan", "--bucket", "some-bucket"), ("rebuild", "--bucket", "some-bucket")]
READERS = [
    ("sources", "list"),
    ("sources", "forget", "--source", 1),
    ("history", "--source", 1, "--key", "k"),
    ("holds",),
    ("audit", "--source", 1),
    ("prune", "--excluded", "--bucket", "some-bucket"),
    *PREVIEWS,
]


def corrupt(path: Path) -> None:
    path.write_bytes(b"this is no database " * 500)


def truncated(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def emptied(path: Path) -> None:
    import os

    path.write_bytes(b"")
    os.utime(path, (0, 0))


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    connection.close()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SIGNS: list[tuple[Callable[[Path], None], str]] = [
    (corrupt, "damaged"), (truncated, "damaged"), (newer, "schema 99"), (a_folder, "can't be"),
]  # fmt: skip


@pytest.fixture(scope="module")
def good_state(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a state with a row in it."""
    from cloudindex_provider.state.db.database import Database

    path = tmp_path_factory.mktemp("state") / "state.db"
    db = Database(f"sqlite:///{path}")
    sources.open_source(db, project_id="p", bucket="b", prefix="")
    db.close()
    return path.read_bytes()


@pytest.mark.parametrize(("damage", "sign"), SIGNS, ids=lambda item: getattr(item, "__name__", ""))
def test_a_state_that_cannot_be_trusted_is_named_and_refused(
    cli: Cli,
    good_state: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    sign: str,
) -> None:
    """Every command says which file is wrong and how, sends nothing, and leaves the file as it is."""
    path = tmp_path / "state" / "state.db"
    path.parent.mkdir()
    path.write_bytes(good_state)
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(path))
    for command in COMMANDS:
        error = cli(*command).error
        assert str(path) in error
        assert sign in error
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_state_that_was_emptied_is_lost_and_said_to_be(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No command takes an empty file for an empty state; only a rebuild begins it anew, and warns."""
    path = tmp_path / "state.db"
    emptied(path)
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(path))
    for command in COMMANDS:
        if command[0] not in ("plan", "rebuild"):
            assert f"The state in {path} is an empty file, so it is lost." in cli(*command).error
    for command in PREVIEWS:
        assert "bucket" in cli(*command).error
        assert f"There is no state in {path}, so what is shown" in caplog.text
        caplog.clear()
    assert path.read_bytes() == b""
    assert cli("rebuild", "--bucket", "no-such-bucket-anywhere", "--yes").code == 2
    assert f"The state in {path} is an empty file, which a state never is" in caplog.text


def test_a_state_that_was_never_there_is_not_made_by_looking(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong path is an error, not a new and empty state; only a rebuild begins one, when it is told to."""
    path = tmp_path / "elsewhere" / "state.db"
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(path))
    for command in COMMANDS:
        if command[0] not in ("plan", "rebuild"):
            assert f"There is no state in {path}" in cli(*command).error
    for command in PREVIEWS:
        assert cli(*command).code == 2
    assert not path.parent.exists()


def test_what_a_first_run_would_do_is_shown_without_a_state(
    cli: Cli, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before a first sync a plan and a rebuild's survey are most wanted: they are made, and no file of a state is."""
    import json

    mirror.put_many(2)
    path = tmp_path / "elsewhere" / "state.db"
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(path))
    where = ("--bucket", mirror.bucket, "--prefix", mirror.prefix)
    assert "2 uploads" in cli("plan", *where).out
    assert json.loads(cli("rebuild", *where, "--output", "json").out)["survey"]["listed"] == 2
    assert caplog.text.count(f"There is no state in {path}, so what is shown is what a first run would do.") == 2
    assert not path.parent.exists()


def test_what_only_looks_does_not_bring_an_older_state_up_to_date(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the version and the way out, and leaves every byte as it is; that way then works."""
    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.db.migrations import MIGRATIONS, SCHEMA_VERSION

    path = tmp_path / "old.db"
    Database(f"sqlite:///{path}", migrations=MIGRATIONS[:8]).close()
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(path))
    before = path.read_bytes()
    for command in READERS:
        error = cli(*command).error
        assert f"The state in {path} has schema 8, and this version reads schema {SCHEMA_VERSION}" in error
        assert "`airflow cloudindex migrate`" in error
    assert path.read_bytes() == before
    assert cli("migrate").out == f"The state in {path} has schema {SCHEMA_VERSION}.\n"
    assert cli("sources", "list").out == "The state has no source.\n"


def test_what_only_looks_changes_no_byte_of_a_state(cli: Cli, mirror: Mirror) -> None:
    """Looking at it is not using it; an audit's requests alone book their turn there."""
    mirror.put_many(2)
    mirror.run()
    mirror.db.close()
    path = Path(mirror.db.name)
    before = path.read_bytes()
    assert "indexed 2" in cli("sources", "list").out
    assert cli("holds").code == 0
    assert "indexed" in cli("history", "--source", 1, "--key", "docs/0000.txt").out
    where = ("--bucket", mirror.bucket, "--prefix", mirror.prefix)
    assert "0 uploads" in cli("plan", *where).out
    assert (
        "2 would be deleted" in cli("prune", "--excluded", *where, "--include", "*.md", "--ignore", "dag", "sync").out
    )
    assert path.read_bytes() == before
    assert cli("audit", "--source", 1, "--output", "json").json["clean"] is True


def test_an_empty_database_of_postgres_is_no_state_either(cli: Cli, request: pytest.FixtureRequest) -> None:
    """No command makes tables in a database that holds none, but a rebuild that is told to."""
    server = request.getfixturevalue("postgres_server")
    server.sql("CREATE DATABASE nothing")
    url = server.url("psycopg2", "nothing").render_as_string(hide_password=False)
    try:
        for command in COMMANDS:
            if command[0] not in ("plan", "rebuild"):
                assert "the database is empty" in cli(*command, "--state-url", url).error
        for command in PREVIEWS:
            assert cli(*command, "--state-url", url).code == 2
        import sqlalchemy as sa

        engine = sa.create_engine(url)
        assert sa.inspect(engine).get_table_names() == []
        engine.dispose()
    finally:
        server.sql("DROP DATABASE nothing WITH (FORCE)")


def test_a_connection_that_is_not_defined_is_named(cli: Cli, mirror: Mirror) -> None:
    """The sentence names the connection."""
    assert "nowhere" in cli("plan", "--bucket", mirror.bucket, "--cloudindex-conn-id", "nowhere").error


def test_a_refused_api_key_is_named_by_its_connection(
    cli: Cli, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong key is said, and never shown."""
    import json

    index = {"conn_type": "cloudindex", "host": mirror.cloud.url, "password": "a-wrong-key-to-be-hidden"}
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps({**index, "extra": {"project_id": mirror.project_id}}))
    answer = cli("rebuild", "--bucket", mirror.bucket, "--cloudindex-conn-id", "wrong", "--yes")
    assert "'wrong'" in answer.error
    assert "a-wrong-key" not in answer.err


def test_wrong_arguments_are_named(cli: Cli, mirror: Mirror) -> None:
    """Settings are checked as a task checks them."""
    assert "no bucket name" in cli("plan", "--bucket", "s3://bucket").error
    assert "max_file_size" in cli("plan", "--bucket", mirror.bucket, "--max-file-size", 0).error
    assert "Both state_url" in cli("sources", "list", "--state-url", "sqlite:////a", "--state-conn-id", "b").error
    assert "--stuck-hours" in cli("audit", "--source", 1, "--stuck-hours", -1).error
    mirror.run()
    assert "Set LC_ALL=C.UTF-8" in cli("history", "--source", 1, "--key", "docs/\udcc3.txt").error


def test_a_source_that_is_not_there_is_named_and_nothing_is_done(cli: Cli, mirror: Mirror) -> None:
    """With the command that shows those that are."""
    mirror.put("a.txt")
    mirror.run()
    rows = mirror.rows()
    for command in COMMANDS:
        if "--source" in command:
            words = [
                99 if before == "--source" else word for before, word in zip(("", *command), command, strict=False)
            ]
            error = cli(*words).error
            assert "has no source 99" in error
            assert command[0] == "approve" or "`airflow cloudindex sources list`" in error
    assert mirror.rows() == rows
    assert len(mirror.of("docs/a.txt")) == 1


def test_a_surprise_is_one_sentence_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug shows neither a traceback nor its values."""
    from cloudindex_provider.state import sources

    def fail(_: object) -> None:
        raise RuntimeError("with a-secret-value")

    monkeypatch.setattr(sources, "list_sources", fail)
    answer = cli("sources", "list")
    assert "Unexpected RuntimeError" in answer.error
    assert "a-secret-value" not in answer.err


def test_connections_of_the_metadata_database_are_found(
    airflow_db: Path, cli: Cli, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command finds connections where `airflow connections add` puts them, not only in the environment."""
    import os

    from airflow.models import Connection
    from airflow.utils.session import create_session

    names = ("aws_default", "cloudindex_default")
    with create_session() as session:
        for name in names:
            session.add(Connection.from_json(os.environ[f"AIRFLOW_CONN_{name.upper()}"], conn_id=f"stored_{name}"))
    for name in names:
        monkeypatch.delenv(f"AIRFLOW_CONN_{name.upper()}")
    mirror.put("a.txt")
    ids = ("--aws-conn-id", "stored_aws_default", "--cloudindex-conn-id", "stored_cloudindex_default")
    answer = cli("plan", "--bucket", mirror.bucket, "--prefix", mirror.prefix, *ids, "--output", "json")
    assert [item["key"] for item in answer.json["items"]] == ["docs/a.txt"]
