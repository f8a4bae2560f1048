"""A dry run leaves its plan for people to read, and nothing else; the page knows what has become of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from cloudindex_provider.errors import PlanChangedError, StateUnavailableError
from cloudindex_provider.state.plans import PlanKey
from cloudindex_provider.state.views.keys import KeyFilter
from cloudindex_provider.state.views.overview import read_syncs
from cloudindex_provider.state.views.plans import PlanRow, read_plan, read_plan_keys
from cloudindex_provider.sync.detect import kept_plan
from tests.support.mirror import Mirror


def kept(mirror: Mirror) -> PlanRow:
    [sync] = read_syncs(mirror.db)
    plan = read_plan(mirror.db, sync.source.id)
    assert plan is not None
    return plan


def keys(mirror: Mirror, action: str) -> list[PlanKey]:
    [sync] = read_syncs(mirror.db)
    page = read_plan_keys(mirror.db, sync.source.id, kept(mirror).id, action, KeyFilter(), limit=100)
    return list(page.rows)


@pytest.fixture
def changed(in_memory: Mirror) -> Mirror:
    """A sync with one key of each kind of work."""
    in_memory.put_many(4)
    in_memory.run()
    in_memory.put("0000.txt", "changed")
    in_memory.put("new.txt", "new")
    in_memory.put("picture.png", b"not selected")
    in_memory.remove("0001.txt")
    return in_memory


def test_a_dry_runs_plan_can_be_read_key_by_key(changed: Mirror) -> None:
    """With the sizes of objects, and of the documents that would go; what is newly left out says why."""
    size = changed.rows()["docs/0001.txt"].indexed_size
    report = changed.run("dry", dry_run=True)
    plan = kept(changed)
    assert (plan.hash, plan.run_id) == (report.plan_hash, "dry")
    assert keys(changed, "upload") == [
        PlanKey("upload", "docs/0000.txt", "changed", len("changed")), PlanKey("upload", "docs/new.txt", "new", 3),
    ]  # fmt: skip
    assert keys(changed, "delete") == [PlanKey("delete", "docs/0001.txt", "removed", size)]
    [skipped] = keys(changed, "skip")
    assert (skipped.key, skipped.reason) == ("docs/picture.png", "unsupported_type")
    assert {action: asdict(total)["keys"] for action, total in plan.totals.items()} == {
        "upload": 2, "delete": 1, "skip": 1,
    }  # fmt: skip


def test_documents_that_are_kept_are_no_deletes(changed: Mirror) -> None:
    changed.run(dry_run=True, on_removed="keep")
    assert [item.key for item in keys(changed, "keep")] == ["docs/0001.txt"]
    assert keys(changed, "delete") == []


def test_a_source_that_never_ran_has_a_plan_too(in_memory: Mirror) -> None:
    """The first look at what would be uploaded is the one that matters most; nothing else is written of it."""
    in_memory.put_many(2)
    in_memory.run(dry_run=True)
    assert [item.key for item in keys(in_memory, "upload")] == ["docs/0000.txt", "docs/0001.txt"]
    for table in ("object", "run", "run_key", "run_count", "history", "selection"):
        assert in_memory.execute(f"SELECT * FROM {table}") == []
    in_memory.run(plan_hash=kept(in_memory).hash)
    in_memory.assert_agreement()


def test_the_plan_knows_the_run_that_has_done_it(changed: Mirror) -> None:
    plan = changed.run("dry", dry_run=True).plan_hash
    changed.run("bound", plan_hash=plan)
    ran = kept(changed).ran
    assert ran is not None
    assert ran[1] == "bound"
    assert kept(changed).overtaken_at is None


def test_a_plan_that_s3_has_overtaken_says_so(changed: Mirror) -> None:
    """As soon as a run that is bound to it finds that out."""
    plan = changed.run("dry", dry_run=True).plan_hash
    changed.put("later.txt", "later")
    with pytest.raises(PlanChangedError):
        changed.run("bound", plan_hash=plan)
    assert kept(changed).overtaken_at is not None
    assert kept(changed).ran is None


def test_a_plan_of_named_keys_is_marked_as_one(changed: Mirror) -> None:
    """A run of the whole prefix would never have its hash."""
    changed.run(dry_run=True)
    assert kept(changed).of_keys is None
    changed.run(dry_run=True, keys=("docs/new.txt",))
    assert kept(changed).of_keys is not None


def test_a_plan_that_cant_be_kept_is_made_all_the_same(
    changed: Mirror, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the state is busy for long: the dry run's report has it, and the log says what is missing."""

    def busy(*_: Any, **__: Any) -> None:
        raise StateUnavailableError("it is locked")

    monkeypatch.setattr(kept_plan, "save_plan", busy)
    assert changed.run(dry_run=True).plan_hash
    assert "it is locked" in caplog.text
