"""Everything that S3 can do wrong while an object is read or listed: nothing wrong is committed, nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cloudindex_provider.errors import (
    CredentialsError,
    DeletesHeldError,
    NoSuchBucketError,
    SourceUnavailableError,
    SyncError,
)
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.run import synchronize
from tests.support.mirror import Mirror
from tests.support.s3_fault_proxy import S3Fault, S3FaultProxy

LARGE = b"0123456789abcdef" * 100_000  # 1.6 MB: streamed, not read ahead


def refused(status: int, code: str, times: int | None = None) -> S3Fault:
    return S3Fault("error", key="a.", status=status, code=code, times=times)


def broken(kind: str, times: int | None = None, **more: Any) -> S3Fault:
    return S3Fault(kind, key="a.", times=times, **more)


@dataclass
class Row:
    """What ``docs/a.txt`` meets, beside a sound ``docs/b.txt``; and what becomes of it."""

    name: str
    fault: Callable[[], S3Fault]
    first: str  # outcome of a: indexed, failed, gone, skipped or the name of the error that the run ends with
    words: str = ""  # the reason names this, beside the key


ROWS = [
    Row("throttled once", lambda: refused(503, "SlowDown", 1), "indexed"),
    Row("throttled twice", lambda: refused(503, "SlowDown", 2), "indexed"),
    Row("throttled for long", lambda: refused(503, "SlowDown"), "failed", "SlowDown"),
    Row("internal error once", lambda: refused(500, "InternalError", 1), "indexed"),
    Row("internal error for long", lambda: refused(500, "InternalError"), "failed", "InternalError"),
    Row("request timeout", lambda: refused(400, "RequestTimeout", 2), "indexed"),
    Row("denied", lambda: refused(403, "AccessDenied"), "failed", "s3:GetObject"),
    Row("archived", lambda: refused(403, "InvalidObjectState"), "skipped"),
    Row("customer's own key", lambda: refused(400, "InvalidRequest"), "failed", "InvalidRequest: asked for"),
    Row("key of KMS disabled", lambda: refused(400, "KMS.DisabledException"), "failed", "KMS.DisabledException"),
    Row("taken down by law", lambda: refused(451, "UnavailableForLegalReasons"), "failed", "Legal"),
    Row("expired token", lambda: refused(400, "ExpiredToken"), "CredentialsError", "credentials"),
    Row("unknown key", lambda: refused(403, "InvalidAccessKeyId"), "CredentialsError", "credentials"),
    Row("gone, says GET alone", lambda: refused(404, "NoSuchKey"), "failed", "disagree"),
    Row("changed, says GET alone", lambda: refused(412, "PreconditionFailed"), "failed", "disagree"),
    Row("another ETag in the answer", lambda: broken("etag"), "failed", "disagree"),
    Row("another ETag once", lambda: broken("etag", 1), "indexed"),
    Row("truncated once", lambda: broken("truncate", 1), "indexed"),
    Row("truncated for long", lambda: broken("truncate"), "failed", "read again"),
    Row("short", lambda: broken("short"), "failed", "disagree"),
    Row("corrupt once", lambda: broken("corrupt", 1), "indexed"),
    Row("corrupt for long", lambda: broken("corrupt"), "failed", "checksum"),
    Row("slow", lambda: broken("slow", delay=0.3), "indexed"),
    Row("reset before", lambda: broken("reset_before", 1), "indexed"),
    Row("reset before for long", lambda: broken("reset_before"), "failed", "can't be reached"),
    Row("reset after", lambda: broken("reset_after", 2), "indexed"),
    Row("a web page", lambda: broken("html"), "failed", "disagree"),
    Row("If-Match ignored", lambda: broken("ignore_if_match"), "indexed"),
]


@pytest.mark.parametrize("large", [False, True], ids=["small", "streamed"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_fault_of_one_object_costs_no_other(
    proxied: Mirror, s3_proxy: S3FaultProxy, row: Row, large: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The other object is indexed whatever happens to this one, the reason says what to do, and the next run heals."""
    key = proxied.put("a.txt", LARGE if large else b"small text")
    proxied.put("b.txt", "sound")
    s3_proxy.add(row.fault())
    try:
        report = proxied.run()
        outcome = next((one for one in ("failed", "gone", "skipped") if report.counts[one]), "indexed")
        said = report.failures[0]["reason"] or "" if report.failures else ""
        proxied.assert_agreement(but=() if outcome == "indexed" else {key}, rows=False)
        assert report.counts["quarantined"] == 0
        if said:
            assert key in said
            assert any(key in record.message for record in caplog.records if record.levelno >= logging.WARNING)
    except SyncError as error:
        outcome, said = type(error).__name__, str(error)
        assert key in said
    assert outcome == row.first
    assert row.words in said
    s3_proxy.reset()
    proxied.time_passes(25 * 3600)
    proxied.run_to_the_end()
    proxied.assert_agreement()
    assert proxied.uploads == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (400, "KMS.DisabledException"), (503, "SlowDown"), (500, "InternalError")],
)
def test_what_cannot_be_read_keeps_its_document_and_is_never_quarantined(
    proxied: Mirror, s3_proxy: S3FaultProxy, status: int, code: str
) -> None:
    """However often reading fails, the old version stays live, and the new one follows when reading works again."""
    key = proxied.put("a.txt", "first")
    proxied.put("b.txt", "sound")
    proxied.run()
    proxied.put("a.txt", "second")
    with s3_proxy.failing(refused(status, code)):
        for _ in range(5):
            report = proxied.run()
            assert (report.counts["failed"], report.counts["stale"]) == (1, 1)
            assert proxied.bytes_of(key) == b"first"
            proxied.time_passes(4000)
    assert proxied.rows()[key].status == "failed"
    proxied.run()
    proxied.assert_agreement()


