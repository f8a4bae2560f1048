"""A mass delete waits for a person, whose approval is a ceiling for one run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.errors import AuthenticationError, DeletesHeldError, SettingsError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.state.approvals import (
    HoldName,
    HoldRow,
    approve,
    approve_hold,
    mark_asked,
    open_holds,
    unasked_hold,
)
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.settings import Selection
from tests.support.mirror import Mirror

LIMITS: dict[str, Any] = {"max_delete_documents": 2, "max_delete_percent": 10.0, "on_mass_delete": "approve"}


@pytest.fixture
def emptied(mirror: Mirror) -> Mirror:
    """Ten synced documents, five of whose objects are gone."""
    mirror.put_many(10)
    mirror.run()
    mirror.remove(*(f"{i:04d}.txt" for i in range(5)))
    return mirror


def run(mirror: Mirror, **changes: Any) -> SyncReport:
    return mirror.run(**{**LIMITS, **changes})


def waiting(mirror: Mirror) -> HoldRow:
    (hold,) = open_holds(mirror.db)
    return hold


def name_of(hold: HoldRow) -> HoldName:
    return HoldName(str(hold.token), hold.project_id, hold.bucket, hold.prefix)


def used(mirror: Mirror) -> list[bool]:
    """Of every approval, whether a run has used it up."""
    return [row.run_id is not None for row in mirror.execute("SELECT run_id FROM approval ORDER BY id")]


def source_of(mirror: Mirror) -> int:
    return mirror.context().source.id


def test_a_mass_delete_that_waits_for_approval_leaves_the_run_green_and_opens_a_hold(emptied: Mirror) -> None:
    report = run(emptied)
    assert (report.counts["held"], report.counts["deleted"]) == (5, 0)
    (hold,) = open_holds(emptied.db)
    assert (hold.removed, hold.live, hold.bucket) == (5, 10, emptied.bucket)
    assert "max_delete_documents" in hold.reason


def test_where_nobody_is_to_be_asked_a_mass_delete_turns_the_run_red(emptied: Mirror) -> None:
    with pytest.raises(DeletesHeldError):
        run(emptied, on_mass_delete="fail")
    assert emptied.requests("delete") == 0


def test_a_hold_that_goes_on_stays_one_hold(emptied: Mirror) -> None:
    run(emptied)
    first = open_holds(emptied.db)
    run(emptied)
    assert [hold.id for hold in open_holds(emptied.db)] == [hold.id for hold in first]


@pytest.mark.parametrize("named", [["0007.txt"], ["0000.txt"], ["0000.txt", "0001.txt", "0002.txt"]])
def test_a_run_of_named_keys_leaves_the_hold_of_the_others_alone(emptied: Mirror, named: list[str]) -> None:
    """Whatever it finds of its own keys, the question and its answer stay those of the whole prefix."""
    run(emptied)
    (hold,) = open_holds(emptied.db)
    run(emptied, keys=tuple(f"docs/{name}" for name in named))
    (after,) = open_holds(emptied.db)
    assert (after.id, after.removed) == (hold.id, 5)
    approve(emptied.db, source_of(emptied), 5, "ada")
    run(emptied, keys=("docs/0008.txt",))
    run(emptied)
    assert open_holds(emptied.db) == []
    emptied.assert_agreement()


def keys_of(*numbers: int) -> tuple[str, ...]:
    return tuple(f"docs/{number:04d}.txt" for number in numbers)


def test_a_run_of_named_keys_does_not_use_what_was_allowed_of_the_whole_prefix(emptied: Mirror) -> None:
    """Three of the five that a person has looked at are another question, which waits for the whole one's answer."""
    run(emptied)
    approve_hold(emptied.db, name_of(waiting(emptied)), 5, "ada")
    assert run(emptied, keys=keys_of(0, 1, 2)).counts["held"] == 3
    assert (used(emptied), waiting(emptied).removed) == ([False], 5)
    assert run(emptied).counts["deleted"] == 5
    assert used(emptied) == [True]


