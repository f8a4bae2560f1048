"""Claims: every row has one worker at a time, and a worker that lost its claim changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from cloudindex_provider.errors import ClaimLostError
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import claims, doubts, outcomes
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Owner

Listed = Callable[..., ListedObject]
OTHER = Owner("other", 1)


def test_rows_are_claimed_in_key_order_up_to_a_request(state: Any, listed: Listed) -> None:
    """A claim is the next 20 keys in the order of their bytes, and no more bytes than a request takes."""
    keys = [f"{name}{number}" for name in ("a", "B", "\u00e9", "\U0001f600", "_") for number in range(6)]
    state.detect(*(listed(key) for key in keys))
    ordered = sorted(keys, key=lambda key: key.encode())
    assert [row.key for row in state.claim()] == ordered[:20]
    assert [row.key for row in state.claim(max_request_size=35)] == ordered[20:23]
    assert [row.key for row in state.claim(max_request_size=1)] == ordered[23:24]
    assert [row.key for row in state.claim()] == ordered[24:]
    assert state.claim() == []


def test_a_claimed_row_is_as_the_state_has_it(state: Any, listed: Listed) -> None:
    """What a claim gives is what was listed, at the revision that the row has now."""
    state.detect(listed("k", "e7", 5))
    row = state.claim()[0]
    assert (row.key, row.etag, row.size, row.last_modified) == ("k", "e7", 5, "2026-01-01T00:00:00Z")
    assert (row.status, row.document_id, row.doubtful, row.attempts) == ("pending", None, 0, 0)
    assert row.revision == state.row("k").revision
    assert state.run_keys() == {"k": ("new", None)}


def test_no_more_documents_than_the_run_may_have(state: Any, listed: Listed) -> None:
    """``max_documents_per_run`` counts what the run has claimed, over all of its requests."""
    state.detect(*(listed(f"{number:02}") for number in range(30)))
    assert [len(state.claim(max_documents=25)) for _ in range(3)] == [20, 5, 0]
    state.begin("r2")
    state.detect(*(listed(f"{number:02}") for number in range(30)))
    assert len(state.claim(OTHER, max_documents=25)) == 5  # the rest is still claimed


def test_eight_threads_claim_disjoint_rows_and_all_of_them(state: Any, listed: Listed) -> None:
    """However many claim at once, each row is claimed exactly once, and none is left."""
    count = 300
    state.detect(*(listed(f"{number:03}") for number in range(count)))
    gate = threading.Barrier(8)

    def work(number: int) -> list[str]:
        gate.wait()
        mine: list[str] = []
        empty = 0
        while empty < 3:  # SKIP LOCKED shows nothing while another transaction holds what is left
            rows = state.claim(Owner(f"task/{number}", 1), max_request_size=70)
            empty = 0 if rows else empty + 1
            mine += [row.key for row in rows]
        return mine

    with ThreadPoolExecutor(8) as pool:
        claimed = [key for keys in pool.map(work, range(8)) for key in keys]
    assert len(claimed) == len(set(claimed)) == count


@pytest.mark.parametrize(
    ("owner", "leases_over", "claimed"),
    [
        (Owner("task", 1), False, 0),  # itself: it has them already
        (Owner("task", 2), False, 3),  # a later try of the same task, at once
        (Owner("other", 9), False, 0),  # anybody else, whatever its try
        (Owner("other", 1), True, 3),  # after the lease
        (Owner("task", 1), True, 3),
    ],
)
def test_who_takes_over(state: Any, listed: Listed, owner: Owner, leases_over: bool, claimed: int) -> None:
    """The same task's later try takes over at once, anybody else after the lease."""
    state.detect(*(listed(key) for key in "abc"))
    assert len(state.claim()) == 3
    if leases_over:
        state.end_leases()
    assert len(state.claim(owner)) == claimed


