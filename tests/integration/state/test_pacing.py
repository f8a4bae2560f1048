"""One budget for all tasks and syncs: what the state keeps of it, on every database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from cloudindex_provider.api.pace import HOUR, Heard, RateLimit
from cloudindex_provider.errors import RateLimitedError, StateError, StoppedError
from cloudindex_provider.state import budgets
from cloudindex_provider.state.budgets import BookingLimits, ListCost
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.pacer import SharedPacer, budget_name
from tests.support.paced_service import Fixed, MemoryBudget, Sliding, simulate

LIMITS = BookingLimits(slots=5, max_wait=30.0, patience=120.0, hold=180.0)
QUOTA = "rate_limit/quota-exceeded"


@dataclass
class Clock:
    """The database server's clock, and sleeps that pass on it."""

    now: float = 1_700_000_000.25
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(db: Database, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(db, "now", lambda _connection: clock.now)
    return clock


@pytest.fixture
def pacer(db: Database, clock: Clock) -> Callable[..., SharedPacer]:
    """A task's own pacer of the budget ``b``; two of them are two processes, as far as the state can tell."""

    def make(name: str = "b", **more: Any) -> SharedPacer:
        return SharedPacer(db, name, **{"sleep": clock.sleep, **more})

    return make


def slots(db: Database) -> int:
    with db.read() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM pace_slot")).scalar_one())


def ok(pacer: SharedPacer, limit: RateLimit | None = None, **more: Any) -> None:
    pacer.after(limit, **{"status": 200, "retry_after": None, **more})


@dataclass
class StateBudget:
    """The state's budget for ``simulate``, every booking and answer a transaction of its own."""

    db: Database
    clock: Clock
    name: str = "b"

    def book(self, ticket: str, now: float) -> float | None:
        self.clock.now = now
        booking = budgets.book(self.db, self.name, ticket, LIMITS, "upload documents")
        return None if booking.wait is None else booking.at

    def overtaken(self, at: float) -> bool:
        return budgets.overtaken(self.db, self.name, at)

    def drop(self, ticket: str) -> None:
        budgets.drop(self.db, self.name, ticket)

    def settle(self, ticket: str, heard: Heard, now: float) -> None:
        self.clock.now = now
        budgets.record_answer(self.db, self.name, ticket, heard)


@pytest.mark.parametrize("service", [Fixed, Sliding])
def test_eight_tasks_share_a_hundred_requests_a_minute(db: Database, clock: Clock, service: Any) -> None:
    """Through the state, requests go at the very moments of the arithmetic alone, and use the limit up."""
    shared = simulate(StateBudget(db, clock), service(), tasks=8, seconds=150, seed=3)
    alone = simulate(MemoryBudget(), service(), tasks=8, seconds=150, seed=3)
    assert shared.accepted == alone.accepted
    assert len(shared.accepted) >= 0.95 * 250
    assert shared.refused == []


def test_threads_never_get_the_same_moment(db: Database, clock: Clock) -> None:
    budgets.record_answer(db, "b", "t", Heard(200, RateLimit(100, 100, 60.0)))
    moments: list[float] = []
    wide = BookingLimits(slots=100, max_wait=30.0, patience=120.0, hold=180.0)

    def book(number: int) -> None:
        for turn in range(4):
            moments.append(budgets.book(db, "b", f"{number}-{turn}", wide, "x").at - clock.now)

    threads = [threading.Thread(target=book, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(moments) == pytest.approx([n * 60 / 99 for n in range(32)], abs=1e-3)


def _book_many(url: str, process: int) -> list[float]:
    db = Database(sa.make_url(url))
    wide = BookingLimits(slots=1000, max_wait=1e6, patience=1e6, hold=1e6)
    found = [budgets.book(db, "b", f"{process}-{turn}", wide, "x").at for turn in range(25)]
    db.close()
    return found


def test_processes_never_get_the_same_moment(db: Database, process_context: Any) -> None:
    """By the real clock: however slow a process is, its moments are the window's spacing from all others."""
    budgets.record_answer(db, "b", "t", Heard(200, RateLimit(1000, 1000, 3600.0)))
    url = db.url.render_as_string(hide_password=False)
    with process_context.Pool(4) as pool:
        moments = sorted(chain(*pool.starmap(_book_many, [(url, process) for process in range(4)])))
    assert len(moments) == 100
    assert min(b - a for a, b in pairwise(moments)) >= 3600 / 1000 * 0.99


def test_nothing_waits_until_an_answer_names_a_limit(pacer: Callable[..., SharedPacer], clock: Clock) -> None:
    one = pacer()
    for _ in range(5):
        one.before("x")
        ok(one)
    assert clock.slept == []
    assert (one.spacing, one.requests_per_minute()) == (0.0, None)


def test_what_one_task_hears_spaces_the_requests_of_another(pacer: Callable[..., SharedPacer], clock: Clock) -> None:
    one, other = pacer(), pacer()
    one.before("x")
    ok(one, RateLimit(60, 59, 60.0))
    other.before("x")
    one.before("x")
    assert clock.slept == [pytest.approx(60 / 59, abs=1e-3)]
    assert other.requests_per_minute() == pytest.approx(60, rel=0.02)
    assert pacer().spacing == pytest.approx(60 / 59, rel=0.02)  # a new process asks the state


def test_budgets_of_other_connections_are_their_own(pacer: Callable[..., SharedPacer], clock: Clock) -> None:
    one, other = pacer(), pacer("another")
    one.before("x")
    one.after(None, status=429, retry_after=1800.0)
    other.before("x")
    assert clock.slept == []


def test_a_refusal_closes_the_budget_for_everybody_and_reserves_nothing(
    db: Database, pacer: Callable[..., SharedPacer], clock: Clock
) -> None:
    one, other = pacer(), pacer()
    one.before("x")
    one.after(None, status=429, retry_after=1800.0)
    for _ in range(3):
        with pytest.raises(RateLimitedError) as caught:
            other.before("upload documents")
        assert caught.value.retry_after == pytest.approx(1800.0)
    assert (clock.slept, slots(db)) == ([], 0)
    clock.now += 1790
    other.before("x")
    assert clock.slept == [pytest.approx(10.0)]


def test_a_refusal_reaches_those_who_sleep_already(pacer: Callable[..., SharedPacer], clock: Clock) -> None:
    """A task whose moment was booked before the refusal asks again when it wakes, and sends nothing too early."""
    one = pacer()
    one.before("x")
    ok(one, RateLimit(60, 59, 60.0))
    one.before("x")

    def sleep(seconds: float) -> None:
        if not clock.slept:
            one.after(None, status=429, retry_after=20.0)
        clock.sleep(seconds)

    began = clock.now
    pacer(sleep=sleep).before("x")
    assert len(clock.slept) == 2
    assert clock.now - began == pytest.approx(20.0, abs=0.01)


def test_no_more_are_under_way_than_slots(db: Database, pacer: Callable[..., SharedPacer], clock: Clock) -> None:
    """A third task waits for one of the first two."""
    one, two = pacer(slots=2), pacer(slots=2)
    one.before("x")
    two.before("x")

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.slept) == 3:
            ok(one)

    pacer(slots=2, sleep=sleep).before("x")
    assert len(clock.slept) == 3
    assert slots(db) == 2


def test_the_slot_of_a_dead_process_is_free_after_the_timeout(
    db: Database, pacer: Callable[..., SharedPacer], clock: Clock
) -> None:
    pacer(slots=1, request_timeout=10.0).before("x")  # and its process dies
    other = pacer(slots=1, request_timeout=10.0)
    other.before("x")
    assert 70.0 <= sum(clock.slept) < 72.0
    assert slots(db) == 1


def test_a_task_that_is_stopped_in_its_sleep_leaves_no_slot(db: Database, pacer: Callable[..., SharedPacer]) -> None:
    one = pacer()
    one.before("x")
    ok(one, RateLimit(60, 30, 60.0))
    one.before("x")
    ok(one)

    def stopped(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pacer(sleep=stopped).before("x")
    assert slots(db) == 0


def test_too_many_at_a_time_lowers_the_slots_of_everybody_for_a_while(
    db: Database, pacer: Callable[..., SharedPacer], clock: Clock
) -> None:
    tasks = [pacer() for _ in range(4)]
    for task in tasks:
        task.before("x")
    tasks[3].after(None, status=429, retry_after=40.0, code="rate_limit/concurrent-exceeded")
    assert budgets.book(db, "b", "t", LIMITS, "x").wait is None  # three are under way, and no more may be
    ok(tasks[0])
    assert budgets.book(db, "b", "t", LIMITS, "x").wait == 0.0
    clock.now += 601
    assert budgets.book(db, "b", "u", LIMITS, "x").wait == 0.0


def test_the_last_hours_requests_teach_an_hourly_limit(
    db: Database, pacer: Callable[..., SharedPacer], clock: Clock
) -> None:
    """Only what was accepted in the last hour counts, and what is older is forgotten."""
    one = pacer()
    for number in range(60):
        clock.now += 30 if number != 20 else 2 * HOUR
        one.before("x")
        ok(one, status=500 if number == 50 else 200) if number != 55 else one.after(None, status=0, retry_after=None)
    one.before("x")
    one.after(None, status=429, retry_after=1500.0, code=QUOTA)
    with db.read() as connection:
        (hourly,) = connection.execute(sa.text("SELECT hourly FROM pace")).one()
        kept = connection.execute(sa.text("SELECT sum(requests) FROM pace_minute")).scalar_one()
    assert (hourly, kept) == (39, 39)
    clock.now += 1600
    assert pacer().spacing == pytest.approx(HOUR / 39, rel=0.02)


def test_the_state_s_failure_is_the_state_s_own_error(db: Database, pacer: Callable[..., SharedPacer]) -> None:
    """Nothing is sent unpaced because the state is broken, and the client's own errors don't hide it."""
    one = pacer()
    one.before("x")
    with db.write() as connection:
        connection.execute(sa.text("ALTER TABLE pace RENAME TO pace_away"))
    try:
        with pytest.raises(StateError, match=r"refused a statement|can't be used"):
            one.before("x")
        with pytest.raises(StateError):
            ok(one)
    finally:
        with db.write() as connection:
            connection.execute(sa.text("ALTER TABLE pace_away RENAME TO pace"))


def test_a_budget_s_name_shows_nothing_of_its_address() -> None:
    name = budget_name("https://api.example.com/secret/v1", "cloudindex_default")
    assert name == budget_name("https://api.example.com/secret/v1", "cloudindex_default")
    assert name != budget_name("https://api.example.com/secret/v1", "other")
    assert name != budget_name("https://api.example.com/secret", "/v1cloudindex_default")
    assert "secret" not in name
    assert len(name) == 32


def test_what_a_list_took_is_remembered(db: Database) -> None:
    assert budgets.last_list(db, "p") is None
    budgets.record_list(db, "p", ListCost(3, 250))
    budgets.record_list(db, "p", ListCost(4, 350))
    assert budgets.last_list(db, "p") == ListCost(4, 350)
    assert budgets.last_list(db, "q") is None


def test_a_task_that_is_being_stopped_waits_no_longer(db: Database) -> None:
    """Its request's turn may be minutes away; the sleep until then ends at once, nothing is sent, nothing is kept."""
    stop = threading.Event()
    paced = SharedPacer(db, "b", stop=stop, patience=1000.0, max_wait=1000.0)
    paced.before("x")
    ok(paced, RateLimit(60, 0, 600.0))  # nothing is left for ten minutes
    stop.set()
    with pytest.raises(StoppedError):
        paced.before("x")
    assert slots(db) == 0


def let_through(db: Database, clock: Clock, *, within: float) -> bool:
    """Whether some request may go within so many seconds, asked for every ten minutes."""
    ends = clock.now + within
    while clock.now <= ends:
        try:
            return budgets.book(db, "b", "later", LIMITS, "x").wait is not None
        except RateLimitedError:
            clock.now += 600
    return False


@pytest.mark.parametrize(
    "heard",
    [Heard(429, None, 30 * 86_400.0), Heard(200, RateLimit(100, 0, 60_000.0))],
    ids=["a month's quota", "milliseconds taken for seconds"],
)
def test_one_odd_answer_closes_the_budget_for_an_hour_at_most(db: Database, clock: Clock, heard: Heard) -> None:
    """A plan may be upgraded and a header be wrong: somebody asks again before long."""
    budgets.record_answer(db, "b", "t", heard)
    assert not let_through(db, clock, within=1800)
    assert let_through(db, clock, within=2400)


def test_a_clock_that_is_set_back_stops_nobody(db: Database, clock: Clock) -> None:
    budgets.record_answer(db, "b", "t", Heard(200, RateLimit(100, 50, 30.0)))
    clock.now += 6 * HOUR
    budgets.book(db, "b", "1", LIMITS, "x")
    budgets.record_answer(db, "b", "1", Heard(200, RateLimit(100, 50, 30.0)))
    clock.now -= 6 * HOUR
    assert let_through(db, clock, within=0)


def test_a_killed_worker_s_slots_are_waited_for(db: Database, pacer: Callable[..., SharedPacer], clock: Clock) -> None:
    """Five requests that nobody will answer: the next task waits until they are given up, and loses no try."""
    killed = pacer()
    for _ in range(5):
        killed.before("x")
    began = clock.now
    pacer().before("x")
    assert 170 <= clock.now - began <= 190


def test_a_low_hourly_limit_is_kept_to_without_errors(pacer: Callable[..., SharedPacer], clock: Clock) -> None:
    """Spacing wider than a task's patience is waited for all the same."""
    task = pacer()
    for _ in range(25):
        task.before("x")
        ok(task, RateLimit(100, 90, 60.0))
    task.before("x")
    task.after(None, status=429, retry_after=600.0, code=QUOTA)
    clock.now += 601
    began = clock.now
    for _ in range(10):
        task.before("x")
        ok(task, RateLimit(100, 90, 60.0))
    assert 9 * 140 <= clock.now - began <= 10 * 150


def test_a_clock_that_is_set_back_refuses_nobody_also_without_headers(
    pacer: Callable[..., SharedPacer], clock: Clock
) -> None:
    """An API or proxy that shows no limits: a day that the clock was fast is no wait, whoever books next."""
    mine = pacer()
    for _ in range(3):
        mine.before("upload")
        ok(mine)
    clock.now -= 86_400.0
    pacer().before("upload")
    assert sum(clock.slept) < 1


def test_a_clock_that_is_set_back_long_after_the_last_headers_refuses_nobody(
    pacer: Callable[..., SharedPacer], clock: Clock
) -> None:
    """A service that has stopped to show its limits: what it once said is older than the clock's mistake."""
    mine = pacer()
    mine.before("upload")
    ok(mine, RateLimit(1000, 999, 60.0))
    clock.now += 3 * 86_400.0
    mine.before("upload")
    ok(mine)
    clock.now -= 86_400.0
    before = sum(clock.slept)
    pacer().before("upload")
    assert sum(clock.slept) - before < 1
