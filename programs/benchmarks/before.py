"""The project as it was when BENCHMARKS.md was last written: the same jobs run there, so "not slower" has a meaning.

Seconds of another day or machine say little; those of two versions in one run do. ``BEFORE`` names another commit.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from programs.benchmarks.servers import ROOT

__all__ = ["Before", "find_before"]

# Where the jobs have been, newest first.
_PLACES = ("programs.benchmarks.jobs", "tests.benchmarks.jobs")


@dataclass(frozen=True)
class Before:
    """A commit's files, and the module that has its jobs."""

    commit: str
    root: Path
    module: str


def find_before(home: Path) -> Before | None:
    """The files, below ``home``; ``None`` where there is no such commit or it has no jobs."""
    commit = os.environ.get("BEFORE") or _git("log", "-1", "--format=%h", "--", "BENCHMARKS.md").decode().strip()
    root = home / f"before-{commit}"
    if not root.exists():
        files = _git("archive", commit) if commit else b""
        if not files:
            return None
        with tarfile.open(fileobj=io.BytesIO(files)) as archive:
            archive.extractall(root, filter="data")
    for module in _PLACES:
        if root.joinpath(*module.split(".")).with_suffix(".py").exists():
            return Before(commit, root, module)
    return None


def _git(*words: str) -> bytes:
    """What git says; nothing where it can't."""
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False).stdout
    except OSError:
        return b""
