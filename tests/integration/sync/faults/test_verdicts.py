"""Green only when in step: what a run leaves is tried by the next one, and named with its reason until it is mended."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cloudindex_provider.errors import SyncFailedError
from cloudindex_provider.sync.report.report import SyncReport, make_report
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.wait import wait
from tests.support.memory_s3 import MemoryS3, client_error
from tests.support.mirror import Mirror
from tests.support.verdicts import judge


def is_green(report: SyncReport) -> bool:
    try:
        judge(report, max_failed_documents=0)
    except SyncFailedError:
        return False
    return True


class Stale(MemoryS3):
    """Lists some keys that it says 404 of: a store whose index is older than its objects."""

    def __init__(self) -> None:
        super().__init__()
        self.stale: set[str] = set()

    def get_object(self, **request: Any) -> Any:
        self._check(request["Key"], "GetObject")
        return super().get_object(**request)

    def head_object(self, **request: Any) -> Any:
        self._check(request["Key"], "HeadObject")
        return super().head_object(**request)

    def _check(self, key: str, operation: str) -> None:
        if key in self.stale:
            raise client_error(operation, 404, "NoSuchKey" if operation == "GetObject" else "404")


@pytest.fixture
def stale(tmp_path: Any, cloud: Any) -> Any:
    s3 = Stale()
    made = Mirror(tmp_path, cloud, s3, s3)
    yield made
    made.close()


def test_a_failure_is_red_in_every_run_until_it_is_mended(in_memory: Mirror) -> None:
    """No run between is green because it waited: each tries the key once, and names it."""
    mirror = in_memory
    mirror.cloud.settings.fail_processing = ["docs-bad"]
    bad = mirror.put("bad.txt", "bad")
    mirror.put_many(8)  # the service is well
    for _ in range(2):
        report = mirror.run(max_attempts=5)
        assert not is_green(report)
        assert [row["key"] for row in report.failures] == [bad]
        assert report.counts["deferred"] == 0
    mirror.cloud.settings.fail_processing = []
    report = mirror.run(max_attempts=5)
    assert (is_green(report), report.counts["indexed"]) == (True, 1)
    mirror.assert_agreement()


def test_what_is_deferred_is_named_with_its_reason(in_memory: Mirror) -> None:
    """Documents that a limit leaves, and documents that still process."""
    mirror = in_memory
    keys = mirror.put_many(4)
    mirror.cloud.settings.processing_delay = 60
    report = mirror.run(max_documents_per_run=2, wait_for_processing=False)
    assert [row["key"] for row in report.deferred] == keys
    reasons = [str(row["reason"]) for row in report.deferred]
    assert all(re.fullmatch(r"CloudIndex still processes it, since \S+ \S+ UTC", reason) for reason in reasons[:2])
    assert reasons[2:] == ["not tried yet"] * 2
    assert report.as_dict()["deferred_keys"] == report.deferred


def test_a_key_that_is_listed_and_404_is_named_and_a_failure_the_second_time(stale: Mirror) -> None:
    """A stale listing isn't passed over for ever: named at once, red from the second run on, mended when it ends."""
    key = stale.put("ghost.txt", "ghost")
    stale.put("a.txt", "a")
    stale.s3.stale = {key}
    report = stale.run()
    assert (is_green(report), report.counts["gone"]) == (True, 1)
    assert report.gone == [{"key": key, "reason": "deleted since"}]
    report = stale.run()
    assert not is_green(report)
    (failed,) = report.failures
    assert (failed["key"], failed["outcome"]) == (key, "failed")
    assert "said 404 both times" in str(failed["reason"])
    stale.s3.stale = set()
    report = stale.run()
    assert (is_green(report), report.counts["indexed"]) == (True, 1)
    stale.assert_agreement()


def test_an_object_that_is_deleted_between_listing_and_read_is_no_failure(stale: Mirror) -> None:
    """Gone once and then listed no more is what objects do."""
    key = stale.put("short.txt", "short")
    stale.s3.stale = {key}
    stale.run()
    stale.remove("short.txt")
    report = stale.run()
    assert (is_green(report), report.counts["listed"], report.gone) == (True, 0, [])


