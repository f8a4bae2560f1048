"""What commands print: by Airflow's own printer, in its four formats, and escaped where a terminal can't show it.

Keys may hold anything: newlines and escape sequences, which would forge lines or steer the terminal, characters that an
ASCII terminal hasn't, and what rich takes for markup. In a table all of it is escaped; JSON and YAML say it exactly, in
ASCII. Lists of many keys are printed as they come, so none is ever held.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, TextIO

from airflow.cli.simple_table import AirflowConsole, SimpleTable
from airflow.utils import yaml

__all__ = ["Listing", "emit", "is_for_people", "out", "own_output", "say", "visible"]

_OUT: ContextVar[TextIO | None] = ContextVar("cloudindex_cli_output", default=None)
_BLOCK = 500  # rows of a listing that are printed at once


class _Console(AirflowConsole):
    """Airflow's printer, which takes text as it is."""

    def __init__(self) -> None:
        super().__init__(file=out(), markup=False, emoji=False, highlight=False)

    def print_as_plain_table(self, data: list[dict[str, Any]]) -> None:
        """As Airflow does, where a key 1.10 would be the number 1.1, and a blank at its end would be lost."""
        cells = [list(data[0]), *(list(row.values()) for row in data)]
        _print_plain(cells, [max(map(len, column)) for column in zip(*cells, strict=True)])

    def on_broken_pipe(self) -> None:
        """Rich would end the process as if an audit had findings."""
        raise  # it is called while the error is handled


def _print_plain(lines: Iterable[Sequence[str]], widths: Collection[int]) -> None:
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out().write("  ".join(padded).rstrip() + "\n")


@contextmanager
def own_output() -> Iterator[None]:
    """Keep the output for what a command prints itself: Airflow's hooks log to it, between the lines of a JSON."""
    token = _OUT.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _OUT.reset(token)


def out() -> TextIO:
    """Where a command's output goes."""
    return _OUT.get() or sys.stdout


def is_for_people(args: Namespace) -> bool:
    """Whether sentences belong to the output; a program's JSON and YAML is one document."""
    return args.output in ("table", "plain")


def emit(args: Namespace, data: Any, rows: Sequence[Mapping[str, Any]] = (), lines: Sequence[str] = ()) -> None:
    """``data`` for programs, or for people ``rows`` as a table and ``lines`` below it."""
    console = _Console()
    if args.output == "json":
        console.print_as_json(data)
    elif args.output == "yaml":
        console.print_as_yaml(data)
    else:
        if rows:
            shown = [{name: visible(value) for name, value in row.items()} for row in rows]
            (console.print_as_table if args.output == "table" else console.print_as_plain_table)(shown)
        for line in lines:
            say(line, aside=args.output == "plain" and bool(rows))
    out().flush()


def say(line: str, *, aside: bool = False) -> None:
    """One line to a person.

    :param aside: not among what a program may read
    """
    (sys.stderr if aside else out()).write(visible(line) + "\n")


def visible(value: Any) -> str:
    """A value as a terminal can show it, on one line: what it can't is escaped as Python does."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    encoding = out().encoding or "utf-8"
    text = "".join(char if char.isprintable() else _escaped(char) for char in text)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


class Listing:
    """A table of any length, printed as it comes, and a summary after it.

    :param widths: column -> its width; the last column takes what is left
    """

    def __init__(self, args: Namespace, widths: Mapping[str, int]) -> None:
        self._format = "json-lines" if args.json_lines else args.output
        self._widths = dict(widths)
        self._rows: list[Mapping[str, Any]] = []
        self._printed = 0

    @property
    def is_for_people(self) -> bool:
        """Whether sentences belong to it."""
        return self._format in ("table", "plain")

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row, as programs are given it; a column that it hasn't is empty in a table."""
        self._rows.append(row)
        if len(self._rows) == _BLOCK:
            self._print()

    def end(self, summary: Mapping[str, Any], lines: Sequence[str]) -> None:
        """The rest, and the summary for programs or the lines for people."""
        self._print()
        write = out().write
        if self._format == "json-lines":
            write(json.dumps({"summary": summary}) + "\n")
        elif self._format == "json":
            head = "\n" if self._printed else '{"items": ['
            write(f'{head}], "summary": {json.dumps(summary)}}}\n')
        elif self._format == "yaml":
            write(("" if self._printed else "items: []\n") + yaml.dump({"summary": dict(summary)}, sort_keys=False))
        for line in lines if self.is_for_people else ():
            say(line, aside=self._format == "plain" and bool(self._printed))
        out().flush()

    def _print(self) -> None:
        if not self._rows:
            return
        if self.is_for_people:
            self._print_table()
        else:
            self._print_data()
        self._printed += len(self._rows)
        self._rows = []
        out().flush()

    def _print_data(self) -> None:
        if self._format == "yaml":
            text = yaml.dump([dict(row) for row in self._rows], sort_keys=False)
            out().write(text if self._printed else f"items:\n{text}")
            return
        texts = [json.dumps(row) for row in self._rows]
        if self._format == "json-lines":
            out().write("\n".join(texts) + "\n")
            return
        out().write((",\n" if self._printed else '{"items": [\n') + ",\n".join(texts))

    def _print_table(self) -> None:
        cells = [[visible(row.get(name, "")) for name in self._widths] for row in self._rows]
        is_first = not self._printed
        if self._format == "plain":
            _print_plain([list(self._widths), *cells] if is_first else cells, self._widths.values())
            return
        table = SimpleTable(show_header=is_first, caption="")  # type: ignore[no-untyped-call]  # Airflow's own
        *fixed, last = self._widths.items()
        for name, width in fixed:
            table.add_column(name, width=width)
        table.add_column(last[0])
        for row in cells:
            table.add_row(*row)
        _Console().print(table)
