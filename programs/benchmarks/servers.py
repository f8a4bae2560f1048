"""The fake servers as processes of their own, on free ports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Fake", "running"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fake:
    """A running fake server, and what steers it."""

    name: str
    url: str

    def ask(self, what: str) -> Any:
        """``stats``, ``reset`` or ``set?...``: see the fake's own words."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}/_{self.name}/{what}", method="GET" if what == "stats" else "POST"
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own server
            return json.load(answer)


@contextmanager
def running(name: str, *options: str) -> Iterator[Fake]:
    """``fakes3`` or ``sink``, until the block's end."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"programs.benchmarks.{name}", "--port", "0", *options],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        ready = re.search(r"ready on ([\d.]+:\d+)", said)
        if ready is None:
            raise RuntimeError(f"{name} didn't start: {said!r}")
        yield Fake(name, f"http://{ready[1]}")
    finally:
        process.terminate()
        process.wait()
