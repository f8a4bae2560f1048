"""What the log and the report say of a backlog, and the order in which it is uploaded."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.report.progress import UploadProgress, log_backlog
from cloudindex_provider.sync.report.report import make_report
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.upload.loop import upload
from tests.support.mirror import Mirror


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    """The messages so far that begin with a word."""
    caplog.set_level(logging.INFO, "cloudindex_provider.sync")
    return lambda *words: [text for text in caplog.messages if text.startswith(words)]


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def detected(mirror: Mirror, name: str = "run", *, quota: float | None = None, **changes: Any) -> SyncContext:
    """A context whose detection is done; told a quota, it is the service's."""
    ctx = mirror.context(name, **changes)
    if quota is not None:
        ctx.requests_per_minute = lambda: quota
    log_backlog(ctx, detect(ctx))
    return ctx


# After a detection


def test_a_backlog_is_said_with_its_time_at_the_quota(in_memory: Mirror, said: Any) -> None:
    in_memory.put_many(50)
    detected(in_memory, quota=4.0)
    assert said("Backlog") == ["Backlog: 50 documents, 890 bytes, about 3 requests: about 60 s at 4 requests a minute."]
    assert said("This run", "All of it") == []


def test_without_a_quota_no_time_is_made_up(in_memory: Mirror, said: Any) -> None:
    in_memory.put_many(2)
    detected(in_memory)
    assert said("Backlog") == ["Backlog: 2 documents, 34 bytes, about 1 request."]


def test_nothing_to_upload_is_no_backlog(in_memory: Mirror, said: Any) -> None:
    detected(in_memory, quota=100.0)
    assert said("Backlog") == []


def test_a_run_that_ends_before_its_backlog_says_how_far_it_gets(in_memory: Mirror, said: Any) -> None:
    in_memory.put_many(50)
    detected(in_memory, quota=0.001, max_run_time=600)
    assert said("This run", "All of it") == ["All of it is deferred to the next runs (max_run_time)."]
    detected(in_memory, quota=100.0, max_documents_per_run=30)
    assert said("This run") == [
        "This run does about 30 of them (max_documents_per_run); the rest is deferred to the next runs."
    ]


def test_a_whole_sync_says_its_backlog_too(in_memory: Mirror, said: Any) -> None:
    in_memory.put_many(2)
    in_memory.run()
    assert said("Backlog") == ["Backlog: 2 documents, 34 bytes, about 1 request."]


# While it uploads


def test_progress_is_said_once_a_minute_at_the_pace_that_the_run_really_has(in_memory: Mirror, said: Any) -> None:
    """Numbers are the whole run's, whichever loop has uploaded; the pace is that of the requests it has made."""
    in_memory.put_many(100)
    ctx = detected(in_memory, max_documents_per_run=40)
    clock = Clock()
    progress = UploadProgress(clock)
    progress.note(ctx, ctx.run(), 0)
    upload(ctx)  # another loop: 2 requests of 20
    clock.now += 59
    progress.note(ctx, ctx.run(), 0)
    assert said("Uploaded") == []
    clock.now += 1
    progress.note(ctx, ctx.run(), 0)
    progress.note(ctx, ctx.run(), 0)
    assert said("Uploaded") == [
        "Uploaded 40 of 100 documents (710 bytes of 1.8 kB): 0.67 documents/s, 12 bytes/s; about 90 s left at 2"
        " requests a minute."
    ]
    assert said("All of it") == ["All of it is deferred to the next runs (max_documents_per_run)."]
    clock.now += 60
    progress.note(ctx, ctx.run(), 2)  # two more of its own, in a minute without documents
    assert said("Uploaded")[1:] == [
        "Uploaded 40 of 100 documents (710 bytes of 1.8 kB): 0 documents/s, 0 bytes/s; about 90 s left at 2 requests a"
        " minute."
    ]


def test_progress_at_the_quota_and_without_any_pace(in_memory: Mirror, said: Any) -> None:
    in_memory.put_many(60)
    clock = Clock()
    for name, quota in (("known", 3.0), ("unknown", None)):
        ctx, progress = detected(in_memory, name, quota=quota), UploadProgress(clock)
        ctx.requests_left = (lambda: 17) if quota else None
        progress.note(ctx, ctx.run(), 0)
        clock.now += 60
        progress.note(ctx, ctx.run(), 0)
    assert said("Uploaded") == [
        "Uploaded 0 of 60 documents (0 bytes of 1.1 kB): 0 documents/s, 0 bytes/s; about 90 s left at 3 requests a"
        " minute; 17 requests left of the quota until it renews.",
        "Uploaded 0 of 60 documents (0 bytes of 1.1 kB): 0 documents/s, 0 bytes/s.",
    ]


