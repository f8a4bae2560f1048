"""Stores that aren't Amazon's, and objects that aren't like the others: the sync is in step, or says why it isn't.

Field problem, and what the sync does:

=====================================================  =============================================================
no ETags                                               size and time decide; a warning
stored with Content-Encoding: gzip                     the decoded document is indexed
Content-Encoding that can't be decoded                 skipped: encoded
a bomb                                                 skipped: too_large, after max_file_size bytes
a store that decodes while it sends                    what it sends is the document
a key that is no UTF-8                                 skipped: invalid_key
one object refused, or its answer unreadable           that key fails, with the store's code and message
a listing with other sizes or ETags than HEAD and GET  uploaded once; what it lists is remembered as this version
an archive tier                                        skipped: archived; looked at again a day later
a restored copy                                        indexed
Requester Pays                                         request_payer; the remedy names it
=====================================================  =============================================================
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.errors import AccessDeniedError, CredentialsError, SourceUnavailableError
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.sync.settings import Selection
from tests.support.memory_s3 import client_error
from tests.support.mirror import Mirror
from tests.support.odd_s3 import OddS3
from tests.support.service_faults import BEHAVIOURS

SMALL = Selection(max_file_size=1_000_000)
LATER = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PAGE = b"<html>" + b"some words " * 50 + b"</html>"

compressed = partial(gzip.compress, mtime=0)  # the same bytes in every process, as tests are named by them


@pytest.fixture
def odd(tmp_path: Path, cloud: LocalCloudIndex) -> Iterator[Mirror]:
    """A sync whose S3 is in this process, and can be odd: ``odd.s3``."""
    s3 = OddS3()
    made = Mirror(tmp_path, cloud, s3, s3)
    yield made
    made.close()


def gets(mirror: Mirror) -> int:
    found: int = mirror.s3.asked["GetObject"]
    return found


# No ETags


def test_without_etags_another_time_is_another_version(odd: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes of the same size are noticed by their time; nothing is read again that has its old one; said once a run."""
    odd.s3.no_etags = True
    key = odd.put("a.txt", "first")
    odd.put("b.txt", "other")
    with caplog.at_level(logging.WARNING):
        odd.run()
    assert len([record for record in caplog.records if "without an ETag" in record.message]) == 1
    before = gets(odd)
    odd.put("a.txt", "secnd", LastModified=LATER)
    report = odd.run()
    assert (report.counts["changed"], report.counts["unchanged"]) == (1, 1)
    assert odd.bytes_of(key) == b"secnd"
    assert gets(odd) == before + 1
    assert len(odd.documents()) == 2


def test_without_etags_named_keys_are_told_apart_too(odd: Mirror) -> None:
    """HEAD's time is the listing's."""
    odd.s3.no_etags = True
    key = odd.put("a.txt", "first")
    odd.run()
    assert odd.run(keys=(key,)).counts["unchanged"] == 1


# Content-Encoding


@pytest.mark.parametrize("same_name", BEHAVIOURS)
@pytest.mark.parametrize(
    ("coding", "stored"),
    [
        ("gzip", compressed(PAGE)),
        ("x-gzip", compressed(PAGE)),
        ("deflate", zlib.compress(PAGE)),
        ("aws-chunked,gzip", compressed(PAGE)),
        ("gzip", PAGE),  # marked, but plain
        ("utf-8", PAGE),
    ],
)
def test_the_document_is_what_the_stored_bytes_mean(
    odd: Mirror, cloud: LocalCloudIndex, coding: str, stored: bytes, same_name: str
) -> None:
    """It is uploaded decoded, under its name, and neither read nor uploaded again."""
    cloud.settings.same_name = same_name  # type: ignore[assignment]
    key = odd.put("page.html", stored, ContentEncoding=coding)
    assert odd.run().counts["bytes"] == len(PAGE)
    assert odd.bytes_of(key) == PAGE
    before = gets(odd)
    assert odd.run().counts["unchanged"] == 1
    assert (gets(odd), odd.uploads) == (before, 1)


