"""Measuring: one process a job, its time without imports, its own peak memory, and what it asked of the fake S3."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from programs.benchmarks.servers import ROOT, Fake

__all__ = ["Measured", "command", "interleaved", "job"]

_LONG = 60.0  # seconds
Run = Callable[[], dict[str, Any]]


@dataclass
class Measured:
    """The runs of one job. Times are in seconds, memory in bytes."""

    name: str
    runs: list[dict[str, Any]] = field(default_factory=list)

    def _median(self, what: str) -> float:
        return float(statistics.median(run.get(what, 0.0) for run in self.runs))

    @property
    def seconds(self) -> float:
        return self._median("seconds")

    @property
    def imports(self) -> float:
        return self._median("imports")

    @property
    def cpu(self) -> float:
        return self._median("cpu")

    @property
    def memory(self) -> int:
        return max(int(run["memory"]) for run in self.runs)

    @property
    def requests(self) -> dict[str, int]:
        return dict(self.runs[-1].get("requests", {}))


def job(
    name: str, *, _module: str = "programs.benchmarks.jobs", _root: Path = ROOT, **arguments: Any
) -> dict[str, Any]:
    """Run a job of ``jobs.py``, or of another module or version of the project, in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", _module, name, json.dumps(arguments)],
        capture_output=True, text=True, cwd=_root, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def command(*words: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a program. Its start can't be told from its work; it is a few hundredths of a second, for aws a second."""
    start = time.perf_counter()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**inherited, **(environment or {})}
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{words[0]}: {said[-2000:].decode(errors='replace')}")
    return {
        "seconds": time.perf_counter() - start,
        "memory": usage.ru_maxrss * 1024,
        "cpu": usage.ru_utime + usage.ru_stime,
    }


def interleaved(fake: Fake, jobs: Mapping[str, Run], repeat: int, say: Callable[[str], None]) -> dict[str, Measured]:
    """Every job in turn, ``repeat`` times over, so that whatever else the machine does hits all of them alike.

    What takes longer than a minute is run once: there, a disturbance weighs less than the reader's time.
    """
    found = {name: Measured(name) for name in jobs}
    for _ in range(repeat):
        for name, run in jobs.items():
            if found[name].runs and found[name].seconds > _LONG:
                continue
            fake.ask("reset")
            one = run()
            stats = fake.ask("stats")
            one["requests"] = {
                key: value for key, value in stats.items() if key[0].isupper() and not key.startswith("Other")
            }
            found[name].runs.append(one)
            say(f"{name}: {one['seconds']:.2f} s, {one['memory'] / 1e6:.0f} MB, {one['requests']}")
    return found
