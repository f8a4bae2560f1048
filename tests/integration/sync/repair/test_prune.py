"""``airflow cloudindex prune --excluded`` takes out what a later selection leaves out, and what nobody else selects."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from cloudindex_provider.local.faults import Fault
from tests.integration.sync.repair.conftest import Answer, Cli
from tests.support.mirror import Mirror


def narrowed(mirror: Mirror, **changes: Any) -> Any:
    return replace(mirror.settings().selection, **(changes or {"exclude": ("*.md",)}))


@pytest.fixture
def narrow(mirror: Mirror) -> Mirror:
    """Ten synced documents, of which the sync then leaves three out."""
    for number in range(7):
        mirror.put(f"{number}.txt", f"text {number}")
    for number in range(3):
        mirror.put(f"{number}.md", f"# {number}")
    mirror.run()
    assert mirror.run(selection=narrowed(mirror)).counts["excluded"] == 3
    return mirror


def prune(cli: Cli, mirror: Mirror, *words: object, exclude: str | None = "*.md", **where: str) -> Answer:
    place = {"bucket": mirror.bucket, "prefix": mirror.prefix, **where}
    flags = [word for name, value in place.items() for word in (f"--{name.replace('_', '-')}", value)]
    return cli("prune", "--excluded", *flags, *(["--exclude", exclude] if exclude else []), *words)


def summary(answer: Answer) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    found: dict[str, Any] = answer.json["summary"]
    return found


def test_it_says_what_would_go_and_changes_nothing(narrow: Mirror, cli: Cli) -> None:
    """Each key with the reason, then the numbers; no document, no row and no byte of the state is touched."""
    narrow.db.close()
    before = Path(narrow.db.name).read_bytes(), narrow.documents()
    answer = prune(cli, narrow, "-o", "json")
    assert answer.json["items"] == [
        {"action": "delete", "key": f"docs/{number}.md", "reason": "excluded"} for number in range(3)
    ]
    assert [summary(answer)[name] for name in ("delete", "live", "held", "yes")] == [3, 10, None, False]
    shown = prune(cli, narrow).out
    assert (
        "10 documents are live; of keys that the selection leaves out, 3 would be deleted and 0 handed over." in shown
    )
    assert "Nothing was changed. Use --yes to do it." in shown
    assert (Path(narrow.db.name).read_bytes(), narrow.documents()) == before


def test_with_yes_they_go_and_nothing_else_does(narrow: Mirror, cli: Cli) -> None:
    """Rows and history remember it; the next sync has nothing to do, and one that selects them again uploads them."""
    assert "Deleted the documents of 3 keys" in prune(cli, narrow, "--yes").out
    narrow.assert_agreement(selection=narrowed(narrow))
    row = narrow.rows()["docs/0.md"]
    assert (row.status, row.reason, row.document_id, row.indexed_etag) == ("skipped", "excluded", None, None)
    events = cli("history", "--source", 1, "--key", "docs/0.md", "-o", "json").json["events"]
    assert events[-1]["event"] == "pruned"
    assert events[-1]["reason"].startswith("not selected: excluded; by ")
    assert events[-1]["run_id"].startswith("cli__")
    counts = narrow.run(selection=narrowed(narrow)).counts
    assert [counts[name] for name in ("unchanged", "skipped", "excluded", "uploaded")] == [7, 3, 0, 0]
    assert summary(prune(cli, narrow, "--yes", "-o", "json"))["delete"] == 0
    assert narrow.run().counts["uploaded"] == 3
    narrow.assert_agreement()


def test_it_is_held_by_the_limits_of_removals(narrow: Mirror, cli: Cli) -> None:
    """A ceiling is a person's word: up to it they go, and not one more."""
    limits = ("--max-delete-documents", 2, "--max-delete-percent", 10)
    assert (
        "3 removals are more than max_delete_documents (2)"
        in summary(prune(cli, narrow, *limits, "-o", "json"))["held"]
    )
    assert "--ceiling 3 allows them" in prune(cli, narrow, *limits).out
    for words in (limits, ("--ceiling", 2)):
        answer = prune(cli, narrow, *words, "--yes", "--json-lines")
        assert answer.code == 2
        assert "3 documents of s3://" in answer.err
        assert "allow it: --ceiling 3." in answer.err
    assert narrow.requests("delete") == 0
    assert summary(prune(cli, narrow, *limits, "--ceiling", 3, "--yes", "-o", "json"))["deleted"] == 3