def test_an_earlier_try_gets_nothing_back(state: Any, listed: Listed) -> None:
    """A zombie of the first try can't take from the second, nor write an outcome."""
    state.detect(listed())
    old = state.claim()
    new = state.claim(Owner("task", 2))
    assert len(new) == 1
    assert state.claim() == []
    with pytest.raises(ClaimLostError):
        state.intend(old)
    outcomes.record_failed(state.db, state.run, state.owner, old[0], Failure("zombie"), max_attempts=3)
    assert state.row().status == "pending"
    assert state.history() == []


def test_a_renewed_claim_lasts(state: Any, listed: Listed) -> None:
    """Renewing prolongs all of the owner's claims and nobody else's."""
    state.detect(*(listed(key) for key in "abcd"))
    first = state.claim(max_request_size=20)
    state.intend(first[:1])
    state.claim(OTHER)
    state.end_leases()
    assert claims.renew(state.db, state.owner, state.source, 120.0) == 2
    assert claims.renew(state.db, Owner("task", 2), state.source, 120.0) == 0
    rows = state.claim(Owner("third", 1))
    assert [row.key for row in rows] == ["c", "d"]


def test_released_rows_are_free(state: Any, listed: Listed) -> None:
    """What is given back unsent can be claimed at once; what was begun stays until it is looked up."""
    state.detect(listed("a"), listed("b"))
    rows = state.claim()
    state.intend(rows[:1])
    claims.give_back(state.db, state.run, state.owner, rows)
    assert [row.key for row in state.claim(OTHER)] == ["b"]
    assert state.row("a").status == "uploading"


def test_a_withdrawn_intent_can_be_sent_again(state: Any, listed: Listed) -> None:
    """An intent whose request did nothing is taken back, keeps the claim, and may be written again."""
    state.detect(listed("a"), listed("b"))
    rows = state.claim()
    state.intend(rows)
    claims.withdraw(state.db, state.run, state.owner, rows)
    assert {row.status for row in state.rows().values()} == {"pending"}
    assert state.claim(OTHER) == []
    state.intend(rows[:1])
    assert (state.row("a").status, state.row("b").status) == ("uploading", "pending")


def test_the_intent_is_written_before_the_request(state: Any, listed: Listed) -> None:
    """An intent names the file, the bytes and the time, so that a crash after it can be settled."""
    state.detect(listed("a", "e5", 7))
    rows = state.claim()
    claims.record_intent(state.db, state.run, state.owner, [(rows[0], "a-1.txt", "sha")], lease=120.0)
    found = state.sql("SELECT status, file_name, upload_etag, upload_size, upload_sha256 FROM object")
    assert found == [("uploading", "a-1.txt", "e5", 7, "sha")]
    doubtful = doubts.doubtful_uploads(state.db, state.run, Owner("task", 2), lease=120.0)
    assert 0 <= doubts.seconds_since_intent(state.db, doubtful) < 60


def test_an_intent_needs_the_claim(state: Any, listed: Listed) -> None:
    """Where one of its rows was taken over, a request isn't begun and nothing of it is written."""
    state.detect(listed("a"), listed("b"))
    rows = state.claim()
    state.sql("UPDATE object SET claim_owner = 'other' WHERE key = 'b'")
    with pytest.raises(ClaimLostError) as caught:
        state.intend(rows)
    assert caught.value.key == "b"
    assert {row.status for row in state.rows().values()} == {"pending"}


def test_an_intent_needs_the_etag_that_is_wanted(state: Any, listed: Listed) -> None:
    """What a sweep found to have changed since the claim isn't sent as what it was."""
    state.detect(listed(etag="e1"))
    rows = state.claim()
    state.sql("UPDATE object SET etag = 'e2', revision = revision + 1")
    with pytest.raises(ClaimLostError):
        state.intend(rows)


def test_a_newer_etag_found_at_the_read_may_be_sent(state: Any, listed: Listed) -> None:
    """S3 had moved on when the object was read: the row takes over what was read, and isn't refused for ever."""
    state.detect(listed(etag="e1", size=10))
    now = replace(state.claim()[0], etag="e2", size=11, last_modified="later")
    state.intend([now])
    outcomes.record_sent(state.db, state.run, state.owner, now, document_id="d", version=1, sha256=None)
    for row in outcomes.processing_rows(state.db, state.source):
        outcomes.record_processed(state.db, state.run, row, sha256=None, version=None)
    row = state.row()
    assert (row.status, row.etag, row.indexed_etag, row.indexed_size) == ("indexed", "e2", "e2", 11)


