"""Once a day a run heals what somebody else has deleted or changed in CloudIndex, and leaves alone what is foreign."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cloudindex_provider.api import document_stream
from cloudindex_provider.api.models import FilePart
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.state import budgets, drifts
from cloudindex_provider.state.budgets import ListCost
from cloudindex_provider.state.views.keys import KeyFilter
from cloudindex_provider.state.views.overview import read_syncs
from cloudindex_provider.state.views.plans import read_drift
from cloudindex_provider.sync.naming import file_name
from tests.support.mirror import Mirror, waiting
from tests.support.service_faults import BEHAVIOURS


def a_day_passes(mirror: Mirror) -> None:
    mirror.execute("UPDATE source SET audited_at = audited_at - 86401")


def send(mirror: Mirror, name: str, body: bytes) -> str:
    """Uploads bytes past the sync; gives the document's id."""
    part = FilePart(name, len(body), lambda: iter((body,)))
    return mirror.client.upload_documents([part]).documents[0].id


def all_processed(mirror: Mirror) -> None:
    waiting(lambda: all(one["status"] == "processed" for some in mirror.documents().values() for one in some))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_drift_heals_after_a_day(in_memory: Mirror, behaviour: str) -> None:
    """A deleted document, a replaced one and a copy: the next day's run puts all of them right, and counts the two."""
    in_memory.cloud.settings.same_name = behaviour  # type: ignore[assignment]
    keys = in_memory.put_many(6)
    in_memory.run()
    in_memory.client.delete_document(in_memory.of(keys[0])[0]["id"])
    send(in_memory, file_name(in_memory.bucket, keys[1]), b"bytes of somebody else")
    all_processed(in_memory)
    assert in_memory.run().counts["drifted"] == 0  # the day isn't over
    a_day_passes(in_memory)
    counts = in_memory.run().counts
    in_memory.assert_agreement()
    drifted = 1 if behaviour == "duplicate" else 2  # there, the other bytes are a copy beside the live document
    assert (counts["drifted"], counts["uploaded"], counts["indexed"]) == (drifted, drifted, drifted)
    assert (counts["unchanged"], counts["listed"]) == (6 - drifted, 6)
    again = in_memory.run().counts
    assert (again["drifted"], again["unchanged"]) == (0, 6)


