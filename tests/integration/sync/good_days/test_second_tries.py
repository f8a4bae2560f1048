"""A run whose task is tried again: what the first try did and what failed in it are still this run's."""

from __future__ import annotations

import json

import pytest

from cloudindex_provider.errors import CloudIndexError, SyncFailedError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.state import claims
from cloudindex_provider.sync.detect.detection import detect
from tests.support.mirror import Mirror
from tests.support.verdicts import judge


def test_a_failure_of_the_first_try_still_counts_after_the_second(mirror: Mirror) -> None:
    bad = mirror.put("a-bad.txt", "bad")
    mirror.put("b.txt", "good")
    mirror.cloud.settings.fail_processing = ["a-bad"]
    mirror.cloud.faults.add(Fault(operation="delete", kind="status", status=500, times=None))
    with pytest.raises(CloudIndexError):  # the failed copy can't be removed, after the failure is known
        mirror.run("one")
    mirror.cloud.faults.clear()
    report = mirror.run("one")
    assert [(row["key"], row["outcome"]) for row in report.failures] == [(bad, "failed")]
    assert (report.counts["new"], report.counts["unchanged"]) == (1, 1)
    with pytest.raises(SyncFailedError, match="1 document failed"):
        judge(report, max_failed_documents=0)


def test_what_the_first_try_uploaded_is_in_the_report_of_the_second(mirror: Mirror) -> None:
    mirror.put_many(3)
    mirror.cloud.settings.processing_delay = 0.0
    mirror.cloud.faults.add(Fault(operation="list", kind="status", status=500, times=None))
    with pytest.raises(CloudIndexError):
        mirror.run("one")
    mirror.cloud.faults.clear()
    report = mirror.run("one")
    assert (report.counts["uploaded"], report.counts["indexed"], mirror.uploads) == (3, 3, 3)


def test_a_run_that_is_cleared_when_the_back_off_is_over_tries_again(mirror: Mirror) -> None:
    mirror.put("a-bad.txt", "bad")
    mirror.cloud.settings.fail_processing = ["a-bad"]
    assert mirror.run("one").counts["failed"] == 1
    mirror.cloud.settings.fail_processing = []
    mirror.time_passes(3600)
    report = mirror.run("one")
    assert (report.counts["failed"], report.counts["indexed"]) == (0, 1)
    mirror.assert_agreement()


def test_the_limit_of_failures_counts_all_of_them_and_not_those_that_the_report_shows(in_memory: Mirror) -> None:
    """Sixty files refused for good, of which twenty are named: 25 are too few, and 60 are enough."""
    in_memory.put_many(60)
    in_memory.put("good.txt", "good")
    in_memory.cloud.faults.add(
        Fault(operation="upload", kind="partial_errors", match="docs-00", retryable=False, times=None)
    )
    report = in_memory.run()
    assert (report.counts["quarantined"], len(report.failures)) == (60, 20)
    for allowed in (25, 59):
        with pytest.raises(SyncFailedError, match="60 documents failed"):
            judge(report, max_failed_documents=allowed)
    judge(report, max_failed_documents=60)


@pytest.mark.parametrize("what", ["gone", "reverted", "emptied", "changed", "as it was"])
def test_claims_of_a_killed_try_and_a_change_in_s3(in_memory: Mirror, what: str) -> None:
    """A try is killed with claims, S3 changes, and Airflow's next try comes before the lease ends: the sums hold."""
    mirror = in_memory
    mirror.lease = 120.0
    mirror.put("a.txt", "one")
    mirror.put("b.txt", "two")
    if what == "reverted":
        mirror.run()
        mirror.put("a.txt", "other")
    killed = mirror.context("r")
    detect(killed)
    assert claims.claim_request(
        mirror.db, killed.run(), killed.owner, lease=120.0, max_request_size=10**6, max_documents=None
    )
    mirror.time_passes(60)
    changes = {"gone": None, "reverted": "one", "emptied": "", "changed": "three"}
    if what == "gone":
        mirror.remove("a.txt")
    elif what in changes:
        mirror.put("a.txt", str(changes[what]))
    mirror.run("r")
    mirror.time_passes(120)
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize("number", [3, 12_000])
def test_a_repeated_detection_claims_nothing_that_it_has_not_found_again(in_memory: Mirror, number: int) -> None:
    """Named keys that a cleared run no longer names aren't its work any more, however many there were."""
    mirror = in_memory
    mirror.put("a.txt", "a")
    rows = [f"docs/{at:05}.txt" for at in range(number)]
    first = mirror.context("r", keys=("docs/a.txt",))
    detect(first)
    mirror.execute(
        "INSERT INTO object (scope_id, key, source_id, status, etag, size, last_modified, storage_class, queued_run)"
        " SELECT :scope, value, :source, 'pending', 'e', 1, 't', 'STANDARD', :run FROM json_each(:keys)",
        scope=first.source.scope_id, source=first.source.id, run=first.run().id, keys=json.dumps(rows),
    )  # fmt: skip
    report = mirror.run("r", keys=("docs/a.txt",))
    assert (report.counts["listed"], report.counts["indexed"], report.counts["deferred"]) == (1, 1, 0)
    assert mirror.execute("SELECT count(*) FROM object WHERE status = 'pending'") == [(number,)]
