"""A request's files are written as taken in one transaction, each by its own claim."""

from __future__ import annotations

from typing import Any

from cloudindex_provider.state import outcomes
from cloudindex_provider.state.outcomes import Sent
from cloudindex_provider.state.records import Owner
from tests.integration.state.conftest import listed_object

KEYS = ("a.txt", "b.txt", "c.txt")


def test_all_files_of_a_request_are_taken_at_once(state: Any) -> None:
    """Rows, counters and history are those of so many single files."""
    state.detect(*(listed_object(key, size=10) for key in KEYS))
    rows = state.claim()
    state.intend(rows)
    sent = [Sent(row, f"doc-{row.key}", 2, f"sha-{row.key}") for row in reversed(rows)]
    assert outcomes.record_all_sent(state.db, state.run, state.owner, sent) == 3
    found = outcomes.processing_rows(state.db, state.source)
    assert [(row.key, row.upload_document_id, row.document_version, row.upload_sha256) for row in found] == [
        (key, f"doc-{key}", 2, f"sha-{key}") for key in KEYS
    ]
    assert (state.counts()["uploaded"], state.counts()["bytes"]) == (3, 30)
    assert {row.claim_owner for row in state.rows().values()} == {None}
    assert state.superseded() == set()


def test_a_lost_claim_costs_only_its_own_file(state: Any) -> None:
    """What somebody else has by now is looked at once more, and the document is not forgotten; the rest is taken."""
    state.detect(*(listed_object(key) for key in KEYS))
    rows = state.claim()
    state.intend(rows)
    state.sql("UPDATE object SET claim_owner = 'other' WHERE key = 'b.txt'")
    sent = [Sent(row, f"doc-{row.key}", 1, None) for row in rows]
    assert outcomes.record_all_sent(state.db, state.run, state.owner, sent) == 2
    found = state.rows()
    assert [found[key].status for key in KEYS] == ["processing", "uploading", "processing"]
    assert (found["b.txt"].claim_owner, found["b.txt"].doubtful) == ("other", 1)
    assert state.superseded() == {("doc-b.txt", "copy")}
    assert state.counts()["uploaded"] == 2


def test_a_stranger_takes_nothing(state: Any) -> None:
    """Without a claim, no row changes but to be looked at again."""
    state.detect(*(listed_object(key) for key in KEYS))
    rows = state.claim()
    state.intend(rows)
    sent = [Sent(row, f"doc-{row.key}", 1, None) for row in rows]
    assert outcomes.record_all_sent(state.db, state.run, Owner("stranger", 1), sent) == 0
    assert {row.status for row in state.rows().values()} == {"uploading"}
    assert len(state.superseded()) == 3
    assert "uploaded" not in state.counts()
