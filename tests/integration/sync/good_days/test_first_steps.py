"""What a sync does on good days: everything that S3 has is in the index once, and nothing is done twice."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest

from cloudindex_provider.local.faults import Fault
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.sync.settings import Selection
from tests.support.mirror import Mirror

BEHAVIOURS = ["duplicate", "version", "replace"]


def counts(report: SyncReport) -> dict[str, int]:
    ignored = ("bytes", "requests", "excluded")
    return {name: number for name, number in report.counts.items() if number and name not in ignored}


def test_a_first_sync_uploads_everything_once(mirror: Mirror) -> None:
    mirror.put_many(5)
    report = mirror.run()
    mirror.assert_agreement()
    assert counts(report) == {"listed": 5, "new": 5, "uploaded": 5, "indexed": 5}
    assert report.s3_requests == {"ListObjectsV2": 1, "GetObject": 5}
    assert mirror.uploads == 5


def test_a_sync_of_an_empty_prefix_does_nothing(mirror: Mirror) -> None:
    assert counts(mirror.run()) == {}
    mirror.assert_agreement()


def test_a_second_sync_reads_and_uploads_nothing(mirror: Mirror) -> None:
    mirror.put_many(5)
    mirror.run()
    requests = len(mirror.log)
    report = mirror.run()
    assert counts(report) == {"listed": 5, "unchanged": 5}
    assert report.s3_requests == {"ListObjectsV2": 1}
    assert len(mirror.log) == requests


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_new_changed_and_deleted_objects_are_followed(mirror: Mirror, behaviour: str) -> None:
    mirror.cloud.settings.same_name = behaviour  # type: ignore[assignment]
    mirror.put_many(4)
    mirror.run()
    mirror.put("0001.txt", "another text")
    mirror.put("new.txt", "a new text")
    mirror.remove("0002.txt")
    report = mirror.run()
    mirror.assert_agreement()
    assert counts(report) == {
        "listed": 4, "unchanged": 2, "new": 1, "changed": 1, "removed": 1, "uploaded": 2, "indexed": 2, "deleted": 1,
    }  # fmt: skip
    assert mirror.uploads == 6


def test_same_bytes_under_another_etag_cost_no_upload(mirror: Mirror) -> None:
    body = b"x" * 6_000_000
    mirror.put("large.txt", body)
    mirror.put("small.txt", b"small")
    mirror.run()
    mirror.put_in_parts("large.txt", body)
    mirror.s3.put_object(
        Bucket=mirror.bucket, Key="docs/small.txt", Body=b"small", ServerSideEncryption="aws:kms", SSEKMSKeyId="k"
    )
    before = {key: item[0] for key, item in mirror.objects().items()}
    report = mirror.run()
    mirror.assert_agreement()
    assert before["docs/large.txt"].endswith("-2")
    assert report.counts["changed"] == report.counts["indexed"] >= 1
    assert mirror.uploads == 2
    assert counts(mirror.run()) == {"listed": 2, "unchanged": 2}


def test_an_object_uploaded_to_s3_in_parts_is_synced(mirror: Mirror) -> None:
    mirror.put_in_parts("large.txt", b"abc " * 1_500_000)
    mirror.run()
    mirror.assert_agreement()


ODD_KEYS = [
    "with space.txt",
    "with+plus.txt",
    "with%2Bpercent.txt",
    "emoji \N{SMILING FACE WITH OPEN MOUTH}.txt",
    unicodedata.normalize("NFC", "über.txt"),
    unicodedata.normalize("NFD", "über.txt"),
    "new\nline.txt",
    "a/../b.txt",
    "a//b.txt",
    "a/b.txt",
    "a-b.txt",
    'quote"s.txt',
    "back\\slash.txt",
    "semi;colon,comma.txt",
    "\x7fdel.txt",
    "no-extension.md",
    "l" * (1024 - len("docs/") - 4) + ".txt",
    "\N{HANGUL SYLLABLE GAG}" * 330 + ".txt",
    "\U0010ffff.txt",
]


def test_every_odd_key_is_a_document_of_its_own(in_memory: Mirror) -> None:
    mirror = in_memory  # the S3 server of these tests knows no newline
    for number, key in enumerate(ODD_KEYS):
        mirror.put(key, f"text of odd key {number}")
    report = mirror.run()
    mirror.assert_agreement()
    assert report.counts["indexed"] == len(ODD_KEYS) == len(mirror.documents())
    assert counts(mirror.run())["unchanged"] == len(ODD_KEYS)
    for key in ODD_KEYS:
        mirror.remove(key)
    mirror.put("left.txt")
    mirror.run(max_delete_documents=len(ODD_KEYS))
    mirror.assert_agreement()


def test_what_is_not_synced_is_skipped_with_its_reason(mirror: Mirror) -> None:
    mirror.put("folder/", b"")
    mirror.put("empty.txt", b"")
    mirror.put("picture.png", b"png")
    mirror.put("huge.txt", b"x" * 101)
    mirror.put("private/secret.txt", b"secret")
    mirror.put("cold.txt", b"cold", StorageClass="GLACIER")
    mirror.put("kept.txt", b"kept")
    selection = Selection(exclude=("*/private/*",), max_file_size=100)
    report = mirror.run(selection=selection)
    mirror.assert_agreement(selection=selection)
    assert report.skipped_by_reason == {
        "folder_marker": 1, "empty": 1, "unsupported_type": 1, "too_large": 1, "excluded": 1, "archived": 1,
    }  # fmt: skip
    assert report.counts["indexed"] == 1


def test_twenty_files_go_into_a_request(mirror: Mirror) -> None:
    mirror.put_many(45)
    mirror.run()
    mirror.assert_agreement()
    assert sorted(r.files for r in mirror.log if r.operation == "upload") == [5, 20, 20]


def test_a_request_holds_no_more_bytes_than_allowed(mirror: Mirror) -> None:
    for number in range(6):
        mirror.put(f"{number}.txt", bytes([65 + number]) * 1000)
    mirror.run(max_request_size=2500)
    mirror.assert_agreement()
    assert [r.files for r in mirror.log if r.operation == "upload"] == [2, 2, 2]


def test_what_is_over_the_documents_of_a_run_is_left_to_the_next(mirror: Mirror) -> None:
    mirror.put_many(5)
    first = mirror.run(max_documents_per_run=3)
    assert (first.counts["indexed"], first.counts["deferred"]) == (3, 2)
    second = mirror.run(max_documents_per_run=3)
    assert (second.counts["indexed"], second.counts["deferred"], second.counts["unchanged"]) == (2, 0, 3)
    mirror.assert_agreement()


def test_named_keys_are_synced_alone(mirror: Mirror) -> None:
    mirror.put_many(4)
    report = mirror.run(keys=("docs/0001.txt", "docs/0002.txt"))
    assert counts(report) == {"listed": 2, "new": 2, "uploaded": 2, "indexed": 2}
    mirror.put("0001.txt", "changed")
    mirror.remove("0002.txt")
    report = mirror.run(keys=("docs/0001.txt", "docs/0002.txt"))
    assert (report.counts["changed"], report.counts["deleted"], report.counts["listed"]) == (1, 1, 1)
    assert report.s3_requests.get("ListObjectsV2", 0) <= 1
    mirror.run()
    mirror.assert_agreement()


def test_a_dry_run_says_what_a_run_would_do_and_writes_nothing(mirror: Mirror) -> None:
    mirror.put_many(3)
    mirror.run()
    mirror.put("0000.txt", "changed")
    mirror.put("new.txt", "new")
    mirror.remove("0001.txt")
    tables = ("object", "run", "run_key", "run_count", "history", "superseded", "source")
    state = [mirror.execute(f"SELECT * FROM {table}") for table in tables]
    requests = len(mirror.log)
    report = mirror.run(dry_run=True)
    assert report.plan == {"upload": ["docs/new.txt", "docs/0000.txt"], "skip": [], "delete": ["docs/0001.txt"]}
    assert [mirror.execute(f"SELECT * FROM {table}") for table in tables] == state
    assert len(mirror.log) == requests
    real = mirror.run()
    for name in ("listed", "new", "changed", "unchanged", "removed"):
        assert report.counts[name] == real.counts[name]


def test_an_object_that_opts_out_is_skipped_until_it_changes_its_mind(mirror: Mirror) -> None:
    mirror.put("in.txt", "in")
    mirror.put("out.txt", "out", Metadata={"cloudindex": "skip"})
    report = mirror.run()
    assert (report.counts["indexed"], report.counts["skipped"]) == (1, 1)
    mirror.assert_agreement(but={"docs/out.txt"})
    report = mirror.run()
    assert report.s3_requests == {"ListObjectsV2": 1}
    assert report.skipped_by_reason == {"opted_out": 1}
    mirror.put("out.txt", "out now in")
    mirror.run()
    mirror.assert_agreement()


def test_versions_of_a_versioned_bucket_go_into_the_metadata(mirror: Mirror) -> None:
    mirror.s3.put_bucket_versioning(Bucket=mirror.bucket, VersioningConfiguration={"Status": "Enabled"})
    key = mirror.put("a.txt", "first")
    mirror.run()
    mirror.put("a.txt", "second")
    mirror.run()
    version = mirror.s3.head_object(Bucket=mirror.bucket, Key=key)["VersionId"]
    (document,) = mirror.of(key)
    assert document["metadata"]["documents"][file_name(mirror.bucket, key)]["versionId"] == version
    mirror.put("a.txt", "second")  # another version of the same bytes
    requests = mirror.uploads
    mirror.run()
    assert mirror.uploads == requests
    mirror.remove("a.txt")  # a delete marker
    mirror.put("b.txt", "b")
    mirror.run()
    mirror.assert_agreement()
    assert mirror.of(key) == []
    marker = mirror.s3.list_object_versions(Bucket=mirror.bucket)["DeleteMarkers"][0]["VersionId"]
    mirror.s3.delete_object(Bucket=mirror.bucket, Key=key, VersionId=marker)  # undelete
    mirror.run()
    mirror.assert_agreement()
    assert mirror.bytes_of(key) == b"second"
    mirror.s3.put_bucket_versioning(Bucket=mirror.bucket, VersioningConfiguration={"Status": "Suspended"})
    mirror.put("a.txt", "third")
    mirror.run()
    mirror.assert_agreement()


def test_two_syncs_share_a_project_and_leave_each_other_alone(mirror: Mirror) -> None:
    mirror.put_many(2)
    mirror.s3.put_object(Bucket=mirror.bucket, Key="other/a.txt", Body=b"other a")
    mirror.run()
    mirror.run(prefix="other/")
    mirror.s3.delete_object(Bucket=mirror.bucket, Key="other/a.txt")
    mirror.s3.put_object(Bucket=mirror.bucket, Key="other/b.txt", Body=b"other b")
    for prefix in ("docs/", "other/", "docs/", "other/"):
        mirror.run(prefix=prefix)
    other = {file_name(mirror.bucket, "other/b.txt")}
    mirror.assert_agreement(foreign=other, rows=False)
    assert other < set(mirror.documents())


def test_a_key_has_one_owner_among_overlapping_syncs(mirror: Mirror) -> None:
    mirror.put_many(2)
    mirror.put("deep/a.txt", "deep")
    mirror.run()
    report = mirror.run(prefix="docs/deep/")
    assert report.skipped_by_reason == {"owned_by_other": 1}
    mirror.assert_agreement()
    mirror.remove("deep/a.txt")
    mirror.run(prefix="docs/deep/")
    assert len(mirror.documents()) == 3  # the sync that doesn't own it deletes nothing
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_changed_document_is_replaced_only_once_the_new_one_is_processed(mirror: Mirror, behaviour: str) -> None:
    mirror.cloud.settings.same_name = behaviour  # type: ignore[assignment]
    key = mirror.put("a.txt", "first")
    mirror.run()
    mirror.put("a.txt", "second")
    mirror.cloud.settings.processing_delay = 0.2
    mirror.run(wait_for_processing=False)
    assert len(mirror.of(key)) == (2 if behaviour == "duplicate" else 1)
    report = mirror.run()
    mirror.assert_agreement()
    assert report.counts["indexed"] == 1
    assert mirror.uploads == 2


def test_a_second_document_is_not_deleted_by_versioning_services(mirror: Mirror) -> None:
    mirror.cloud.settings.same_name = "version"
    key = mirror.put("a.txt", "first")
    mirror.run()
    (before,) = mirror.of(key)
    mirror.put("a.txt", "second")
    mirror.run()
    (after,) = mirror.of(key)
    assert (after["id"], after["version"]) == (before["id"], 2)
    assert mirror.requests("delete") == 0


def test_a_large_object_streams_with_its_hash_checked(mirror: Mirror) -> None:
    key = mirror.put("large.txt", b"0123456789" * 400_000)
    mirror.run()
    mirror.assert_agreement()
    assert mirror.rows()[key].indexed_sha256 == hashlib.sha256(b"0123456789" * 400_000).hexdigest()


def test_several_upload_loops_share_the_work(mirror: Mirror) -> None:
    mirror.put_many(65)
    report = mirror.run(upload_tasks=4)
    mirror.assert_agreement()
    assert report.counts["indexed"] == mirror.uploads == 65


def test_a_slow_service_is_waited_for(mirror: Mirror) -> None:
    mirror.put_many(8)
    mirror.cloud.settings.processing_delay = 0.15
    mirror.run()
    mirror.assert_agreement()


def test_what_still_processes_at_the_timeout_is_deferred(mirror: Mirror) -> None:
    mirror.put_many(2)
    mirror.cloud.settings.processing_delay = 0.4
    report = mirror.run(processing_timeout=0.05)
    assert report.counts["deferred"] == 2
    report = mirror.run()
    mirror.assert_agreement()
    assert (report.counts["indexed"], mirror.uploads) == (2, 2)


@pytest.mark.parametrize("style", ["array", "object", "paged"])
@pytest.mark.parametrize("hashes", [True, False])
def test_every_dialect_of_the_list_serves(mirror: Mirror, style: str, hashes: bool) -> None:
    mirror.cloud.settings.list_style = style  # type: ignore[assignment]
    mirror.cloud.settings.page_size = 3
    mirror.cloud.settings.list_content_hash = hashes
    mirror.cloud.settings.nulls = True
    mirror.put_many(7)
    mirror.cloud.faults.add(Fault(operation="upload", kind="cut_after"))
    mirror.run_to_the_end()
    mirror.run()
    mirror.assert_agreement()
