"""Which object a document was made from, and whether it is what S3 has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudindex_provider.state import removals
from cloudindex_provider.state.approvals import Hold
from cloudindex_provider.state.citations import Citation, cite
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner

Listed = Callable[..., Any]


def only(db: Database, document_id: str) -> Citation:
    (found,) = cite(db, [document_id])[document_id]
    return found


def test_an_indexed_document_is_its_keys(state: Any, listed: Listed, db: Database) -> None:
    """With the version that was indexed."""
    state.index(listed("a.txt", "e1", 7))
    assert only(db, "doc-a.txt-e1") == Citation("p", "b", "a.txt", "name-a.txt", "e1", 7, "s", None)


def test_a_document_that_no_row_names_is_not_ours(state: Any, listed: Listed, db: Database) -> None:
    """Nothing is made of it."""
    state.index(listed())
    assert cite(db, ["somebody-elses"]) == {}
    assert cite(db, []) == {}


def test_newer_bytes_make_it_stale_until_they_are_indexed(state: Any, listed: Listed, db: Database) -> None:
    """What answers is the old document; the new one is cited by its own version, on its way and there."""
    state.index(listed("a.txt", "e1"))
    state.begin("r2")
    state.detect(listed("a.txt", "e2"))
    assert only(db, "doc-a.txt-e1").stale == "S3 has newer bytes of the key"
    assert only(db, "doc-a.txt-e1").etag == "e1"
    state.index(listed("a.txt", "e2"))
    assert only(db, "doc-a.txt-e2").stale is None
    assert only(db, "doc-a.txt-e1").stale == "a newer document of the key has replaced it"


def test_a_document_on_its_way_is_its_keys_already(state: Any, listed: Listed, db: Database) -> None:
    """CloudIndex may answer with it before the state knows that it is processed."""
    state.send(listed("a.txt", "e1"))
    assert (only(db, "doc-a.txt-e1").etag, only(db, "doc-a.txt-e1").stale) == ("e1", None)


def test_a_key_that_the_last_listing_lacks_is_gone_until_it_is_back(state: Any, listed: Listed, db: Database) -> None:
    """Held or not: only the last word counts, and a key that is back unchanged leaves no word of its own."""
    state.index(listed("a.txt"), listed("b.txt"))
    state.begin("r2")
    state.detect(listed("b.txt"), hold=Hold("too many", mass=True))
    removals.record_held(db, state.run, "too many")
    assert only(db, "doc-a.txt-e1").stale == "S3 has the key no more"
    assert only(db, "doc-b.txt-e1").stale is None
    state.begin("r3")
    state.detect(listed("a.txt"), listed("b.txt"))
    assert only(db, "doc-a.txt-e1").stale is None


def test_a_document_whose_delete_has_begun_is_stale(state: Any, listed: Listed, db: Database) -> None:
    """Its key is gone."""
    state.index(listed("a.txt"))
    state.begin("r2")
    state.detect()
    (one,) = removals.removals(db, state.run, Owner("task", 1), after=None, limit=9)
    removals.record_deleting(db, state.run, Owner("task", 1), one, lease=60.0)
    assert only(db, "doc-a.txt-e1").stale == "S3 has the key no more"


def test_a_document_of_two_keys_is_cited_for_both(state: Any, make_state: Any, listed: Listed, db: Database) -> None:
    """The same bytes, one document; the one that is in step comes first."""
    state.index(listed("a.txt"), listed("b.txt"))
    state.sql("UPDATE object SET document_id = 'shared'")
    state.begin("r2")
    state.detect(listed("a.txt", "e2"), listed("b.txt"))
    assert [(one.key, one.stale is None) for one in cite(db, ["shared"])["shared"]] == [
        ("b.txt", True),
        ("a.txt", False),
    ]


def test_a_skipped_key_of_which_nothing_is_known_is_not_said_to_be_stale(
    state: Any, listed: Listed, db: Database
) -> None:
    """After the loss of a state nobody has compared it."""
    state.index(listed("a.txt"))
    state.sql("UPDATE object SET status = 'skipped', indexed_etag = NULL")
    assert only(db, "doc-a.txt-e1").stale is None
    assert only(db, "doc-a.txt-e1").etag is None
