"""A bucket of the same name at another store: what it doesn't list proves nothing about documents that are there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cloudindex_provider.errors import DeletesHeldError
from cloudindex_provider.state.approvals import approve, open_holds
from cloudindex_provider.sync.detect.detection import detect, preview
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.settings import Selection
from tests.support.memory_s3 import MemoryS3
from tests.support.mirror import Mirror

ONE, OTHER = "http://one:9000", "http://other:9000"
KEYS = [f"{i:04d}.txt" for i in range(60)]


def at(mirror: Mirror, url: str | None, s3: MemoryS3 | None = None) -> None:
    """The connection leads to this endpoint from now on."""
    mirror.s3 = mirror.reader = s3 or mirror.s3
    mirror.reader.meta = SimpleNamespace(endpoint_url=url)


def stored(mirror: Mirror) -> str | None:
    (row,) = mirror.execute("SELECT endpoint FROM source")
    return row.endpoint


def elsewhere(mirror: Mirror, *keys: str) -> MemoryS3:
    """Another store with a bucket of that name, which has these keys of the first one."""
    other = MemoryS3()
    other.create_bucket(Bucket=mirror.bucket)
    for key in keys:
        body = mirror.body(mirror.prefix + key)
        other.put_object(Bucket=mirror.bucket, Key=mirror.prefix + key, Body=body)
    return other


@pytest.fixture
def synced(in_memory: Mirror) -> Mirror:
    """Sixty documents made from the store at ``ONE``."""
    at(in_memory, ONE)
    in_memory.put_many(60)
    in_memory.run()
    return in_memory


@pytest.mark.parametrize("there", [[], KEYS[:1], KEYS[:59]])
def test_removals_at_another_store_wait_for_a_person(synced: Mirror, there: list[str]) -> None:
    """However few they are; in every run, not in one only; and the message names both stores."""
    at(synced, OTHER, elsewhere(synced, *there))
    for _ in range(3):
        with pytest.raises(DeletesHeldError, match=r"the bucket is at other:9000 now.* made from one:9000"):
            synced.run()
    assert synced.requests("delete") == 0
    (hold,) = open_holds(synced.db)
    assert (hold.endpoint, hold.made_from) == ("other:9000", "one:9000")
    assert stored(synced) == "one:9000"


def test_a_plan_says_that_they_would_wait(synced: Mirror) -> None:
    """Before anything is done."""
    at(synced, OTHER, elsewhere(synced))
    hold = preview(synced.context(dry_run=True)).hold
    assert hold is not None
    assert hold.mass


def test_back_at_its_own_store_nothing_is_held_any_more(synced: Mirror) -> None:
    """The connection was corrected: the hold ends, and what is really gone is deleted."""
    own = synced.s3
    at(synced, OTHER, elsewhere(synced))
    synced.run(on_mass_delete="skip")
    at(synced, ONE, own)
    synced.remove(*KEYS[:3])
    assert synced.run().counts["deleted"] == 3
    assert open_holds(synced.db) == []
    synced.assert_agreement()


def test_a_person_may_let_the_documents_follow_the_bucket(synced: Mirror) -> None:
    """Approved, they are deleted, and from then on the documents are the new store's."""
    at(synced, OTHER, elsewhere(synced, *KEYS[:55]))
    synced.run(on_mass_delete="skip")
    approve(synced.db, synced.context().source.id, 5, "ada")
    assert synced.run().counts["deleted"] == 5
    assert stored(synced) == "other:9000"
    synced.remove(KEYS[0])
    assert synced.run().counts["deleted"] == 1
    synced.assert_agreement()


def test_a_whole_copy_at_another_store_holds_nothing_and_is_learned(synced: Mirror) -> None:
    """A bucket that has moved with all its objects is the bucket."""
    at(synced, OTHER, elsewhere(synced, *KEYS))
    assert synced.run().counts["unchanged"] == 60
    assert stored(synced) == "other:9000"
    synced.remove(KEYS[0])
    assert synced.run().counts["deleted"] == 1