def test_a_large_document_is_decoded_twice_and_held_never(odd: Mirror) -> None:
    """Once for its length, once while it is sent, whose length was announced by then."""
    body = b"0123456789abcdef" * 200_000
    key = odd.put("large.txt", compressed(body), ContentEncoding="gzip")
    odd.run()
    assert odd.bytes_of(key) == body
    assert gets(odd) == 2
    odd.put("large.txt", compressed(body, compresslevel=1), ContentEncoding="gzip")
    odd.run()
    assert odd.bytes_of(key) == body


def test_a_document_that_is_only_compressed_otherwise_is_not_uploaded_again(odd: Mirror) -> None:
    """Another ETag and another size in S3, and the same bytes as before in the index."""
    odd.put("page.html", compressed(PAGE), ContentEncoding="gzip")
    odd.run()
    odd.put("page.html", compressed(PAGE, compresslevel=1) + compressed(b""), ContentEncoding="gzip")
    counts = odd.run().counts
    assert (counts["changed"], counts["indexed"]) == (1, 1)
    assert odd.run().counts["unchanged"] == 1
    assert odd.uploads == 1


def test_decoded_documents_share_requests_by_what_is_sent(odd: Mirror) -> None:
    """Ten that fit into one request as they are stored, and into three as they are."""
    body = b"x" * 900
    for number in range(10):
        odd.put(f"{number}.txt", compressed(body + bytes([48 + number])), ContentEncoding="gzip")
    odd.run(max_request_size=4000)
    assert len(odd.documents()) == 10
    assert odd.requests("upload") == 3


@pytest.mark.parametrize(
    ("coding", "stored", "reason"),
    [
        ("br", b"\x0b\x02\x80text\x03", "encoded"),
        ("zstd", b"(\xb5/\xfd", "encoded"),
        ("gzip, gzip", compressed(compressed(PAGE)), "encoded"),
        ("gzip", compressed(b"\0" * 5_000_000), "too_large"),
        ("gzip", compressed(b""), "empty"),
    ],
)
def test_what_cannot_be_a_document_is_skipped_with_its_reason(
    odd: Mirror, coding: str, stored: bytes, reason: str
) -> None:
    """Neighbours are indexed, it is no failure, it is read again a day later and not before."""
    odd.put("page.html", stored, ContentEncoding=coding)
    odd.put("b.txt", "sound")
    for _ in range(2):
        report = odd.run(selection=SMALL)
        assert report.skipped_by_reason == {reason: 1}
        assert (report.counts["failed"], len(odd.documents())) == (0, 1)
        assert gets(odd) == 2
    odd.time_passes(25 * 3600)
    odd.run(selection=SMALL)
    assert gets(odd) == 3


def test_a_damaged_gzip_is_a_failure_that_names_it(odd: Mirror) -> None:
    """Half a document is none."""
    odd.put("page.html", compressed(PAGE)[:-9], ContentEncoding="gzip")
    report = odd.run()
    assert report.counts["failed"] == 1
    assert "Content-Encoding gzip" in str(report.failures[0]["reason"])


@pytest.mark.parametrize("body", [PAGE, b"tiny", b"0123456789abcdef" * 100_000], ids=["larger", "smaller", "large"])
def test_a_store_that_decodes_while_it_sends_is_taken_at_its_word(odd: Mirror, body: bytes) -> None:
    """Neither a length nor an encoding is sent, and the ETag is the MD5 of other bytes: Google's transcoding."""
    odd.s3.decodes = True
    key = odd.put("page.html", compressed(body), ContentEncoding="gzip")
    odd.run()
    assert odd.bytes_of(key) == body
    assert odd.run().counts["unchanged"] == 1
    assert odd.uploads == 1


# One object


