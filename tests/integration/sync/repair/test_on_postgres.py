"""The commands' own SQL on Postgres: the whole story once, from a lost state to agreement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.state.db.database import Database
from tests.integration.state.conftest import postgres_server  # noqa: F401 - a fixture
from tests.integration.sync.repair.conftest import Cli
from tests.support.mirror import Mirror


@pytest.fixture
def mirror(tmp_path: Path, cloud: LocalCloudIndex, s3: Any, request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """A sync whose state is in Postgres."""
    server = request.getfixturevalue("postgres_server")
    server.sql("CREATE DATABASE story")
    made = Mirror(tmp_path, cloud, s3, s3, db=Database(server.url("psycopg2", "story")))
    yield made
    made.close()
    server.sql("DROP DATABASE story WITH (FORCE)")


def test_the_commands_work_on_postgres(mirror: Mirror, cli: Cli) -> None:
    """Rebuild, audit with repair, adopt, retry, approve, history and forget, each with the effect it has on SQLite."""
    url = mirror.db.url.render_as_string(hide_password=False)

    def run(*words: object) -> Any:
        answer = cli(*words, "--state-url", url, "--output", "json")
        assert answer.code in (0, 1), answer.err
        return answer.json

    keys = [*mirror.put_many(4), mirror.put("sub/b.txt", "b")]
    mirror.run()
    assert run("sources", "forget", "--source", 1, "--yes")["keys"] == 5
    assert run("sources", "list") == []
    where = ("--bucket", mirror.bucket, "--prefix", mirror.prefix)
    assert run("rebuild", *where, "--yes")["rebuilt"]["indexed"] == 5
    assert run("rebuild", *where, "--yes", "--replace")["rebuilt"]["indexed"] == 5
    (source,) = [one["id"] for one in run("sources", "list")]
    mirror.client.delete_document(mirror.of(keys[0])[0]["id"])
    mirror.execute("UPDATE object SET indexed_sha256 = 'other' WHERE key = :k", k=keys[1])
    found = run("audit", "--source", source, "--repair")
    assert (found["found"]["gone"], found["found"]["differs"]) == (1, 1)
    assert found["repaired"] == {"gone": 1, "differs": 1}
    mirror.run()
    mirror.assert_agreement()
    second = mirror.context(prefix="docs/sub/").source.id
    assert run("sources", "adopt", "--source", second, "--from", source)["keys"] == 1
    mirror.execute("UPDATE object SET status = 'quarantined', attempts = 3 WHERE key = :k", k=keys[2])
    assert run("retry", "--source", source, "--all-quarantined")["released"] == 1
    events = run("history", "--source", source, "--key", keys[2])["events"]
    assert [one["event"] for one in events][-1] == "released"
    mirror.run()
    assert run("prune", "--excluded", *where, "--include", "*/b.txt", "--ceiling", 9)["summary"]["keep"] == 4
    narrow = replace(mirror.settings().selection, include=("*/b.txt",))
    mirror.run(selection=narrow)
    done = run("prune", "--excluded", *where, "--include", "*/b.txt", "--ceiling", 9, "--yes")["summary"]
    assert (done["deleted"], done["keep"], done["hand_over"]) == (4, 0, 0)
    assert run("approve", "--source", source, "--ceiling", 3)["ceiling"] == 3
    assert run("holds") == []
    mirror.run()
    mirror.assert_agreement()


def test_a_lost_state_and_drift_are_healed_on_postgres(mirror: Mirror) -> None:
    """The first look and the daily comparison, with the effect that they have on SQLite."""
    keys = mirror.put_many(6)
    mirror.put("b.md", "# b")
    mirror.run()
    for table in ("object", "superseded", "history", "run", "run_key", "run_count", "source", "scope"):
        mirror.execute(f"DELETE FROM {table}")
    mirror.put("0005.txt", "another text")
    counts = mirror.run(selection=replace(mirror.settings().selection, exclude=("*.md",))).counts
    assert (counts["adopted"], counts["uploaded"], counts["excluded"]) == (5, 1, 1)
    mirror.run()
    mirror.assert_agreement()
    mirror.client.delete_document(mirror.of(keys[0])[0]["id"])
    mirror.execute("UPDATE object SET indexed_sha256 = 'other' WHERE key = :k", k=keys[1])
    mirror.execute("UPDATE source SET audited_at = audited_at - 86401")
    counts = mirror.run().counts
    assert (counts["drifted"], counts["indexed"], counts["unchanged"]) == (2, 2, 5)
    mirror.assert_agreement()
