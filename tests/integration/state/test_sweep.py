"""What a detection writes: keys in byte order, one owner each, and no write over somebody else's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import blocks, claims, outcomes, runs, sources, sweep
from cloudindex_provider.state.approvals import Hold
from cloudindex_provider.state.records import Owner, SweepWrites

Listed = Callable[..., ListedObject]
# In the order of UTF-8 bytes; most collations, and UTF-16, order them otherwise.
KEYS = ["A", "B", "Z", "_", "a", "a b", "a+b", "a-b", "a/b", "a0", "aB", "ab", "b", "e\u0301", "z", "\u00e9", "\ufb01",
        "\uffee", "\U0001f600", "\U0010ffff"]  # fmt: skip


def test_keys_are_in_the_order_of_their_bytes(state: Any, listed: Listed) -> None:
    """Rows come in S3's order on every database, whole and in blocks of every size."""
    assert sorted(KEYS, key=lambda key: key.encode()) == KEYS
    state.detect(*(listed(key) for key in reversed(KEYS)))
    for limit in (1, 7, 100):
        found: list[str] = []
        while block := blocks.read_block(
            state.db, state.source, after=found[-1] if found else None, upto=None, limit=limit
        ):
            found += [row.key for row in block]
        assert found == KEYS


def test_a_block_is_a_range(state: Any, listed: Listed) -> None:
    """``after < key <= upto``, for any two keys."""
    state.detect(*(listed(key) for key in KEYS))
    for after in (None, *range(0, len(KEYS), 5)):
        for upto in (None, *range(2, len(KEYS), 5)):
            low, high = (None if at is None else KEYS[at] for at in (after, upto))
            rows = blocks.read_block(state.db, state.source, after=low, upto=high, limit=100)
            expected = KEYS[0 if after is None else after + 1 : None if upto is None else upto + 1]
            assert [row.key for row in rows] == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"), [("a\0", "b\0x", ["b"]), (None, "a\0", ["a"]), ("\0", None, ["a", "b", "c"])]
)
def test_bounds_may_hold_what_no_row_can(
    state: Any, listed: Listed, low: str | None, high: str | None, expected: list[str]
) -> None:
    """A listed key with U+0000 bounds a block like any other, though Postgres can't be asked about it."""
    state.detect(*(listed(key) for key in "abc"))
    rows = blocks.read_block(state.db, state.source, after=low, upto=high, limit=9)
    assert [row.key for row in rows] == expected


def test_a_prefix_reads_its_own_keys(make_state: Callable[..., Any], listed: Listed) -> None:
    """A source's block begins and ends with its prefix, also where the prefix ends in the last character there is."""
    whole = make_state()
    whole.detect(*(listed(key) for key in ("a", "d", "d/", "d/x", "d/\U0010ffff", "d0", "e\U0010ffffx", "f")))
    for prefix, keys in [("d/", ["d/", "d/x", "d/\U0010ffff"]), ("e\U0010ffff", ["e\U0010ffffx"]), ("x", [])]:
        assert list(make_state(prefix=prefix, sync_id="x").rows()) == keys


def test_named_keys_are_read_in_order(state: Any, listed: Listed) -> None:
    """Looked up one by one, in key order, without those that aren't there."""
    state.detect(listed("b"), listed("a"))
    assert [row.key for row in blocks.read_keys(state.db, state.source, ["b", "x", "a"])] == ["a", "b"]


def test_a_key_has_one_owner(make_state: Callable[..., Any], listed: Listed) -> None:
    """Of two syncs with overlapping prefixes the second skips the first one's keys, and touches none of them."""
    first, second = make_state(prefix="d/"), make_state(prefix="")
    first.index(listed("d/a"), listed("d/b"))
    before = first.sql("SELECT * FROM object ORDER BY key")
    second.detect(listed("c"), listed("d/a", "e2"))  # d/b isn't even listed any more
    owner = f"owner:{first.source.id}"
    assert second.counts() == {"listed": 2, "new": 1, "skipped": 1, "skipped:owned_by_other": 1, owner: 1}
    assert [row.key for row in second.claim()] == ["c"]
    assert second.run_keys() == {"c": ("new", None)}
    assert first.sql("SELECT * FROM object WHERE key LIKE 'd/%' ORDER BY key") == before