def test_failed_rows_are_tried_once_by_every_run(state: Any, listed: Listed) -> None:
    """A strike is tried again by the next run, without any wait, and never twice in one."""
    state.detect(listed())
    outcomes.record_failed(state.db, state.run, state.owner, state.claim()[0], Failure("x"), max_attempts=3)
    assert state.claim() == []  # this run has tried it
    state.begin("r2")
    state.detect(listed())
    assert claims.backlog(state.db, state.source) == (1, 10)
    row = state.claim()[0]
    assert row.attempts == 1
    outcomes.record_failed(state.db, state.run, state.owner, row, Failure("x"), max_attempts=3)
    assert state.claim() == []


def test_a_removed_key_is_not_uploaded(state: Any, listed: Listed) -> None:
    """A changed key that vanished before its upload is the removal's, not claimed again and again."""
    state.index(listed("a", "e1"), listed("b", "e1"))
    state.begin("r2")
    state.detect(listed("a", "e2"), listed("b", "e1"))
    state.begin("r3")
    state.detect(listed("b", "e1"))
    assert state.run_keys() == {"a": ("removed", None)}
    assert state.claim() == []


def test_uploads_of_the_dead_are_looked_up_by_one(state: Any, listed: Listed) -> None:
    """An upload that was begun by somebody who is gone, or is in doubt, is claimed by one who looks it up."""
    state.detect(*(listed(key) for key in "ab"))
    rows = state.claim()
    state.intend(rows)
    later = Owner("task", 2)
    look = doubts.doubtful_uploads
    assert look(state.db, state.run, OTHER, lease=9.0) == []  # still under way
    doubts.record_unknown(state.db, state.run, state.owner, rows[:1], "timeout")
    found = look(state.db, state.run, state.owner, lease=9.0)
    assert [(row.key, row.doubtful) for row in found] == [("a", 1), ("b", 0)]
    assert [row.key for row in look(state.db, state.run, later, lease=9.0)] == ["a", "b"]
    assert look(state.db, state.run, state.owner, lease=9.0) == []
    state.end_leases()
    assert [row.key for row in look(state.db, state.run, OTHER, lease=9.0)] == ["a", "b"]


def test_a_later_try_takes_over_from_every_worker_of_the_task(state: Any, listed: Listed) -> None:
    """A task's threads claim for themselves; the next try gets the rows of all of them, however many threads it has."""
    state.detect(*(listed(key) for key in "abc"))
    for worker in range(3):
        assert len(state.claim(Owner("task", 1, worker), max_request_size=10)) == 1
    assert state.claim(Owner("task", 1, 9)) == []
    assert state.claim(Owner("tas", 2)) == []  # another task whose name only begins alike
    assert len(state.claim(Owner("task", 2, 0))) == 3


def test_the_backlog_counts_what_may_be_uploaded(state: Any, listed: Listed) -> None:
    """Pending, ready and doubtful rows and their bytes; nothing that is settled or being processed."""
    state.index(listed("done"))
    state.send(listed("done"), listed("sent"))
    state.detect(listed("done"), listed("sent"), listed("a", size=3), listed("b", size=4))
    assert claims.backlog(state.db, state.source) == (2, 7)
    state.intend(state.claim(max_request_size=3))
    assert claims.backlog(state.db, state.source) == (2, 7)
    assert claims.live_documents(state.db, state.source) == 1


def test_what_is_given_back_takes_no_room_of_the_run(state: Any, listed: Listed) -> None:
    """A try that ends before it has sent anything leaves ``max_documents_per_run`` to the next one."""
    state.detect(*(listed(f"{number}.txt") for number in range(3)))
    rows = state.claim(max_documents=2)
    assert state.claim(max_documents=2) == []
    claims.give_back(state.db, state.run, state.owner, rows)
    assert state.run_keys() == {}
    assert [row.key for row in state.claim(max_documents=2)] == ["0.txt", "1.txt"]
