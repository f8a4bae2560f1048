"""The order of uploads: newest or smallest first, with every rule of a claim as in key order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import outcomes, upload_queue
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Owner, WorkRow
from cloudindex_provider.state.upload_queue import UploadQueue

ORDERS = ("key", "newest", "smallest")
OTHER = Owner("other", 1)


def document(number: int, *, size: int = 10, day: int | None = None) -> ListedObject:
    """Key 007, last modified on that day; without one, the later the smaller the number."""
    when = f"2026-01-01T00:00:{59 - number % 60:02}Z" if day is None else f"2026-02-{day:02}T00:00:00Z"
    return ListedObject(f"{number:03}", f"e{number}", size, when, "STANDARD")


@pytest.fixture
def claim(state: Any) -> Callable[..., list[str]]:
    """The keys of one request, claimed by way of a queue."""

    def claim(queue: UploadQueue, order: str, owner: Owner | None = None, **more: Any) -> list[str]:
        return [row.key for row in claim_rows(state, queue, order, owner, **more)]

    return claim


def claim_rows(state: Any, queue: UploadQueue, order: str, owner: Owner | None = None, **more: Any) -> list[WorkRow]:
    values = {"lease": 120.0, "max_request_size": 10**6, "max_documents": None, **more}
    return queue.claim(state.db, state.run, owner or state.owner, order=order, **values)


def all_of(one: Callable[[], list[str]]) -> list[list[str]]:
    """Requests until there is none."""
    found = []
    while keys := one():
        found.append(keys)
    return found


def numbered(numbers: Sequence[int]) -> list[str]:
    return [f"{number:03}" for number in numbers]


def test_the_newest_come_first_and_of_one_time_in_key_order(state: Any, claim: Any) -> None:
    """Request after request holds the newest that are left; a request's own rows are sorted by key."""
    days = {0: 3, 1: 9, 2: 1, 3: 9, 4: 28, 5: 2}
    state.detect(*(document(number, day=day) for number, day in days.items()))
    queue = UploadQueue()
    found = all_of(lambda: claim(queue, "newest", max_request_size=20))
    assert found == [numbered(keys) for keys in ((1, 4), (0, 3), (2, 5))]


def test_the_smallest_come_first(state: Any, claim: Any) -> None:
    """Request after request holds the smallest that are left, within a request's bytes."""
    sizes = {0: 60, 1: 5, 2: 400, 3: 40, 4: 7}
    state.detect(*(document(number, size=size) for number, size in sizes.items()))
    queue = UploadQueue()
    found = all_of(lambda: claim(queue, "smallest", max_request_size=55))
    assert found == [numbered(keys) for keys in ((1, 3, 4), (0,), (2,))]


def test_a_claim_in_any_order_is_the_claim_that_key_order_makes(state: Any, claim: Any) -> None:
    """The rows are claimed for the lease, counted in the run and given at the revision that they have now."""
    state.detect(document(1))
    state.index(document(1))
    state.begin("r2")
    state.detect(document(1)._replace(etag="other"), document(2, size=7))
    rows = claim_rows(state, UploadQueue(), "smallest")
    assert [(row.key, row.revision) for row in rows] == [(key, state.row(key).revision) for key in ("001", "002")]
    assert {state.row(key).claim_owner for key in ("001", "002")} == {"task"}
    assert state.run_keys() == {"001": ("changed", None), "002": ("new", None)}
    state.intend(rows)
    assert state.row("002").status == "uploading"


@pytest.mark.parametrize("order", ["newest", "smallest"])
def test_a_limit_of_documents_takes_those_that_come_first(state: Any, claim: Any, order: str) -> None:
    """``max_documents_per_run`` leaves the old or large ones to the next runs, however many loops there are."""
    state.detect(*(document(number, size=500 + number, day=1 + number) for number in range(28)))
    first = {"newest": range(3, 28), "smallest": range(25)}[order]
    one, two = UploadQueue(look=7), UploadQueue(look=7)
    claimed = claim(one, order, max_documents=25) + claim(two, order, OTHER, max_documents=25)
    assert sorted(claimed) == numbered(first)
    assert claim(one, order, max_documents=25) == claim(two, order, OTHER, max_documents=25) == []


@pytest.mark.parametrize("order", ORDERS)
def test_eight_loops_claim_disjoint_rows_and_all_of_them(state: Any, order: str) -> None:
    """However many queues hold the same keys, each row is claimed exactly once, and none is left."""
    count = 300
    state.detect(*(document(number, size=1 + number * 7 % 50, day=1 + number % 28) for number in range(count)))
    gate = threading.Barrier(8)

    def work(number: int) -> list[str]:
        queue, mine, empty = UploadQueue(length=100, look=40), list[str](), 0
        gate.wait()
        while empty < 3:  # SKIP LOCKED shows nothing while another transaction holds what is left
            rows = claim_rows(state, queue, order, Owner(f"task/{number}", 1), max_request_size=200)
            empty = 0 if rows else empty + 1
            mine += [row.key for row in rows]
        return mine

    with ThreadPoolExecutor(8) as pool:
        claimed = [key for keys in pool.map(work, range(8)) for key in keys]
    assert len(claimed) == len(set(claimed)) == count