def test_what_another_task_of_the_same_source_selects_stays(narrow: Mirror, cli: Cli) -> None:
    """Two tasks may share a prefix, each with its own part; the task is named, and may be said to be no more."""
    ctx = narrow.context(dag="other", selection=narrowed(narrow, include=("*/0.md",)))
    from cloudindex_provider.sync.run import synchronize

    synchronize(ctx)
    narrow.run(selection=narrowed(narrow))
    answer = prune(cli, narrow, "--yes", "-o", "json")
    kept = [one for one in answer.json["items"] if one["action"] == "keep"]
    assert [(one["key"], one["because"]) for one in kept] == [("docs/0.md", "task sync of DAG other selects it")]
    assert (summary(answer)["deleted"], summary(answer)["keep"]) == (2, 1)
    assert len(narrow.of("docs/0.md")) == 1
    assert summary(prune(cli, narrow, "--ignore", "other", "sync", "--yes", "-o", "json"))["deleted"] == 1


def test_what_another_source_selects_goes_over_to_it_with_its_document(narrow: Mirror, cli: Cli) -> None:
    """It stays searchable all the time, and is uploaded by nobody."""
    second = {"sync_id": "second", "selection": narrowed(narrow, include=("*/1.md",))}
    assert narrow.run(**second).counts["skipped"] == 10
    (document,) = narrow.of("docs/1.md")
    uploads = narrow.uploads
    answer = prune(cli, narrow, "--yes", "-o", "json")
    assert {"action": "hand over", "key": "docs/1.md", "reason": "excluded", "to": 2}.items() <= {
        **answer.json["items"][1]
    }.items()
    assert (summary(answer)["deleted"], summary(answer)["handed_over"]) == (2, 1)
    assert narrow.run(**second).counts["unchanged"] == 1
    assert narrow.run(selection=narrowed(narrow)).counts["uploaded"] == 0
    assert narrow.of("docs/1.md") == [document]
    assert narrow.uploads == uploads
    row = narrow.rows()["docs/1.md"]
    assert (row.source_id, row.status) == (2, "indexed")
    events = cli("history", "--source", 2, "--key", "docs/1.md", "-o", "json").json["events"]
    assert [one["event"] for one in events] == ["indexed", "handed over"]


def test_a_source_below_another_prefix_takes_nothing(narrow: Mirror, cli: Cli) -> None:
    """A selection counts for the keys under its own prefix alone."""
    narrow.run(prefix="docs/1", sync_id="second")
    narrow.s3.put_object(Bucket=narrow.bucket, Key="other/a.md", Body=b"# a")
    narrow.run(prefix="other/")
    found = summary(prune(cli, narrow, "-o", "json"))
    assert (found["delete"], found["hand_over"]) == (2, 1)


def test_the_settings_of_the_dag_count_for_its_task_not_what_the_state_remembers(
    mirror: Mirror, cli: Cli, airflow_home: Path
) -> None:
    """By a DAG that was narrowed and hasn't run since, too; by options alone, its last run's selection counts."""
    path = airflow_home / "dags" / "pruned.py"
    mirror.put("a.txt")
    mirror.put("b.md")
    mirror.run()
    path.write_text(
        dedent(f"""
        from airflow.sdk import DAG
        from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex
        with DAG("dag", schedule=None):
            s3_to_cloudindex(group_id="sync", bucket={mirror.bucket!r}, prefix="docs/", exclude=["*.md"])
        """)
    )
    try:
        assert summary(prune(cli, mirror, "--yes", "-o", "json"))["keep"] == 1
        answer = cli("prune", "--excluded", "--dag-id", "dag", "--yes", "-o", "json")
        assert summary(answer)["deleted"] == 1
    finally:
        path.unlink()
    mirror.assert_agreement(selection=narrowed(mirror))


def test_a_failing_service_stops_it_and_the_next_call_goes_on(narrow: Mirror, cli: Cli) -> None:
    """What is deleted stays so; nothing is claimed by whoever has given up."""
    narrow.cloud.faults.add(Fault(operation="delete", kind="status", status=503, skip=1, times=20))
    answer = prune(cli, narrow, "--yes")
    assert answer.code == 2
    assert 0 < sum(len(narrow.of(f"docs/{number}.md")) for number in range(3)) < 3
    narrow.cloud.faults.clear()
    prune(cli, narrow, "--yes")
    narrow.assert_agreement(selection=narrowed(narrow))


@pytest.mark.parametrize("deleted", [False, True])
def test_what_a_killed_prune_leaves_is_ended_by_the_next_one_or_by_a_sync(
    narrow: Mirror, cli: Cli, deleted: bool
) -> None:
    """Killed between the intent and what the state writes of it: another one waits for the lease, then ends it."""
    narrow.execute(
        "UPDATE object SET status = 'deleting', claim_owner = 'dead', claim_try = 1, claim_until = 1e12"
        " WHERE key = 'docs/0.md'"
    )
    if deleted:
        narrow.client.delete_document(narrow.of("docs/0.md")[0]["id"])
    found = summary(prune(cli, narrow, "--yes", "-o", "json"))
    assert (found["deleted"], found["later"]) == (2, 1)
    assert "Left: 1 key that somebody works on" in prune(cli, narrow, "--yes").out
    narrow.time_passes(2e12)
    narrow.run(selection=narrowed(narrow))
    # Where its document is gone already, the sync's daily comparison has found that out.
    assert summary(prune(cli, narrow, "--yes", "-o", "json"))["deleted"] == (0 if deleted else 1)
    narrow.assert_agreement(selection=narrowed(narrow))
    narrow.run()
    narrow.assert_agreement()