def test_the_slower_of_two_first_runs_counts_what_it_lost(make_state: Callable[..., Any], listed: Listed) -> None:
    """Two syncs that compared before either wrote: each key goes to one, and the other's counts still balance."""
    first, second = make_state(prefix="d/"), make_state(prefix="")
    found = [listed("a"), listed("d/a"), listed("d/b"), listed("e")]
    sweep.apply(first.db, first.run, SweepWrites(insert=found[1:3], counts={"listed": 2, "new": 2}))
    sweep.apply(second.db, second.run, SweepWrites(insert=found, counts={"listed": 4, "new": 4}))
    assert second.counts() == {"listed": 4, "new": 2, "skipped": 2, "skipped:owned_by_other": 2}
    assert {row.source_id for row in first.rows().values()} == {first.source.id}


LOSERS = ["requeue", "replace_wanted", "restore", "skip", "forget"]


def _writes(name: str, row: Any, item: ListedObject) -> SweepWrites:
    one = {"skip": (row, item, "empty"), "forget": row}.get(name, (row, item))
    writes = SweepWrites()
    getattr(writes, name).append(one)
    return writes


@pytest.mark.parametrize("name", LOSERS)
def test_a_write_over_an_old_revision_is_dropped(state: Any, listed: Listed, name: str) -> None:
    """A row that somebody changed since it was read is left for the next sweep."""
    state.detect(listed(etag="e1"))
    seen = state.row()
    state.sql("UPDATE object SET revision = revision + 1")
    before = state.sql("SELECT * FROM object")
    sweep.apply(state.db, state.run, _writes(name, seen, listed(etag="e9")))
    assert state.sql("SELECT * FROM object") == before


@pytest.mark.parametrize("name", ["requeue", "restore", "skip", "forget"])
def test_a_claimed_row_is_its_worker_s(state: Any, listed: Listed, name: str) -> None:
    """While a claim lasts, a sweep leaves the row alone; after it, the sweep's findings count."""
    state.detect(listed(etag="e1"))
    state.claim()
    before = state.sql("SELECT * FROM object")
    sweep.apply(state.db, state.run, _writes(name, state.row(), listed(etag="e9")))
    assert state.sql("SELECT * FROM object") == before
    state.end_leases()
    sweep.apply(state.db, state.run, _writes(name, state.row(), listed(etag="e9")))
    assert state.sql("SELECT * FROM object") != before


def test_an_upload_in_flight_learns_what_is_wanted(state: Any, listed: Listed) -> None:
    """A newer ETag is noted on a claimed, uploading row without disturbing the upload."""
    state.detect(listed(etag="e1"))
    rows = state.claim()
    state.intend(rows)
    state.detect(listed(etag="e2", size=99))
    row = state.row()
    assert (row.status, row.etag, row.size, row.upload_etag, row.claim_owner) == ("uploading", "e2", 99, "e1", "task")
    assert outcomes.record_sent(state.db, state.run, state.owner, rows[0], document_id="d", version=1, sha256=None)


def test_a_requeued_row_begins_anew(state: Any, listed: Listed) -> None:
    """A new ETag forgets strikes, waiting time and the reason."""
    state.detect(listed(etag="e1"))
    failure = outcomes.Failure("broken", permanent=True)
    outcomes.record_failed(state.db, state.run, state.owner, state.claim()[0], failure, max_attempts=3)
    assert state.row().status == "quarantined"
    state.begin("r2")
    state.detect(listed(etag="e2"))
    found = state.sql("SELECT status, attempts, next_attempt_at, reason, etag FROM object")
    assert found == [("pending", 0, None, None, "e2")]
    assert [row.key for row in state.claim()] == ["k.txt"]


