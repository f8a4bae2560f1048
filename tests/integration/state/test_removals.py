"""Deletes: of what is proven removed, of documents of ours, and never of a live one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.errors import ClaimLostError
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import claims, doubts, outcomes, removals, superseded
from cloudindex_provider.state.records import Owner

Listed = Callable[..., ListedObject]
OTHER = Owner("other", 1)


def found(state: Any, **more: Any) -> list[Any]:
    values = {"after": None, "limit": 100, **more}
    return removals.removals(state.db, state.run, state.owner, **values)


def gone(state: Any, listed: Listed, *keys: str) -> None:
    """Indexed once, and no longer listed."""
    state.index(listed("stays"), *(listed(key) for key in keys))
    state.begin("r2")
    state.detect(listed("stays"))


def test_a_removed_key_is_deleted(state: Any, listed: Listed) -> None:
    """Intent, delete, and the row is forgotten, with outcome, counters and history."""
    gone(state, listed, "a", "b")
    assert [(one.key, one.document_id, one.doubtful) for one in found(state)] == [
        ("a", "doc-a-e1", False), ("b", "doc-b-e1", False)
    ]  # fmt: skip
    begun = removals.record_deleting(state.db, state.run, state.owner, found(state)[0], lease=60.0)
    assert state.row("a").status == "deleting"
    removals.record_deleted(state.db, state.run, state.owner, begun, ["doc-a-e1"])
    assert list(state.rows()) == ["b", "stays"]
    assert state.run_keys() == {"a": ("removed", "deleted"), "b": ("removed", None)}
    assert {name: state.counts()[name] for name in ("removed", "deleted", "deleted_documents")} == {
        "removed": 2, "deleted": 1, "deleted_documents": 1,
    }  # fmt: skip
    assert state.history()[-1] == ("a", "deleted")
    assert [one.key for one in found(state)] == ["b"]


def test_removals_come_in_blocks(state: Any, listed: Listed) -> None:
    """In key order, a block at a time."""
    gone(state, listed, "a", "b", "c")
    first = found(state, limit=2)
    assert [one.key for one in (*first, *found(state, after=first[-1].key, limit=2))] == ["a", "b", "c"]


def test_a_key_that_somebody_works_on_is_not_deleted(state: Any, listed: Listed) -> None:
    """A claimed row isn't shown as a removal, and one that changed since isn't begun."""
    gone(state, listed, "a", "b")
    seen = found(state)
    state.sql("UPDATE object SET claim_owner = 'other', claim_try = 1, claim_until = 1e18 WHERE key = 'a'")
    state.sql("UPDATE object SET revision = revision + 1 WHERE key = 'b'")
    assert [one.key for one in found(state)] == ["b"]
    for one in seen:
        with pytest.raises(ClaimLostError):
            removals.record_deleting(state.db, state.run, state.owner, one, lease=60.0)


def test_a_key_that_came_back_while_it_was_deleted_keeps_its_row(state: Any, listed: Listed) -> None:
    """The delete's end forgets only the row that it began with."""
    gone(state, listed, "a")
    begun = removals.record_deleting(state.db, state.run, state.owner, found(state)[0], lease=60.0)
    state.end_leases()
    state.detect(listed("stays"), listed("a"))
    removals.record_deleted(state.db, state.run, state.owner, begun, ["doc-a-e1"])
    row = state.row("a")
    assert (row.status, row.indexed_etag) == ("pending", None)  # uploaded again, whatever it was thought to have


def test_a_delete_that_was_begun_is_found_again(state: Any, listed: Listed) -> None:
    """A try that died after the intent leaves a removal for the next, in the same run and in the next one."""
    gone(state, listed, "a")
    removals.record_deleting(state.db, state.run, state.owner, found(state)[0], lease=60.0)
    again = removals.removals(state.db, state.run, Owner("task", 2), after=None, limit=9)
    assert [one.key for one in again] == ["a"]
    state.begin("r3")
    state.detect(listed("stays"))
    state.end_leases()
    assert [one.key for one in found(state)] == ["a"]


def test_doubt_survives_a_delete_that_died(state: Any, listed: Listed) -> None:
    """Begun on a row whose upload may have arrived, the next try still knows to look for copies."""
    state.detect(listed("a"))
    state.intend(state.claim())
    state.end_leases()
    state.begin("r2")
    state.detect()
    assert [(one.key, one.doubtful) for one in found(state)] == [("a", True)]
    removals.record_deleting(state.db, state.run, OTHER, found(state)[0], lease=60.0)
    state.end_leases()
    state.begin("r3")
    state.detect()
    assert [(one.key, one.doubtful) for one in found(state)] == [("a", True)]


def test_held_removals_are_counted_and_not_shown_again(state: Any, listed: Listed) -> None:
    """A hold ends every removal of the run, with its reason, also at the step's next try; the rows stay, and the next
    run finds them again."""
    gone(state, listed, "a", "b")
    assert removals.record_held(state.db, state.run, "too many") == 2
    assert state.counts()["held"] == 2
    assert found(state) == []
    assert removals.record_held(state.db, state.run, "too many") == 2
    assert state.counts()["held"] == 2
    assert state.sql("SELECT DISTINCT outcome, reason FROM run_key WHERE class = 'removed'") == [("held", "too many")]
    state.begin("r3")
    state.detect(listed("stays"))
    assert len(found(state)) == 2


