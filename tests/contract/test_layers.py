"""The layers are kept by import-linter's contracts, and each of them fails when it is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

BREACHES = {
    "against the layers": ("s3/page.py", "import cloudindex_provider.sync.naming", "the layers of the package"),
    "between siblings": ("api/parse.py", "import cloudindex_provider.s3.page", "the layers of the package"),
    "against the rooms of the engine": (
        "sync/naming.py", "import cloudindex_provider.sync.wait", "the rooms of the engine",
    ),
    "against the rooms of the state": (
        "state/records.py", "import cloudindex_provider.state.claims", "the rooms of the state",
    ),
    "a room that no layer names": ("weather.py", "", "the layers of the package"),
    "a room of the engine that no layer names": ("sync/weather.py", "", "the rooms of the engine"),
    "Airflow in the engine": ("sync/naming.py", "import airflow", "Airflow is imported by hooks"),
    "a new module beside the client": ("api/upload.py", "import httpx", "httpx is imported by api.transport"),
    "botocore in the engine": ("sync/naming.py", "import botocore", "botocore is imported by s3"),
    "SQL in the engine": ("sync/naming.py", "import sqlalchemy", "SQLAlchemy is imported by state"),
    "the embedded server in the product": (
        "hooks/s3.py", "import cloudindex_provider.local.names", "nothing but tests and programs imports",
    ),
    "the product in the embedded server": (
        "local/names.py", "import cloudindex_provider.api.limits", "the layers of the package",
    ),
}  # fmt: skip


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, to be broken."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "cloudindex_provider", tmp_path / "cloudindex_provider", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def test_no_contract_is_broken(copy: Path) -> None:
    """The package as it is."""
    done = lint(copy)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "8 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(("module", "line", "contract"), BREACHES.values(), ids=BREACHES.keys())
def test_a_breach_is_found(copy: Path, module: str, line: str, contract: str) -> None:
    """An import that no layer allows, and a module that no layer names, by the contract that forbids it."""
    file = copy / "cloudindex_provider" / module
    before = file.read_text() if file.exists() else ""
    file.write_text(f"{before}\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1
    broken = [text for text in done.stdout.splitlines() if text.endswith("BROKEN") or " BROKEN " in text]
    assert any(text.startswith(contract) for text in broken), done.stdout[-3000:]


def test_no_package_is_a_hall_and_no_module_a_scroll() -> None:
    """At most 30 % of the lines in one package, 400 in one module."""
    lines = {path: len(path.read_text().splitlines()) for path in (ROOT / "cloudindex_provider").rglob("*.py")}
    too_long = {str(path.relative_to(ROOT)): number for path, number in lines.items() if number > 400}
    assert not too_long
    shares: dict[str, int] = {}
    for path, number in lines.items():
        shares[path.relative_to(ROOT).parts[1]] = shares.get(path.relative_to(ROOT).parts[1], 0) + number
    assert max(shares.values()) <= 0.3 * sum(lines.values()), shares