def test_a_document_whose_processing_has_failed_since_is_uploaded_again(
    in_memory: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the list calls failed can't be searched, whatever the state believes."""
    (key,) = in_memory.put_many(1)
    in_memory.run()
    in_memory.cloud.settings.fail_processing = ["0000"]
    bad = send(in_memory, file_name(in_memory.bucket, key), b"document number 0")
    waiting(lambda: "failed" in [one["status"] for one in in_memory.of(key)])
    in_memory.cloud.settings.fail_processing = []
    good = in_memory.rows()[key].document_id
    in_memory.client.delete_document(good)
    in_memory.execute("UPDATE object SET document_id = :id", id=bad)
    a_day_passes(in_memory)
    assert in_memory.run().counts["drifted"] == 1
    in_memory.assert_agreement()


def test_what_is_foreign_is_said_and_stays(in_memory: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """A person's own document, and one that is named as by another sync, are named in the log and kept."""
    caplog.set_level(logging.INFO)
    in_memory.put_many(2)
    in_memory.run()
    other = file_name("another-bucket", "docs/0000.txt")
    for name in ("notes.txt", other):
        send(in_memory, name, b"text")
    a_day_passes(in_memory)
    assert in_memory.run().counts["drifted"] == 0
    in_memory.assert_agreement(foreign=["notes.txt", other])
    assert f"2 documents of the project are foreign to this sync and left alone: {other}, notes.txt" in caplog.text


@pytest.mark.parametrize(("interval", "drifted"), [(0.0, 0), (3600.0, 1), (None, 0)])
def test_the_interval_is_a_setting(in_memory: Mirror, interval: float | None, drifted: int) -> None:
    """0 is never; without a word it is a day."""
    (key,) = in_memory.put_many(1)
    in_memory.run()
    in_memory.client.delete_document(in_memory.of(key)[0]["id"])
    in_memory.execute("UPDATE source SET audited_at = audited_at - 7200")
    lists = in_memory.requests("list")
    assert in_memory.run(audit_interval=interval).counts["drifted"] == drifted
    assert in_memory.requests("list") == lists + drifted


def test_a_comparison_costs_one_list_and_says_so_before(in_memory: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """Documents, requests and time stand in the log; nothing but one list is asked for where nothing differs."""
    caplog.set_level(logging.INFO)
    in_memory.put_many(3)
    in_memory.run()
    a_day_passes(in_memory)
    before = len(in_memory.log)
    in_memory.run()
    assert [request.operation for request in in_memory.log[before:]] == ["list"]
    assert "(audit_interval): about 3 documents, 1 request, 1 s" in caplog.text


def test_a_project_of_more_than_a_million_documents_is_asked_for(
    in_memory: Mirror, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There it is off, and said, unless the setting is given."""
    caplog.set_level(logging.INFO)
    (key,) = in_memory.put_many(1)
    in_memory.run()
    in_memory.client.delete_document(in_memory.of(key)[0]["id"])
    a_day_passes(in_memory)
    monkeypatch.setattr(budgets, "last_list", lambda *_: ListCost(1, 1_000_001))
    assert in_memory.run().counts["drifted"] == 0
    assert "1,000,001 documents by itself; set audit_interval" in caplog.text
    assert in_memory.run(audit_interval=86400.0).counts["drifted"] == 1


def test_a_list_that_lacks_what_is_there_proves_nothing(
    in_memory: Mirror, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Documents that a list omits, and a GET finds, aren't gone: nothing is uploaded a second time."""
    in_memory.put_many(5)
    in_memory.run()
    uploads = in_memory.uploads
    a_day_passes(in_memory)
    with monkeypatch.context() as patch:
        patch.setattr(document_stream.DocumentStream, "__iter__", lambda _: iter(()))
        counts = in_memory.run().counts
    assert (counts["drifted"], counts["unchanged"], in_memory.uploads) == (0, 5, uploads)
    assert "which is there" in caplog.text
    in_memory.assert_agreement()


def test_a_list_that_cannot_be_read_is_left_to_the_next_run(
    in_memory: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    """The run does its own work all the same, and the comparison is made by the next."""
    keys = in_memory.put_many(2)
    in_memory.run()
    in_memory.client.delete_document(in_memory.of(keys[0])[0]["id"])
    a_day_passes(in_memory)
    in_memory.put("new.txt")
    in_memory.cloud.faults.add(Fault(operation="list", kind="cut_body", times=None))
    assert in_memory.run().counts["uploaded"] == 1
    assert "couldn't be compared" in caplog.text
    in_memory.cloud.faults.clear()
    assert in_memory.run().counts["drifted"] == 1
    in_memory.assert_agreement()


def test_rows_that_somebody_works_on_and_removed_keys_are_left_out(in_memory: Mirror) -> None:
    """What is claimed, in doubt or gone from S3 has its own way; the counts add up."""
    keys = in_memory.put_many(4)
    in_memory.run()
    for key in keys[:3]:
        in_memory.client.delete_document(in_memory.of(key)[0]["id"])
    in_memory.execute(
        "UPDATE object SET claim_owner = 'x', claim_try = 1, claim_until = 1e12 WHERE key = :k", k=keys[0]
    )
    in_memory.execute("UPDATE object SET doubtful = 1 WHERE key = :k", k=keys[1])
    in_memory.remove("0002.txt")
    a_day_passes(in_memory)
    assert in_memory.run().counts["drifted"] == 0
    assert keys[2] not in in_memory.rows()


def test_a_failed_upload_of_a_drifted_key_is_named_and_tried_again(in_memory: Mirror) -> None:
    """A run that heals in vain counts it as failed, and the next one goes on without another comparison."""
    (key,) = in_memory.put_many(1)
    in_memory.run()
    in_memory.client.delete_document(in_memory.of(key)[0]["id"])
    a_day_passes(in_memory)
    in_memory.cloud.settings.fail_processing = ["0000"]
    report = in_memory.run()
    assert (report.counts["drifted"], report.counts["failed"], report.failures[0]["key"]) == (1, 1, key)
    in_memory.cloud.settings.fail_processing = []
    counts = in_memory.run_to_the_end().counts
    assert (counts["drifted"], counts["indexed"]) == (0, 1)
    in_memory.assert_agreement()


def test_a_try_that_is_killed_after_the_comparison_counts_each_key_once(
    in_memory: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try of the run finds the drifted key as work of its own, and the sums hold."""
    from cloudindex_provider.sync import run as module

    keys = in_memory.put_many(3)
    in_memory.run()
    in_memory.client.delete_document(in_memory.of(keys[1])[0]["id"])
    a_day_passes(in_memory)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "upload_side_by_side", killed)
        with pytest.raises(KeyboardInterrupt):
            in_memory.run("day")
    counts = in_memory.run("day").counts
    assert (counts["drifted"], counts["indexed"], counts["unchanged"]) == (1, 1, 2)
    in_memory.assert_agreement()


def test_a_run_that_is_bound_to_a_plan_or_to_keys_does_no_more_than_that(in_memory: Mirror) -> None:
    """The comparison is left to a run of the whole prefix."""
    keys = in_memory.put_many(2)
    in_memory.run()
    in_memory.client.delete_document(in_memory.of(keys[0])[0]["id"])
    a_day_passes(in_memory)
    assert in_memory.run(keys=(keys[1],)).counts["drifted"] == 0
    plan = in_memory.run(dry_run=True).plan_hash
    assert in_memory.run(plan_hash=plan).counts["drifted"] == 0
    assert in_memory.run().counts["drifted"] == 1


def test_two_runs_at_once_compare_once(in_memory: Mirror) -> None:
    """While one run holds the comparison, another goes on without it."""
    (key,) = in_memory.put_many(1)
    in_memory.run()
    in_memory.client.delete_document(in_memory.of(key)[0]["id"])
    a_day_passes(in_memory)
    in_memory.execute("INSERT INTO lease (name, owner, until) VALUES ('audit:1', 'another run', 1e12)")
    assert in_memory.run().counts["drifted"] == 0
    in_memory.execute("DELETE FROM lease")
    assert in_memory.run().counts["drifted"] == 1


def test_the_page_shows_which_keys_the_last_comparison_has_queued(in_memory: Mirror) -> None:
    """Until the next comparison, however many runs there are in between; then those of that one."""
    first, second = in_memory.put_many(2)
    in_memory.run()
    in_memory.client.delete_document(in_memory.of(first)[0]["id"])
    a_day_passes(in_memory)
    in_memory.run()
    in_memory.run()
    assert [one.key for one in queued(in_memory)] == [first]
    [sync] = read_syncs(in_memory.db)
    assert sync.drifted == 1
    in_memory.client.delete_document(in_memory.of(second)[0]["id"])
    a_day_passes(in_memory)
    in_memory.run()
    assert [one.key for one in queued(in_memory)] == [second]
    a_day_passes(in_memory)
    in_memory.run()
    assert queued(in_memory) == []
    [sync] = read_syncs(in_memory.db)
    assert sync.drifted == 0


def test_of_much_drift_the_first_keys_are_kept(in_memory: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all of it is counted."""
    monkeypatch.setattr(drifts, "MOST_KEYS", 2)
    for key in in_memory.put_many(4):
        in_memory.run()
        in_memory.client.delete_document(in_memory.of(key)[0]["id"])
    a_day_passes(in_memory)
    in_memory.run()
    assert len(queued(in_memory)) == 2
    [sync] = read_syncs(in_memory.db)
    assert sync.drifted == 4


def queued(mirror: Mirror) -> list[Any]:
    return list(read_drift(mirror.db, mirror.context().source.id, KeyFilter(), limit=9).rows)