def test_what_needs_no_upload_is_no_longer_left(in_memory: Mirror, said: Any) -> None:
    """Same bytes under another ETag are settled, and make the backlog smaller instead of seeming uploaded."""
    keys = in_memory.put_many(10)
    in_memory.run()
    for number, key in enumerate(keys):
        body = in_memory.body(key) if number < 4 else b"other"
        in_memory.s3.put_object(Bucket=in_memory.bucket, Key=key, Body=body, ETag=f"{number:032}-2")
    ctx, clock = detected(in_memory), Clock()
    progress = UploadProgress(clock)
    progress.note(ctx, ctx.run(), 0)
    clock.now += 60
    progress.note(ctx, ctx.run(), 0)
    upload(ctx)
    clock.now += 60
    progress.note(ctx, ctx.run(), 0)
    assert [text.partition(" (")[0] for text in said("Uploaded")] == [
        "Uploaded 0 of 10 documents", "Uploaded 6 of 6 documents",
    ]  # fmt: skip


# In the report


def test_a_report_says_what_is_left_and_how_long_it_takes_at_the_quota(in_memory: Mirror) -> None:
    in_memory.put_many(50)
    ctx = in_memory.context(max_documents_per_run=20)
    ctx.requests_per_minute = lambda: 3.0
    report = synchronize(ctx)
    found = report.as_dict()
    assert (found["backlog"], found["eta_seconds"], found["requests_per_minute"]) == (30, 60.0, 3.0)
    assert report.numbers().endswith("backlog 30 (about 60 s at 3 requests a minute)")
    assert "Still to upload: 30 documents, about 60 s at 3 requests a minute." in report.summary()
    assert json.loads(json.dumps(found)) == found


def test_a_report_without_a_quota_tells_the_time_from_what_the_run_did(in_memory: Mirror) -> None:
    """2 requests in the 4 minutes between the detection's end and the first look at what is processing."""
    in_memory.put_many(100)
    ctx = detected(in_memory, max_documents_per_run=40)
    upload(ctx)
    in_memory.execute("UPDATE run SET wait_started_at = detected_at + 240")
    found = make_report(ctx).as_dict()
    assert found["backlog"] == 60
    assert found["requests_per_minute"] == pytest.approx(0.5, rel=1e-3)
    assert found["eta_seconds"] == pytest.approx(360, rel=1e-3)


def test_a_run_that_uploaded_nothing_knows_no_pace(in_memory: Mirror) -> None:
    """Also where the same run had uploaded before its detection was repeated: that time is not this one's."""
    in_memory.put_many(60)
    ctx = detected(in_memory, max_documents_per_run=20)
    upload(ctx)
    ctx = detected(in_memory)
    found = make_report(ctx).as_dict()
    assert (found["backlog"], found["eta_seconds"], found["requests_per_minute"]) == (40, None, None)


def test_a_finished_backlog_takes_no_time(in_memory: Mirror) -> None:
    in_memory.put_many(3)
    report = in_memory.run()
    assert (report.as_dict()["backlog"], report.as_dict()["eta_seconds"]) == (0, 0.0)
    assert "backlog" not in report.numbers()
    assert "Still to upload" not in report.summary()


def test_a_dry_run_reports_its_backlog_without_a_time(in_memory: Mirror) -> None:
    in_memory.put_many(3)
    found = in_memory.run(dry_run=True).as_dict()
    assert (found["backlog"], found["eta_seconds"], found["requests_per_minute"]) == (3, None, None)


# The order


@pytest.mark.parametrize("tasks", [1, 3])
def test_the_smallest_are_uploaded_first_by_one_loop_or_several(in_memory: Mirror, tasks: int) -> None:
    """A run that may not do all of them has done the small ones; the next runs do the rest, in the same order."""
    sizes = {f"{number:02}.txt": 1000 - 17 * (number * 7 % 50) for number in range(50)}
    for key, size in sizes.items():
        in_memory.put(key, "x" * size)
    in_order = [f"docs/{key}" for key in sorted(sizes, key=lambda key: (sizes[key], key))]
    for done in (25, 50):
        report = in_memory.run(upload_order="smallest", max_documents_per_run=25, upload_tasks=tasks)
        assert report.counts["indexed"] == 25
        indexed = {key for key, row in in_memory.rows().items() if row.status == "indexed"}
        assert indexed == set(in_order[:done])
    in_memory.assert_agreement()