@pytest.mark.parametrize("name", ["requeue", "skip"])
def test_a_begun_delete_leaves_nothing_indexed(state: Any, listed: Listed, name: str) -> None:
    """A key that comes back while it is deleted must not pass for indexed: its document may be gone already."""
    state.index(listed())
    state.sql("UPDATE object SET status = 'deleting'")
    sweep.apply(state.db, state.run, _writes(name, state.row(), listed()))
    assert state.row().indexed_etag is None
    state.begin("r2")
    state.detect(listed())
    assert state.counts()["new"] == 1
    assert len(state.claim()) == 1


def test_rows_and_counts_are_written_together(state: Any, listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that fails halfway leaves neither rows nor counts."""

    def broken(*_: Any) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(sweep, "add_counts", broken)
    with pytest.raises(RuntimeError):
        sweep.apply(state.db, state.run, SweepWrites(insert=[listed()], counts={"listed": 1, "new": 1}))
    assert (state.rows(), state.counts()) == ({}, {})


def test_a_listing_is_complete_only_at_its_end(state: Any, listed: Listed) -> None:
    """The run says that its listing was complete, and why its removals are held, only after ``finish``."""

    def found() -> tuple[bool, str | None, bool]:
        run = runs.find_run(state.db, state.source, name)
        assert run is not None
        return run.complete, run.deletes_blocked, run.mass_delete

    name = state.run.name
    assert found() == (False, None, False)
    state.detect(listed(), hold=Hold("too many"))
    assert found() == (True, "too many", True)
    again = sources.open_source(state.db, project_id="p", bucket="b", prefix="")
    assert again.fingerprint == "f"


def test_a_gone_key_without_a_document_is_forgotten(state: Any, listed: Listed) -> None:
    """What was never sent needs no delete; its history says so."""
    state.detect(listed())
    state.detect()
    assert state.rows() == {}
    assert state.history() == [("k.txt", "forgotten")]


def test_a_block_of_five_thousand_rows(state: Any, listed: Listed) -> None:
    """The largest block that a transaction may hold is written, read and counted."""
    items = [listed(f"{number:05}") for number in range(5000)]
    sweep.apply(state.db, state.run, SweepWrites(insert=items, counts={"listed": 5000, "new": 5000}))
    assert len(state.rows()) == 5000
    with pytest.raises(ValueError, match="too many"):
        sweep.apply(state.db, state.run, SweepWrites(insert=items * 3))
    assert claims.backlog(state.db, state.source) == (5000, 50_000)


def test_a_reader_sees_one_moment(state: Any, listed: Listed) -> None:
    """Several statements of one read see the same rows, whatever is committed meanwhile."""
    import sqlalchemy as sa

    count = sa.text("SELECT count(*) FROM object")
    with state.db.read() as connection:
        before = connection.execute(count).scalar_one()
        state.detect(listed())
        assert connection.execute(count).scalar_one() == before == 0
    assert len(state.claim(Owner("x", 1))) == 1


def test_two_sweeps_of_the_same_rows_never_wait_for_each_other(
    state: Any, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One changes a key that the other skips, and the other way round: rows are locked in the order of keys."""
    state.index(listed("a"), listed("z"))
    runs_ = [state.begin("r2"), state.begin("r3")]
    rows = state.rows()
    found = []
    for first, second in (("z", "a"), ("a", "z")):
        skip = [(rows[second], listed(second, etag="e3"), "too_large")]
        found.append(SweepWrites(requeue=[(rows[first], listed(first, etag="e3"))], skip=skip))
    many, met = sweep._many, threading.local()
    begun = threading.Barrier(2)

    def slowly(connection: Any, sets: str, where: str, values: Any) -> None:
        many(connection, sets, where, values)
        if values and not getattr(met, "once", False):
            met.once = True
            with contextlib.suppress(threading.BrokenBarrierError):
                begun.wait(0.5)  # where both got here, each has a row that the other wants

    monkeypatch.setattr(sweep, "_many", slowly)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(sweep.apply, state.db, *pair) for pair in zip(runs_, found, strict=True)]:
            done.result(30)
    assert {row.etag for row in state.rows().values()} == {"e3"}
