"""What was measured, as BENCHMARKS.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measure import Measured

__all__ = ["Target", "write"]


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
        bound = f"at least {self.least:g}" if self.least > -math.inf else f"at most {self.most:g}"
        return f"| {self.what} | {self.value:.3g} | {bound} | {'yes' if self.met else '**no**'} |"


def _table(rows: Mapping[str, Measured], keys: int) -> list[str]:
    lines = [
        "| | seconds | CPU seconds | imports | keys/s | peak MB | S3 requests |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    first = next(iter(rows.values())).seconds
    for name, one in rows.items():
        asked = ", ".join(f"{number:,} {what}" for what, number in one.requests.items()) or "-"
        times = f" ({one.seconds / first:.1f}x)" if len(rows) > 1 else ""
        lines.append(
            f"| {name} | {one.seconds:.2f}{times} | {one.cpu:.2f} | {one.imports:.2f} | {keys / one.seconds:,.0f}"
            f" | {one.memory / 1e6:.0f} | {asked} |"
        )
    return lines


def write(
    path: Path, *, size: str, keys: int, facts: Sequence[str], targets: Sequence[Target],
    tables: Mapping[str, Mapping[str, Measured]],
) -> None:  # fmt: skip
    """Write the file anew."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench SIZE={size}`, {keys:,} keys. Fakes on loopback, jobs in turn, medians; each in a"
        " process of its own. Seconds are without imports where the program can tell them apart; CPU seconds and peak"
        " memory are the whole process's.",
        "",
        *(f"- {fact}" for fact in facts),
        "",
        "| target | measured | wanted | met |",
        "| --- | ---: | --- | --- |",
        *(one.line() for one in targets),
        "",
    ]
    for title, rows in tables.items():
        of = keys if title != "Memory" else 0
        lines += [f"## {title}", "", *(_table(rows, of) if of else _memory(rows)), ""]
    path.write_text("\n".join(lines))


def _memory(rows: Mapping[str, Measured]) -> list[str]:
    lines = ["| | seconds | peak MB |", "| --- | ---: | ---: |"]
    return lines + [f"| {name} | {one.seconds:.2f} | {one.memory / 1e6:.0f} |" for name, one in rows.items()]
