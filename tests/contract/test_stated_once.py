"""What CloudIndex or this package fixes is stated in one place: changing it there changes it everywhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cloudindex_provider.api.connection import AUTH_SCHEMES, DEFAULT_AUTH_SCHEME, DEFAULT_BASE_URL
from cloudindex_provider.api.limits import DEFAULT_MAX_FILE_SIZE, DEFAULT_MAX_REQUEST_SIZE, MAX_FILES_PER_REQUEST
from cloudindex_provider.get_provider_info import get_provider_info
from cloudindex_provider.hooks.cloudindex import CloudIndexSettings
from cloudindex_provider.s3.ranges import MAX_RANGES
from cloudindex_provider.sensors.cloudindex import MAX_DOCUMENTS
from cloudindex_provider.state.approvals import DEFAULT_DAYS
from cloudindex_provider.state.tally import EXAMPLES
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.settings import DEFAULT_LIMITS, MAX_UPLOAD_TASKS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cloudindex_provider"

NUMBERS = {MAX_FILES_PER_REQUEST, DEFAULT_MAX_FILE_SIZE, DEFAULT_MAX_REQUEST_SIZE, MAX_UPLOAD_TASKS, MAX_RANGES}
WORDS = re.compile("|".join(map(re.escape, (*AUTH_SCHEMES, DEFAULT_BASE_URL))), re.IGNORECASE)

# module -> the names that state one of them
STATED = {
    "api/connection.py": {"AUTH_SCHEMES", "DEFAULT_BASE_URL"},
    "api/limits.py": {"MAX_FILES_PER_REQUEST", "DEFAULT_MAX_FILE_SIZE"},
    "s3/ranges.py": {"MAX_RANGES"},
    "sync/settings.py": {"MAX_UPLOAD_TASKS"},
}
# (module, place) -> why the same number there means something else
OTHER_MEANINGS = {
    ("api/pace.py", "LEAST_HOURLY"): "requests in an hour",
    ("aws_lambda/airflow_api.py", "RestApi._send.headers"): "of Airflow's API",
    ("s3/event_queue.py", "_LONGEST_WAIT"): "seconds",
    ("sensors/cloudindex.py", "MAX_DOCUMENTS"): "documents of one sensor",
    ("state/db/driver.py", "_compiled.maxsize"): "statements remembered",
    ("state/tally.py", "EXAMPLES"): "keys shown",
    ("sync/settings.py", "Limits.max_delete_percent.default"): "per cent",
    ("transfers/documents_sensor.py", "SENSOR_POKE_INTERVAL"): "seconds",
}
LITERAL = "get_provider_info.py"  # may import nothing; the test below compares it
SEPARATE = "local"  # the embedded server shares nothing with what it tests


class Literal(NamedTuple):
    """A number or text in the code, and the names of what it stands in."""

    place: str
    value: float | str
    line: int


def literals(tree: ast.AST, place: tuple[str, ...] = ()) -> Iterator[Literal]:
    """Every number and every text that isn't a docstring."""
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int | float | str):
        yield Literal(".".join(place), tree.value, tree.lineno)
    for node, name in children(tree):
        yield from literals(node, (*place, name) if name else place)


def children(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The nodes below one, each with the name that it gives a value to or defines."""
    defaults: dict[ast.AST, str] = {}
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        positional = [*tree.args.posonlyargs, *tree.args.args]
        named: list[tuple[ast.arg, ast.expr | None]] = [*zip(tree.args.kwonlyargs, tree.args.kw_defaults, strict=True)]
        named += zip(reversed(positional), reversed(tree.args.defaults), strict=False)
        defaults = {default: argument.arg for argument, default in named if default is not None}
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.arguments):
            yield from ((default, name) for default, name in defaults.items())
        elif not is_docstring(node) and not is_size(node):
            yield node, name_of(node)


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name
    if isinstance(node, ast.keyword):
        return node.arg or ""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        return target.id if isinstance(target, ast.Name) else ""
    return ""


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_size(node: ast.AST) -> bool:
    """Bytes written as a shift (``64 << 20``), and the width of a column: neither says 64 or 20 of anything."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.LShift)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "String"


def is_fixed(value: float | str) -> bool:
    return WORDS.search(value) is not None if isinstance(value, str) else value in NUMBERS


def repetitions(module: str, source: str) -> list[Literal]:
    """The literals of a module that are stated elsewhere."""
    found = [one for one in literals(ast.parse(source)) if is_fixed(one.value)]
    stated = STATED.get(module, set())
    return [one for one in found if one.place not in stated and (module, one.place) not in OTHER_MEANINGS]


def modules() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        if module != LITERAL and not module.startswith(f"{SEPARATE}/"):
            yield module, path.read_text(encoding="utf-8")


def test_no_module_repeats_what_another_states() -> None:
    """20 files, 20 MB, 64 tasks, 64 ranges, the auth schemes and the service's address are imported, not written."""
    found = [
        f"{module}:{one.line}: {one.value!r} in {one.place or 'the module'}: import it from where it is stated,"
        " or say in OTHER_MEANINGS what else it means"
        for module, source in modules()
        for one in repetitions(module, source)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "def fit(count): return count == 20",
        "def fit(count, most=20): ...",
        "class A:\n    size: int = 20_000_000",
        "upload(tasks=64)",
        "LARGEST = 64",
        "def f(*, scheme: str = 'Bearer'): ...",
        "raise ValueError(f'{a} needs ApiKey or something')",
        "re.compile('(?:apikey|bearer)')",
        "URL = 'https://api.cloudindex.ai/public/v1/documents'",
    ],
)
def test_a_repetition_is_found(source: str) -> None:
    """Wherever it is written: in a function, a default, a keyword or within a text."""
    assert repetitions("sync/new.py", source)


