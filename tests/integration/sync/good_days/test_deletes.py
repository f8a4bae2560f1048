"""What is deleted, and everything that keeps it from being deleted. Both edges of every limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import DeletesHeldError
from cloudindex_provider.sync import remove
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.settings import Selection
from tests.support.mirror import Mirror


def remove_some(mirror: Mirror, number: int) -> None:
    mirror.remove(*(f"{i:04d}.txt" for i in range(number)))


@pytest.mark.parametrize(
    ("removed", "limits", "held"),
    [
        (3, {"max_delete_documents": 3}, False),
        (4, {"max_delete_documents": 3}, True),
        (4, {"max_delete_documents": 3, "max_delete_percent": 40.0}, False),
        (4, {"max_delete_documents": 3, "max_delete_percent": 36.0}, True),
        (2, {"max_delete_absolute": 2}, False),
        (2, {"max_delete_absolute": 1}, True),
        (1, {"max_delete_documents": 0, "max_delete_percent": 0.0}, True),
    ],
)
def test_the_guard_holds_over_its_limits_and_not_at_them(
    in_memory: Mirror, removed: int, limits: dict[str, Any], held: bool
) -> None:
    """Held removals delete nothing at all, uploads go on, and the error says which limit it was."""
    in_memory.put_many(10)
    in_memory.run()
    remove_some(in_memory, removed)
    new = in_memory.put("new.txt", "new")
    if not held:
        assert in_memory.run(**limits).counts["deleted"] == removed
        in_memory.assert_agreement()
        return
    with pytest.raises(DeletesHeldError, match="max_delete_"):
        in_memory.run(**limits)
    assert len(in_memory.documents()) == 11
    assert len(in_memory.of(new)) == 1
    assert in_memory.requests("delete") == 0
    report = in_memory.run(**limits, on_mass_delete="skip")
    assert (report.counts["held"], report.counts["deleted"]) == (removed, 0)
    assert report.held_reason
    in_memory.run()
    in_memory.assert_agreement()


def test_keep_deletes_nothing_that_s3_has_no_more(in_memory: Mirror) -> None:
    """With on_removed="keep" the documents stay, run after run, and a later "delete" removes them."""
    in_memory.put_many(4)
    in_memory.run()
    remove_some(in_memory, 2)
    for _ in range(2):
        report = in_memory.run(on_removed="keep")
        assert (report.counts["removed"], report.counts["deleted"]) == (2, 0)
    assert len(in_memory.documents()) == 4
    in_memory.run()
    in_memory.assert_agreement()


def test_what_a_narrower_selection_excludes_is_reported_and_never_deleted(in_memory: Mirror) -> None:
    """Excluded documents stay, and removals wait for the run after a changed selection."""
    in_memory.put_many(4)
    kept = in_memory.put("private.txt", "private")
    in_memory.run()
    in_memory.remove("0000.txt")
    narrow = Selection(exclude=("*/private.txt",))
    report = in_memory.run(selection=narrow)
    assert (report.counts["excluded"], report.counts["deleted"], report.counts["held"]) == (1, 0, 1)
    report = in_memory.run(selection=narrow)
    assert (report.counts["excluded"], report.counts["deleted"]) == (1, 1)
    assert len(in_memory.of(kept)) == 1
    in_memory.run()
    in_memory.run()
    in_memory.assert_agreement()


NARROW = Selection(exclude=("*/private.txt",))


def test_dags_of_different_selections_on_one_prefix_delete_both(in_memory: Mirror) -> None:
    """Each is compared with its own last run: the other's selection is no change of its own."""
    in_memory.put_many(6)
    in_memory.run()
    assert in_memory.run(dag="other", selection=NARROW).counts["held"] == 0
    for name, dag, selection in (("0000.txt", "dag", Selection()), ("0001.txt", "other", NARROW)) * 2:
        in_memory.remove(name)
        report = in_memory.run(dag=dag, selection=selection)
        assert (report.counts["deleted"], report.counts["held"], report.held_reason) == (1, 0, None)
        in_memory.put(name)
        in_memory.run(dag=dag, selection=selection)


def test_another_dag_s_first_removals_with_another_selection_wait_for_its_next_run(in_memory: Mirror) -> None:
    in_memory.put_many(6)
    in_memory.run()
    in_memory.remove("0000.txt")
    assert in_memory.run(dag="other", selection=NARROW).counts["held"] == 1
    assert in_memory.run(dag="other", selection=NARROW).counts["deleted"] == 1


@pytest.mark.parametrize("dag", ["dag", "other"])
def test_a_second_try_does_not_take_a_changed_selection_for_the_old_one(in_memory: Mirror, dag: str) -> None:
    """Neither of a task that ran before, nor of one that begins with another selection than the source's last run."""
    in_memory.put_many(6)
    in_memory.run()
    in_memory.remove("0000.txt")
    for _ in range(3):
        report = in_memory.run("one", dag=dag, selection=NARROW)
        assert (report.counts["deleted"], report.counts["held"]) == (0, 1)
        assert "selection has changed" in str(report.held_reason)
    assert in_memory.run("two", dag=dag, selection=NARROW).counts["deleted"] == 1


def test_named_keys_are_judged_by_no_selection(in_memory: Mirror) -> None:
    """They were asked for one by one; and they don't pass for a listing of their task."""
    in_memory.put_many(6)
    in_memory.run()
    in_memory.remove("0000.txt")
    report = in_memory.run(dag="events", keys=[in_memory.prefix + "0000.txt"], selection=NARROW)
    assert (report.counts["deleted"], report.counts["held"]) == (1, 0)
    in_memory.remove("0001.txt")
    assert in_memory.run(dag="events", selection=NARROW).counts["held"] == 1


