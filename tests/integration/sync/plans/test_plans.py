"""A plan says what a run will do, and a run that is bound to one does that or nothing."""

from __future__ import annotations

import io
import json

import pytest

from cloudindex_provider.cli.plan import PlanSummary, write_plan
from cloudindex_provider.errors import PlanChangedError
from tests.support.mirror import Mirror


def plan(mirror: Mirror) -> tuple[PlanSummary, list[dict[str, object]]]:
    out = io.StringIO()
    summary = write_plan(mirror.context(), out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[-1]["summary"]["hash"] == summary.hash
    return summary, lines[:-1]


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
