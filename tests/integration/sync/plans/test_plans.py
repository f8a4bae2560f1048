"""A plan says what a run will do, and a run that is bound to one does that or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.errors import PlanChangedError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.state.approvals import approve
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.repair.planning import PlanSummary, make_plan
from tests.support.mirror import Mirror


def plan(mirror: Mirror) -> tuple[PlanSummary, list[dict[str, object]]]:
    items: list[dict[str, object]] = []
    summary = make_plan(mirror.context(), lambda item: items.append(item.as_dict()))
    return summary, items


@pytest.fixture
def synced(mirror: Mirror) -> Mirror:
    mirror.put_many(8)
    mirror.run()
    return mirror


def test_a_plan_names_every_upload_and_every_delete_in_key_order(synced: Mirror) -> None:
    synced.put("0003.txt", "changed")
    synced.put("0000a.txt", "new")
    synced.remove("0005.txt")
    summary, items = plan(synced)
    assert [(item["action"], item["class"], item["key"]) for item in items] == [
        ("upload", "new", "docs/0000a.txt"),
        ("upload", "changed", "docs/0003.txt"),
        ("delete", "removed", "docs/0005.txt"),
    ]
    assert (summary.uploads, summary.deletes, summary.upload_bytes) == (2, 1, len("changed") + len("new"))


def test_planning_writes_nothing(synced: Mirror) -> None:
    synced.put("new.txt")
    before = synced.rows(), synced.execute("SELECT * FROM run"), len(synced.cloud.requests)
    plan(synced)
    assert (synced.rows(), synced.execute("SELECT * FROM run"), len(synced.cloud.requests)) == before


def test_the_hash_changes_with_what_would_be_done_and_with_nothing_else(synced: Mirror) -> None:
    nothing = plan(synced)[0].hash
    synced.put("picture.png", b"skipped")
    assert plan(synced)[0].hash == nothing
    synced.put("0001.txt", "one")
    one = plan(synced)[0].hash
    synced.put("0001.txt", "two")
    two = plan(synced)[0].hash
    assert len({nothing, one, two}) == 3


def test_what_an_earlier_run_left_over_is_in_the_plan(synced: Mirror) -> None:
    synced.put_many(3, start=20)
    synced.run(max_documents_per_run=1)
    summary, items = plan(synced)
    assert (summary.uploads, [item["class"] for item in items]) == (2, ["new", "new"])


def test_a_run_bound_to_its_plan_does_it(synced: Mirror) -> None:
    synced.put("new.txt", "new")
    synced.remove("0002.txt")
    report = synced.run(plan_hash=plan(synced)[0].hash)
    assert (report.counts["indexed"], report.counts["deleted"]) == (1, 1)
    synced.assert_agreement()


def test_a_run_bound_to_another_plan_does_nothing(synced: Mirror) -> None:
    bound_to = plan(synced)[0].hash
    synced.put("new.txt", "new")
    synced.remove("0002.txt")
    rows, uploads = synced.rows(), synced.uploads
    with pytest.raises(PlanChangedError) as caught:
        synced.run(plan_hash=bound_to)
    assert not caught.value.retryable
    assert bound_to in str(caught.value)
    assert (synced.rows(), synced.uploads, synced.requests("delete")) == (rows, uploads, 0)


def test_a_dry_run_reports_the_hash_that_a_run_can_be_bound_to(synced: Mirror) -> None:
    synced.put("new.txt", "new")
    report = synced.run(dry_run=True)
    assert report.as_dict()["plan_hash"] == plan(synced)[0].hash
    assert report.plan["upload"] == ["docs/new.txt"]


# A bound run that is tried again


@pytest.mark.parametrize(
    "fault",
    [
        {"operation": "upload", "kind": "cut_after", "skip": 1},
        {"operation": "upload", "kind": "429", "retry_after": 60, "skip": 1},
        {"operation": "delete", "kind": "status", "status": 500},
    ],
    ids=["no answer", "told to wait", "after all uploads"],
)
def test_the_next_try_of_a_bound_run_does_the_rest_of_its_plan(mirror: Mirror, fault: dict[str, Any]) -> None:
    """What the first try has done isn't in a plan that could be made now, and the plan is done all the same, once."""
    mirror.put_many(45)
    mirror.run(max_documents_per_run=3)
    mirror.remove("0000.txt")
    bound_to = plan(mirror)[0].hash
    mirror.cloud.faults.add(Fault(**fault, times=1))
    report = mirror.run_to_the_end("bound", plan_hash=bound_to)
    assert (report.counts["indexed"], report.counts["deleted"], report.counts["listed"]) == (42, 1, 44)
    mirror.assert_agreement()


def test_the_next_try_of_a_bound_run_does_nothing_but_its_plan(synced: Mirror) -> None:
    """What has come or gone in S3 meanwhile is left to another run."""
    synced.put("new.txt", "new")
    synced.put("0001.txt", "changed")
    bound_to = plan(synced)[0].hash
    detect(synced.context("bound", plan_hash=bound_to))
    later = synced.put("later.txt", "later")
    synced.put("0001.txt", "changed again")
    synced.remove("0005.txt")
    report = synced.run("bound", plan_hash=bound_to)
    assert (report.counts["new"], report.counts["changed"], report.counts["removed"]) == (1, 1, 0)
    assert synced.of(later) == []
    assert len(synced.documents()) == 9
    synced.run()
    synced.assert_agreement()


def test_a_bound_run_that_is_cleared_after_an_approval_deletes(synced: Mirror) -> None:
    """Held by its first try; the second one asks for the word that a person has given meanwhile."""
    synced.remove("0001.txt", "0002.txt", "0003.txt")
    limits = {"max_delete_documents": 1, "on_mass_delete": "skip", "plan_hash": plan(synced)[0].hash}
    assert synced.run("bound", **limits).counts["held"] == 3
    assert synced.run("bound", **limits).counts["held"] == 3
    approve(synced.db, synced.context().source.id, 3, "ada")
    report = synced.run("bound", **limits)
    assert (report.counts["held"], report.counts["deleted"]) == (0, 3)
    synced.assert_agreement()


def test_a_failure_of_a_bound_run_is_tried_again_when_it_is_cleared(mirror: Mirror) -> None:
    """As in any other run, once its time has come."""
    mirror.put_many(3)
    mirror.put("bad.txt", "bad")
    mirror.cloud.settings.fail_processing = ["docs-bad"]
    bound_to = plan(mirror)[0].hash
    assert mirror.run("bound", plan_hash=bound_to).counts["failed"] == 1
    mirror.cloud.settings.fail_processing = []
    mirror.time_passes(3600)
    report = mirror.run("bound", plan_hash=bound_to)
    assert (report.counts["failed"], report.counts["indexed"]) == (0, 4)
    mirror.assert_agreement()


def test_a_run_that_is_bound_anew_looks_anew(synced: Mirror) -> None:
    """Cleared with another hash, a run has not begun that plan yet."""
    synced.put("new.txt", "new")
    first = plan(synced)[0].hash
    synced.run("bound", plan_hash=first)
    synced.put("more.txt", "more")
    second = plan(synced)[0].hash
    assert synced.run("bound", plan_hash=second).counts["indexed"] == 1
    with pytest.raises(PlanChangedError):
        synced.run("bound", plan_hash=first)
