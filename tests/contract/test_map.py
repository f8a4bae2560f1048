"""The map stays true: every package says in its docstring what lives in it, a line a module, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "cloudindex_provider"
PACKAGES = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
ROW = re.compile(r"^    (\w+)  +\S")  # `    name  what it is`
MENTION = re.compile(r"``([a-z_0-9]+(?:\.[a-z_0-9]+)+)``")  # ``sync.doubt``


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def docstring(path: Path) -> str:
    return ast.get_docstring(tree(path), clean=False) or ""


def inhabitants(package: Path) -> set[str]:
    """The modules and packages directly in a package."""
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    return modules | {path.parent.name for path in package.glob("*/__init__.py")}


def rows(text: str) -> list[str]:
    return [row[1] for line in text.splitlines() if (row := ROW.match(line))]


def leads_to_a_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file() or path.parent.with_suffix(".py").is_file()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_a_package_names_all_that_lives_in_it(package: Path) -> None:
    """A new module needs its line, a removed one loses it, and none has two."""
    named = rows(docstring(package / "__init__.py"))
    assert sorted(named) == sorted(inhabitants(package))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_a_package_imports_nothing(package: Path) -> None:
    """A module's import pays for that module alone, and no circle can go through a package.

    But for ``errors``, whose types are imported from the tree's root, and whose modules import nothing but each other;
    and for ``aws_lambda``, whose handler is named so in AWS Lambda's settings.
    """
    if package in (PACKAGE / "errors", PACKAGE / "aws_lambda"):
        return
    imports = [
        node for node in ast.walk(tree(package / "__init__.py")) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not imports


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_what_it_is_and_names_only_modules_that_are_there(path: Path) -> None:
    """Its docstring exists; what it names by a path (``room.module`` or ``room.module.name``) leads to a module."""
    text = docstring(path)
    assert text
    mentioned = [name.removeprefix("cloudindex_provider.") for name in MENTION.findall(text)]
    paths = [PACKAGE.joinpath(*name.split(".")) for name in mentioned if name.split(".")[0] in inhabitants(PACKAGE)]
    assert [str(one) for one in paths if not leads_to_a_module(one)] == []


def test_a_row_is_told_from_prose() -> None:
    """Only an indented name with two spaces after it counts, so that a wrapped sentence names no module."""
    assert rows("    loop     claims\n    sender  sends\n  What follows\n    one word after the other\nloop  no\n") == [
        "loop", "sender",
    ]  # fmt: skip
