"""Time is the task's own: what bounds a try, what is done even so, and when a wait gives the worker's slot back."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from cloudindex_provider.errors import AuthenticationError, CloudIndexError, RateLimitedError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.state import runs
from cloudindex_provider.state.pacer import SharedPacer
from cloudindex_provider.state.pauses import read_pauses
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.pausing import PauseError, pausing, rest
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.sync.run import find_work, synchronize
from cloudindex_provider.sync.upload.loop import upload, upload_side_by_side
from cloudindex_provider.sync.upload.task_count import upload_tasks_for
from tests.support.mirror import Mirror


def refuse(mirror: Mirror, *, skip: int = 0, times: int = 1, seconds: int = 300, operation: Any = "upload") -> None:
    """CloudIndex refuses requests for so many seconds."""
    mirror.cloud.faults.add(Fault(operation=operation, kind="429", retry_after=seconds, skip=skip, times=times))


def task(mirror: Mirror, name: str = "run", **changes: Any) -> SyncContext:
    """A task in a run of Airflow, which may give its slot back; in its first try, or going on in it."""
    ctx = mirror.context(name, **changes)
    ctx.pauses = read_pauses(mirror.db, ctx.owner.name, 1)
    ctx.begun = time.monotonic() - (ctx.pauses.elapsed or 0.0)
    return ctx


def do(ctx: SyncContext) -> SyncReport:
    with pausing(ctx):
        return synchronize(ctx)


def pause_of(ctx: SyncContext) -> float:
    with pytest.raises(PauseError) as caught:
        do(ctx)
    return caught.value.seconds


def paused_for(mirror: Mirror, ctx: SyncContext, attempt: int = 1) -> float | None:
    return read_pauses(mirror.db, ctx.owner.name, attempt).elapsed


def later(mirror: Mirror, seconds: float) -> None:
    """A task that pauses began so many seconds earlier."""
    mirror.execute("UPDATE pause SET begun_at = begun_at - :s", s=seconds)


def claimed(mirror: Mirror) -> set[tuple[str, str | None]]:
    return {(row.status, row.claim_owner) for row in mirror.rows().values()}


# The bound


def test_the_time_of_a_task_begins_with_the_task(in_memory: Mirror) -> None:
    """A pool that was busy for a day, or a run that is cleared after one, costs an upload task none of its time."""
    in_memory.put_many(25)
    detect(in_memory.context("run", max_run_time=60))
    in_memory.execute("UPDATE run SET started_at = started_at - 86400, detected_at = detected_at - 86400")
    assert upload(in_memory.context("run", max_run_time=60)).documents == 25


def test_a_task_whose_time_is_over_makes_one_request_all_the_same(in_memory: Mirror) -> None:
    """Else a run that is always late would be followed by others for ever, and all of them green."""
    in_memory.put_many(45)
    for indexed, deferred in ((20, 25), (20, 5), (5, 0)):
        report = in_memory.run(max_run_time=0)
        assert (report.counts["indexed"], report.counts["deferred"]) == (indexed, deferred)
    in_memory.assert_agreement()


def test_nothing_is_uploaded_before_all_of_it_was_looked_for(in_memory: Mirror) -> None:
    """A first look that its task's time has cut off leaves the upload tasks nothing, however much time they have."""
    in_memory.put_many(3)
    in_memory.run()
    for table in ("object", "run", "run_key"):
        in_memory.execute(f"DELETE FROM {table}")
    in_memory.execute("UPDATE source SET looked_at = NULL")
    ctx = in_memory.context("run", max_run_time=0)
    assert (find_work(ctx).backlog, find_work(ctx).requests) == (3, 0)
    assert find_work(in_memory.context("run")).requests == 0  # all three are adopted
    in_memory.run()
    in_memory.assert_agreement()


# A long wait


def test_a_long_wait_gives_the_slot_back_and_the_task_goes_on_where_it_was(in_memory: Mirror) -> None:
    """Nothing stays claimed meanwhile; the listing isn't repeated, and no try is used up."""
    in_memory.put_many(45)
    refuse(in_memory, skip=1)
    ctx = task(in_memory)
    assert pause_of(ctx) == 300
    assert claimed(in_memory) == {("processing", None), ("pending", None)}
    listed = runs.counts(in_memory.db, ctx.run())["s3:ListObjectsV2"]
    report = do(task(in_memory))
    assert (report.counts["indexed"], report.counts["deferred"], report.counts["new"]) == (45, 0, 45)
    assert runs.counts(in_memory.db, ctx.run())["s3:ListObjectsV2"] == listed
    in_memory.assert_agreement()
    assert paused_for(in_memory, ctx) is None  # a later run of the same name begins anew
    assert read_pauses(in_memory.db, ctx.owner.name, 1).count == 1