def test_a_state_that_knows_no_store_learns_it_and_holds_nothing(synced: Mirror) -> None:
    """As every state of an older version."""
    synced.execute("UPDATE source SET endpoint = NULL")
    synced.remove(*KEYS[:2])
    assert synced.run().counts["deleted"] == 2
    assert stored(synced) == "one:9000"


@pytest.mark.parametrize("url", ["https://one:9000/", "http://ONE.:9000", None])
def test_another_spelling_of_the_store_is_the_store(synced: Mirror, url: str | None) -> None:
    """And where none can be told nothing is held, and nothing is forgotten."""
    at(synced, url)
    synced.remove(KEYS[0])
    assert synced.run().counts["deleted"] == 1
    assert stored(synced) == "one:9000"


def test_a_question_about_one_store_is_not_answered_for_another(synced: Mirror) -> None:
    """An approval of what is gone at the bucket's own store says nothing about what another one lacks."""
    own = synced.s3
    synced.remove(*KEYS[:20])
    synced.run(on_mass_delete="skip")
    approve(synced.db, synced.context().source.id, 60, "ada")
    first = open_holds(synced.db)
    at(synced, OTHER, elsewhere(synced))
    assert synced.run(on_mass_delete="skip").counts["held"] == 60
    assert open_holds(synced.db)[0].token != first[0].token
    at(synced, ONE, own)
    assert synced.run(on_mass_delete="skip").counts["held"] == 20


def test_named_keys_are_held_too(synced: Mirror) -> None:
    """A 404 of another store is no removal, and one key is no sweep of it."""
    at(synced, OTHER, elsewhere(synced))
    with pytest.raises(DeletesHeldError, match="other:9000"):
        synced.run(keys=(f"docs/{KEYS[0]}",))
    synced.put("new.txt", "new")
    synced.run(keys=("docs/new.txt",))
    assert stored(synced) == "one:9000"


def test_kept_documents_stay_those_of_their_store(synced: Mirror) -> None:
    """With on_removed="keep" nobody is asked, and a later "delete" still knows where they came from."""
    at(synced, OTHER, elsewhere(synced))
    assert synced.run(on_removed="keep").held_reason is None
    assert (stored(synced), open_holds(synced.db)) == ("one:9000", [])
    with pytest.raises(DeletesHeldError):
        synced.run()


def test_a_delete_step_asks_the_store_that_its_detection_has_listed(synced: Mirror) -> None:
    """The connection was changed between the two: 404 after 404, and nothing is deleted."""
    synced.remove(KEYS[0])
    detect(synced.context("one"))
    at(synced, OTHER, elsewhere(synced))
    with pytest.raises(DeletesHeldError, match="other:9000"):
        remove(synced.context("one"))
    assert len(synced.documents()) == 60


@pytest.mark.parametrize(
    ("documents", "gone", "held"), [(60, 59, True), (32, 29, True), (32, 10, False), (60, 12, False), (60, 13, True)]
)
def test_the_default_limits_have_teeth(in_memory: Mirror, documents: int, gone: int, held: bool) -> None:
    """More than 10 documents and more than 20 % of them: both must be passed for a hold."""
    in_memory.put_many(documents)
    in_memory.run()
    in_memory.remove(*(f"{i:04d}.txt" for i in range(gone)))
    report: Any = in_memory.run(on_mass_delete="skip")
    assert (report.counts["held"], report.counts["deleted"]) == ((gone, 0) if held else (0, gone))


def test_a_selection_that_changes_with_the_store_holds_for_the_store(synced: Mirror) -> None:
    """What only waits for one run doesn't hide what waits for a person."""
    at(synced, OTHER, elsewhere(synced))
    narrow = Selection(exclude=("*.tmp",))
    for _ in range(2):
        with pytest.raises(DeletesHeldError, match="other:9000"):
            synced.run(selection=narrow)
