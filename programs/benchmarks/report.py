"""What was measured, as BENCHMARKS.md."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from programs.benchmarks.measure import Measured

__all__ = ["Part", "Table", "Target", "write"]


@dataclass(frozen=True)
class Target:
    """A promise and the number that was measured for it."""

    what: str
    value: float
    least: float = -math.inf
    most: float = math.inf

    @property
    def met(self) -> bool:
        return self.least <= self.value <= self.most

    def line(self) -> str:
        bound = f"at least {self.least:,g}" if self.least > -math.inf else f"at most {self.most:,g}"
        value = f"{self.value:,.0f}" if abs(self.value) >= 1000 else f"{self.value:.3g}"
        return f"| {self.what} | {value} | {bound} | {'yes' if self.met else '**no**'} |"


@dataclass(frozen=True)
class Table:
    """Jobs that did the same work: ``amount`` of ``unit``, where it makes sense to say how many a second."""

    title: str
    rows: Sequence[Measured]
    amount: int = 0
    unit: str = "keys"
    note: str = ""

    def lines(self) -> list[str]:
        rate = f" {self.unit}/s |" if self.amount else ""
        lines = [f"## {self.title}", "", *([self.note, ""] if self.note else [])]
        lines += [
            f"| | seconds | CPU seconds | imports |{rate} peak MB | requests |",
            f"| --- | ---: | ---: | ---: |{' ---: |' if rate else ''} ---: | --- |",
        ]
        return [*lines, *(self._line(one) for one in self.rows), ""]

    def _line(self, one: Measured) -> str:
        first = self.rows[0].seconds
        times = f" ({one.seconds / first:.2f}x)" if self.amount and len(self.rows) > 1 else ""
        rate = f" {self.amount / one.seconds:,.0f} |" if self.amount else ""
        asked = ", ".join(f"{number:,} {what}" for what, number in one.requests.items()) or "-"
        return (
            f"| {one.name} | {one.seconds:.2f}{times} | {one.cpu:.2f} | {one.imports:.2f} |{rate}"
            f" {one.memory / 1e6:.0f} | {asked} |"
        )


@dataclass
class Part:
    """What one part of the benchmark found."""

    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def add(self, more: Part) -> None:
        self.tables += more.tables
        self.targets += more.targets
        self.facts += more.facts

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Part:
        """What was saved.

        :raises FileNotFoundError: when this part was never measured
        """
        stored = json.loads(path.read_text())
        for table in stored["tables"]:
            table["rows"] = [Measured(**row) for row in table["rows"]]
        targets = [Target(**target) for target in stored["targets"]]
        return cls([Table(**table) for table in stored["tables"]], targets, stored["facts"])


def write(path: Path, *, command: str, part: Part) -> None:
    """Write the file anew."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `{command}`. Fakes on loopback, jobs in turn, medians; each job in a process of its own. Seconds"
        " are without imports where the program can tell them apart; CPU seconds and peak memory are the whole"
        " process's. Ratios of one run say more than seconds of two. A job of more than a minute is run once.",
        "",
        *(f"- {fact}" for fact in part.facts),
        "",
        "| target | measured | wanted | met |",
        "| --- | ---: | --- | --- |",
        *(one.line() for one in part.targets),
        "",
    ]
    for table in part.tables:
        lines += table.lines()
    path.write_text("\n".join(lines))
