"""Several runs at once: no key is worked on twice, none is left double, and a newer version always wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from cloudindex_provider.errors import ClaimLostError
from cloudindex_provider.state import claims
from cloudindex_provider.state.db.leases import lease
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.document_list import find_copies
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.upload.loop import upload, upload_side_by_side
from cloudindex_provider.sync.wait import wait
from tests.support.mirror import Mirror

BEHAVIOURS = ["duplicate", "version", "replace"]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_two_runs_of_one_sync_share_the_work(in_memory: Mirror, behaviour: Any) -> None:
    """Each key is uploaded once, whichever run takes it, and both reports balance."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.put_many(60)
    at_once(mirror.run, lambda: mirror.run(upload_tasks=2), mirror.run)
    mirror.run()
    mirror.assert_agreement()
    assert mirror.uploads == 60


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_runs_at_once_follow_changes_that_go_on(in_memory: Mirror, behaviour: Any) -> None:
    """Full runs and runs of named keys side by side, while S3 changes: at rest, everything agrees."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.put_many(12)
    mirror.run()

    def change() -> None:
        for number in range(30):
            mirror.put(f"{number % 12:04d}.txt", f"change {number}")
            mirror.put(f"extra{number}.txt", f"extra {number}")
            if number % 5 == 0:
                mirror.remove(f"extra{number - 2}.txt")

    def full() -> None:
        for _ in range(4):
            mirror.run()

    def named() -> None:
        for number in range(8):
            mirror.run(keys=(f"docs/{number:04d}.txt", f"docs/extra{number}.txt"))

    at_once(change, full, named)
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()


def test_two_syncs_of_one_project_run_at_once(in_memory: Mirror) -> None:
    """Different prefixes, one project, one state: each has its own, and nothing is lost between them."""
    mirror = in_memory
    mirror.prefix = ""
    for number in range(25):
        mirror.put(f"one/{number}.txt", f"one {number}")
        mirror.put(f"two/{number}.txt", f"two {number}")
    at_once(lambda: mirror.run(prefix="one/"), lambda: mirror.run(prefix="two/"), lambda: mirror.run(prefix="one/"))
    mirror.assert_agreement()
    assert mirror.uploads == 50


def test_what_a_dead_run_has_claimed_is_uploaded_by_the_next_one(in_memory: Mirror) -> None:
    """A run waits for claims that nobody renews, a lease at most, and takes over what they held: green is in step."""
    mirror = in_memory
    mirror.put_many(25)
    dead = mirror.context("dead")
    detect(dead)
    assert len(_claim(dead)) == 20
    report = mirror.run("other")
    assert (report.counts["elsewhere"], report.counts["indexed"], report.elsewhere) == (0, 25, [])
    mirror.assert_agreement()


def test_what_a_living_run_works_on_is_elsewhere_and_named(in_memory: Mirror) -> None:
    """A claim that is renewed is somebody's work: the run ends without it, soon, and says whose it is."""
    mirror = in_memory
    mirror.put_many(3)
    alive = mirror.context("alive")
    detect(alive)
    claimed = _claim(alive)
    assert len(claimed) == 3
    other = mirror.context("other")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        claims.renew(mirror.db, alive.owner, alive.source, mirror.lease)

    report = synchronize(replace(other, sleep=sleep))
    assert (report.counts["elsewhere"], report.counts["indexed"]) == (3, 0)
    assert [row["key"] for row in report.elsewhere] == [f"docs/{number:04d}.txt" for number in range(3)]
    assert {row["reason"] for row in report.elsewhere} == {f"worked on by {alive.owner.name}"}
    assert sum(slept) <= mirror.lease / 4
    claims.give_back(mirror.db, alive.run(), alive.owner, claimed)
    upload(alive)
    wait(alive)
    mirror.assert_agreement()


def test_a_run_out_of_time_waits_for_nobody(in_memory: Mirror) -> None:
    """``max_run_time`` ends the wait for others, too."""
    mirror = in_memory
    mirror.put_many(3)
    dead = mirror.context("dead")
    detect(dead)
    _claim(dead)
    report = mirror.run("other", max_run_time=0.0)
    assert (report.counts["elsewhere"], report.counts["indexed"]) == (3, 0)


@pytest.mark.parametrize("worker", [None, 0, 3])
def test_the_next_try_takes_over_at_once_from_every_worker(in_memory: Mirror, worker: int | None) -> None:
    """Whichever thread of the dead try held a row, the next try need not wait for the lease."""
    mirror = in_memory
    mirror.lease = 1000
    mirror.put_many(3)
    dead = mirror.context("run")
    detect(dead)
    dead = replace(dead, owner=replace(dead.owner, worker=worker))
    rows = _claim(dead)
    claims.record_intent(mirror.db, dead.run(), dead.owner, [(row, "n.txt", None) for row in rows[:1]], lease=1000)
    mirror.time_passes(100)
    mirror.lease = 1000
    report = mirror.run_to_the_end("run")
    assert report.counts["indexed"] == 3
    mirror.assert_agreement()


def _claim(ctx: Any) -> list[Any]:
    return claims.claim_request(
        ctx.db, ctx.run(), ctx.owner, lease=ctx.lease, max_request_size=1 << 30, max_documents=None
    )


