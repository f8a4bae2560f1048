"""`mypy` alone, as `make lint` calls it, reads all that is ours, and finds what makes a test fail or prove nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]

# What a test may be wrong in; each line that is, ends with the code of what mypy says of it.
WRONG = """
from tests.support.helpers import Fake, nothing
from tests.support.helpers import renamed  # attr-defined
import moved_away  # import-not-found


class Lacking(Fake):
    def ask(self, key: int) -> str:  # override
        return "one"


def test_a_name(fixture):
    assert Fake().forgotten  # attr-defined
    assert nowhere  # name-defined


def test_a_call(fixture):
    Fake().ask("a", often=True)  # call-arg
    Fake().ask(1)  # arg-type


def test_what_proves_nothing(fixture):
    assert nothing() is None  # func-returns-value
    assert Fake().found("a").upper() == "A"  # union-attr


def helper() -> str:
    return 1  # return-value
"""
HELPERS = """
class Fake:
    def ask(self, key: str) -> str:
        return key

    def found(self, key: str) -> str | None:
        return key or None


def nothing() -> None: ...
"""


def test_every_folder_with_code_is_read() -> None:
    """A new one has to be named, or excluded by a reason."""
    there = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[a-z]*/**/*.py")}
    assert there == set(SETTINGS["files"])
    assert "packages" not in SETTINGS, "with it, mypy reads nothing else"


def test_what_is_wrong_in_a_test_is_found(tmp_path: Path) -> None:
    """Also where nothing has a type: line by line, by the project's own settings."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    support = tmp_path / "tests" / "support"
    support.mkdir(parents=True)
    (support / "helpers.py").write_text(HELPERS)
    (tmp_path / "tests" / "test_wrong.py").write_text(WRONG)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "tests"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    found = {(int(line.split(":")[1]), line.rpartition("  [")[2].rstrip("]")) for line in errors}
    meant = {
        (number, line.rpartition("  # ")[2]) for number, line in enumerate(WRONG.splitlines(), 1) if "  # " in line
    }
    assert found == meant, done.stdout + done.stderr