def test_a_kept_document_says_why(state: Any, listed: Listed) -> None:
    """A removal whose absence isn't proven ends with its reason, and the row stays."""
    gone(state, listed, "a")
    removals.record_kept(state.db, state.run, "a", "kept", "S3 has the object again")
    assert state.run_keys() == {"a": ("removed", "kept")}
    assert state.row("a").status == "indexed"
    assert found(state) == []


# Superseded documents


def shown(state: Any) -> list[tuple[str, str]]:
    rows = superseded.superseded_documents(state.db, state.run, limit=100)
    return [(one.key, one.document_id) for one in rows]


def note(state: Any, key: str, document: str, reason: str) -> None:
    state.sql(
        "INSERT INTO superseded (scope_id, document_id, source_id, key, reason) VALUES (:s, :d, :i, :k, :r)",
        s=state.source.scope_id, d=document, i=state.source.id, k=key, r=reason,
    )  # fmt: skip


@pytest.mark.parametrize("reason", ["copy", "failed", "replaced"])
def test_the_live_document_is_never_superseded(state: Any, listed: Listed, reason: str) -> None:
    """Whatever was noted about it, a document that a row has, live or on its way, isn't shown for deletion."""
    state.index(listed("a"))
    note(state, "a", "doc-a-e1", reason)
    state.begin("r2")
    assert shown(state) == []
    state.send(listed("a", "e2"))
    note(state, "a", "doc-a-e2", reason)
    assert shown(state) == []


@pytest.mark.parametrize(
    ("status", "reason", "may_go"),
    [
        ("indexed", "copy", True), ("indexed", "replaced", True), ("indexed", "failed", True),
        ("pending", "copy", False), ("processing", "copy", False), ("uploading", "copy", False),
        ("failed", "copy", False),
        ("pending", "failed", True), ("processing", "failed", True),
        ("pending", "replaced", True),  # a newer one is live since it was noted
        ("skipped", "replaced", True),
    ],
)  # fmt: skip
def test_when_a_superseded_document_may_go(state: Any, listed: Listed, status: str, reason: str, may_go: bool) -> None:
    """Copies only once the key is indexed; what failed or was replaced by a live document at any time."""
    state.index(listed("a"))
    note(state, "a", "old", reason)
    state.sql("UPDATE object SET status = :status", status=status)
    assert shown(state) == ([("a", "old")] if may_go else [])


def test_a_forgotten_key_s_leftovers_go(state: Any) -> None:
    """Documents of a key that has no row any more are deleted, and then not shown again."""
    note(state, "gone", "old", "copy")
    assert shown(state) == [("gone", "old")]
    assert superseded.document_ids_of(state.db, state.run, "gone") == ["old"]
    (one,) = superseded.superseded_documents(state.db, state.run, limit=9)
    superseded.forget_superseded(state.db, state.run, state.owner, one)
    assert shown(state) == []
    assert state.counts()["superseded"] == 1


def test_another_sync_s_leftovers_are_not_ours(make_state: Callable[..., Any]) -> None:
    """A run deletes superseded documents of its own source only."""
    first, second = make_state(prefix="a"), make_state(prefix="b")
    note(first, "a1", "old", "failed")
    assert shown(second) == []
    assert shown(first) == [("a1", "old")]


def test_superseded_documents_are_claimed_before_they_go(state: Any, listed: Listed) -> None:
    """A leftover is deleted under a claim of its key, and left alone where it became the live document meanwhile."""
    state.index(listed("a"))
    note(state, "a", "old", "copy")
    note(state, "none", "stray", "copy")
    old, stray = superseded.superseded_documents(state.db, state.run, limit=9)
    assert superseded.claim_superseded(state.db, state.run, state.owner, stray, lease=60.0)
    state.sql("UPDATE object SET claim_owner = 'x', claim_try = 1, claim_until = 1e18")
    assert not superseded.claim_superseded(state.db, state.run, state.owner, old, lease=60.0)
    state.end_leases()
    assert superseded.claim_superseded(state.db, state.run, state.owner, old, lease=60.0)
    claims.release_key(state.db, state.run, state.owner, "a")
    state.sql("UPDATE object SET document_id = 'old'")
    assert not superseded.claim_superseded(state.db, state.run, state.owner, old, lease=60.0)


def test_doubt_is_cleared_once_and_copies_are_noted(state: Any, listed: Listed) -> None:
    """After the second look a key is no longer in doubt, unless it changed meanwhile."""
    state.detect(listed("a"))
    row = state.claim()[0]
    state.intend([row])
    doubts.record_unknown(state.db, state.run, state.owner, [row], "cut")
    assert doubts.doubtful_indexed(state.db, state.run) == []
    outcomes.record_sent(state.db, state.run, state.owner, row, document_id="d", version=1, sha256="s")
    for one in outcomes.processing_rows(state.db, state.source):
        outcomes.record_processed(state.db, state.run, one, sha256=None, version=None)
    (doubt,) = doubts.doubtful_indexed(state.db, state.run)
    assert (doubt.key, doubt.file_name, doubt.document_id) == ("a", "name-a", "d")
    doubts.clear_doubt(state.db, state.run, doubt._replace(revision=doubt.revision - 1), ["late"])
    assert state.superseded() == set()
    doubts.clear_doubt(state.db, state.run, doubt, ["late"])
    assert doubts.doubtful_indexed(state.db, state.run) == []
    assert state.superseded() == {("late", "copy")}