UNREADABLE = {
    "KeyError": KeyError("ContentLength"),
    "ValueError": ValueError("Invalid timestamp"),
    "customer's key": client_error("X", 400, "InvalidRequest"),
    "451": client_error("X", 451, "UnavailableForLegalReasons"),
    "denied": client_error("X", 403, "AccessDenied"),
    "unavailable": client_error("X", 503, "SlowDown"),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("operation", ["GetObject", "HeadObject"])
def test_one_object_stops_no_other(odd: Mirror, name: str, operation: str) -> None:
    """Neighbours are uploaded, what is gone is deleted, and the key's failure has the store's own words."""
    odd.put_many(3)
    odd.run()
    odd.remove("0000.txt")
    odd.put("0002.txt", "changed")
    bad = odd.put("a.txt", "bad")
    good = odd.put("b.txt", "good")
    odd.s3.refused[operation, bad] = UNREADABLE[name]
    if operation == "HeadObject":
        odd.s3.refused["GetObject", bad] = client_error("GetObject", 412, "PreconditionFailed")
    report = odd.run()
    assert (report.counts["failed"], report.counts["deleted"]) == (1, 1)
    code = getattr(UNREADABLE[name], "response", {}).get("Error", {}).get("Code", name)
    assert code in str(report.failures[0]["reason"])
    assert bad in str(report.failures[0]["reason"])
    assert odd.bytes_of(good) == b"good"


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_proof_that_fails_keeps_its_document_and_no_other(odd: Mirror, name: str) -> None:
    """Of two removed keys the one whose absence is proven goes."""
    kept, gone, _ = odd.put_many(3)
    odd.run()
    odd.remove("0000.txt", "0001.txt")
    odd.s3.refused["HeadObject", kept] = UNREADABLE[name]
    report = odd.run()
    assert report.counts["deleted"] == 1
    assert odd.of(kept)
    assert not odd.of(gone)


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_named_key_that_cannot_be_looked_up_fails_alone(odd: Mirror, name: str) -> None:
    """The others of ``keys`` are uploaded; when it can be looked up again, it is in step without an upload."""
    bad, good = odd.put("a.txt", "bad"), odd.put("b.txt", "good")
    odd.s3.refused["HeadObject", bad] = UNREADABLE[name]
    report = odd.run(keys=(bad, good))
    assert (report.counts["failed"], report.counts["indexed"]) == (1, 1)
    assert bad in str(report.failures[0]["reason"])
    odd.s3.refused.clear()
    odd.run(keys=(bad, good))
    odd.assert_agreement()
    odd.s3.refused["HeadObject", bad] = UNREADABLE[name]
    assert odd.run(keys=(bad, good)).counts["failed"] == 1
    odd.s3.refused.clear()
    odd.run()
    odd.assert_agreement()
    assert odd.uploads == 2


def test_named_keys_of_which_none_can_be_looked_up_are_the_task_s_failure(odd: Mirror) -> None:
    """The storage is down, or the credentials are wrong."""
    keys = odd.put("a.txt", "a"), odd.put("b.txt", "b")
    for status, code, expected in ((503, "X", SourceUnavailableError), (400, "ExpiredToken", CredentialsError)):
        for key in keys:
            odd.s3.refused["HeadObject", key] = client_error("HeadObject", status, code)
        with pytest.raises(expected):
            odd.run(keys=keys)
    assert odd.uploads == 0


def test_an_object_whose_head_has_no_length_is_taken(odd: Mirror) -> None:
    """The length is in the listing, or counted."""
    odd.s3.no_head_length = True
    key = odd.put("a.txt", "text")
    odd.run(keys=(key,))
    odd.assert_agreement()


def test_keys_that_are_no_utf8_are_skipped_each_for_itself(odd: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the page nor the removal of others is touched by them."""
    odd.put_many(2)
    odd.put("z\u00e9.txt", "kept")
    odd.run()
    rows = odd.s3.list_objects_v2

    def with_odd_ones(**request: Any) -> Any:
        answer = rows(**request)
        odd_ones = [{**answer["Contents"][0], "Key": key} for key in ("docs/z\udc81", "docs/z\udc82")]
        contents = [*answer["Contents"][:-1], *odd_ones, answer["Contents"][-1]]  # where their bytes stand
        return {**answer, "Contents": contents, "KeyCount": len(contents)}

    odd.s3.list_objects_v2 = with_odd_ones
    report = odd.run()
    assert report.skipped_by_reason == {"invalid_key": 2}
    assert (report.counts["listed"], report.counts["unchanged"], report.counts["removed"]) == (5, 3, 0)
    assert "are no UTF-8" in caplog.text


# A listing of its own mind


def encrypted(item: dict[str, Any]) -> dict[str, Any]:
    """As a gateway lists that encrypts: sizes and ETags of what it has stored behind it."""
    return {**item, "Size": item["Size"] + 28, "ETag": f'"{item["ETag"][-12:-1]}-1"'}


@pytest.mark.parametrize("same_name", BEHAVIOURS)
def test_what_an_encrypting_gateway_lists_is_remembered(odd: Mirror, cloud: LocalCloudIndex, same_name: str) -> None:
    """Uploaded once, not read again while the listing says the same; a change is noticed, and old bytes put back."""
    cloud.settings.same_name = same_name  # type: ignore[assignment]
    odd.s3.row = encrypted
    key = odd.put("a.txt", "first")
    odd.put("b.txt", "second")
    odd.run()
    before = gets(odd)
    assert odd.run().counts["unchanged"] == 2
    assert gets(odd) == before
    for body, when in (("other", LATER), ("first", LATER.replace(hour=7))):
        odd.put("a.txt", body, LastModified=when)
        assert odd.run().counts["changed"] == 1
        assert odd.bytes_of(key) == body.encode()
        before = gets(odd)
        assert odd.run().counts["unchanged"] == 2
        assert gets(odd) == before
    assert len(odd.documents()) == 2


@pytest.mark.parametrize("body", [PAGE, b"0123456789abcdef" * 100_000], ids=["small", "large"])
def test_a_lost_state_of_an_encrypting_gateway_uploads_no_coded_document_again(odd: Mirror, body: bytes) -> None:
    """The listing's ETag proves nothing there, and the stored size isn't the document's: its hash is what counts."""
    odd.s3.row = encrypted
    key = odd.put("a.html", compressed(body), ContentEncoding="gzip")
    odd.run()
    odd.db.close()
    odd.db = Database(f"sqlite:///{odd.db.name}.new")
    assert odd.run().counts["indexed"] == 1
    assert odd.bytes_of(key) == body
    assert odd.run().counts["unchanged"] == 1
    assert odd.uploads == 1


LISTINGS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "larger": lambda item: {**item, "Size": item["Size"] + 28},
    "smaller": lambda item: {**item, "Size": item["Size"] - 1},
    "another ETag": lambda item: {**item, "ETag": '"x-1"'},
    "no ETag": lambda item: {**item, "ETag": ""},
    "weak ETag": lambda item: {**item, "ETag": f"W/{item['ETag']}"},
    "unquoted ETag": lambda item: {**item, "ETag": item["ETag"].strip('"')},
    "no time": lambda item: {**item, "LastModified": ""},
}


@pytest.mark.parametrize("name", LISTINGS)
def test_whatever_a_listing_gives_beside_the_key_a_run_without_changes_reads_nothing(odd: Mirror, name: str) -> None:
    """Each object is uploaded once, with its own bytes, and a change is noticed."""
    odd.s3.row = LISTINGS[name]
    key = odd.put("a.txt", "first")
    assert odd.run().counts["indexed"] == 1
    assert odd.bytes_of(key) == b"first"
    before = gets(odd)
    assert odd.run().counts["unchanged"] == 1
    assert gets(odd) == before
    odd.put("a.txt", "second", LastModified=LATER)
    assert odd.run().counts["indexed"] == 1
    assert odd.bytes_of(key) == b"second"
    assert len(odd.documents()) == 1
    assert odd.uploads == 2


def test_a_version_between_listing_and_reading_is_not_taken_for_a_gateway_s(odd: Mirror) -> None:
    """Replaced after it was listed, then put back as it was: the old bytes are uploaded again."""
    key = odd.put("a.txt", "first")
    get = odd.s3.get_object
    first: list[str] = []

    def replaced(**request: Any) -> Any:
        if not first:
            first.append(odd.put("a.txt", "other", LastModified=LATER))
        return get(**request)

    odd.s3.get_object = replaced
    odd.run()
    assert odd.bytes_of(key) == b"other"
    odd.put("a.txt", "first", LastModified=LATER.replace(hour=8))
    odd.run()
    assert odd.bytes_of(key) == b"first"


def test_etags_that_are_no_md5_cost_one_read_more_and_no_document(odd: Mirror) -> None:
    """Two identical reads prove it, and the source remembers: later runs read each object once."""
    odd.put("a.txt", "text", ETag="0" * 32)
    odd.run()
    assert gets(odd) == 2
    odd.put("b.txt", "more", ETag="1" * 32)
    odd.run()
    assert gets(odd) == 3
    odd.assert_agreement()


# Archives


def test_an_archive_tier_is_a_skip_until_it_is_left(odd: Mirror) -> None:
    """INTELLIGENT_TIERING is listed as such, whatever the tier: known at its GET, asked again a day later."""
    key = odd.put("a.txt", "cold", StorageClass="INTELLIGENT_TIERING")
    odd.put("b.txt", "warm", StorageClass="INTELLIGENT_TIERING")
    odd.s3.archive_tier.add(key)
    for _ in range(2):
        report = odd.run()
        assert (report.skipped_by_reason, report.counts["failed"]) == ({"archived": 1}, 0)
        assert gets(odd) == 2
    odd.s3.archive_tier.clear()
    odd.time_passes(25 * 3600)
    odd.run()
    odd.assert_agreement()


@pytest.mark.parametrize("named", [False, True], ids=["listed", "named"])
def test_a_restored_copy_is_indexed_and_stays_so(odd: Mirror, named: bool) -> None:
    """By RestoreStatus in the listing, or x-amz-restore of a named key; and when the copy is gone again, it stays."""
    key = odd.put("a.txt", "cold", StorageClass="GLACIER")
    changes: dict[str, Any] = {"keys": (key,)} if named else {}
    assert odd.run(**changes).skipped_by_reason == {"archived": 1}
    assert gets(odd) == 0
    odd.s3.restored.add(key)
    odd.run(**changes)
    assert odd.bytes_of(key) == b"cold"
    assert odd.run(**changes).counts["unchanged"] == 1
    odd.s3.restored.clear()
    assert odd.run(**changes).counts["unchanged"] == 1
    assert gets(odd) == 1


# Requester Pays


def test_a_bucket_whose_requester_pays_is_read_where_that_is_agreed(odd: Mirror) -> None:
    """On LIST, HEAD and GET; without it, the remedy names the setting."""
    odd.put_many(2)
    odd.s3.requester_pays = True
    with pytest.raises(AccessDeniedError, match="set request_payer"):
        odd.run()
    odd.run(request_payer=True)
    odd.remove("0000.txt")
    odd.run(request_payer=True)
    odd.run(request_payer=True, keys=("docs/0001.txt",))
    assert len(odd.documents()) == 1
    odd.s3.refused["GetObject", odd.put("a.txt", "x")] = client_error("GetObject", 403, "AccessDenied")
    assert "request_payer" not in str(odd.run(request_payer=True).failures[0]["reason"])