def test_an_approval_of_no_hold_serves_named_keys_and_leaves_the_hold_of_the_others(emptied: Mirror) -> None:
    """What is allowed before anything is held is for whatever comes; the question about all stays open."""
    approve(emptied.db, source_of(emptied), 3, "ada")
    run(emptied)
    assert run(emptied, keys=keys_of(0, 1, 2)).counts["deleted"] == 3
    assert (used(emptied), waiting(emptied).removed) == ([True], 5)


def test_what_was_allowed_of_some_keys_serves_neither_others_nor_all(mirror: Mirror) -> None:
    """The hold of a run of named keys, before and after a whole listing; the greater question takes its place."""
    mirror.put_many(10)
    mirror.run()
    mirror.remove(*(f"{i:04d}.txt" for i in range(5)))
    run(mirror, keys=keys_of(0, 1, 2))
    first = name_of(waiting(mirror))
    approve_hold(mirror.db, first, 5, "ada")
    run(mirror, keys=keys_of(7))  # nothing to ask: the others' question stays
    assert waiting(mirror).token == first.token
    assert run(mirror, keys=keys_of(0, 1, 2, 3)).counts["held"] == 4
    assert waiting(mirror).token != first.token
    assert run(mirror).counts["held"] == 5
    assert used(mirror) == [False]
    assert waiting(mirror).removed == 5
    approve_hold(mirror.db, name_of(waiting(mirror)), 5, "ada")
    assert run(mirror).counts["deleted"] == 5


def test_what_was_allowed_of_some_keys_serves_them(mirror: Mirror) -> None:
    mirror.put_many(10)
    mirror.run()
    mirror.remove(*(f"{i:04d}.txt" for i in range(5)))
    run(mirror, keys=keys_of(0, 1, 2))
    approve_hold(mirror.db, name_of(waiting(mirror)), 3, "ada")
    assert run(mirror, keys=keys_of(2, 1, 0)).counts["deleted"] == 3
    assert open_holds(mirror.db) == []


def test_the_hold_of_a_sync_of_named_keys_alone_ends_when_they_are_back(mirror: Mirror) -> None:
    """No whole listing would ever end it."""
    keys = tuple(mirror.put_many(5))
    run(mirror, keys=keys)
    mirror.remove(*(f"{i:04d}.txt" for i in range(5)))
    assert run(mirror, keys=keys).counts["held"] == 5
    assert len(open_holds(mirror.db)) == 1
    mirror.put_many(5)
    run(mirror, keys=keys)
    assert open_holds(mirror.db) == []


def test_an_approved_run_deletes_and_ends_the_hold(emptied: Mirror) -> None:
    run(emptied)
    approve(emptied.db, source_of(emptied), 5, "ada")
    assert run(emptied).counts["deleted"] == 5
    assert open_holds(emptied.db) == []
    emptied.assert_agreement()


def test_an_approval_serves_one_run(emptied: Mirror) -> None:
    run(emptied)
    approve(emptied.db, source_of(emptied), 5, "ada")
    run(emptied)
    emptied.remove(*(f"{i:04d}.txt" for i in range(5, 9)))
    assert run(emptied).counts["held"] == 4


@pytest.mark.parametrize(("ceiling", "deleted"), [(4, 0), (5, 5)])
def test_the_ceiling_is_the_last_number_that_is_allowed(emptied: Mirror, ceiling: int, deleted: int) -> None:
    approve(emptied.db, source_of(emptied), ceiling, "ada")
    assert run(emptied).counts["deleted"] == deleted


def test_an_approval_that_has_run_out_allows_nothing(emptied: Mirror) -> None:
    approve(emptied.db, source_of(emptied), 5, "ada", days=-1)
    assert run(emptied).counts["deleted"] == 0


