"""What commands print: aligned for people, and no key can forge a line or steer a terminal."""

from __future__ import annotations

from argparse import Namespace

import pytest


@pytest.fixture(autouse=True)
def _airflow(airflow_home: object) -> None:
    """Airflow's home is the test process's own."""


def test_a_table_is_aligned_and_shows_odd_characters_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """A key with a newline and an escape sequence stays in its cell."""
    from cloudindex_provider.cli.common import emit

    rows = [{"key": "a\nb\x1b[31m", "number": 1}, {"key": "ü", "number": None}]
    emit(Namespace(output="table"), rows, rows, ["the\nend"])
    assert capsys.readouterr().out.splitlines() == [
        "key           number",
        "------------  ------",
        "a\\nb\\x1b[31m  1",
        "ü",
        "the\\nend",
    ]


def test_what_hooks_print_never_gets_into_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow's hooks log to the standard output; a program that reads a command's JSON must not see it."""
    from cloudindex_provider.cli.common import OK, command, emit

    @command
    def chatty(args: Namespace) -> int:
        print("a log line")
        emit(args, {"a": 1})
        return OK

    chatty(Namespace(output="json"))
    printed = capsys.readouterr()
    assert printed.out == '{\n  "a": 1\n}\n'
    assert printed.err == "a log line\n"
