"""The benchmark of a state that has grown old: what an outcome costs in it, and who waits for its pruning."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from programs.benchmarks.measure import Measured, job
from programs.benchmarks.report import Part, Table, Target
from programs.benchmarks.servers import ROOT

__all__ = ["Age", "measure"]

_JOBS = "programs.benchmarks.age_jobs"
DOCUMENTS = 1000  # whose outcomes are measured


@dataclass(frozen=True)
class Age:
    """How old the state is."""

    runs: int
    events: int  # in its history
    keys: int


def measure(age: Age, repeat: int, home: Path, say: Callable[[str], None]) -> Part:
    """Outcomes in a young and in an old state of as many keys, in turn; then the old one is pruned beside a writer."""
    documents = min(DOCUMENTS, age.keys)
    states = {
        f"{documents:,} documents, first run": (home / "young.db", Age(1, 1, age.keys)),
        f"{documents:,} documents, {age.runs:,} runs and {age.events:,} events": (home / "old.db", age),
    }
    for name, (state, size) in states.items():
        made = job("build", _module=_JOBS, state=str(state), runs=size.runs, events=size.events, keys=size.keys)
        say(f"{name}: built in {made['seconds']:.1f} s, {state.stat().st_size / 1e6:.0f} MB")
    found = {name: Measured(name) for name in states}
    for _ in range(repeat):
        for name, (state, _size) in states.items():
            found[name].runs.append(job("outcomes", _module=_JOBS, state=str(state), documents=documents))
            say(f"{name}: {found[name].runs[-1]['each'] * 1000:.2f} ms an outcome")
    pruned, written = _prune(home / "old.db")
    say(f"pruned {pruned['rows']:,} rows in {pruned['seconds']:.1f} s; {written}")
    for state in home.glob("*.db*"):
        state.unlink()
    return _part(found, pruned, written)


def _prune(state: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the pruning and what the writer beside it found."""
    with subprocess.Popen(
        [sys.executable, "-m", _JOBS, "write", json.dumps({"state": str(state)})],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as writer:  # fmt: skip
        pruned = job("prune", _module=_JOBS, state=str(state))
        said, _ = writer.communicate()  # ends its input, and so the job
    return pruned, json.loads(said.splitlines()[-1])


def _part(found: dict[str, Measured], pruned: dict[str, Any], written: dict[str, Any]) -> Part:
    young, old = (statistics.median(run["each"] for run in one.runs) * 1000 for one in found.values())
    pruning = Measured(f"pruning of {pruned['rows']:,} rows beside a writer", [pruned])
    note = (
        "Changed keys that are claimed, sent and processed in the state alone, on SQLite. Pruning rests as long as it"
        f" writes; half of the writer's {written['writes']:,} transactions took at most"
        f" {written['median'] * 1000:.1f} ms."
    )
    return Part(
        [Table("An old state", [*found.values(), pruning], note=note)],
        [
            Target("an old state: ms that a document's outcome takes, median", old, most=2),
            Target("an old state: a document's outcome, times as long as in the first run", old / young, most=1.5),
            Target("an old state: seconds that the slowest writer waits for pruning", written["longest"], most=1),
            Target("an old state: seconds of pruning in one run's report", pruned["first"], most=12),
        ],
    )
