"""A sync owns what it has or works on, and nothing else: what one leaves out, another may have."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cloudindex_provider.state import sources
from cloudindex_provider.sync.report.messages import log_report
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.sync.report.summary import things_to_do
from cloudindex_provider.sync.run import synchronize
from tests.support.mirror import Mirror


def nonzero(report: SyncReport) -> dict[str, int]:
    names = ("listed", "unchanged", "new", "changed", "skipped", "indexed", "removed", "deleted", "held")
    return {name: report.counts[name] for name in names if report.counts[name]}


MARKDOWN: dict[str, Any] = {"sync_id": "markdown", "include": ("*.md",)}
TEXT: dict[str, Any] = {"sync_id": "text", "include": ("*.txt",)}


def run(mirror: Mirror, sync: dict[str, Any], **more: Any) -> SyncReport:
    selection = {"include": sync["include"]} if "include" in sync else {}
    return mirror.run(sync_id=sync["sync_id"], selection=mirror_selection(**selection), **more)


def mirror_selection(**changes: Any) -> Any:
    from cloudindex_provider.sync.settings import Selection

    return Selection(**changes)


def test_two_syncs_of_one_prefix_share_it_by_their_selections(in_memory: Mirror) -> None:
    """Each gets its own files, whichever comes first, and neither touches the other's from then on."""
    mirror = in_memory
    for number in range(3):
        mirror.put(f"{number}.md", f"markdown {number}")
        mirror.put(f"{number}.txt", f"text {number}")
    first, second = run(mirror, MARKDOWN), run(mirror, TEXT)
    assert nonzero(first) == {"listed": 6, "new": 3, "skipped": 3, "indexed": 3}
    assert nonzero(second) == {"listed": 6, "new": 3, "skipped": 3, "indexed": 3}
    assert (first.skipped_by_reason, second.skipped_by_reason) == ({"excluded": 3}, {"excluded": 3})
    for sync in (MARKDOWN, TEXT, MARKDOWN):
        assert nonzero(run(mirror, sync)) == {"listed": 6, "unchanged": 3, "skipped": 3}
    mirror.put("1.txt", "changed")
    mirror.remove("2.txt")
    assert nonzero(run(mirror, MARKDOWN)) == {"listed": 5, "unchanged": 3, "skipped": 2}
    assert nonzero(run(mirror, TEXT)) == {
        "listed": 5, "unchanged": 1, "changed": 1, "skipped": 3, "indexed": 1, "removed": 1, "deleted": 1,
    }  # fmt: skip
    mirror.assert_agreement()


def test_a_folder_that_one_sync_excludes_is_anothers(in_memory: Mirror) -> None:
    """A sync of its own for the folder takes its keys over from the one that skips them."""
    mirror = in_memory
    mirror.put("a.txt", "a")
    mirror.put("drafts/b.txt", "b")
    whole = {"selection": mirror_selection(exclude=("docs/drafts/*",))}
    assert nonzero(mirror.run(**whole)) == {"listed": 2, "new": 1, "skipped": 1, "indexed": 1}
    assert nonzero(mirror.run(prefix="docs/drafts/")) == {"listed": 1, "new": 1, "indexed": 1}
    assert nonzero(mirror.run(**whole)) == {"listed": 2, "unchanged": 1, "skipped": 1}
    mirror.assert_agreement()


@pytest.mark.parametrize("state", ["indexed", "excluded with a document", "in flight"])
def test_what_a_sync_has_or_works_on_stays_its_own(in_memory: Mirror, state: str) -> None:
    """Only a key without a document is taken over: another sync's document is never doubled."""
    mirror = in_memory
    mirror.put("a.txt", "a")
    if state == "in flight":
        mirror.cloud.settings.processing_delay = 60
        mirror.run(wait_for_processing=False)
    else:
        mirror.run()
    if state == "excluded with a document":
        mirror.run(selection=mirror_selection(exclude=("*",)))
    report = mirror.run(sync_id="other", wait_for_processing=False)
    assert report.skipped_by_reason == {"owned_by_other": 1}
    assert mirror.uploads == 1


def test_a_dry_run_announces_what_it_would_take_over(in_memory: Mirror) -> None:
    """The plan has the key as new, and takes nothing yet."""
    mirror = in_memory
    mirror.put("a.md", "a")
    run(mirror, TEXT)
    before = mirror.rows()
    report = run(mirror, MARKDOWN, dry_run=True)
    assert report.plan["upload"] == ["docs/a.md"]
    assert mirror.rows() == before


# Overlaps


