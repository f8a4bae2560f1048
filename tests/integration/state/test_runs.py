"""Sources, runs, counters, history, locks, and the report that has to balance."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cloudindex_provider.errors import StateUnavailableError, SyncFailedError
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state import claims, outcomes, removals, runs, sources, sweep
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.db.leases import lease
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Owner, RunName, SweepWrites
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.report.messages import log_report
from cloudindex_provider.sync.report.report import SyncReport, make_report
from cloudindex_provider.sync.settings import SyncSettings
from tests.support.verdicts import judge

Listed = Callable[..., ListedObject]
FATES = ("indexed", "failed", "quarantined", "deferred", "gone", "elsewhere")


def test_a_source_is_made_once(db: Database) -> None:
    """The same four names are one source, however many ask at once; another name is another source."""
    names = {"project_id": "p", "bucket": "b", "prefix": "x/"}
    gate = threading.Barrier(6)

    def ask(_: int) -> int:
        gate.wait()
        return sources.open_source(db, **names).id

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(ask, range(6)))) == 1
    first = sources.open_source(db, **names)
    others = [
        sources.open_source(db, **{**names, name: "other"}) for name in ("project_id", "bucket", "prefix", "sync_id")
    ]
    assert len({one.id for one in (first, *others)}) == 5
    assert others[2].scope_id == others[3].scope_id == first.scope_id  # a key has one owner among these


def test_a_run_that_begins_again_counts_anew(state: Any, listed: Listed) -> None:
    """A second try of the detection is the same run, without counts or keys of the first; others keep theirs."""
    state.detect(listed())
    state.claim()
    first = state.run
    again = state.begin("r1")
    assert again.id == first.id
    assert (state.counts(), state.run_keys()) == ({}, {})
    state.detect(listed())
    state.begin("r2")
    state.run = again
    assert state.counts() == {"listed": 1, "new": 1}


def test_a_run_is_found_by_its_name(state: Any) -> None:
    """A task of the same run finds it, any other name finds nothing."""
    found = runs.find_run(state.db, state.source, state.run.name)
    assert found is not None
    assert found.id == state.run.id
    for name in (RunName("x", "r1", "sync"), RunName("dag", "x", "sync"), RunName("dag", "r1", "x")):
        assert runs.find_run(state.db, state.source, name) is None


def test_times_are_the_database_s(state: Any) -> None:
    """Ages and waits are told by the database's clock, and a wait's begin is kept."""
    assert 0 <= runs.run_age(state.db, state.run) < 60
    assert runs.mark_wait_started(state.db, state.run) == 0
    state.sql("UPDATE run SET wait_started_at = wait_started_at - 100")
    assert 100 <= runs.mark_wait_started(state.db, state.run) < 160


def test_counters_add_up_from_many_threads(state: Any) -> None:
    """Counters are added to, never read and written back."""
    gate = threading.Barrier(8)

    def add(number: int) -> None:
        gate.wait()
        for _ in range(25):
            with state.db.write() as connection:
                names = ("x", "y", "zero") if number % 2 else ("zero", "y", "x")  # any order, no deadlock
                runs.add_counts(connection, state.run.id, {name: int(name != "zero") for name in names})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert state.counts() == {"x": 200, "y": 200}
    runs.add_s3_calls(state.db, state.run, {"GetObject": 3})
    runs.add_s3_calls(state.db, state.run, {"GetObject": 4})
    assert state.counts()["s3:GetObject"] == 7


# Locks


def test_a_lock_has_one_holder(db: Database) -> None:
    """Whoever comes second waits, gives up after its patience with a time to come again, and gets in after the end."""
    naps: list[float] = []
    held = lease(db, "list:p", "one", seconds=60, patience=0)
    with held:
        with (
            pytest.raises(StateUnavailableError) as caught,
            lease(db, "list:p", "two", seconds=60, patience=1, sleep=naps.append),
        ):
            pytest.fail("two holders")
        assert caught.value.retry_after == 60
        assert sum(naps) >= 1
        with lease(db, "list:q", "two", seconds=60, patience=0):
            pass
    with lease(db, "list:p", "two", seconds=60, patience=0):
        pass


def test_a_lock_ends_with_its_time(db: Database) -> None:
    """A holder that died is waited for until its end only, and can't end its successor's lock."""
    dead = lease(db, "list:p", "dead", seconds=-1, patience=0)
    with dead, lease(db, "list:p", "heir", seconds=60, patience=0):
        dead.__exit__(None, None, None)
        with (
            pytest.raises(StateUnavailableError),
            lease(db, "list:p", "third", seconds=60, patience=0, sleep=lambda _: None),
        ):
            pytest.fail("two holders")


def test_a_lock_is_let_go_after_an_error(db: Database) -> None:
    """Whatever happens inside, the next one gets in."""
    with pytest.raises(ZeroDivisionError), lease(db, "x", "one", seconds=60, patience=0):
        raise ZeroDivisionError
    with lease(db, "x", "two", seconds=60, patience=0):
        pass


def test_eight_want_a_lock_and_one_at_a_time_has_it(db: Database) -> None:
    """The lock is exclusive in fact."""
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with lease(db, "x", f"o{number}", seconds=60, patience=60):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert most == [1] * 8


# The report


def report_of(state: Any, **settings: Any) -> SyncReport:
    values = SyncSettings(project_id="p", bucket="b", **settings)
    ctx = SimpleNamespace(
        metrics=None,
        source=state.source,
        history_days=90.0,
        sleep=lambda _: None,
        requests_per_minute=None,
        run=lambda: runs.find_run(state.db, state.source, state.run.name),
        db=state.db,
        settings=values,
    )
    return make_report(cast(SyncContext, ctx))


def nonzero(report: SyncReport) -> dict[str, int]:
    names = ("listed", "unchanged", "new", "changed", "skipped", *FATES)
    return {name: report.counts[name] for name in names if report.counts[name]}


def test_every_fate_is_accounted_for(state: Any, listed: Listed) -> None:
    """One key of every kind: the counts balance, and the examples name the ones that went wrong."""
    old = [listed("same"), listed("better"), listed("removed")]
    state.index(*old)
    assert report_of(state).imbalance is None
    state.begin("r2")
    new = [listed(key) for key in ("bad", "broken", "gone", "later", "late", "out")]
    state.detect(listed("same"), listed("better", "e2"), *new)
    rows = {row.key: row for row in state.claim()}
    write = (state.db, state.run, state.owner)
    outcomes.record_failed(*write, rows["broken"], Failure("no luck"), max_attempts=3)
    outcomes.record_failed(*write, rows["bad"], Failure("no good", permanent=True), max_attempts=3)
    outcomes.record_gone(*write, rows["gone"], None)
    outcomes.record_skipped(*write, rows["out"], "opted_out")
    state.intend([rows["better"], rows["late"]])
    for key in ("better", "late"):
        outcomes.record_sent(*write, rows[key], document_id=f"doc-{key}-2", version=1, sha256=None)
    (first, *_) = outcomes.processing_rows(state.db, state.source)
    outcomes.record_processed(state.db, state.run, first, sha256=None, version=None)
    report = report_of(state)
    assert report.imbalance is None
    assert nonzero(report) == {
        "listed": 8, "unchanged": 1, "new": 5, "changed": 1, "skipped": 1,
        "indexed": 1, "failed": 1, "quarantined": 1, "gone": 1, "deferred": 1, "elsewhere": 1,
    }  # fmt: skip
    assert [(row["key"], row["outcome"]) for row in report.failures] == [("bad", "quarantined"), ("broken", "failed")]
    assert report.skipped_by_reason == {"opted_out": 1}
    assert [row["key"] for row in report.quarantined] == ["bad"]
    with pytest.raises(SyncFailedError, match="2 documents failed"):
        judge(report, max_failed_documents=1)
    judge(report, max_failed_documents=2)


def test_what_was_set_aside_before_is_told_and_does_not_fail_the_run(state: Any, listed: Listed) -> None:
    """A key in quarantine is counted as such in later runs, which may be green."""
    state.detect(listed("bad"))
    outcomes.record_failed(
        state.db, state.run, state.owner, state.claim()[0], Failure("x", permanent=True), max_attempts=3
    )
    report_of(state)
    state.begin("r2")
    state.detect(listed("bad"))
    report = report_of(state)
    assert (report.imbalance, nonzero(report)) == (None, {"listed": 1, "new": 1, "quarantined": 1})
    judge(report, max_failed_documents=0)


@pytest.mark.parametrize("back", [True, False])
def test_what_was_in_flight_is_this_run_s_work(state: Any, listed: Listed, back: bool) -> None:
    """An upload of the last run that ends in this one balances, also where S3 is back at the indexed version."""
    state.index(listed("k", "e1"))
    report_of(state)
    state.begin("r2")
    state.send(listed("k", "e2"))
    report_of(state)
    state.begin("r3")
    state.detect(listed("k", "e1" if back else "e2"))
    for row in outcomes.processing_rows(state.db, state.source):
        outcomes.record_processed(state.db, state.run, row, sha256=None, version=None)
    report = report_of(state)
    assert report.imbalance is None
    assert nonzero(report) == {"listed": 1, "changed": 1, "deferred" if back else "indexed": 1}


def test_a_count_that_does_not_balance_is_a_warning(
    state: Any, listed: Listed, caplog: pytest.LogCaptureFixture
) -> None:
    """A key without a fate isn't passed over, and doesn't turn a run red that did everything right."""
    state.detect(listed("a"), listed("b"))
    state.sql("DELETE FROM object WHERE key = 'a'")
    report = report_of(state)
    assert report.imbalance == (
        "new + changed = 2 isn't indexed + failed + quarantined + deferred + gone + elsewhere = 1"
    )
    judge(report, max_failed_documents=0)
    log = logging.getLogger("report")
    log_report(log, SyncSettings(project_id="p", bucket="b"), report)
    assert [record.levelname for record in caplog.records if "don't add up" in record.getMessage()] == ["WARNING"]


def test_two_runs_at_once_both_balance(state: Any, listed: Listed) -> None:
    """Both learn the outcomes of what both have found, whichever of them decides."""
    first = state.run
    state.detect(listed("a"), listed("b"))
    mine = state.claim(max_request_size=10)
    second = state.begin("r2")
    state.detect(listed("a"), listed("b"), listed("c"))
    other = Owner("two", 1)
    theirs = state.claim(other)
    assert [row.key for row in (*mine, *theirs)] == ["a", "b", "c"]
    seen = []
    for run in (first, second):
        state.run = run
        seen.append(nonzero(report_of(state)))
    # What the other one has claimed is elsewhere while it works on it; a claim of one's own that ended so is, too.
    assert seen == [{"listed": 2, "new": 2, "elsewhere": 2}, {"listed": 3, "new": 3, "elsewhere": 3}]
    for run, owner, rows in ((first, state.owner, mine), (second, other, theirs)):
        for row in rows:
            outcomes.record_same_bytes(state.db, run, owner, row, "s")
    seen = []
    for run in (first, second):
        state.run = run
        report = report_of(state)
        assert report.imbalance is None
        seen.append(nonzero(report))
    assert seen == [{"listed": 2, "new": 2, "indexed": 2}, {"listed": 3, "new": 3, "indexed": 3}]


def test_what_a_later_run_found_is_not_this_one_s(state: Any, listed: Listed) -> None:
    """A key that only a later run queued is neither listed nor deferred in the report of the earlier one."""
    first = state.run
    state.detect(listed("a"))
    state.begin("r2")
    state.detect(listed("a"), listed("b"))
    state.run = first
    assert nonzero(report_of(state)) == {"listed": 1, "new": 1, "deferred": 1}


def test_named_keys_are_all_that_their_run_works_on(state: Any, listed: Listed) -> None:
    """A run for one key leaves the others that wait to the runs that have found them, and doesn't count them."""
    state.detect(listed("a"), listed("b"), listed("c"))
    report_of(state)
    state.begin("r2")
    row = state.row("a")
    sweep.apply(state.db, state.run, SweepWrites(waiting=[(row, listed("a"))], counts={"listed": 1, "new": 1}))
    assert claims.backlog(state.db, state.source, state.run) == (1, 10)
    assert [row.key for row in state.claim()] == ["a"]
    assert state.claim() == []
    report = report_of(state, keys=("a",))
    assert (report.imbalance, nonzero(report)) == (None, {"listed": 1, "new": 1, "elsewhere": 1})


def test_removals_are_beside_the_balance(state: Any, listed: Listed) -> None:
    """Removed keys are no listed ones: deleted, held or kept, the sums are the same."""
    state.index(listed("a"), listed("b"), listed("c"))
    report_of(state)
    state.begin("r2")
    state.detect(listed("c"))
    removals.record_held(state.db, state.run, "too many")
    report = report_of(state)
    assert (report.imbalance, nonzero(report)) == (None, {"listed": 1, "unchanged": 1})
    assert (report.counts["removed"], report.counts["held"]) == (2, 2)
