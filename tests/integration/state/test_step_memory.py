"""What a single step remembers, in every database that the state may be in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.step_memory import StepMemory, step_name


@pytest.fixture
def memory(db: Database) -> Callable[[str], StepMemory]:
    """A step's memory, opened anew as each try does."""

    def open_(step: str = "s", days: float = 90.0) -> StepMemory:
        return StepMemory(db, step, days=days)

    return open_


def outcomes(memory: StepMemory) -> dict[str, str | None]:
    return {item: one.outcome for item, one in memory.known().items()}


def test_the_next_try_knows_what_was_begun_and_what_became_of_it(memory: Callable[..., StepMemory]) -> None:
    """An item without an outcome is one whose request may have taken effect."""
    memory().begin(["a", "b", "c"])
    memory().record({"a": "deleted"})
    memory().withdraw(["b"])
    assert outcomes(memory()) == {"a": "deleted", "c": None}
    assert all(0 <= one.age < 60 for one in memory().known().values())


def test_an_outcome_outlasts_a_later_request(memory: Callable[..., StepMemory]) -> None:
    """Also one that did nothing."""
    memory().record({"a": "missing"})
    memory().begin(["a"])
    memory().withdraw(["a"])
    assert outcomes(memory()) == {"a": "missing"}
    memory().record({"a": "deleted"})
    assert outcomes(memory()) == {"a": "deleted"}


def test_steps_know_nothing_of_each_other(memory: Callable[..., StepMemory]) -> None:
    """Each task instance has its own, in each project of each service."""
    memory("s").record({"a": "deleted"})
    assert outcomes(memory("t")) == {}
    names = {
        step_name(url, project, task)
        for url in ("http://a", "http://b")
        for project in ("p", "q")
        for task in (("d", "r", "t", -1), ("d", "r", "t", 0), ("d", "r2", "t", -1))
    }
    assert len(names) == 12


def test_what_is_old_is_forgotten_by_whoever_comes_next(memory: Callable[..., StepMemory], db: Database) -> None:
    """A step that is over doesn't stay for ever."""
    memory("old").record({"a": "deleted", "b": "deleted"})
    memory("new", days=1.0)
    assert outcomes(memory("old")) == {"a": "deleted", "b": "deleted"}
    memory("new", days=-1.0)
    assert outcomes(memory("old")) == {}


def test_nothing_to_write_is_nothing(memory: Callable[..., StepMemory]) -> None:
    """A request of no items."""
    memory().begin([])
    memory().record({})
    memory().withdraw([])
    assert outcomes(memory()) == {}
