"""What stands beside an Airflow release, and an environment with that release, this package's wheel and the tests.

All of it is kept in ``.matrix`` and made anew when what it was made from has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from programs.matrix.packages import find_python, uv
from programs.matrix.releases import Release

__all__ = ["FOLDER", "ROOT", "Constraints", "Environment", "build_wheel"]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".matrix"
PROVIDERS = ("amazon", "standard", "postgres")
EXTRAS = "local,postgres"
STAGED = ("tests", "programs", "dags", "docs")


@dataclass(frozen=True)
class Constraints:
    """The versions that an Airflow release was published with.

    :param given: a folder of official files, ``constraints-3.2.2.txt`` or ``constraints-3.2.2-3.12.txt``
    """

    given: Path | None = None

    def file(self, release: Release, python: str) -> Path:
        """The official file where it is given; else Airflow and the providers that we use, as of the release's day."""
        for name in (f"constraints-{release.version}-{python}.txt", f"constraints-{release.version}.txt"):
            if self.given and (self.given / name).is_file():
                return self.given / name
        wanted = [f"apache-airflow=={release.version}", *(f"apache-airflow-providers-{name}" for name in PROVIDERS)]
        file = FOLDER / f"constraints-{release.version}-{python}.txt"
        if not file.exists():
            _compile(wanted, release, python, file)
        return file

    def resolve(self, wheel: Path, release: Release, python: str) -> dict[str, str]:
        """The versions of everything beside this package, by name.

        :raises NotResolvedError: when the package doesn't fit in
        """
        asked = [_ours(wheel), f"apache-airflow=={release.version}"]
        out = FOLDER / f"resolved-{release.version}-{python}.txt"
        _compile(asked, release, python, out, "--constraint", self.file(release, python))
        lines = out.read_text(encoding="utf-8").splitlines()
        return {name: version for name, found, version in (line.partition("==") for line in lines) if found}


def _compile(wanted: list[str], release: Release, python: str, out: Path, *more: str | Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    asked, part = out.with_suffix(".in"), out.with_suffix(f".{os.getpid()}.part")
    asked.write_text("\n".join(wanted) + "\n", encoding="utf-8")
    options = ("--exclude-newer", release.cutoff, "--python-version", python, "--no-header", "--no-annotate")
    uv("pip", "compile", asked, "--output-file", part, *options, *more)
    part.replace(out)


@dataclass(frozen=True)
class Environment:
    """A virtual environment with one release of Airflow on one Python."""

    release: Release
    python: str

    @property
    def folder(self) -> Path:
        return FOLDER / f"{self.release.version}-py{self.python}"

    @property
    def interpreter(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def staged(self) -> Path:
        return self.folder / "stage"

    def install(self, wheel: Path, constraints: Constraints) -> None:
        """Make it, or only put the wheel of now into it.

        :raises NoInterpreterError: this machine has no such Python
        """
        interpreter, file = find_python(self.python), constraints.file(self.release, self.python)
        made_from = f"{_digest(ROOT / 'pyproject.toml', file)} {interpreter}"
        stamp = self.folder / ".made-from"
        target = ("pip", "install", "--python", self.interpreter)
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != made_from:
            uv("venv", "--clear", "--seed", "--python", interpreter, self.folder)
            as_of, frozen = ("--exclude-newer", self.release.cutoff), self.folder / "frozen.txt"
            uv(*target, *as_of, "--constraint", file, f"apache-airflow=={self.release.version}", _ours(wheel))
            frozen.write_text(self._versions(), encoding="utf-8")
            uv(
                *target, *as_of, "--constraint", frozen, "--group", f"{ROOT}/pyproject.toml:dev"
            )  # moves nothing of that
            stamp.write_text(made_from, encoding="utf-8")
        uv(*target, "--no-deps", "--reinstall", wheel)
        self._stage()

    def _versions(self) -> str:
        lines = uv("pip", "freeze", "--python", self.interpreter).splitlines()
        return "".join(f"{line}\n" for line in lines if "==" in line)

    def _stage(self) -> None:
        """Copy what runs against the wheel: tests, programs, DAGs and guides, and not the package beside them."""
        shutil.rmtree(self.staged, ignore_errors=True)
        for name in STAGED:
            shutil.copytree(ROOT / name, self.staged / name, ignore=shutil.ignore_patterns("__pycache__"))
        for file in (ROOT / "pyproject.toml", *ROOT.glob("*.md")):
            shutil.copy(file, self.staged)

    def run(self, *arguments: str | Path) -> int:
        """Run this environment's Python among the staged files, where the wheel is the only copy of the package."""
        command = [self.interpreter, *arguments]
        return subprocess.run(command, cwd=self.staged, env=_plain_environment(), check=False).returncode

    def become(self, *arguments: str) -> NoReturn:
        """The same, in the place of this process: what it is told by signals, the program hears."""
        os.chdir(self.staged)
        os.execve(self.interpreter, [str(self.interpreter), *arguments], _plain_environment())  # noqa: S606


def build_wheel() -> Path:
    """The wheel of the working copy, by the build backend that is installed already."""
    out = FOLDER / "dist"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    return wheel


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST_"))}


def _ours(wheel: Path) -> str:
    return f"airflow-provider-cloudindex[{EXTRAS}] @ {wheel.as_uri()}"


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