def test_an_older_try_writes_nothing_more(in_memory: Mirror) -> None:
    """A try that was declared dead and isn't can neither claim its rows again nor write an intent."""
    mirror = in_memory
    mirror.put_many(1)
    old = mirror.context("run")
    detect(old)
    rows = _claim(old)
    new = mirror.context("run")
    assert len(_claim(new)) == 1
    with pytest.raises(ClaimLostError):
        claims.record_intent(mirror.db, old.run(), old.owner, [(rows[0], "n.txt", None)], lease=1)
    assert _claim(old) == []


@pytest.mark.parametrize("frozen", ["before its turn", "in its request"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_an_older_version_never_overwrites_a_newer_one(in_memory: Mirror, behaviour: Any, frozen: str) -> None:
    """A frozen process wakes up when others have uploaded a newer version.

    Before its turn it sends nothing any more; in its request it sends its old version, and that is put right.
    """
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    key = mirror.put("a.txt", "old")
    slow = mirror.context("slow")
    detect(slow)
    client = mirror.client

    class Frozen:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def upload_documents(self, files: Any, *, at_turn: Any, **more: Any) -> Any:
            if frozen == "in its request":
                at_turn()
            mirror.put("a.txt", "new and longer")
            mirror.time_passes(1000)
            mirror.run_to_the_end("fast")
            assert mirror.bytes_of(key) == b"new and longer"
            return client.upload_documents(files, at_turn=at_turn if frozen == "before its turn" else None, **more)

    slow.client = Frozen()
    upload(slow)
    assert mirror.uploads == (1 if frozen == "before its turn" else 2)
    mirror.run()
    mirror.run()
    mirror.assert_agreement()
    assert mirror.bytes_of(key) == b"new and longer"


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_change_during_processing_is_uploaded_after_it(in_memory: Mirror, behaviour: Any) -> None:
    """The version in flight ends first, and the row sees that S3 has moved on."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    key = mirror.put("a.txt", "first")
    mirror.cloud.settings.processing_delay = 0.1
    mirror.run(wait_for_processing=False)
    mirror.put("a.txt", "second")
    mirror.run()
    mirror.cloud.settings.processing_delay = 0
    mirror.run()
    mirror.assert_agreement()
    assert mirror.bytes_of(key) == b"second"


def test_a_version_shown_from_before_is_not_taken_for_the_new_one(in_memory: Mirror) -> None:
    """A service that still shows the processed old version of a document is waited for."""
    mirror = in_memory
    mirror.cloud.settings.same_name = "version"
    key = mirror.put("a.txt", "first")
    mirror.run()
    mirror.put("a.txt", "second")
    ctx = mirror.context()
    detect(ctx)
    (before,) = mirror.of(key)
    upload(ctx)
    client, looks = mirror.client, []

    class Behind:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def get_document(self, document_id: str) -> Any:
            details = client.get_document(document_id)
            looks.append(document_id)
            if len(looks) > 2:
                return details
            old = replace(details.document, status="processed", content_hash=before["sha256"], version=1)
            return replace(details, document=old)

    ctx.client = Behind()
    progress = wait(ctx)
    remove(ctx)
    assert (progress.failed, len(looks)) == (0, 3)
    mirror.assert_agreement()


def test_a_stopped_task_ends_its_threads_and_gives_its_rows_back(in_memory: Mirror) -> None:
    """A signal in the main thread ends the loops after the request they are at; what they had not begun is free."""
    mirror = in_memory
    mirror.lease = 1000
    mirror.put_many(100)
    client, began = mirror.client, threading.Event()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def upload_documents(self, files: Any, **more: Any) -> Any:
            began.set()
            return client.upload_documents(files, **more)

    ctx = mirror.context("run", client=Slow())
    detect(ctx)
    ctx.stop.set()
    upload_side_by_side(ctx, 2)
    assert not began.is_set()
    assert {row.claim_owner for row in mirror.rows().values()} == {None}
    mirror.run("run")
    mirror.assert_agreement()


class Killed(BaseException):
    """What Airflow raises into a task that is stopped."""


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_task_stopped_in_the_middle_of_a_request_is_gone_on_with(
    in_memory: Mirror, behaviour: Any, when: str
) -> None:
    """The rows of the request stay in doubt, the others are free at once, and the next try sends what is missing."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.put_many(45)
    client = mirror.client

    class Stopping:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def upload_documents(self, files: Any, **more: Any) -> Any:
            more["at_turn"]()
            if when == "after":
                client.upload_documents(files, **{**more, "at_turn": None})
            raise Killed

    with pytest.raises(Killed):
        synchronize(mirror.context("run", client=Stopping()))
    statuses = [row.status for row in mirror.rows().values()]
    assert (statuses.count("uploading"), statuses.count("pending")) == (20, 25)
    assert all(row.claim_owner is None for row in mirror.rows().values() if row.status == "pending")
    mirror.run_to_the_end("run")
    mirror.assert_agreement()
    assert mirror.uploads == 45


def test_a_lock_on_the_list_that_nobody_holds_any_more_is_waited_for_no_longer_than_a_lease(in_memory: Mirror) -> None:
    """Who dies while it lists doesn't block the others for ever."""
    mirror = in_memory
    mirror.lease = 0.3
    dead = lease(mirror.db, f"list:{mirror.project_id}", "dead", seconds=0.3, patience=0)
    dead.__enter__()
    assert find_copies(mirror.context(), {"a"}) == {}
