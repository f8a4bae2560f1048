"""The commands that Airflow is told of: cheap to learn about, all there, and all documented."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("airflow_home")
GUIDE = Path(__file__).parents[3] / "docs" / "commands.md"


def commands(parser: Any) -> Iterator[tuple[str, ArgumentParser]]:
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        for name, child in action.choices.items():
            if child._subparsers:
                yield from ((f"{name} {rest}", leaf) for rest, leaf in commands(child))
            else:
                yield name, child


@pytest.fixture(scope="module")
def ours() -> dict[str, ArgumentParser]:
    """name -> parser of each of our commands, from Airflow's own parser."""
    from airflow.cli.cli_parser import get_parser

    found = dict(commands(get_parser()))
    return {name.partition(" ")[2]: parser for name, parser in found.items() if name.startswith("cloudindex ")}


def test_airflow_offers_every_command(ours: dict[str, ArgumentParser]) -> None:
    """They come by the provider's metadata, with nothing to configure."""
    assert set(ours) == {
        "sources list", "sources forget", "sources adopt", "retry", "history", "holds", "approve", "plan", "rebuild",
        "audit", "dags", "migrate", "prune", "iam-policy", "notifications check", "notifications apply",
        "notifications remove", "notifications test",
    }  # fmt: skip


def test_every_command_prints_json_and_leads_to_a_function(ours: dict[str, ArgumentParser]) -> None:
    """What a command loads when it is called is there, and --output json is everywhere."""
    from airflow._shared.module_loading import import_string

    for name, parser in ours.items():
        assert parser.get_default("output") == "table", name
        loader = parser.get_default("func")
        path = next(cell.cell_contents for cell in loader.__closure__ if isinstance(cell.cell_contents, str))
        assert callable(import_string(path)), path


def test_the_guide_names_every_command(ours: dict[str, ArgumentParser]) -> None:
    """A command that nobody can read about is of no use."""
    text = GUIDE.read_text(encoding="utf-8")
    assert [name for name in ours if f"`{name}" not in text] == []


def test_learning_about_the_commands_loads_nothing_of_the_sync() -> None:
    """Every `airflow` command pays for this import: no database, no HTTP, no AWS, none of our own modules."""
    code = (
        "import sys; import airflow.cli.cli_config; before = set(sys.modules);"
        "import cloudindex_provider.cli.definition as d; d.get_cloudindex_cli_commands();"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert set(loaded) - {"cloudindex_provider"} == {"cloudindex_provider.cli", "cloudindex_provider.cli.definition"}