def test_a_key_of_another_sync_names_it_its_dag_and_the_command_that_hands_it_over(
    in_memory: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    """In the report and as a warning in the log; a widened prefix finds its narrower self so."""
    mirror = in_memory
    caplog.set_level(logging.INFO)
    for number in range(5):
        mirror.put(f"a/{number}.txt", f"text {number}")
    mirror.put("b.txt", "text")
    ctx = mirror.context(dag="narrow", prefix="docs/a/")
    synchronize(ctx)
    wide = mirror.context(dag="wide")
    report = synchronize(wide)
    [overlap] = report.overlaps
    assert (overlap.source, overlap.prefix, overlap.dag_ids, overlap.keys) == (ctx.source.id, "docs/a/", ("narrow",), 5)
    assert overlap.first == ("docs/a/0.txt", "docs/a/1.txt", "docs/a/2.txt")
    command = f"airflow cloudindex sources adopt --source {wide.source.id} --from {ctx.source.id}"
    assert f"`{command}`" in overlap.remedy
    assert "If this sync takes its place" in overlap.remedy
    assert report.as_dict()["overlaps"][0]["dag_ids"] == ["narrow"]
    assert things_to_do(report)[0].startswith("5 keys are skipped because another sync has them. They belong to s3://")
    log_report(logging.getLogger("messages"), wide.settings, report)
    [line] = [one.getMessage() for one in caplog.records if one.levelname == "WARNING" and command in one.getMessage()]
    assert "5 keys are skipped because another sync has them: 'docs/a/0.txt', " in line


def test_the_command_does_what_it_is_offered_for(in_memory: Mirror) -> None:
    """After it, the wide sync has all, uploads nothing again, and says nothing of an overlap."""
    mirror = in_memory
    for number in range(3):
        mirror.put(f"a/{number}.txt", f"text {number}")
    mirror.run(prefix="docs/a/")
    mirror.run()
    uploads = mirror.uploads
    by_prefix = {one.source.prefix: one.source for one in sources.list_sources(mirror.db)}
    sources.adopt(mirror.db, by_prefix["docs/"], by_prefix["docs/a/"])
    report = mirror.run()
    assert (nonzero(report), report.overlaps) == ({"listed": 3, "unchanged": 3}, [])
    assert mirror.uploads == uploads


def test_a_narrower_sync_is_told_of_the_wider_one_and_of_each_of_several(in_memory: Mirror) -> None:
    """The one with the most keys comes first; a detection that is repeated counts them anew."""
    mirror = in_memory
    for number in range(3):
        mirror.put(f"a/{number}.txt", f"text {number}")
    mirror.put("a/x.md", "markdown")
    run(mirror, {**MARKDOWN, "include": ("*.md",)})
    mirror.run(sync_id="all")
    for _ in range(2):
        report = mirror.run("again", prefix="docs/a/")
    assert [(one.sync_id, one.keys) for one in report.overlaps] == [("all", 3), ("markdown", 1)]
    assert "exclude them there" in report.overlaps[0].remedy
    assert ", sync_id 'all' (source " in report.overlaps[0].remedy
    assert report.skipped_by_reason == {"owned_by_other": 4}


@pytest.mark.parametrize(("before", "adopt"), [("docs/a/", True), ("old/", False)])
def test_a_task_with_another_prefix_is_told_of_what_it_leaves_behind(
    in_memory: Mirror, caplog: pytest.LogCaptureFixture, before: str, adopt: bool
) -> None:
    """Once, in the first run; and how keys under the new prefix are handed over."""
    mirror = in_memory
    mirror.s3.put_object(Bucket=mirror.bucket, Key=f"{before}1.txt", Body=b"text")
    mirror.run(prefix=before)
    mirror.put("b.txt", "b")
    ctx = mirror.context()
    report = synchronize(ctx)
    log_report(logging.getLogger("messages"), ctx.settings, report)
    [text] = report.former
    assert text.startswith(f"This task has mirrored s3://{mirror.bucket}/{before} (source 1) until now")
    assert ("`airflow cloudindex sources adopt --source 2 --from 1`" in text) == adopt
    assert text in caplog.text
    assert mirror.run().former == []


@pytest.mark.parametrize("why", ["another task", "mirrored by others since", "no documents"])
def test_nobody_is_told_of_what_isnt_left_behind(in_memory: Mirror, why: str) -> None:
    """Nothing is said of prefixes that somebody looks after, or that hold nothing."""
    mirror = in_memory
    if why != "no documents":
        mirror.s3.put_object(Bucket=mirror.bucket, Key="old/1.txt", Body=b"text")
    dag = "elsewhere" if why == "another task" else "dag"
    synchronize(mirror.context(dag=dag, prefix="old/"))
    if why == "mirrored by others since":
        synchronize(mirror.context(dag="others", prefix="old/"))
    assert mirror.run().former == []
