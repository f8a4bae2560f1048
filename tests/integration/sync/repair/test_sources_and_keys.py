"""Sources and single keys by command: what they show, and that they change what they say and nothing else."""

from __future__ import annotations

import getpass
from typing import Any

from tests.integration.sync.repair.conftest import Cli
from tests.support.mirror import Mirror


def test_sources_are_listed_with_their_numbers(mirror: Mirror, cli: Cli) -> None:
    """Every source with its counts per status and its live documents."""
    assert cli("sources", "list").out == "The state has no source.\n"
    mirror.put_many(3)
    mirror.put("skipped.exe")
    mirror.run()
    mirror.context(prefix="other/", sync_id="second")
    first, second = cli("sources", "list", "--output", "json").json
    assert {**first, "last_sweep": None} == {
        "id": 1, "project_id": mirror.project_id, "bucket": mirror.bucket, "prefix": "docs/", "sync_id": "",
        "documents": 3, "last_sweep": None, "statuses": {"indexed": 3, "skipped": 1},
    }  # fmt: skip
    assert first["last_sweep"].endswith("Z")
    assert (second["prefix"], second["sync_id"], second["last_sweep"]) == ("other/", "second", None)
    assert "indexed 3, skipped 1" in cli("sources", "list").out


def test_forgetting_a_source_keeps_its_documents_and_other_sources(mirror: Mirror, cli: Cli) -> None:
    """Nothing of the source is left in any table, and nothing else is touched."""
    mirror.put_many(3)
    mirror.run()
    mirror.s3.put_object(Bucket=mirror.bucket, Key="other/a.txt", Body=b"text")
    mirror.run(prefix="other/")
    asked = cli("sources", "forget", "--source", 1)
    assert "Nothing was changed" in asked.out
    assert len(mirror.rows()) == 4
    answer = cli("sources", "forget", "--source", 1, "--yes", "--output", "json")
    assert answer.json == {"source": 1, "keys": 3, "forgotten": True}
    assert set(mirror.rows()) == {"other/a.txt"}
    assert sum(len(some) for some in mirror.documents().values()) == 4
    for table in ("history", "run", "superseded", "hold", "approval"):
        assert mirror.execute(f"SELECT * FROM {table} WHERE source_id = 1") == []
    runs = {row.id for row in mirror.execute("SELECT id FROM run")}
    assert {
        row.run_id for row in mirror.execute("SELECT run_id FROM run_key UNION SELECT run_id FROM run_count")
    } == runs
    assert [one["id"] for one in cli("sources", "list", "--output", "json").json] == [2]


def test_a_source_that_a_run_works_on_is_not_forgotten(mirror: Mirror, cli: Cli) -> None:
    """Claimed rows are somebody's work."""
    mirror.put_many(2)
    mirror.run()
    mirror.execute("UPDATE object SET claim_owner = 'x', claim_try = 1, claim_until = 1e12")
    assert "A run works on 2 keys" in cli("sources", "forget", "--source", 1, "--yes").error
    assert len(mirror.rows()) == 2


def test_keys_go_over_with_their_documents_and_nothing_is_uploaded_again(mirror: Mirror, cli: Cli) -> None:
    """A prefix that gets a sync of its own takes its keys over; both syncs then have nothing to do."""
    mirror.put("a.txt")
    mirror.put("sub/b.txt", "b")
    mirror.put("sub/c.txt", "c")
    mirror.put("subway.txt", "d")
    mirror.run()
    owned = mirror.run(prefix="docs/sub/")
    assert owned.counts["skipped"] == 2
    mirror.execute(
        "INSERT INTO superseded SELECT scope_id, 'old', source_id, key, 'copy' FROM object WHERE key = 'docs/sub/b.txt'"
    )
    answer = cli("sources", "adopt", "--source", 2, "--from", 1, "--output", "json")
    assert answer.json == {"source": 2, "from": 1, "keys": 2, "documents": 2, "superseded": 1}
    owners = {key: row.source_id for key, row in mirror.rows().items()}
    assert owners == {"docs/a.txt": 1, "docs/sub/b.txt": 2, "docs/sub/c.txt": 2, "docs/subway.txt": 1}
    assert cli("history", "--source", 2, "--key", "docs/sub/b.txt", "--output", "json").json["events"]
    uploads = mirror.uploads
    second, first = mirror.run(prefix="docs/sub/"), mirror.run()
    assert (second.counts["unchanged"], first.counts["unchanged"], first.counts["skipped"]) == (2, 2, 2)
    assert mirror.uploads == uploads
    assert mirror.execute("SELECT * FROM superseded") == []
    mirror.assert_agreement()