def test_foreign_documents_are_nobody_s_to_delete(in_memory: Mirror) -> None:
    """Documents that others put into the project stay, whatever they are called."""
    in_memory.client.upload_documents([FilePart(name, 3, lambda: [b"abc"]) for name in ("mine.txt", "0001.txt")])
    in_memory.put_many(3)
    in_memory.run()
    remove_some(in_memory, 2)
    in_memory.run()
    in_memory.assert_agreement(foreign={"mine.txt", "0001.txt"})
    assert {"mine.txt", "0001.txt"} <= set(in_memory.documents())


def test_a_removed_key_takes_all_its_copies_along(in_memory: Mirror) -> None:
    """The superseded version of a key that vanished before it was deleted goes with it."""
    in_memory.put("anchor.txt")
    key = in_memory.put("a.txt", "first")
    in_memory.run()
    in_memory.put("a.txt", "second")
    in_memory.cloud.settings.processing_delay = 0.1
    in_memory.run(wait_for_processing=False)
    assert len(in_memory.of(key)) == 2
    in_memory.remove("a.txt")
    in_memory.run()
    in_memory.assert_agreement()


@pytest.mark.parametrize("behaviour", ["duplicate", "version", "replace"])
def test_a_key_that_comes_back_after_its_delete_is_new(in_memory: Mirror, behaviour: Any) -> None:
    """Removed and put again, with the same bytes: it is uploaded again."""
    in_memory.cloud.settings.same_name = behaviour
    in_memory.put("anchor.txt")
    in_memory.put("a.txt", "text")
    in_memory.run()
    in_memory.remove("a.txt")
    in_memory.run()
    in_memory.put("a.txt", "text")
    assert in_memory.run().counts["new"] == 1
    in_memory.assert_agreement()


@pytest.mark.parametrize("behaviour", ["duplicate", "version", "replace"])
def test_a_key_that_comes_back_between_head_and_delete_is_made_again(in_memory: Mirror, behaviour: Any) -> None:
    """The one moment that no proof covers: the document is deleted, and the next run uploads the key anew."""
    in_memory.cloud.settings.same_name = behaviour
    in_memory.put("anchor.txt")
    in_memory.put("a.txt", "text")
    in_memory.run()
    in_memory.remove("a.txt")
    client = in_memory.client

    class Back:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def delete_document(self, document_id: str, *, at_turn: Any) -> bool:
            at_turn()
            in_memory.put("a.txt", "text again")
            in_memory.run("other", keys=("docs/a.txt",))
            return bool(client.delete_document(document_id))

    synchronize(in_memory.context("deleting", client=Back()))
    in_memory.run()
    in_memory.assert_agreement()


class Slow:
    """A pacer under a low limit: before a delete's turn, time passes, and things happen."""

    spacing = 0.0

    def __init__(self, meanwhile: Callable[[int], None]) -> None:
        self.meanwhile, self.deletes = meanwhile, 0

    def before(self, operation: str) -> None:
        if operation.startswith("delete"):
            self.deletes += 1
            self.meanwhile(self.deletes)

    def after(self, *args: Any, **more: Any) -> None: ...


def test_an_object_that_is_back_before_its_delete_s_turn_keeps_its_document(
    in_memory: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deletes may wait for the rate limit for minutes; what S3 said before that is asked again."""
    monkeypatch.setattr(remove, "_PROOF_LASTS", -1.0)
    in_memory.put_many(4)
    in_memory.run()
    in_memory.remove("0000.txt", "0001.txt", "0002.txt")

    def meanwhile(number: int) -> None:
        if number == 2:
            in_memory.put("0001.txt", "back again")

    with in_memory.new_client(pacer=Slow(meanwhile)) as client:
        synchronize(in_memory.context(client=client))
    assert {len(in_memory.of(f"docs/000{number}.txt")) for number in (1, 3)} == {1}
    assert {len(in_memory.of(f"docs/000{number}.txt")) for number in (0, 2)} == {0}
    in_memory.run()
    in_memory.assert_agreement()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_superseded_document_that_becomes_the_live_one_is_not_deleted(in_memory: Mirror, frozen: bool) -> None:
    """While its delete waits, another run uploads the key, and a service that makes versions gives it that very id."""
    mirror = in_memory
    key = mirror.put("a.txt", "one")
    mirror.run()
    mirror.cloud.settings.honour_options = True
    name = mirror.rows()[key].file_name
    part = FilePart(name, 3, lambda: iter([b"one"]), "text/plain")
    copy = mirror.client.upload_documents([part]).documents[0].id
    mirror.execute(
        "INSERT INTO superseded (scope_id, document_id, source_id, key, reason)"
        " SELECT scope_id, :id, source_id, key, 'copy' FROM object",
        id=copy,
    )
    seen: list[int] = []

    def meanwhile(number: int) -> None:
        if number == 1:
            if frozen:
                mirror.time_passes(mirror.lease + 1)
            mirror.put("a.txt", "two")
            seen.append(mirror.run_to_the_end("other", on_removed="keep").counts["indexed"])

    with mirror.new_client(pacer=Slow(meanwhile)) as client:
        ctx = mirror.context("slow", client=client)
        detect(ctx)
        remove.remove(ctx)
    assert seen == [1 if frozen else 0]  # who isn't frozen keeps the key, and the other run leaves it to the next
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()
