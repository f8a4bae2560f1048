"""What every command shares: one sentence for an error, an exit code, output for people or programs, and the state.

A command is a function of the parsed arguments that gives its exit code. Nothing here prints a traceback: its values
may be secrets.
"""

from __future__ import annotations

import functools
import getpass
import json
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from airflow.sdk.exceptions import AirflowException

from cloudindex_provider.errors import ProviderError
from cloudindex_provider.hooks.state import open_state
from cloudindex_provider.state.db.database import Database

__all__ = ["ERROR", "FINDINGS", "OK", "command", "emit", "out", "say", "state", "user", "when"]

OK, FINDINGS, ERROR = 0, 1, 2
_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"
_OUT: ContextVar[TextIO | None] = ContextVar("cloudindex_cli_output", default=None)
log = logging.getLogger(__name__)


def command(function: Callable[[Namespace], int]) -> Callable[[Namespace], None]:
    """The function as Airflow calls it: an exit code that isn't 0 becomes ``SystemExit``, an error one sentence."""

    @functools.wraps(function)
    def run(args: Namespace) -> None:
        with _server_context(), _own_output():
            code = _guarded(function, args)
        if code != OK:
            raise SystemExit(code)

    return run


def _guarded(function: Callable[[Namespace], int], args: Namespace) -> int:
    try:
        return function(args)
    except (ProviderError, AirflowException) as error:
        return _fail(str(error))
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), out().fileno())
        return ERROR
    except Exception as error:  # a person at a terminal gets a sentence, the log the rest
        log.debug("The command failed", exc_info=True)
        return _fail(f"Unexpected {type(error).__name__}. Run again with AIRFLOW__LOGGING__LOGGING_LEVEL=DEBUG.")


def _fail(sentence: str) -> int:
    sys.stderr.write("Error: " + " ".join(sentence.split()) + "\n")
    return ERROR


@contextmanager
def _own_output() -> Iterator[None]:
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


@contextmanager
def _server_context() -> Iterator[None]:
    """Let connections be found in Airflow's metadata database, as `airflow connections test` does."""
    before = os.environ.get(_CONTEXT)
    os.environ[_CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CONTEXT]
        else:
            os.environ[_CONTEXT] = before


@contextmanager
def state(args: Namespace, *, must_exist: bool = True) -> Iterator[Database]:
    """The state that the arguments or Airflow's configuration name."""
    db = open_state(state_url=args.state_url, state_conn_id=args.state_conn_id, must_exist=must_exist)
    try:
        yield db
    finally:
        db.close()


def user() -> str:
    """Who is at the terminal, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return f"uid {os.getuid()}"


# Output


def emit(args: Namespace, data: Any, rows: Sequence[Mapping[str, Any]] = (), lines: Sequence[str] = ()) -> None:
    """``data`` as JSON, or for people ``rows`` as a table and ``lines`` below it."""
    if args.output == "json":
        out().write(json.dumps(data, indent=2) + "\n")
        out().flush()
        return
    if rows:
        _table(rows)
    for line in lines:
        say(line)
    out().flush()


def say(line: str) -> None:
    """One line to a person."""
    out().write(_visible(line) + "\n")


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    cells = [names, *([_visible("" if row[name] is None else str(row[name])) for name in names] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(names))]
    for number, line in enumerate(cells):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out().write(text.rstrip() + "\n")
        if number == 0:
            out().write("  ".join("-" * width for width in widths) + "\n")


def _visible(text: str) -> str:
    # Keys may hold newlines and escape sequences, which would forge lines or steer the terminal.
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def when(at: float | None) -> str | None:
    """A time of the state as ISO 8601 in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
