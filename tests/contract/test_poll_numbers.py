"""The numbers of waiting for CloudIndex stand in one module, and what users read of them is true."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudindex_provider.operators.cloudindex_sync import CloudIndexWaitForSyncOperator
from cloudindex_provider.sensors.cloudindex import CloudIndexProcessingSensor
from cloudindex_provider.sync.polling import MAX_POLL_INTERVAL, SHORTEST_TRIGGER
from cloudindex_provider.triggers.cloudindex import CloudIndexProcessingTrigger

PACKAGE = Path(__file__).parents[2] / "cloudindex_provider"
HOME = "sync/polling.py"
NAMES = re.compile(r"poll|(?<!sensor_)poke_interval|quick_look|shortest_trigger", re.I)
# Who asks the poller has no number of its own either under a name that means something else elsewhere.
NAMES_OF_ASKERS = re.compile(rf"{NAMES.pattern}|(?<!sensor_poke_)interval|pause|waited|growth|back_?off", re.I)


def stated(source: str) -> Iterator[str]:
    """The places at which a number is given to a name of polling, or reckoned with one."""
    names = NAMES_OF_ASKERS if "cloudindex_provider.sync.polling" in source else NAMES
    for node in ast.walk(ast.parse(source)):
        for name, value in _given(node):
            if names.search(name) and _has_number(value):
                yield f"{name} in line {value.lineno}"
        if isinstance(node, ast.BinOp | ast.Compare | ast.Call | ast.IfExp):
            mentioned = any(names.search(name) for name in _names(node))
            if mentioned and _has_number(node):
                yield f"a number in line {node.lineno}"


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((ast.unparse(target), node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign) and node.value:
        yield ast.unparse(node.target), node.value
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.arguments):
        positional = [*node.posonlyargs, *node.args]
        yield from ((name.arg, value) for name, value in zip(positional[::-1], node.defaults[::-1], strict=False))
        named = zip(node.kwonlyargs, node.kw_defaults, strict=True)
        yield from ((name.arg, value) for name, value in named if value is not None)


def _has_number(node: ast.AST) -> bool:
    """Another than 0 and 1, which are no setting."""
    return any(
        isinstance(one, ast.Constant) and type(one.value) in (int, float) and one.value not in (0, 1)
        for one in ast.walk(node)
    )


def _names(node: ast.AST) -> Iterator[str]:
    return (one.id if isinstance(one, ast.Name) else getattr(one, "attr", "") for one in ast.walk(node))


def test_interval_growth_cap_and_shortest_trigger_stand_in_one_module() -> None:
    """Who changes one changes it for the single task, the operator, the sensor and the trigger."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        if not name.startswith("local/"):
            found[name] = list(stated(path.read_text()))
    assert [name for name, places in found.items() if places] == [HOME], {k: v for k, v in found.items() if v}


@pytest.mark.parametrize(
    "line",
    [
        "def f(*, poll_interval: float = 10.0): ...",
        "def f(poke_interval=30): ...",
        "_LONGEST_POLL = 120.0",
        "poll_interval: float = 10.0",
        "Trigger(max_poll_interval=120.0 if longest is None else longest)",
        "interval = poll_interval * 1.5",
        "interval = max(self.poll_interval, 5)",
        "from cloudindex_provider.sync.polling import Poller; _BACK_OFF = 1.5",
        "from cloudindex_provider.sync.polling import Poller; pause = min(waited / 2, left)",
        "quick = look > quick_looks + 3",
    ],
)
def test_a_number_beside_the_poller_would_be_found(line: str) -> None:
    """As a default, a constant, an argument, or in arithmetic."""
    assert list(stated(line))


@pytest.mark.parametrize(
    ("documented", "numbers"),
    [
        (CloudIndexWaitForSyncOperator, {MAX_POLL_INTERVAL}),
        (CloudIndexProcessingSensor, {SHORTEST_TRIGGER, MAX_POLL_INTERVAL}),
        (CloudIndexProcessingTrigger, {SHORTEST_TRIGGER}),
    ],
)
def test_what_users_read_of_an_interval_is_true(documented: type, numbers: set[float]) -> None:
    """The numbers that the arguments' texts name are the poller's."""
    arguments = [line for line in str(documented.__doc__).splitlines() if ":param po" in line]
    named = {float(number) for line in arguments for number in re.findall(r"\b\d+(?:\.\d+)?\b", line)}
    assert named == numbers