@pytest.mark.parametrize("source", ['"""Up to 20 files, with ApiKey."""', "a = 64 << 20", "b = True", "c = '20 files'"])
def test_prose_and_other_numbers_are_left_alone(source: str) -> None:
    """A docstring may say a number; so may a text to a person."""
    assert not repetitions("sync/new.py", source)


def test_every_exception_is_needed() -> None:
    """What is stated is there, and what means something else still stands where it is said to."""
    there = set()
    for module, source in modules():
        there |= {(module, one.place) for one in literals(ast.parse(source)) if is_fixed(one.value)}
    needed = {(module, name) for module, names in STATED.items() for name in names} | set(OTHER_MEANINGS)
    assert needed - there == set()


def test_the_connection_form_offers_the_schemes_and_the_address_of_the_client() -> None:
    """The literal that Airflow reads before anything can be imported says the same."""
    info: Any = get_provider_info()
    (form,) = info["connection-types"]
    schema = form["conn-fields"]["auth_scheme"]["schema"]
    assert (tuple(schema["enum"]), schema["default"]) == (AUTH_SCHEMES, DEFAULT_AUTH_SCHEME)
    shown = form["ui-field-behaviour"]["placeholders"]
    assert shown["host"] == DEFAULT_BASE_URL
    assert all(word in shown["password"] for word in AUTH_SCHEMES)
    for name, size in (("max_file_size", DEFAULT_MAX_FILE_SIZE), ("max_request_size", DEFAULT_MAX_REQUEST_SIZE)):
        assert f"{size:,}" in form["conn-fields"][name]["description"]


def test_the_guides_say_the_same_numbers() -> None:
    """Every mention of them."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for pattern, number in (
        (r"(\d+) files a request", MAX_FILES_PER_REQUEST),
        (r"(\d+) MB a file", DEFAULT_MAX_FILE_SIZE // 10**6),
        (r"side by side, 1 to (\d+)", MAX_RANGES),
    ):
        found = re.findall(pattern, text)
        assert found, pattern
        assert set(found) == {str(number)}, pattern
    assert DEFAULT_BASE_URL in text


CONTEXT = {one.name: one.default for one in fields(SyncContext)}
FACTS = [
    # (page, how it says it, what the code has)
    ("how-it-works.md", r"for other tasks (\d+) s after its last sign of life", CONTEXT["lease"]),
    ("how-it-works.md", r"`read_timeout` \+ (\d+) s after the request began", CONTEXT["doubt_grace"]),
    ("how-it-works.md", r"for one later run, valid (\d+) days", DEFAULT_DAYS),
    ("how-it-works.md", r"are the first (\d+) keys of each", EXAMPLES),
    ("operating.md", r"any other task may after (\d+) s", CONTEXT["lease"]),
    ("operating.md", r"`read_timeout` \(120 s\) \+ (\d+) s", CONTEXT["doubt_grace"]),
    ("operating.md", r"`read_timeout` \((\d+) s\)", CloudIndexSettings("x").read_timeout),
    ("operating.md", r"`max_concurrency` \((\d+)\)", CloudIndexSettings("x").max_concurrency),
    ("operating.md", r"up to `upload_tasks` \((\d+)\) mapped tasks", DEFAULT_LIMITS.upload_tasks),
    ("single-steps.md", r"`document_ids` \(up to (\d+)\)", MAX_DOCUMENTS),
]


@pytest.mark.parametrize(("page", "pattern", "value"), FACTS)
def test_the_guides_say_the_numbers_of_the_code(page: str, pattern: str, value: float) -> None:
    """Times and limits that nobody sets."""
    text = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").split())
    found = re.findall(pattern, text)
    assert found, "the page says it in other words now"
    assert {float(number) for number in found} == {value}


def test_three_strikes_are_as_many_as_the_guide_says() -> None:
    """In words."""
    assert DEFAULT_LIMITS.max_attempts == 3
    assert "three strikes for one version" in (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
