"""The end of a run as a table: every outcome with its count and its first keys, a line each. Pure.

Every line stands for itself, so that a log that breaks lines or sorts by level keeps it readable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from cloudindex_provider.state.counts import QUANTITIES, REPORTED
from cloudindex_provider.words import quoted, shortened

__all__ = ["Tabled", "table"]

Row = Mapping[str, str | None]

_SHOWN = 3  # keys of an outcome
_KEY, _REASON = 80, 120  # characters


class Tabled(Protocol):
    """What the table needs of a report."""

    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def skipped_by_reason(self) -> Mapping[str, int]: ...
    def first_rows(self) -> Mapping[str, Sequence[Row]]: ...


def table(report: Tabled) -> list[str]:
    """The lines, in the order in which counts are declared; none where nothing was listed or done."""
    rows = report.first_rows()
    numbers = [(name, report.counts[name]) for name in REPORTED if name not in QUANTITIES and report.counts.get(name)]
    if not numbers:
        return []
    width = max(len(name) for name, _ in numbers)
    digits = max(len(f"{number:,}") for _, number in numbers)
    return [
        f"{name:<{width}}  {number:>{digits},}  {_about(report, name, number, rows.get(name, ()))}".rstrip()
        for name, number in numbers
    ]


def _about(report: Tabled, name: str, number: int, rows: Sequence[Row]) -> str:
    shown = "; ".join(_entry(row) for row in rows[:_SHOWN])
    more = number - len(rows[:_SHOWN])
    keys = f"{shown}; and {more:,} more" if shown and more > 0 else shown
    if name != "skipped":
        return keys
    reasons = ", ".join(f"{reason} {keys:,}" for reason, keys in sorted(report.skipped_by_reason.items()))
    return f"{reasons}: {keys}" if keys and reasons else reasons or keys


def _entry(row: Row) -> str:
    about = ", ".join(str(row[name]) for name in ("size", "reason") if row.get(name))
    key = quoted(str(row["key"]), _KEY)
    return f"{key} ({shortened(about, _REASON)})" if about else key