def test_a_pause_in_the_first_look_is_followed_by_the_rest_of_it(in_memory: Mirror) -> None:
    in_memory.put_many(3)
    refuse(in_memory, operation="list")
    assert pause_of(task(in_memory)) == 300
    assert do(task(in_memory)).counts["indexed"] == 3
    assert in_memory.requests("list") >= 1
    in_memory.assert_agreement()


def test_a_wait_for_documents_gives_the_slot_back_too(in_memory: Mirror) -> None:
    """In a task of its own only where that is more than a minute."""
    slept: list[float] = []
    ctx = replace(task(in_memory), sleep=slept.append)
    rest(ctx, 60.0)
    assert slept == [60.0]
    with pytest.raises(PauseError):
        rest(ctx, 61.0)
    rest(replace(ctx, pauses=None), 61.0)
    assert slept == [60.0, 61.0]


def test_a_wait_beyond_the_time_is_the_next_runs(in_memory: Mirror) -> None:
    """The rate limit gives the next turn after max_run_time: what is left is deferred, green and at once."""
    in_memory.put_many(45)
    refuse(in_memory, skip=1, seconds=3000)
    report = do(task(in_memory, max_run_time=600))
    assert (report.counts["indexed"], report.counts["deferred"]) == (20, 25)
    in_memory.run()
    in_memory.assert_agreement()


def test_pauses_are_part_of_the_time(in_memory: Mirror) -> None:
    """Whoever comes back when the time is over sends nothing more."""
    in_memory.put_many(65)
    refuse(in_memory, skip=1)
    assert pause_of(task(in_memory, max_run_time=600)) == 300
    later(in_memory, 300)
    refuse(in_memory, skip=1)
    ctx = task(in_memory, max_run_time=600)
    report = do(ctx)  # 300 s are left, a little less than the wait
    assert (report.counts["indexed"], report.counts["deferred"]) == (40, 25)
    in_memory.cloud.faults.clear()
    detect(in_memory.context("late"))
    ctx = task(in_memory, "late", max_run_time=0)
    ctx.pauses = replace(read_pauses(in_memory.db, "late", 1), elapsed=1.0)
    assert upload(ctx).requests == 0


def test_a_run_that_gets_nothing_but_refusals_is_no_success(in_memory: Mirror) -> None:
    """It isn't the time that is short: Airflow tries again, and the run is red when its tries are used up."""
    in_memory.put_many(3)
    refuse(in_memory, seconds=3000)
    with pytest.raises(RateLimitedError):
        do(task(in_memory, max_run_time=600))


@pytest.mark.parametrize("answers", [0, 1])
def test_who_comes_back_and_is_refused_again_has_used_up_a_try(in_memory: Mirror, answers: int) -> None:
    """Unless anything was answered meanwhile. So a service that refuses everything ends in red, whatever the time."""
    in_memory.put_many(25)
    refuse(in_memory, times=2)
    assert pause_of(task(in_memory, max_run_time=None)) == 300
    ctx = replace(task(in_memory, max_run_time=None), answered=lambda: answers)
    with pytest.raises(PauseError if answers else RateLimitedError):
        do(ctx)
    assert claimed(in_memory) == {("pending", None)}
    assert (paused_for(in_memory, ctx) is None) == (not answers)


def test_who_cannot_come_back_does_not_pause(in_memory: Mirror) -> None:
    """A plain call, outside of a run of Airflow."""
    in_memory.put_many(3)
    refuse(in_memory)
    with pytest.raises(RateLimitedError):
        do(in_memory.context())
    assert in_memory.execute("SELECT * FROM pause") == []


def test_a_pause_of_one_thread_hides_no_error_of_another(in_memory: Mirror) -> None:
    in_memory.put_many(45)
    ctx = task(in_memory, upload_tasks=3)
    detect(ctx)
    raised: list[CloudIndexError] = [RateLimitedError("later", retry_after=300), AuthenticationError("no")]

    class Client:
        def upload_documents(self, *args: Any, **more: Any) -> Any:
            raise raised.pop()

        def __getattr__(self, name: str) -> Any:
            return getattr(in_memory.client, name)

    with pytest.raises(AuthenticationError), pausing(ctx):
        upload_side_by_side(replace(ctx, client=Client()), 2)


