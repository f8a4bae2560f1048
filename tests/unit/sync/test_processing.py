"""What a look at a document says: the file's failure, the service's, or none yet."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.api.models import Document
from cloudindex_provider.state.records import WorkRow
from cloudindex_provider.sync.processing import ALIKE, Look, Patience, cause, is_outage, look_at

NOW, HOUR = 1_000_000.0, 3600.0
NAME = "docs-a-438be2a10e26b1863182b4d6.txt"


def row(**changes: Any) -> WorkRow:
    values: dict[str, Any] = dict.fromkeys(WorkRow.__dataclass_fields__)
    values |= {
        "key": "docs/a.txt", "status": "processing", "etag": "e", "size": 1, "upload_etag": "e", "upload_size": 1,
        "upload_sha256": "new", "upload_document_id": "d", "file_name": NAME, "intent_at": NOW - 10, "attempts": 0,
    }  # fmt: skip
    return WorkRow(**(values | changes))


def look(status: str, changed: dict[str, Any] | None = None, **document: Any) -> Look:
    patience = Patience(NOW, began=NOW - 60, timeout=HOUR, stuck_after=24 * HOUR)
    return look_at(row(**(changed or {})), Document("d", NAME, status, **document), patience).look


@pytest.mark.parametrize(
    ("age", "newer", "expected"),
    [
        (10, False, Look.WAITING),
        (2 * HOUR, False, Look.LATE),
        (25 * HOUR, False, Look.FAILED),
        (10, True, Look.WAITING),
        (2 * HOUR, True, Look.FAILED),
    ],
)
def test_what_processes_is_waited_for_late_or_stuck(age, newer, expected):
    changed = {"intent_at": NOW - age, "etag": "newer" if newer else "e"}
    assert look("processing", changed) is expected


@pytest.mark.parametrize("status", ["processed", "failed"])
def test_the_version_before_says_nothing_about_the_new_one(status):
    """By its number, by its hash, and for a minute also where neither is known."""
    live = {"document_id": "d", "document_version": 2, "indexed_sha256": "old"}
    assert look(status, live, version=1) is Look.WAITING
    assert look(status, {"document_version": 2}, version=1) is Look.WAITING  # the version before had failed
    assert look(status, live | {"document_version": None}, content_hash="old") is Look.WAITING
    assert look(status, live | {"indexed_sha256": None, "document_version": None}, content_hash="x") is Look.WAITING
    assert look("processed", live | {"intent_at": NOW - 100}, content_hash="x") is Look.FAILED
    assert look("processed", live, version=3, content_hash="new") is Look.INDEXED


def test_another_key_s_document_is_none_of_ours():
    patience = Patience(NOW, NOW, HOUR, None)
    verdict = look_at(row(), Document("d", "docs-b-000000000000000000000000.txt", "processed"), patience)
    assert (verdict.look, verdict.ours) == (Look.FAILED, False)
    assert look_at(row(), Document("d", f"renamed-{NAME}", "processed"), patience).look is Look.INDEXED


@pytest.mark.parametrize(
    ("alike", "indexed", "outage"), [(1, 0, False), (2, 0, False), (3, 0, True), (3, 3, False), (60, 59, True)]
)
def test_most_of_what_was_sent_makes_an_outage_and_few_files_never_do(alike, indexed, outage):
    assert is_outage(alike, indexed) is outage


def test_failures_are_alike_whatever_names_and_numbers_they_hold():
    first = cause(f"No worker for {NAME}, job 12")
    assert first == cause(f"No worker for other-000000000000000000000000.pdf, job 77{ALIKE}")
    assert first != cause("Broken PDF")