def test_expired_credentials_stop_the_task_and_strike_nothing(proxied: Mirror, s3_proxy: S3FaultProxy) -> None:
    """Credentials that end in the middle of a run are the task's failure, not that of a thousand keys."""
    proxied.put_many(30)
    s3_proxy.add(S3Fault("error", key="00", status=400, code="ExpiredToken", times=None, skip=25))
    with pytest.raises(CredentialsError):
        proxied.run()
    assert {row.status for row in proxied.rows().values()} <= {"pending", "processing", "indexed"}
    s3_proxy.reset()
    proxied.run_to_the_end()
    proxied.assert_agreement()
    assert proxied.uploads == 30


def test_an_identity_that_may_read_nothing_stops_early(proxied: Mirror, s3_proxy: S3FaultProxy) -> None:
    """A missing s3:GetObject is one failure of the task after a hundred objects and two more, without a strike."""
    proxied.put_many(140)
    with (
        s3_proxy.failing(S3Fault("error", status=403, code="AccessDenied", times=None)),
        pytest.raises(SyncError, match="s3:GetObject"),
    ):
        proxied.run()
    assert s3_proxy.count("GetObject") <= 102
    assert not any(row.attempts for row in proxied.rows().values())
    proxied.time_passes(4000)
    proxied.run()
    proxied.assert_agreement()


def test_a_folder_that_is_denied_stops_no_other(proxied: Mirror, s3_proxy: S3FaultProxy) -> None:
    """More than a hundred objects that may not be read, before those that may: the others are indexed in that run."""
    for number in range(130):
        proxied.put(f"a/{number:03d}.txt", "not for us")
    key = proxied.put("b.txt", "for us")
    with s3_proxy.failing(S3Fault("error", key="docs/a/", status=403, code="AccessDenied", times=None)):
        for _ in range(2):
            report = proxied.run()
            assert (report.counts["failed"], len(proxied.documents())) == (130, 1)
    assert proxied.bytes_of(key) == b"for us"
    proxied.run()
    proxied.assert_agreement()


