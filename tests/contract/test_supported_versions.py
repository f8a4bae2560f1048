"""The supported Airflow versions and Pythons: stated alike, resolved, and the oldest of them run."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from programs.matrix import packages
from programs.matrix.releases import PYTHONS, RELEASES, UnknownReleaseError, release

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def matrix(option: str) -> str:
    """What the matrix printed. Where the package index can't be reached, the test is skipped, but never in CI."""
    done = subprocess.run(
        [sys.executable, "-m", "programs.matrix", option], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode == 2 and "package index can't be reached" in done.stdout and os.environ.get("CI") != "true":
        pytest.skip(done.stdout.strip()[:300])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.timeout(600)
def test_the_wheel_resolves_beside_every_supported_release() -> None:
    """With the versions that each release was published with, none of them moved."""
    table = matrix("--resolve")
    assert re.findall(r"^\| ([\w.]+) \| [\d.]+ \| resolves: ", table, re.MULTILINE) == [one.version for one in RELEASES]


@pytest.mark.timeout(900)
def test_the_oldest_supported_release_retries_and_maps_like_the_newest() -> None:
    """The wheel, in an environment of its own with the oldest Airflow and the oldest providers that we declare."""
    assert re.search(
        rf"^\| {re.escape(RELEASES[0].version)} \| [\d.]+ \| [1-9]\d+ passed, 0 failed", matrix("--quick"), re.M
    )


def test_the_package_declares_what_the_matrix_tries() -> None:
    """The floor is the oldest release's, and the Pythons are the classifiers'."""
    floor = ".".join(RELEASES[0].version.split(".")[:2])
    assert f"apache-airflow>={floor}" in PROJECT["dependencies"]
    stated = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert (tuple(stated), PROJECT["requires-python"]) == (PYTHONS, f">={PYTHONS[0]}")


def test_the_compatibility_table_has_every_release() -> None:
    """With the Pythons, and whether the tests run on it or it is only resolved."""
    text = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d.]+\w*) \| ([\d., ]+) \| (yes|resolved) \|", text, re.MULTILINE)
    assert rows == [(one.version, ", ".join(PYTHONS), "yes" if one.tested else "resolved") for one in RELEASES]


def test_no_dependency_has_an_upper_bound() -> None:
    """A bound of ours would keep people from an Airflow that works."""
    extras = [one for names in PROJECT["optional-dependencies"].values() for one in names]
    assert [one for one in PROJECT["dependencies"] + extras if re.search(r"[<~!]|==", one)] == []


def test_only_one_module_asks_for_a_version() -> None:
    """Everybody else imports what airflow_compat offers."""
    asking = [
        path.name
        for path in (ROOT / "cloudindex_provider").rglob("*.py")
        if re.search(
            r"airflow(\.sdk)? import .*__version__|airflow\.__version__|AIRFLOW_V_", path.read_text(encoding="utf-8")
        )
    ]
    assert asking == ["airflow_compat.py"]


def test_an_unknown_version_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownReleaseError, match=r"3\.1\.8 .* 3\.2\.0, .*3\.3\.2"):
        release("3.1.8")


def test_packages_come_from_where_pip_takes_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its configuration, over which the environment wins, and over that what is said to uv itself."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.example/a%20b=c/simple\n", encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert packages.uv_environment()["UV_DEFAULT_INDEX"] == "https://mirror.example/a%20b=c/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple")
    assert packages.uv_environment()["UV_DEFAULT_INDEX"] == "https://other.example/simple"
    monkeypatch.setenv("UV_INDEX_URL", "https://third.example/simple")
    assert packages.uv_environment()["UV_DEFAULT_INDEX"] == "https://third.example/simple"


def test_a_python_that_is_not_here_is_said() -> None:
    with pytest.raises(packages.NoInterpreterError, match=r"no Python 3\.99"):
        packages.find_python("3.99")


def test_every_python_that_is_found_is_of_the_version_asked_for() -> None:
    """With uv's quiet option nothing was found, and its default taken: 3.13 for 3.12."""
    found = {}
    for version in PYTHONS:
        with contextlib.suppress(packages.NoInterpreterError):
            found[version] = packages.find_python(version)
    ask = "import sys; print('{}.{}'.format(*sys.version_info))"
    told = {name: subprocess.run([python, "-c", ask], capture_output=True, text=True) for name, python in found.items()}
    assert {name: done.stdout.strip() for name, done in told.items()} == {name: name for name in found}
    assert found