def test_another_try_is_no_continuation(in_memory: Mirror) -> None:
    """A cleared task that had paused begins its time, and its listing, anew."""
    in_memory.put_many(3)
    refuse(in_memory)
    ctx = task(in_memory)
    pause_of(ctx)
    later(in_memory, 86400)
    assert paused_for(in_memory, ctx, attempt=2) is None
    assert (paused_for(in_memory, ctx) or 0) >= 86400


# The line for a turn


@pytest.mark.parametrize(("seconds", "in_line", "waits"), [(50, False, True), (70, False, False), (70, True, True)])
def test_a_turn_is_waited_for_in_place_for_a_minute(
    in_memory: Mirror, seconds: float, in_line: bool, waits: bool
) -> None:
    """Longer only by who has given its slot back for it already; others might always be faster."""
    slept: list[float] = []
    SharedPacer(in_memory.db, "b", patience=60).before("upload documents")
    in_memory.execute("UPDATE pace SET allowed = 1, length = :s, next_at = booked_at + :s", s=seconds)
    pacer = SharedPacer(in_memory.db, "b", patience=60, in_line=in_line, sleep=slept.append)
    if waits:
        pacer.before("upload documents")
        assert slept == [pytest.approx(seconds, abs=5)]
    else:
        with pytest.raises(RateLimitedError) as caught:
            pacer.before("upload documents")
        assert caught.value.retry_after == pytest.approx(seconds, abs=5)
        assert caught.value.status is None


# How many tasks


@pytest.mark.parametrize(("quota", "tasks"), [(None, 4), (100.0, 4), (30.0, 2), (10.0, 1), (0.0, 1)])
def test_no_more_upload_tasks_than_the_rate_limit_feeds(in_memory: Mirror, quota: float | None, tasks: int) -> None:
    """Four tasks fill 100 requests a minute; of ten a minute, three of them would only wait."""
    ctx = in_memory.context(upload_tasks=4)
    if quota is not None:
        ctx.requests_within = lambda seconds: quota * seconds / 60
    assert upload_tasks_for(ctx, 50) == tasks


def test_what_the_last_uploads_took_decides_how_many_tasks_use_up_the_rate_limit(in_memory: Mirror) -> None:
    in_memory.put_many(25)
    in_memory.run()
    seconds = runs.upload_seconds(in_memory.db, in_memory.context().source)
    assert seconds is not None
    assert 0 < seconds < 30
    ctx = in_memory.context(upload_tasks=64)
    ctx.requests_within = lambda seconds: 2 * seconds
    assert upload_tasks_for(ctx, 1000) == 3  # a second at least, and half as much again
    in_memory.execute("UPDATE run_count SET value = 16000 WHERE name = 'upload_busy_ms'")
    assert upload_tasks_for(ctx, 1000) == 24  # 2 requests of 8 s: 120 a minute keep 16 busy


# Named keys


def test_a_run_of_named_keys_waits_for_them_and_reports_them_alone(in_memory: Mirror) -> None:
    """What others have processing, quarantined, stale or waiting is neither waited for nor told."""
    keys = in_memory.put_many(6)
    in_memory.run()
    in_memory.put("0000.txt", "newer")
    in_memory.put("0005.txt", "newer, too")
    detect(in_memory.context("other"))
    in_memory.execute("UPDATE object SET status = 'quarantined' WHERE key = :key", key=keys[0])
    in_memory.execute(
        "UPDATE object SET status = 'processing', upload_document_id = 'gone', intent_at = 1 WHERE key = :key",
        key=keys[1],
    )
    in_memory.put("0002.txt", "also newer")
    report = in_memory.run(keys=(keys[2], keys[3]))
    assert (report.counts["indexed"], report.counts["unchanged"], report.counts["stale"]) == (1, 1, 0)
    assert (report.quarantined, report.left.documents) == ([], 0)
    assert {key: in_memory.rows()[key].status for key in (keys[0], keys[1], keys[5])} == {
        keys[0]: "quarantined", keys[1]: "processing", keys[5]: "pending",
    }  # fmt: skip