def test_a_cleared_run_judges_a_mended_or_removed_object_anew(in_memory: Mirror) -> None:
    """What the first try set aside counts no more when S3 has another object, or none; the sums hold."""
    mirror = in_memory
    mirror.cloud.settings.fail_processing = ["docs-bad"]
    mirror.put("bad-one.txt", "bad")
    mirror.put("bad-two.txt", "bad")
    mirror.put_many(8)  # the service is well
    report = mirror.run("cleared", max_attempts=1)
    assert (is_green(report), report.counts["quarantined"]) == (False, 2)
    assert not is_green(mirror.run("cleared", max_attempts=1))  # nothing was mended
    mirror.cloud.settings.fail_processing = []
    mirror.put("bad-one.txt", "mended")
    mirror.remove("bad-two.txt")
    report = mirror.run("cleared", max_attempts=1)
    assert (is_green(report), report.counts["indexed"], report.imbalance) == (True, 1, None)
    mirror.assert_agreement()


def test_quarantine_ends_by_itself_when_the_service_has_learned(in_memory: Mirror) -> None:
    """After a day a run looks again: what is processed now is indexed; what isn't keeps no run red."""
    mirror = in_memory
    mirror.cloud.settings.fail_processing = ["docs-bad"]
    mirror.put("bad-one.txt", "bad")
    mirror.put("bad-two.txt", "bad")
    mirror.put_many(8)  # the service is well
    mirror.run(max_attempts=1)
    report = mirror.run(max_attempts=1)
    assert (is_green(report), report.counts["quarantined"], mirror.uploads) == (True, 2, 10)
    mirror.time_passes(90_000)
    mirror.cloud.settings.fail_processing = ["docs-bad-two"]
    report = mirror.run(max_attempts=1)
    assert (is_green(report), report.counts["indexed"], report.counts["quarantined"]) == (True, 1, 1)
    assert [row["key"] for row in report.quarantined] == ["docs/bad-two.txt"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("unchanged", {"listed": 2, "unchanged": 1, "new": 1, "deferred": 1}),
        ("uploaded", {"listed": 2, "unchanged": 1, "changed": 1, "indexed": 0, "deferred": 1}),
    ],
)
def test_a_document_that_turns_out_to_be_lost_is_named_by_the_run_that_finds_out(
    in_memory: Mirror, found: str, expected: dict[str, int]
) -> None:
    """The look at a document whose upload was in doubt finds it deleted: the counts add up, the next run uploads it."""
    mirror = in_memory
    key, _ = mirror.put("a.txt", "one"), mirror.put("b.txt", "two")
    mirror.run("one")
    if found == "uploaded":
        mirror.put("a.txt", "new")
        mirror.run("two")
    mirror.execute("UPDATE object SET doubtful = 1 WHERE key = :k", k=key)
    for document in mirror.of(key):
        mirror.client.delete_document(document["id"])
    ctx = mirror.context("two")
    if found == "uploaded":  # the task that waits is cleared
        wait(ctx)
        report = make_report(ctx)
    else:
        report = synchronize(ctx)
    assert report.imbalance is None
    assert {name: report.counts[name] for name in expected} == expected
    why = "not tried: its live document was deleted, or replaced by a late upload"
    assert [(row["key"], row["reason"]) for row in report.deferred] == [(key, why)]
    assert mirror.run().counts["indexed"] == 1
    mirror.assert_agreement()


@pytest.mark.parametrize(("asked", "lists"), [("b.txt", 0), ("a.txt", 1)])
def test_a_run_of_named_keys_looks_for_copies_of_its_own_alone(in_memory: Mirror, asked: str, lists: int) -> None:
    """A late copy of another key may take a list of the whole project to find, and such runs come every few seconds."""
    mirror = in_memory
    key, _ = mirror.put("a.txt", "one"), mirror.put("b.txt", "two")
    mirror.run("one")
    mirror.execute("UPDATE object SET doubtful = 1 WHERE key = :k", k=key)
    before = mirror.requests("list")
    mirror.run("two", keys=[mirror.prefix + asked])
    assert mirror.requests("list") - before == lists
    mirror.run("three")
    [(doubtful,)] = mirror.execute("SELECT sum(doubtful) FROM object")
    assert doubtful == 0