def test_a_retry_of_the_approved_run_may_still_delete(emptied: Mirror) -> None:
    approve(emptied.db, source_of(emptied), 5, "ada")
    emptied.run("one", **{**LIMITS, "on_removed": "keep"})
    assert emptied.run("one", **LIMITS).counts["deleted"] == 5


def test_a_person_is_asked_once_and_again_only_when_more_would_go(emptied: Mirror) -> None:
    run(emptied)
    hold = waiting(emptied)
    assert mark_asked(emptied.db, name_of(hold))
    assert not mark_asked(emptied.db, name_of(hold))
    run(emptied)
    assert waiting(emptied).asked_at is not None
    emptied.remove("0005.txt")
    run(emptied)
    assert waiting(emptied).asked_at is None


def test_objects_that_come_back_end_the_hold(emptied: Mirror) -> None:
    run(emptied)
    emptied.put_many(5)
    run(emptied)
    assert open_holds(emptied.db) == []
    emptied.assert_agreement()


def test_an_approval_of_an_unknown_source_or_of_nothing_is_refused(mirror: Mirror) -> None:
    with pytest.raises(SettingsError, match="no source 99"):
        approve(mirror.db, 99, 5, "ada")
    with pytest.raises(SettingsError, match="allows nothing"):
        approve(mirror.db, source_of(mirror), 0, "ada")


# An approval reaches its hold and no other


def test_a_question_of_another_state_writes_nothing_here(emptied: Mirror, tmp_path: Path) -> None:
    """Two states number their holds alike; the token is one's own, and all else is compared before anything is done."""
    run(emptied)
    hold = waiting(emptied)
    other = Mirror(tmp_path / "other", emptied.cloud, emptied.s3, emptied.s3)
    other.put_many(10)
    other.run()
    other.remove(*(f"{i:04d}.txt" for i in range(5)))
    run(other)
    assert waiting(other).id == hold.id
    assert waiting(other).token != hold.token
    strangers = [dataclasses.replace(name_of(hold), **{field: "x"}) for field in ("bucket", "prefix", "project_id")]
    for name in (name_of(waiting(other)), *strangers):
        with pytest.raises(SettingsError, match="nothing was approved") as caught:
            approve_hold(emptied.db, name, 5, "ada")
        assert not caught.value.retryable
        with pytest.raises(SettingsError):
            mark_asked(emptied.db, name)
    assert used(emptied) == used(other) == []
    assert waiting(emptied).asked_at is None
    other.close()


def test_an_approval_of_a_hold_allows_its_removals(emptied: Mirror) -> None:
    run(emptied)
    approve_hold(emptied.db, name_of(waiting(emptied)), 5, "ada")
    assert run(emptied).counts["deleted"] == 5
    emptied.assert_agreement()


@pytest.mark.parametrize("by_command", [True, False])
def test_an_approval_of_a_hold_that_has_ended_does_not_serve_the_next_one(emptied: Mirror, by_command: bool) -> None:
    """The objects came back; others that go later are another question."""
    run(emptied)
    name = name_of(waiting(emptied))
    if by_command:
        approve(emptied.db, source_of(emptied), 5, "ada")
    else:
        approve_hold(emptied.db, name, 5, "ada")
    emptied.put_many(5)
    run(emptied)
    emptied.remove(*(f"{i:04d}.txt" for i in range(5, 10)))
    assert run(emptied).counts["held"] == 5
    with pytest.raises(SettingsError, match="nothing was approved"):
        approve_hold(emptied.db, name, 5, "ada")
    assert waiting(emptied).token != name.token


def test_nobody_is_asked_about_what_is_allowed_already(emptied: Mirror) -> None:
    """An approval by the command line answers the question before it is asked."""
    run(emptied)
    source = source_of(emptied)
    assert unasked_hold(emptied.db, source) == waiting(emptied)
    approve(emptied.db, source, 4, "ada")
    assert unasked_hold(emptied.db, source) is not None
    approve(emptied.db, source, 5, "ada")
    assert unasked_hold(emptied.db, source) is None