def test_keys_that_a_run_works_on_are_not_handed_over(mirror: Mirror, cli: Cli) -> None:
    """One claimed row of either source stops it before anything is changed."""
    mirror.put("a.txt")
    mirror.put("sub/b.txt")
    mirror.run()
    mirror.run(prefix="docs/sub/")
    mirror.execute("UPDATE object SET claim_owner = 'x', claim_try = 1, claim_until = 1e12 WHERE key = 'docs/a.txt'")
    assert "A run works on 1 key of source 1" in cli("sources", "adopt", "--source", 2, "--from", 1).error
    assert {row.source_id for row in mirror.rows().values()} == {1}


def test_keys_stay_within_their_project_and_bucket(mirror: Mirror, cli: Cli) -> None:
    """A document can't move to another project, so its row doesn't either."""
    mirror.put("a.txt")
    mirror.run()
    mirror.context(project_id="another")
    assert "within one project and one bucket" in cli("sources", "adopt", "--source", 2, "--from", 1).error
    assert "itself" in cli("sources", "adopt", "--source", 1, "--from", 1).error


def quarantine(mirror: Mirror, *names: str) -> list[str]:
    mirror.cloud.settings.fail_processing = [f"docs-{name.partition('.')[0]}" for name in names]
    keys = [mirror.put(name, f"the text of {name}") for name in names]
    for _ in range(3):
        mirror.run()
    assert {mirror.rows()[key].status for key in keys} == {"quarantined"}
    return keys


def test_a_released_key_is_tried_again(mirror: Mirror, cli: Cli) -> None:
    """Quarantined keys stay so by themselves; released, the next sync uploads them, and the history says who."""
    keys = quarantine(mirror, "bad.txt", "worse.txt")
    mirror.cloud.settings.fail_processing = []
    mirror.run()
    assert mirror.rows()[keys[0]].status == "quarantined"
    assert cli("retry", "--source", 1, "--key", keys[0], "--output", "json").json == {"source": 1, "released": 1}
    row = mirror.rows()[keys[0]]
    assert (row.status, row.attempts, row.next_attempt_at) == ("pending", 0, None)
    mirror.run()
    assert [mirror.rows()[key].status for key in keys] == ["indexed", "quarantined"]
    events = cli("history", "--source", 1, "--key", keys[0], "--output", "json").json["events"]
    assert [one["event"] for one in events] == ["failed", "failed", "quarantined", "released", "indexed"]
    assert events[3]["reason"] == f"operator action by {getpass.getuser()}"
    assert events[0]["run_id"] == "run1"
    assert cli("retry", "--source", 1, "--all-quarantined", "--output", "json").json["released"] == 1
    mirror.run()
    mirror.assert_agreement()


def test_failed_keys_are_released(mirror: Mirror, cli: Cli) -> None:
    """Their strikes are forgotten, and the next run tries them as if for the first time."""
    mirror.cloud.settings.fail_processing = ["docs-bad"]
    key = mirror.put("bad.txt")
    mirror.run()
    mirror.cloud.settings.fail_processing = []
    assert cli("retry", "--source", 1, "--all-quarantined", "--output", "json").json["released"] == 0
    assert cli("retry", "--source", 1, "--all-failed", "--output", "json").json["released"] == 1
    mirror.run()
    assert mirror.rows()[key].status == "indexed"