@pytest.mark.parametrize("order", ["newest", "smallest"])
def test_one_scan_serves_many_requests_and_the_next_begins_when_it_is_used_up(
    state: Any, claim: Any, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """A long backlog is scanned once for each full queue, not once a request, and is worked off in order to its end."""
    scan, scans = upload_queue._scan, list[int]()

    def counted(*given: Any) -> list[str]:
        found = scan(*given)
        scans.append(len(found))
        return found

    monkeypatch.setattr(upload_queue, "_scan", counted)
    state.detect(*(document(number, size=number + 1) for number in range(55)))
    queue = UploadQueue(length=25, look=8)
    keys = [key for request in all_of(lambda: claim(queue, order, max_request_size=120)) for key in sorted(request)]
    assert sorted(keys) == numbered(range(55))
    assert keys[:20] == numbered(range(20))
    assert scans == [25, 25, 5, 0]


def test_a_request_is_filled_though_others_have_taken_most_of_a_queue(state: Any, claim: Any) -> None:
    """Requests are what the service counts: a half-taken queue doesn't make them smaller."""
    state.detect(*(document(number) for number in range(60)))
    queue = UploadQueue(look=4)
    claim(queue, "newest", max_request_size=10)
    state.sql("UPDATE object SET claim_owner = 'other', claim_until = 1e12 WHERE substr(key, 3) IN ('1', '2', '3')")
    free = [key for key in numbered(range(1, 60)) if key[2] not in "123"]
    assert claim(queue, "newest") == free[:20]
    assert claim(queue, "newest") == free[20:40]


def test_keys_that_others_have_taken_are_skipped(state: Any, claim: Any) -> None:
    """A queue that is older than what others have claimed goes on with what is still free, in order."""
    state.detect(*(document(number, size=number + 1) for number in range(60)))
    queue = UploadQueue(look=5)
    assert claim(queue, "smallest", max_request_size=3) == numbered((0, 1))
    assert claim(UploadQueue(), "key", OTHER) == numbered(range(2, 22))
    assert claim(queue, "smallest", max_request_size=50) == numbered((22, 23))


def test_what_was_released_or_queued_since_the_scan_is_found_by_the_next(state: Any, claim: Any) -> None:
    """The end of a queue is not the end of the work: only a scan that finds nothing is."""
    state.detect(document(1), document(2))
    queue = UploadQueue()
    rows = claim_rows(state, UploadQueue(), "key", OTHER, max_request_size=10)
    assert claim(queue, "newest") == numbered((2,))
    state.sql("UPDATE object SET claim_owner = NULL WHERE key = '001'")
    state.begin("r1")
    state.detect(document(1), document(2), document(3))
    assert claim(queue, "newest") == numbered((1, 3))
    assert [row.key for row in rows] == numbered((1,))
    assert claim(queue, "newest") == []


@pytest.mark.parametrize("order", ORDERS)
def test_failed_rows_are_claimed_with_the_rest_and_never_twice_in_a_run(state: Any, claim: Any, order: str) -> None:
    """A strike waits for another run, in every order."""
    state.detect(document(1, size=1, day=9), document(2, size=2, day=8))
    for row in claim_rows(state, UploadQueue(), order, max_request_size=1):
        outcomes.record_failed(state.db, state.run, state.owner, row, Failure("x"), max_attempts=3)
    queue = UploadQueue()
    assert claim(queue, order, max_request_size=2) == numbered((2,))  # this run has tried the other
    state.begin("r2")
    state.detect(document(1, size=1, day=9), document(2, size=2, day=8))
    assert claim(UploadQueue(), order) == numbered((1,))


@pytest.mark.parametrize("order", ORDERS)
def test_what_got_no_answer_alone_comes_last_and_alone(state: Any, claim: Any, order: str) -> None:
    """A file that may break the service is tried after everything else, though it is the first in the order."""
    state.detect(*(document(number, size=number + 1) for number in range(25)))
    state.sql("UPDATE object SET doubtful = 1, unanswered = 1 WHERE key IN ('000', '001')")
    queue = UploadQueue(look=6)
    found = all_of(lambda: claim(queue, order))
    assert sorted(key for request in found[:-2] for key in request) == numbered(range(2, 25))
    assert found[-2:] == [["000"], ["001"]]


def test_removed_keys_and_other_sources_rows_are_left_alone(state: Any, make_state: Any, claim: Any) -> None:
    """What this run has found removed isn't uploaded, nor what another sync owns."""
    state.index(document(1), document(2))
    state.begin("r2")
    state.detect(document(1)._replace(etag="x"), document(2))
    state.begin("r3")
    state.detect(document(2))
    other = make_state(sync_id="other")
    other.sql(
        "UPDATE object SET source_id = :id, queued_run = :run, status = 'pending' WHERE key = '002'",
        id=other.source.id,
        run=other.run.id,
    )
    assert claim(UploadQueue(), "newest") == []
    assert [row.key for row in claim_rows(other, UploadQueue(), "newest")] == ["002"]


def test_keys_of_every_kind_survive_the_queue(state: Any, claim: Any) -> None:
    """Quotes, newlines and characters past the first plane are looked up as they are."""
    keys = ["'", '"', "a\nb", "\\", "\U0001f600", "\u00e9", "{}", "%s", ":keys"]
    state.detect(*(document(0)._replace(key=key) for key in keys))
    assert sorted(claim(UploadQueue(), "newest")) == sorted(keys)