def test_s3_that_is_down_is_the_task_s_failure(proxied: Mirror, s3_proxy: S3FaultProxy) -> None:
    """Where nothing can be read for now, the task is to be tried again and no key is marked."""
    proxied.put_many(3)
    with (
        s3_proxy.failing(S3Fault("error", status=503, code="ServiceUnavailable", times=None)),
        pytest.raises(SourceUnavailableError),
    ):
        proxied.run()
    assert {row.status for row in proxied.rows().values()} == {"pending"}
    proxied.run()
    proxied.assert_agreement()


def test_an_object_replaced_after_the_listing_is_taken_as_it_is(proxied: Mirror, s3_proxy: S3FaultProxy) -> None:
    """What changed between listing and reading is uploaded as it is now, once."""
    key = proxied.put("a.txt", "first")
    _when_read(proxied, s3_proxy, lambda: proxied.put("a.txt", "second, longer"))
    report = proxied.run()
    assert report.counts["indexed"] == 1
    assert proxied.bytes_of(key) == b"second, longer"
    proxied.run()
    proxied.assert_agreement()
    assert proxied.uploads == 1


def test_an_object_deleted_after_the_listing_is_gone(proxied: Mirror, s3_proxy: S3FaultProxy) -> None:
    """What vanished between listing and reading is no failure, and leaves nothing."""
    proxied.put("a.txt", "first")
    _when_read(proxied, s3_proxy, lambda: proxied.remove("a.txt"))
    report = proxied.run()
    assert (report.counts["gone"], report.counts["failed"]) == (1, 0)
    proxied.run()
    assert proxied.rows() == {}
    proxied.assert_agreement()


def test_a_changed_object_deleted_after_the_listing_loses_its_document_in_the_next_run(
    proxied: Mirror, s3_proxy: S3FaultProxy
) -> None:
    """A document goes only by a listing that reached its end and a 404."""
    proxied.put("a.txt", "first")
    proxied.put("b.txt", "sound")
    proxied.run()
    proxied.put("a.txt", "second")
    _when_read(proxied, s3_proxy, lambda: proxied.remove("a.txt"))
    assert proxied.run().counts["gone"] == 1
    assert len(proxied.documents()) == 2
    proxied.run()
    proxied.assert_agreement()
    assert len(proxied.documents()) == 1


def _when_read(mirror: Mirror, proxy: S3FaultProxy, change: Callable[[], object]) -> None:
    """Have the object change right before its first GET."""
    plan = proxy.plan
    done: list[object] = []

    def planned(operation: str, key: str) -> S3Fault | None:
        if operation == "GetObject" and not done:
            done.append(change())
        return plan(operation, key)

    proxy.plan = planned  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _own_plan_back(s3_proxy: S3FaultProxy) -> Any:
    yield
    s3_proxy.__dict__.pop("plan", None)


# Listings

LISTINGS = {
    "empty": lambda: S3Fault("empty_list", "ListObjectsV2"),
    "half": lambda: S3Fault("half_list", "ListObjectsV2"),
    "half, and its count tells": lambda: S3Fault("cut_list", "ListObjectsV2", times=None),
    "second page failing": lambda: S3Fault("error", "ListObjectsV2", skip=1, times=None),
    "second page denied": lambda: S3Fault("error", "ListObjectsV2", skip=1, status=403, code="AccessDenied"),
    "second page reset": lambda: S3Fault("reset_before", "ListObjectsV2", skip=1, times=None),
    "second page truncated": lambda: S3Fault("truncate", "ListObjectsV2", skip=1, times=None),
    "second page a web page": lambda: S3Fault("html", "ListObjectsV2", skip=1, times=None),
    "second page empty": lambda: S3Fault("empty_list", "ListObjectsV2", skip=1),
    "second page half": lambda: S3Fault("half_list", "ListObjectsV2", skip=1),
    "a web page": lambda: S3Fault("html", "ListObjectsV2", times=None),
    "no such bucket": lambda: S3Fault("error", "ListObjectsV2", status=404, code="NoSuchBucket"),
}


