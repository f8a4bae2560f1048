"""What the guides for contributors name is there: modules and what is in them, files, commands and fixtures."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cloudindex_provider"
GUIDES = ("CONTRIBUTING.md", "tests/README.md")
ROOMS = {path.stem for path in PACKAGE.iterdir()} - {"__init__", "__pycache__"}
CODE = re.compile(r"`([^`\n]+)`")


def code(guide: str) -> list[str]:
    return CODE.findall((ROOT / guide).read_text(encoding="utf-8"))


def dotted(guide: str) -> list[str]:
    """`room.module` or `room.module.name`, as the guides write it: without the package in front."""
    return [one for one in code(guide) if re.fullmatch(r"\w+(\.\w+)+", one) and one.split(".")[0] in ROOMS]


def paths(guide: str) -> list[str]:
    found = [one for one in code(guide) if re.fullmatch(r"[\w./-]+", one)]
    return [one for one in found if "/" in one or one.endswith((".md", ".toml", ".txt"))]


def resolves(name: str) -> bool:
    """Whether the name leads to a module, or to something that one exports, or to a member of that."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (folder := PACKAGE.joinpath(*parts[:length])).is_dir() or folder.with_suffix(".py").is_file():
            found: Any = importlib.import_module(".".join(["cloudindex_provider", *parts[:length]]))
            rest = parts[length:]
            if rest and rest[0] not in getattr(found, "__all__", ()):
                return False
            for part in rest:
                found = getattr(found, part, None)
            return found is not None
    return False


@pytest.mark.usefixtures("airflow_home")
@pytest.mark.parametrize("guide", GUIDES)
def test_every_name_leads_to_what_a_module_exports(guide: str) -> None:
    """A reader who follows a name arrives."""
    names = dotted(guide)
    assert names
    assert [name for name in names if not resolves(name)] == []


@pytest.mark.usefixtures("airflow_home")
@pytest.mark.parametrize(
    "name", ["sync.sending", "sync.wait.gone", "sync.detect.scan.bisect", "s3.source.S3Source.gone"]
)
def test_a_name_that_leads_nowhere_is_told(name: str) -> None:
    """A moved module, a renamed function, what a module only imports, and a member that isn't there."""
    assert not resolves(name)


@pytest.mark.parametrize("guide", GUIDES)
def test_every_path_is_there(guide: str) -> None:
    """Relative to the repository, or to the package."""
    assert [one for one in paths(guide) if not (ROOT / one).exists() and not (PACKAGE / one).exists()] == []


def test_the_commands_are_those_of_make() -> None:
    """Each target of the Makefile has its row, and no other has one."""
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    rows = re.findall(r"^\| `make ([\w-]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets is not None
    assert sorted(rows) == sorted(targets[1].split())


def test_every_fixture_of_the_guide_is_defined_where_it_says() -> None:
    """The name in the first column is a function of the conftest.py in the second."""
    where = ""
    table = (ROOT / "tests/README.md").read_text(encoding="utf-8").partition("## Fixtures")[2].partition("\n## ")[0]
    for line in table.splitlines()[4:]:
        if not line.startswith("|"):
            continue
        _, names, place, *_ = line.split("|")
        where = next(iter(CODE.findall(place)), where)  # "the same" is the row's above
        defined = (ROOT / where).read_text(encoding="utf-8")
        assert [name for name in CODE.findall(names) if f"\ndef {name}(" not in defined] == [], where


def test_every_test_of_the_field_problems_is_there() -> None:
    """Each row names tests, and each of them is a test function."""
    table = (ROOT / "tests/integration/sync/faults/README.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith(("| field", "| ---"))]
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    for row in rows:
        named = [one for one in CODE.findall(row.split("|")[3]) if one.startswith("test_")]
        assert named, row
        assert set(named) <= there, row
