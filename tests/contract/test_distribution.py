"""What is shipped works by itself: the wheel in a bare folder, and the sdist, which makes the same wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = (
    ".git", ".venv", ".bench", ".demo", ".matrix", ".hypothesis", "*_cache", "__pycache__", "*.egg-info", "build",
    "dist", "site",
)  # fmt: skip

# The build backend's own functions, as pip would call them, without the network that an isolated build needs.
BUILD = """\
import sys
import hatchling.build as backend
print(getattr(backend, sys.argv[1])(sys.argv[2]))
"""

# Runs where nothing but the folder has our package. Prints what it found as JSON.
LOOK = """\
import importlib, importlib.metadata, importlib.resources, json, pathlib, pkgutil, sys

folder, copies = sys.argv[1:]
others = [one for one in sys.path if not (pathlib.Path(one) / "cloudindex_provider/__init__.py").is_file()]
sys.path[:] = [folder, *others]
import cloudindex_provider

names = [one.name for one in pkgutil.walk_packages(cloudindex_provider.__path__, "cloudindex_provider.")]
names = [name for name in names if not name.endswith("__main__")]
files = {name: importlib.import_module(name).__file__ for name in names}
[shipped] = importlib.metadata.distributions(path=[folder])
[point] = shipped.entry_points.select(group="apache_airflow_provider")

from airflow.cli.cli_parser import get_parser
from airflow.providers_manager import ProvidersManager
args = get_parser().parse_args(["cloudindex", "dags", "--copy-to", copies])
args.func(args)
print(json.dumps({
    "files": files,
    "provider": point.load()()["package-name"],
    "name": shipped.name,
    "version": shipped.version == cloudindex_provider.__version__,
    "documentation": ProvidersManager().providers[shipped.name].data["documentation-url"],
    "typed": importlib.resources.files("cloudindex_provider").joinpath("py.typed").is_file(),
}))
"""


@dataclass(frozen=True)
class Built:
    """The files that would be published, and the wheel that an installer makes from the sdist."""

    wheel: Path
    sdist: Path
    wheel_of_sdist: Path

    def in_sdist(self) -> set[str]:
        """Its files, without the folder of name and version that all are in."""
        with tarfile.open(self.sdist) as archive:
            return {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()}


def build(kind: str, source: Path, into: Path) -> Path:
    into.mkdir(exist_ok=True)
    name = run([sys.executable, "-c", BUILD, f"build_{kind}", str(into)], cwd=source).split()[-1]
    return into / name


def run(command: list[str], *, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built from a copy of the tree, tests and programs included, so that the sdist has something to leave out."""
    here = tmp_path_factory.mktemp("distribution")
    tree = shutil.copytree(ROOT, here / "tree", ignore=shutil.ignore_patterns(*NOT_OURS))
    sdist = build("sdist", tree, here / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(here / "unpacked", filter="data")
    [unpacked] = (here / "unpacked").iterdir()
    return Built(build("wheel", tree, here / "dist"), sdist, build("wheel", unpacked, here / "again"))


@pytest.fixture(scope="module")
def installed(built: Built, airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an interpreter finds that has the wheel in a folder of its own and never sees the repository."""
    folder, elsewhere = tmp_path_factory.mktemp("bare"), tmp_path_factory.mktemp("elsewhere")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    run([*pip, "--target", str(folder), str(built.wheel)], cwd=elsewhere)
    assert os.environ["AIRFLOW_HOME"] == str(airflow_home)
    copies = elsewhere / "dags"
    found = json.loads(run([sys.executable, "-c", LOOK, str(folder), str(copies)], cwd=elsewhere).splitlines()[-1])
    return {**found, "folder": folder, "copies": copies}


def test_every_module_is_in_the_wheel_and_imports_from_it(installed: dict[str, Any]) -> None:
    """All of them, each from the bare folder."""
    package = ROOT / "cloudindex_provider"
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in package.rglob("*.py")}
    expected = {name.removesuffix(".__init__") for name in names if not name.endswith("__main__")}
    assert set(installed["files"]) == expected - {"cloudindex_provider"}
    strangers = [file for file in installed["files"].values() if not Path(file).is_relative_to(installed["folder"])]
    assert strangers == []


def test_airflow_finds_the_installed_provider(installed: dict[str, Any]) -> None:
    """By the one entry point, whose metadata names the distribution and its version."""
    assert installed["provider"] == installed["name"] == "airflow-provider-cloudindex"
    assert installed["version"]


def test_airflows_page_of_providers_links_a_page_that_is_there(installed: dict[str, Any]) -> None:
    """Where the metadata names no documentation, Airflow links a page of its own site that doesn't exist."""
    assert installed["documentation"] == "https://cloudindex.ai/"


def test_the_metadata_says_who_and_what(built: Built) -> None:
    """Author, home page and keywords, by which people find a package and those behind it."""
    [text] = [body for name, body in contents(built.wheel).items() if name.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(text)
    assert metadata["Author"] == "The airflow-provider-cloudindex authors"
    assert "Homepage, https://cloudindex.ai/" in metadata.get_all("Project-URL", [])
    assert {"airflow", "s3", "rag"} <= set(metadata["Keywords"].split(","))


def test_the_dags_are_copied_from_the_installed_package(installed: dict[str, Any]) -> None:
    """By its own command, where nobody has the repository: all of them, with the bytes that are in it."""
    expected = {path.name: path.read_bytes() for path in (ROOT / "dags").glob("*.py")}
    assert {path.name: path.read_bytes() for path in installed["copies"].iterdir()} == expected
    assert expected


def test_type_checkers_are_told_that_the_package_has_types(installed: dict[str, Any], built: Built) -> None:
    """``py.typed`` is where PEP 561 wants it, in the wheel and in the sdist."""
    assert installed["typed"]
    assert "cloudindex_provider/py.typed" in built.in_sdist()


def test_the_sdist_holds_what_users_need_and_no_more(built: Built) -> None:
    """The package, the DAGs to copy and the documents; no tests and no programs."""
    top = {name.partition("/")[0] for name in built.in_sdist()}
    assert top - {".", ".gitignore"} == {
        "cloudindex_provider", "dags", "docs", "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "pyproject.toml",
        "PKG-INFO",
    }  # fmt: skip


def test_the_sdist_makes_the_same_wheel(built: Built) -> None:
    """The same files with the same bytes."""
    assert contents(built.wheel_of_sdist) == contents(built.wheel)


def test_the_wheel_holds_the_package_alone(built: Built) -> None:
    """Nothing else lands beside other people's packages."""
    top = {name.partition("/")[0] for name in contents(built.wheel)}
    assert {name for name in top if not name.endswith(".dist-info")} == {"cloudindex_provider"}


def test_a_users_dag_passes_a_strict_type_check_and_mistakes_do_not(installed: dict[str, Any], tmp_path: Path) -> None:
    """Against the installed wheel, in one run: nothing is said of the DAG that is right, and each mistake is found."""
    shutil.copytree(ROOT / "tests" / "contract" / "user_dags", tmp_path, dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "right.py", "wrong.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed["folder"])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    found = {tuple(line.split(":")[:2]) for line in done.stdout.splitlines() if ": error: " in line}
    lines = (tmp_path / "wrong.py").read_text().splitlines()
    marked = {("wrong.py", str(number)) for number, line in enumerate(lines, 1) if line.endswith("# refused")}
    assert found == marked, done.stdout + done.stderr
