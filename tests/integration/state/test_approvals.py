"""Holds and approvals as rows: which hold an approval reaches, when it is used, and which store is remembered."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.state import runs, sweep
from cloudindex_provider.state.approvals import (
    Hold,
    HoldName,
    HoldRow,
    approve,
    approve_hold,
    find_approval,
    find_hold,
    mark_asked,
    open_holds,
    unasked_hold,
    use_approval,
)
from cloudindex_provider.state.records import Run

AT_ONE, AT_OTHER = Hold("too many", endpoint="one"), Hold("moved", endpoint="other", made_from="one")


def judged(state: Any, run_id: str, verdict: sweep.Verdict, endpoint: str | None = None) -> Run:
    """A run whose detection has ended with this verdict."""
    run = state.begin(run_id)
    sweep.finish(state.db, run, fingerprint="f", verdict=verdict, endpoint=endpoint)
    found = runs.find_run(state.db, state.source, run.name)
    assert found is not None
    return found


def waits(state: Any) -> HoldRow:
    (hold,) = open_holds(state.db, state.source.id)
    return hold


def name_of(hold: HoldRow) -> HoldName:
    return HoldName(str(hold.token), hold.project_id, hold.bucket, hold.prefix)


def endpoint_of(state: Any) -> str | None:
    ((endpoint,),) = state.sql("SELECT endpoint FROM source")
    return endpoint


def test_a_hold_is_found_by_its_token_and_nothing_else(state: Any) -> None:
    """Asked about once, allowed once, by name; a name that differs in anything finds nothing."""
    judged(state, "r2", sweep.Verdict(5, 10, AT_ONE))
    hold = waits(state)
    assert find_hold(state.db, name_of(hold)) == hold == unasked_hold(state.db, state.source.id)
    assert mark_asked(state.db, name_of(hold))
    assert not mark_asked(state.db, name_of(hold))
    assert unasked_hold(state.db, state.source.id) is None
    with pytest.raises(SettingsError):
        find_hold(state.db, HoldName("x", hold.project_id, hold.bucket, hold.prefix))


def test_an_approval_is_used_when_the_deletes_begin_and_the_hold_ends_then(state: Any) -> None:
    """Until then both wait, whatever a detection has said."""
    judged(state, "r2", sweep.Verdict(5, 10, AT_OTHER), "other")
    approve_hold(state.db, name_of(waits(state)), 5, "ada")
    begun = state.begin("r3")
    approval = find_approval(state.db, begun, 5, "other")
    run = judged(state, "r3", sweep.Verdict(5, 10, None, AT_OTHER, approval), "other")
    assert run.approval_id == (approval and approval.id)
    assert len(open_holds(state.db)) == 1
    assert use_approval(state.db, run, "other")
    assert use_approval(state.db, run, "other")  # the step's next try
    assert (open_holds(state.db), endpoint_of(state)) == ([], "other")
    later = state.begin("r4")
    assert find_approval(state.db, later, 5, "other") is None
    assert find_approval(state.db, run, 5, "other") == approval


def test_an_approval_is_for_one_store(state: Any) -> None:
    """The same source's hold at another store is another hold; one without a store is continued."""
    judged(state, "r2", sweep.Verdict(5, 10, Hold("too many")))
    first = waits(state)
    judged(state, "r3", sweep.Verdict(5, 10, AT_ONE))
    assert (waits(state).id, waits(state).endpoint) == (first.id, "one")
    approve(state.db, state.source.id, 5, "ada")
    run = judged(state, "r4", sweep.Verdict(5, 10, AT_OTHER))
    assert waits(state).id != first.id
    assert (waits(state).endpoint, waits(state).made_from) == ("other", "one")
    assert find_approval(state.db, run, 5, "other") is None


@pytest.mark.parametrize(
    ("known", "removed", "listed", "after"),
    [
        (None, 5, "one", "one"),
        ("one", 0, "other", "other"),
        ("one", 5, "other", "one"),
        ("one", 0, None, "one"),
        ("one", 5, None, "one"),
        (None, 0, None, None),
    ],
)
def test_a_store_is_learned_where_nothing_is_removed(
    state: Any, known: str | None, removed: int, listed: str | None, after: str | None
) -> None:
    """Or where none was known; a person decides about the rest."""
    state.sql("UPDATE source SET endpoint = :known", known=known)
    judged(state, "r2", sweep.Verdict(removed, 10), listed)
    assert endpoint_of(state) == after