def test_what_cannot_be_retried_is_said_and_nothing_is_released(mirror: Mirror, cli: Cli) -> None:
    """A wrong key among right ones stops it before the first."""
    (bad,) = quarantine(mirror, "bad.txt")
    good = mirror.put("good.txt")
    mirror.run()
    assert f"{good!r}" in cli("retry", "--source", 1, "--key", bad, "--key", good).error
    assert "no such key" in cli("retry", "--source", 1, "--key", "docs/none.txt").error
    assert "--all-failed" in cli("retry", "--source", 1).error
    assert "--all-failed" in cli("retry", "--source", 1, "--key", bad, "--all-failed").error
    assert "no source 9" in cli("retry", "--source", 9, "--all-failed").error
    assert mirror.rows()[bad].status == "quarantined"


def test_the_history_of_a_key_is_shown_with_what_it_is_now(mirror: Mirror, cli: Cli) -> None:
    """People see a line an event; a key that nobody knows is an error; odd keys can't forge lines."""
    mirror.put("a.txt")
    mirror.run()
    key = "docs/new\nline.txt"
    for table in ("object", "history"):
        mirror.execute(f"UPDATE {table} SET key = :k, reason = :k", k=key)
    answer = cli("history", "--source", 1, "--key", key)
    assert answer.out.count("docs/new\\nline.txt") == 2
    assert [line for line in answer.out.splitlines() if line.startswith("line")] == []
    assert answer.out.splitlines()[-1].startswith("Now: indexed (docs/new")
    assert "nothing of the key" in cli("history", "--source", 1, "--key", "docs/none").error


def test_held_deletes_are_shown_and_approved(mirror: Mirror, cli: Cli) -> None:
    """A mass delete waits; with a ceiling from the command line the next run does it."""
    limits: dict[str, Any] = {"max_delete_documents": 1, "max_delete_percent": 10.0, "on_mass_delete": "skip"}
    mirror.put_many(5)
    mirror.run(**limits)
    mirror.remove("0000.txt", "0001.txt", "0002.txt")
    assert mirror.run(**limits).counts["held"] == 3
    (hold,) = cli("holds", "--source", 1, "--output", "json").json
    assert (hold["source_id"], hold["removed"], hold["live"]) == (1, 3, 5)
    assert "max_delete_documents" in cli("holds").out
    assert "allows nothing" in cli("approve", "--source", 1, "--ceiling", 0).error
    assert "--days" in cli("approve", "--source", 1, "--ceiling", 3, "--days", -1).error
    given = cli("approve", "--source", 1, "--ceiling", 3, "--output", "json").json
    assert (given["ceiling"], given["user"]) == (3, getpass.getuser())
    assert mirror.run(**limits).counts["deleted"] == 3
    assert cli("holds").out == "No deletes wait.\n"
    mirror.assert_agreement()


def test_a_plan_names_every_key_and_changes_nothing(mirror: Mirror, cli: Cli) -> None:
    """JSON lines with a summary and a hash, or a line a key for people; state and index stay as they are."""
    import json

    mirror.put_many(3)
    mirror.run()
    mirror.put("0001.txt", "another text")
    mirror.put("new.txt")
    mirror.remove("0002.txt")
    before, documents = mirror.rows(), mirror.documents()
    where = ("--bucket", mirror.bucket, "--prefix", mirror.prefix)
    *items, last = map(json.loads, cli("plan", *where, "--json-lines").out.splitlines())
    assert [(one["action"], one["key"]) for one in items] == [
        ("upload", "docs/0001.txt"), ("delete", "docs/0002.txt"), ("upload", "docs/new.txt"),
    ]  # fmt: skip
    assert last["summary"]["hash"]
    text = cli("plan", *where).out
    assert f"Hash {last['summary']['hash']}." in text
    assert "docs/new.txt" in text
    assert (mirror.rows(), mirror.documents()) == (before, documents)
    assert cli("plan", "--bucket", mirror.bucket, "--prefix", "never/synced/").code == 0
    assert [one["id"] for one in cli("sources", "list", "--output", "json").json] == [1]
