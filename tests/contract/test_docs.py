"""The pages of docs/: they build, links lead somewhere, blocks are what they say, and no argument is missing."""

from __future__ import annotations

import configparser
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from cloudindex_provider.api.connection import DEFAULT_BASE_URL
from cloudindex_provider.get_provider_info import get_provider_info
from cloudindex_provider.hooks.cloudindex import CloudIndexSettings
from tests.support.guide_blocks import Block, blocks, connections, shell_lines

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
# What people read on the repository's own web page, where no site is built.
READ_THERE = [*(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")), *PAGES]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|\b(?:src|srcset|href)=\"([^\"]+)\"")
# Blocks of these pages, each executed or parsed below; docs/deploy.md has tests of its own.
BLOCKS = [
    pytest.param(page, block, id=f"{page.name}: {block}")
    for page in (ROOT / "README.md", *PAGES)
    if page.name != "deploy.md"
    for block in blocks(page)
]
OPERATORS = "cloudindex_provider.operators."
ASSIGNMENT = re.compile(r"[A-Z_]+=")
# Commands of the blocks that aren't Airflow's.
TOOLS = {"export", "make", "pip", "python", "sqlite3", "pg_dump"}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_code(page: Path) -> str:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings, and the site too."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in found}


def broken(page: Path) -> Iterator[str]:
    """Relative links of a page that lead nowhere."""
    for pair in LINK.findall(without_code(page)):
        target = pair[0] or pair[1]
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            yield target


@pytest.mark.parametrize("page", READ_THERE, ids=name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """Where the pages are read as files."""
    assert list(broken(page)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    """A missing file, a missing heading, an image that isn't there; not what only looks like a link."""
    page = tmp_path / "page.md"
    page.write_text(
        '# A b\n[a](#a-b) [b](#c) [c](no.md) ![d](no.png) <img src="nor.png"> `[e](no.md)` [f](https://x.y/z)\n',
        "utf-8",
    )
    assert list(broken(page)) == ["#c", "no.md", "no.png", "nor.png"]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """As `make docs` does: links, headings, pages that the navigation forgets, names that the reference can't find."""
    pytest.importorskip("mkdocs", reason="the tools of `make docs` aren't installed here")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    built = {path.relative_to(tmp_path).with_suffix(".md") for path in tmp_path.rglob("*.html")}
    assert {page.relative_to(DOCS) for page in PAGES} <= built
    reference = "".join(path.read_text(encoding="utf-8") for path in tmp_path.glob("reference/*.html"))
    assert "max_delete_documents" in reference
    assert re.findall(r":(?:class|meth|func|mod|attr):<code>", reference) == []  # Sphinx's, which nobody resolves here


@pytest.mark.parametrize("front", [ROOT / "README.md", DOCS / "index.md"], ids=name)
def test_the_front_pages_lead_to_every_page(front: Path) -> None:
    """A page that nothing leads to is not read."""
    linked = {(front.parent / (a or b).partition("#")[0]).resolve() for a, b in LINK.findall(without_code(front))}
    pages = {page for page in DOCS.glob("*.md") if page.name != "index.md"}
    assert pages - linked == set()


# Blocks


@pytest.mark.usefixtures("airflow_home")
@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_every_block_is_what_it_says(page: Path, block: Block) -> None:
    """DAGs are made, commands are parsed by whoever would run them, data is read."""
    CHECKS[block.language](block)


def _python(block: Block) -> None:
    """Executed, as the DAG processor would; a task's own code runs with its DAG."""
    exec(compile(block.text, "<guide>", "exec"), {"__name__": "guide"})  # noqa: S102 - our own pages


def _bash(block: Block) -> None:
    for words in shell_lines(block):
        words = words[: next((at for at, word in enumerate(words) if word in ("|", "#", ">")), None)]
        words = list(dropwhile(ASSIGNMENT.match, words))
        if not words:
            continue
        if words[0] == "airflow":
            _airflow(words[1:])
        elif words[0] == "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert words[1] in targets, words
        elif words[:2] == ["python", "-m"]:
            importlib.import_module(words[2])
        else:
            assert words[0] in TOOLS, words
    for conn_id, text in connections(block):
        with patch.dict(os.environ, {f"AIRFLOW_CONN_{conn_id.upper()}": text}):
            _check_connection(conn_id)


def _airflow(words: list[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    given = get_parser().parse_args(words)
    if words[:2] == ["connections", "add"] and given.conn_extra:
        json.loads(given.conn_extra)


def _check_connection(conn_id: str) -> None:
    from airflow.sdk import BaseHook

    found = BaseHook.get_connection(conn_id)
    if found.conn_type == "cloudindex":
        settings = CloudIndexSettings.from_connection(found)
        assert (settings.base_url, bool(settings.project_id)) == (DEFAULT_BASE_URL, True)
    else:
        assert found.conn_type in ("aws", "postgres")


def _ini(block: Block) -> None:
    read = configparser.ConfigParser()
    read.read_string(block.text)
    options: Any = get_provider_info()["config"]
    for section in read.sections():
        if section in options:
            assert set(read[section]) <= set(options[section]["options"]), section


def _mermaid(block: Block) -> None:
    assert block.text.split()[0] in ("flowchart", "stateDiagram-v2")


CHECKS = {
    "python": _python, "bash": _bash, "ini": _ini, "mermaid": _mermaid,
    "text": lambda block: None,  # nothing but text
    "json": lambda block: json.loads(block.text), "yaml": lambda block: yaml.safe_load(block.text),
}  # fmt: skip


# Reference


def public_classes() -> list[type]:
    """The operators, sensors and hooks that Airflow is told of."""
    info: Any = get_provider_info()
    names = [one["python-modules"] for kind in ("operators", "sensors", "hooks") for one in info[kind]]
    names += [[one["python-module"]] for one in info["transfers"]]
    modules = [importlib.import_module(module) for named in names for module in named]
    found = [getattr(module, public) for module in modules for public in module.__all__]
    # What the settings of a connection mean stands in its form and in docs/connections.md.
    return sorted({one for one in found if inspect.isclass(one)} - {CloudIndexSettings}, key=lambda one: one.__name__)


def undocumented(of: type) -> set[str]:
    """Arguments that no docstring of the class or of those above it has a ``:param`` of."""
    ours = [one for one in of.__mro__ if one.__module__.startswith("cloudindex_provider.")]
    said = {found for one in ours for found in re.findall(r":param (\w+):", one.__doc__ or "")}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    signatures = [inspect.signature(vars(one)["__init__"]) for one in ours if "__init__" in vars(one)]
    taken = {p.name for signature in signatures for p in signature.parameters.values() if p.kind in kinds}
    return taken - said - {"self"}


@pytest.mark.usefixtures("airflow_home")
def test_every_argument_of_every_operator_is_documented() -> None:
    """Where editors and the reference show it."""
    found = {one.__name__: undocumented(one) for one in public_classes()}
    assert {one: names for one, names in found.items() if names} == {}


def test_an_argument_without_a_word_is_found() -> None:
    """In a class, and in what it inherits from."""

    class Base:
        """Has one.

        :param told: is told
        """

        def __init__(self, told: int, untold: int) -> None: ...

    class Operator(Base):
        """Has another."""

        def __init__(self, *, more: int, **kwargs: Any) -> None: ...

    Base.__module__ = Operator.__module__ = "cloudindex_provider.made_up"
    assert undocumented(Operator) == {"untold", "more"}


@pytest.mark.usefixtures("airflow_home")
def test_the_reference_has_every_public_class() -> None:
    """Operators, sensors and hooks by the names that users import, and what has some of their arguments."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE)
    there = set(re.findall(r"^::: [\w.]+\.(\w+)$", text, re.MULTILINE))
    classes = {base for one in public_classes() for base in one.__mro__ if base.__module__.startswith(OPERATORS)}
    takers = {one for one in classes if "__init__" in vars(one) and not one.__name__.startswith("_")}
    assert {one.__name__ for one in {*public_classes()} | takers} - there == set()
