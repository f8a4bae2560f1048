"""Everything that CloudIndex can do wrong, before, during and after its work: no document is lost, none is double."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from cloudindex_provider.local.faults import Fault
from tests.support.mirror import Mirror
from tests.support.s3_fault_proxy import S3Fault, S3FaultProxy
from tests.support.service_faults import BEHAVIOURS, upload


@dataclass(frozen=True)
class Row:
    """A fault of an upload, and how many files the service reads in all until the sync agrees."""

    name: str
    faults: list[Fault]
    again: int = 0  # files sent again, because they had not arrived
    again_without_hash: int = 3  # where the list doesn't show hashes, nothing can be adopted
    kept: dict[str, int] = field(default_factory=dict)


ROWS = [
    Row("before: cut", [upload("cut_before")], again=3),
    Row("before: 503", [upload("status", status=503)], again=3),
    Row("before: 500", [upload("status", status=500)], again=3),
    Row("before: a web page with 502", [upload("html", status=502)], again=3),
    Row("before: a web page with 200", [upload("html", status=200)], again=3),
    Row("before: 429", [upload("429", retry_after=0)], again=3),
    Row("during: answer cut in the middle", [upload("cut_body")]),
    Row("during: answer that is no JSON", [upload("garbage")]),
    Row("after: cut", [upload("cut_after")]),
    Row("after: commits late", [upload("late_commit", delay=0.03)]),
    Row("twice: cut before, then after", [upload("cut_before"), upload("cut_after")], again=3),
    Row(
        "one file refused for now",
        [upload("partial_errors", match="a-", retryable=True)],
        again=1,
        again_without_hash=1,
    ),
    Row("one file not in the answer", [upload("missing_entries", match="a-")], again=1, again_without_hash=1),
    Row("all files not in the answer", [upload("missing_entries")], again=3),
    Row("slow", [upload("delay", delay=0.1)], again_without_hash=0),
]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_upload_that_goes_wrong_leaves_one_document_of_each_key(in_memory: Mirror, row: Row, behaviour: Any) -> None:
    """What had arrived is adopted and not sent again; what had not is; and nothing is double at the end."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    for name in "abc":
        mirror.put(f"{name}.txt", f"text of {name}")
    mirror.cloud.faults.add(*row.faults)
    mirror.run_to_the_end()
    mirror.assert_agreement()
    assert mirror.uploads == 3 + row.again
    assert mirror.run().counts["unchanged"] == 3


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "late_commit"])
def test_without_hashes_a_file_is_rather_sent_twice_than_lost(in_memory: Mirror, kind: str, behaviour: Any) -> None:
    """Where the list shows no hashes nothing can be adopted: it is sent again, and the copy is removed."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.cloud.settings.list_content_hash = False
    mirror.put("a.txt", "first")
    mirror.run()
    mirror.put("a.txt", "second")
    mirror.put("b.txt", "b")
    mirror.cloud.faults.add(upload(kind, delay=0.03 if kind == "late_commit" else 0))
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize("behaviour", ["duplicate", "version"])
@pytest.mark.parametrize("operation", ["list", "get", "delete"])
@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "cut_body", "garbage", "html", "status", "429"])
def test_other_requests_that_go_wrong_cost_nothing_but_a_try(
    in_memory: Mirror, operation: Any, kind: Any, behaviour: Any
) -> None:
    """Lists, looks and deletes are repeated, and what they had done already is done."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.cloud.settings.processing_delay = 0.05
    keys = mirror.put_many(8)
    mirror.run()
    mirror.put("0000.txt", "changed")
    mirror.put("0001.txt", "changed as well")
    mirror.remove("0007.txt")
    uploads = mirror.uploads
    mirror.cloud.faults.add(Fault(operation=operation, kind=kind, retry_after=0, times=2))
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()
    assert mirror.uploads == uploads + 2
    assert mirror.of(keys[7]) == []


@pytest.mark.parametrize("behaviour", ["duplicate"])
@pytest.mark.parametrize("service", ["cut_before", "cut_after", "cut_body", "partial_errors"])
@pytest.mark.parametrize("source", ["truncate", "corrupt", "error", "reset_before", "etag"])
def test_both_sides_fail_in_one_run(
    proxied: Mirror, s3_proxy: S3FaultProxy, source: str, service: Any, behaviour: Any
) -> None:
    """A fault of S3 and one of CloudIndex, in one upload: both heal."""
    proxied.cloud.settings.same_name = behaviour
    for name in "abc":
        proxied.put(f"{name}.txt", f"text of {name}")
    s3_proxy.add(S3Fault(source, key="a.", times=2))
    proxied.cloud.faults.add(upload(service, match="b-"))
    proxied.run_to_the_end()
    proxied.time_passes(200)
    proxied.run()
    proxied.assert_agreement()


def test_a_short_list_decides_nothing(in_memory: Mirror) -> None:
    """A list that has fewer entries than it says proves no absence, so nothing is sent again because of it."""
    mirror = in_memory
    mirror.cloud.settings.list_style = "object"
    mirror.cloud.settings.list_total = True
    mirror.put_many(3)
    mirror.cloud.faults.add(upload("cut_after"), Fault(operation="list", kind="missing_entries", match="-0001-"))
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()
    assert mirror.uploads == 3


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_changed_names_and_order_bind_to_the_right_keys(in_memory: Mirror, behaviour: Any) -> None:
    """Documents that come back in another order and under other names are told by their hash, also equal ones."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.cloud.settings.shuffle_uploads = True
    mirror.cloud.faults.add(upload("rename", match="a-", rename_to="other-{name}", times=None))
    keys = [mirror.put(f"{name}.txt", body) for name, body in (("a", "a"), ("aa", "twin"), ("aaa", "twin"), ("b", "b"))]
    mirror.run()
    rows = mirror.rows()
    assert {row.status for row in rows.values()} == {"indexed"}
    assert len({row.document_id for row in rows.values()}) == len(mirror.cloud.documents(mirror.project_id)) == 4
    for key in keys:
        assert mirror.cloud.content(rows[key].document_id) == mirror.body(key)
    assert mirror.uploads == 4


def test_documents_of_no_file_of_ours_are_removed_again(in_memory: Mirror) -> None:
    """A document under another name whose hash can't be had is no one's, and isn't left behind."""
    mirror = in_memory
    mirror.cloud.settings.list_content_hash = False
    mirror.cloud.faults.add(upload("rename", match="a-"), Fault(operation="get", kind="status", status=404, times=1))
    mirror.put("a.txt", "a")
    mirror.put("b.txt", "b")
    mirror.run_to_the_end()
    mirror.time_passes(100)
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()