@pytest.fixture
def paged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings of four keys a page."""
    pages = S3Source.pages
    monkeypatch.setattr(
        S3Source,
        "pages",
        lambda self, prefix="", *, page_size=4, **more: pages(self, prefix, page_size=min(page_size, 4), **more),
    )


@pytest.mark.usefixtures("paged")
@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_that_is_not_whole_deletes_nothing(proxied: Mirror, s3_proxy: S3FaultProxy, name: str) -> None:
    """Half a listing, an empty one, a failing page: no document goes, and the next run is right again."""
    proxied.put_many(10)
    proxied.run()
    proxied.put("0000.txt", "changed")
    proxied.remove("0009.txt")
    deleted = proxied.requests("delete")
    with s3_proxy.failing(LISTINGS[name]()):
        error = _error_of(proxied.context(on_mass_delete="skip"))
    assert error is None or (proxied.bucket in str(error) and error.hint)
    keys_without_document = [key for key in proxied.expected() if not proxied.of(key)]
    assert keys_without_document == []
    assert proxied.requests("delete") - deleted <= 2  # the superseded version, and what is rightly gone
    proxied.run()
    proxied.assert_agreement()


def _error_of(ctx: SyncContext) -> SyncError | None:
    try:
        synchronize(ctx)
    except SyncError as error:
        return error
    return None


def test_a_wrong_bucket_deletes_nothing(proxied: Mirror) -> None:
    """A bucket that isn't there is said, and the other bucket's documents stay."""
    proxied.put_many(3)
    proxied.run()
    wrong = proxied.context(bucket="elsewhere")
    wrong.s3.bucket = "elsewhere"
    with pytest.raises(NoSuchBucketError, match="Check the bucket's name"):
        synchronize(wrong)
    proxied.assert_agreement()


def test_an_emptied_bucket_of_the_same_name_deletes_nothing(proxied: Mirror) -> None:
    """Another endpoint with an empty bucket of that name looks like a mass delete, and is held."""
    proxied.put_many(3)
    proxied.run()
    proxied.remove("0000.txt", "0001.txt", "0002.txt")
    with pytest.raises(DeletesHeldError, match="S3 lists nothing"):
        proxied.run()
    assert len(proxied.documents()) == 3


def test_a_narrowed_prefix_deletes_nothing(proxied: Mirror) -> None:
    """Another prefix is another sync; the documents of the wider one stay until it runs again or is forgotten."""
    proxied.put("a/1.txt", "1")
    proxied.put("b/1.txt", "1")
    proxied.run()
    report = proxied.run(prefix="docs/a/")
    assert report.skipped_by_reason == {"owned_by_other": 1}
    assert len(proxied.documents()) == 2
    assert proxied.requests("delete") == 0
    proxied.run()
    proxied.assert_agreement()


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_head_that_proves_nothing_keeps_the_document(proxied: Mirror, s3_proxy: S3FaultProxy, status: int) -> None:
    """Only S3's own 404 deletes."""
    proxied.put_many(3)
    proxied.run()
    proxied.remove("0001.txt")
    with s3_proxy.failing(S3Fault("error", "HeadObject", status=status, code="X", times=None)):
        proxied.run()
    assert len(proxied.documents()) == 3
    proxied.run()
    proxied.assert_agreement()


def test_a_key_that_is_back_before_its_delete_keeps_its_document(proxied: Mirror, s3_proxy: S3FaultProxy) -> None:
    """Removed when listed, there again when HEAD asks: nothing is deleted."""
    proxied.put_many(3)
    proxied.run()
    with s3_proxy.failing(S3Fault("half_list", "ListObjectsV2")):
        proxied.run()
    assert proxied.requests("delete") == 0
    proxied.run()
    proxied.assert_agreement()