# An approval is used up by the run that deletes


def test_a_changed_selection_does_not_use_up_an_approval(emptied: Mirror) -> None:
    """Its removals wait for one more run, and the hold and its approval wait with them."""
    run(emptied)
    approve_hold(emptied.db, name_of(waiting(emptied)), 5, "ada")
    narrow = Selection(exclude=("*.tmp",))
    report = run(emptied, selection=narrow)
    assert (report.counts["deleted"], report.counts["held"]) == (0, 5)
    assert "selection has changed" in str(report.held_reason)
    assert used(emptied) == [False]
    assert run(emptied, selection=narrow).counts["deleted"] == 5
    assert used(emptied) == [True]
    assert open_holds(emptied.db) == []


def test_a_run_that_fails_before_its_deletes_does_not_use_up_an_approval(emptied: Mirror) -> None:
    """A refused key at the uploads, which Airflow doesn't try again."""
    run(emptied)
    approve_hold(emptied.db, name_of(waiting(emptied)), 5, "ada")
    emptied.put("new.txt", "new")
    emptied.cloud.faults.add(Fault(operation="upload", kind="status", status=401, times=1))
    with pytest.raises(AuthenticationError):
        run(emptied)
    assert used(emptied) == [False]
    assert run(emptied).counts["deleted"] == 5
    emptied.assert_agreement()


def test_two_runs_do_not_share_an_approval(emptied: Mirror) -> None:
    """Both detections count on it; the first one that deletes has it, and the other one's removals are held."""
    run(emptied)
    approve_hold(emptied.db, name_of(waiting(emptied)), 5, "ada")
    one, other = (emptied.context(name, **{**LIMITS, "on_mass_delete": "fail"}) for name in ("one", "other"))
    detect(one)
    detect(other)
    assert remove(one).deleted == 5
    emptied.put_many(5)
    emptied.run(keys=tuple(f"docs/{i:04d}.txt" for i in range(5)))
    emptied.remove(*(f"{i:04d}.txt" for i in range(5)))
    with pytest.raises(DeletesHeldError, match="another run has used"):
        remove(other)


def test_the_next_try_of_a_delete_step_that_broke_off_still_has_its_approval(emptied: Mirror) -> None:
    """The step alone, and the run from its detection on."""
    run(emptied)
    approve_hold(emptied.db, name_of(waiting(emptied)), 5, "ada")
    fault = Fault(operation="delete", kind="status", status=401, skip=1, times=2)
    emptied.cloud.faults.add(fault)
    ctx = emptied.context("one", **LIMITS)
    detect(ctx)
    with pytest.raises(AuthenticationError):
        remove(ctx)
    with pytest.raises(AuthenticationError):
        remove(emptied.context("one", **LIMITS))
    assert synchronize(emptied.context("one", **LIMITS)).counts["held"] == 0
    emptied.assert_agreement()


def test_kept_documents_ask_nobody(emptied: Mirror) -> None:
    """With on_removed="keep" nothing is to be deleted: no hold opens, and one that was open ends."""
    run(emptied)
    for _ in range(2):
        report = run(emptied, on_removed="keep")
        assert (report.counts["removed"], report.counts["held"], report.held_reason) == (5, 0, None)
        assert open_holds(emptied.db) == []


def test_a_held_delete_step_stays_red_when_it_alone_is_cleared(emptied: Mirror) -> None:
    detect(emptied.context("one", **{**LIMITS, "on_mass_delete": "fail"}))
    for _ in range(3):
        with pytest.raises(DeletesHeldError, match="5 documents") as caught:
            remove(emptied.context("one", **{**LIMITS, "on_mass_delete": "fail"}))
        assert f"--source {source_of(emptied)} --ceiling 5" in caught.value.hint