def test_a_size_is_asked_of_s3_before_its_document_goes(
    mirror: Mirror, cli: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    """What was too large when it was listed may be small by now."""
    for name in ("large.txt", "shrunk.txt", "gone.txt"):
        mirror.put(name, "x" * 200)
    mirror.put("small.txt", "x")
    mirror.run()
    selection = narrowed(mirror, max_file_size=100)
    assert mirror.run(selection=selection).counts["excluded"] == 3
    mirror.put("shrunk.txt", "x" * 50)
    mirror.remove("gone.txt")
    words = ("--max-file-size", 100, "--max-delete-percent", 100, "--yes", "-o", "json")
    answer = prune(cli, mirror, *words, exclude=None)
    assert (summary(answer)["delete"], summary(answer)["deleted"]) == (3, 1)
    assert "'docs/shrunk.txt' keeps its document: S3 has another version of it, which is no longer too" in caplog.text
    assert "'docs/gone.txt' keeps its document: S3 has it no more; the next sync decides" in caplog.text
    assert sorted(key for key, row in mirror.rows().items() if row.document_id) == [
        "docs/gone.txt", "docs/shrunk.txt", "docs/small.txt",
    ]  # fmt: skip
    mirror.run(selection=selection)
    mirror.assert_agreement(selection=selection)


def test_what_is_on_its_way_is_left_for_later(narrow: Mirror, cli: Cli) -> None:
    """No document is deleted of a key whose upload isn't over."""
    narrow.execute("UPDATE object SET status = 'uploading', doubtful = 1 WHERE key = 'docs/0.md'")
    narrow.execute("UPDATE object SET status = 'processing' WHERE key = 'docs/1.md'")
    found = summary(prune(cli, narrow, "--yes", "-o", "json"))
    assert (found["deleted"], found["later"]) == (1, 2)
    assert {row.status for row in narrow.rows().values() if row.key in ("docs/0.md", "docs/1.md")} == {
        "uploading", "processing",
    }  # fmt: skip


def test_odd_keys_are_shown_and_taken_out(mirror: Mirror, cli: Cli) -> None:
    """A newline, an emoji, an override of direction and markup: each a line of its own, to the letter in JSON."""
    names = ["\U0001f600.md", "\u202edm.md", "[red].md", "c.md"]
    for name in names:
        mirror.put(name, f"# {name}")
    mirror.run()
    mirror.run(selection=narrowed(mirror))
    mirror.execute("UPDATE object SET key = :odd WHERE key = 'docs/c.md'", odd="docs/a\nb.md")  # the S3 server can't
    names[-1] = "a\nb.md"
    shown = [line for line in prune(cli, mirror).out.splitlines() if line.startswith("delete")]
    assert len(shown) == len(names)
    assert "docs/a\\nb.md" in "".join(shown)
    *items, _ = map(json.loads, prune(cli, mirror, "--ceiling", 9, "--yes", "--json-lines").out.splitlines())
    assert {one["key"] for one in items} == {f"docs/{name}" for name in names}
    assert mirror.documents() == {}


def test_a_selection_that_the_state_does_not_know_is_not_taken_for_none(narrow: Mirror, cli: Cli) -> None:
    """A task that last ran under an older version may select anything: nothing is done before it is known."""
    narrow.execute(
        "INSERT INTO selection (source_id, dag_id, task_id, run_id, fingerprint) VALUES (1, 'old', 'sync', 'r', 'f')"
    )
    error = prune(cli, narrow, "--yes").error
    assert "Task sync of DAG old mirrors these keys, too, by a selection that isn't known" in error
    assert "--ignore DAG_ID TASK_ID" in error
    assert summary(prune(cli, narrow, "--ignore", "old", "sync", "-o", "json"))["delete"] == 3


def test_wrong_calls_are_one_sentence_and_make_no_source(narrow: Mirror, cli: Cli) -> None:
    """What to prune must be said, and its source must be there."""
    assert "Use --excluded" in cli("prune", "--bucket", narrow.bucket).error
    assert "--ceiling is -1" in prune(cli, narrow, "--ceiling", -1).error
    assert "has no source s3://" in prune(cli, narrow, "--yes", prefix="other/").error
    assert [one["id"] for one in cli("sources", "list", "-o", "json").json] == [1]


def test_named_keys_alone_are_looked_at_where_some_are_named(narrow: Mirror, cli: Cli) -> None:
    """As a task with ``keys`` does."""
    found = summary(prune(cli, narrow, "--key", "docs/1.md", "--key", "docs/1.txt", "--yes", "-o", "json"))
    assert found["deleted"] == 1
    assert not narrow.of("docs/1.md")
    assert narrow.of("docs/0.md")
