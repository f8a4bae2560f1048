"""This package beside every supported Airflow: ``python -m programs.matrix``, by ``make test-matrix``.

Resolves the wheel beside each release, then runs the tests that face Airflow on each release and Python, and prints a
table. ``--demo`` runs ``make demo`` on one release instead. Exit codes: 0 all passed, 1 something didn't, 2 it couldn't
be tried.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

from programs.matrix.environments import FOLDER, ROOT, Constraints, Environment, build_wheel
from programs.matrix.packages import NoInterpreterError, NotResolvedError, UnreachableError, uv
from programs.matrix.releases import OLDEST, PYTHONS, RELEASES, TESTED, Release, UnknownReleaseError, release

# What an Airflow version can change: all that runs in its processes. The engine below is the same everywhere.
FACING_AIRFLOW = (
    "tests/unit/assets",
    "tests/unit/operators",
    "tests/unit/hooks",
    "tests/unit/cli",
    "tests/unit/test_retry.py",
    "tests/unit/test_airflow_compat.py",
    "tests/contract/test_provider_info.py",
    "tests/integration/airflow",
)
# Where the versions differ most: retries and mapping. A minute, for `make test`.
QUICK = (
    "tests/unit/operators",
    "tests/unit/test_retry.py",
    "tests/unit/test_airflow_compat.py",
    "tests/integration/airflow/test_retries.py",
    "tests/integration/airflow/single_steps/test_dag_runs.py",
)
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    airflow: str
    python: str
    said: str
    good: bool = True


def say(text: str) -> None:
    print(text, flush=True)


def resolve(releases: Sequence[Release], constraints: Constraints, wheel: Path, python: str) -> list[Row]:
    """Whether the wheel fits beside each release, and with which versions."""
    rows = []
    for one in releases:
        try:
            found = constraints.resolve(wheel, one, python)
        except NotResolvedError as error:
            rows.append(Row(one.version, python, f"does not resolve: {error}", good=False))
            continue
        versions = ", ".join(f"{name} {found[f'apache-airflow-providers-{name}']}" for name in ("amazon", "standard"))
        rows.append(Row(one.version, python, f"resolves: {versions}, SQLAlchemy {found['sqlalchemy']}"))
    return rows


def run_tests(environment: Environment, wheel: Path, constraints: Constraints, *pytest: str) -> Row:
    """The tests on one release and Python."""
    who = (environment.release.version, environment.python)
    say(f"\n=== Airflow {who[0]}, Python {who[1]}")
    try:
        environment.install(wheel, constraints)
    except NoInterpreterError as error:
        return Row(*who, f"not run: {error}")
    except NotResolvedError as error:
        return Row(*who, f"can't be installed: {error}", good=False)
    began, results = time.monotonic(), environment.folder / "results.xml"
    results.unlink(missing_ok=True)
    code = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}", *pytest)
    seconds = time.monotonic() - began
    return Row(*who, f"{_counts(results)} in {seconds:.0f} s", good=code == 0)


def _counts(results: Path) -> str:
    if not results.exists():
        return "no test was run"
    (suite,) = ElementTree.parse(results).getroot().iter("testsuite")  # noqa: S314 - written by our own pytest
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return f"{total - skipped - failed} passed, {failed} failed, {skipped} skipped"


def run_demo(one: Release, wheel: Path, constraints: Constraints, *, keep: bool) -> NoReturn:
    """``make demo`` on one release, in the place of this process."""
    environment = Environment(one, HERE)
    say(f"Installing Airflow {one.version} into {environment.folder}.")
    environment.install(wheel, constraints)
    environment.become("-m", "programs.demo.demo", "--home", f"{ROOT}/.demo", *(["--keep"] if keep else []))


def newer_than_ours() -> str | None:
    """A release that the index has and our table hasn't."""
    asked = FOLDER / "newest.in"
    asked.write_text("apache-airflow\n", encoding="utf-8")
    found = uv("pip", "compile", asked, "--no-deps", "--prerelease", "allow", "--no-header", "--no-annotate").strip()
    version = found.rpartition("==")[2]
    return None if version in {one.version for one in RELEASES} else version


def print_table(rows: Sequence[Row]) -> None:
    say("\n| Airflow | Python | |\n| --- | --- | --- |")
    for row in rows:
        say(f"| {row.airflow} | {row.python} | {row.said.replace(chr(10), ' ')} |")


def run(options: argparse.Namespace) -> int:
    """What the options say; the exit code."""
    FOLDER.mkdir(exist_ok=True)
    constraints, wheel = Constraints(options.constraints), build_wheel()
    chosen = [release(version) for version in options.airflow]
    if options.demo:
        run_demo((chosen or [OLDEST])[0], wheel, constraints, keep=options.keep)
    rows = resolve(chosen or RELEASES, constraints, wheel, HERE)
    for environment in _environments(options, chosen):
        tests = QUICK if options.quick else ("-n", "2", "--dist", "loadfile", *FACING_AIRFLOW)
        rows.append(run_tests(environment, wheel, constraints, *(options.tests or tests)))
    print_table(rows)
    if version := newer_than_ours():
        say(f"\nThe index has Airflow {version}, which programs/matrix/releases.py doesn't name.")
    return 0 if all(row.good for row in rows) else 1


def _environments(options: argparse.Namespace, chosen: Sequence[Release]) -> list[Environment]:
    if options.resolve:
        return []
    releases, pythons = ([OLDEST], [HERE]) if options.quick else (TESTED, PYTHONS)
    return [Environment(one, python) for one in chosen or releases for python in options.python or pythons]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--airflow", nargs="*", default=[], help="only these versions")
    parser.add_argument("--python", nargs="*", default=[], help=f"only these Pythons; default: {', '.join(PYTHONS)}")
    parser.add_argument("--constraints", type=Path, help="a folder of official files, such as constraints-3.2.2.txt")
    parser.add_argument("--resolve", action="store_true", help="only resolve, run nothing")
    parser.add_argument(
        "--quick", action="store_true", help="the oldest version, only where versions differ most, on this Python"
    )
    parser.add_argument("--demo", action="store_true", help="run the demo on that version")
    parser.add_argument("--keep", action="store_true", help="with --demo: leave the UI up until Ctrl-C")
    parser.add_argument("tests", nargs="*", help="pytest's arguments instead of the tests that face Airflow")
    options = parser.parse_args()
    return guarded(lambda: run(options))


def guarded(act: Callable[[], int]) -> int:
    """Its exit code, or 2 with one sentence where it couldn't be tried."""
    try:
        return act()
    except UnknownReleaseError as error:
        say(str(error))
    except UnreachableError as error:
        say(f"The package index can't be reached: {error}")
    except (NoInterpreterError, NotResolvedError) as error:
        say(f"The environment can't be made: {error}")
    except subprocess.CalledProcessError as error:
        say(f"The wheel can't be built: {error.stderr.decode(errors='replace')}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
