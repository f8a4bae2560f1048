"""A mass delete waits for a person, whose approval is a ceiling for one run."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.errors import DeletesHeldError, SettingsError
from cloudindex_provider.state.approvals import approve, mark_asked, open_holds
from cloudindex_provider.sync.report.report import SyncReport
from tests.support.mirror import Mirror

LIMITS = {"max_delete_documents": 2, "max_delete_percent": 10.0, "on_mass_delete": "approve"}


@pytest.fixture
def emptied(mirror: Mirror) -> Mirror:
    """Ten synced documents, five of whose objects are gone."""
    mirror.put_many(10)
    mirror.run()
    mirror.remove(*(f"{i:04d}.txt" for i in range(5)))
    return mirror


def run(mirror: Mirror, **changes: Any) -> SyncReport:
    return mirror.run(**{**LIMITS, **changes})


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
    (hold,) = open_holds(emptied.db)
    assert mark_asked(emptied.db, hold.id)
    assert not mark_asked(emptied.db, hold.id)
    run(emptied)
    assert open_holds(emptied.db)[0].asked_at is not None
    emptied.remove("0005.txt")
    run(emptied)
    assert open_holds(emptied.db)[0].asked_at is None


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
