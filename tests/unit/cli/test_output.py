"""What commands print: Airflow's own formats, on every terminal, and no key can forge a line or steer it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from argparse import Namespace
from contextlib import redirect_stdout
from typing import Any

import pytest
import yaml

ODD = ["a\nb\x1b[31m", "ü", "[red]x[/foo]", ":smile:", "1.10", "007 ", "1e5", "\u202egpj.exe", "\U0001f600", "a\u00a0b"]


@pytest.fixture(autouse=True, scope="module")
def _airflow(airflow_home: object) -> None:
    """Airflow is imported before any test captures output: its logging keeps the stream that it finds."""
    import cloudindex_provider.cli.output  # noqa: F401


def on_ascii(output: str, rows: list[dict[str, Any]], *lines: str) -> str:
    """What is printed on a terminal that has nothing but ASCII."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict", write_through=True)
    with redirect_stdout(stream):
        print_rows(output, rows, *lines)
    return raw.getvalue().decode("ascii")


def print_rows(output: str, rows: list[dict[str, Any]], *lines: str) -> None:
    from cloudindex_provider.cli.output import emit

    emit(Namespace(output=output), rows, rows, lines)


def cells(text: str, separator: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split(separator)] for line in text.splitlines() if line.strip()]


def test_a_table_is_aligned_and_shows_odd_characters_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """A key with a newline and an escape sequence stays in its cell; nothing is taken for markup or for a number."""
    print_rows("table", [{"key": key, "number": None} for key in ODD], "the\nend")
    head, rule, *rows, last = cells(capsys.readouterr().out, "|")
    assert (head, last) == (["key", "number"], ["the\\nend"])
    assert set(rule[0]) == {"=", "+"}
    shown = ["a\\nb\\x1b[31m", "ü", "[red]x[/foo]", ":smile:", "1.10", "007", "1e5", "\\u202egpj.exe", "😀", "a\\xa0b"]
    assert rows == [[key, "None"] for key in shown]


def test_plain_text_is_a_table_that_other_programs_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns without lines between them, keys as they are, and sentences elsewhere."""
    print_rows("plain", [{"key": key, "n": 3} for key in ODD], "the end")
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split() == ["key", "n"]
    assert [line[: lines[0].index("n")].rstrip() for line in lines[5:8]] == ["1.10", "007", "1e5"]
    assert printed.err == "the end\n"
    print_rows("plain", [], "the end")
    assert capsys.readouterr().out == "the end\n"


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_json_and_yaml_give_back_what_was_given(output: str, read: Any) -> None:
    """Every key to the letter, numbers as numbers, on a terminal that has nothing but ASCII."""
    rows = [{"key": key, "number": at, "none": None} for at, key in enumerate([*ODD, "k" * 1024, " "])]
    assert read(on_ascii(output, rows, "the end")) == rows


@pytest.mark.parametrize("output", ["table", "plain"])
def test_an_ascii_terminal_shows_every_key(output: str) -> None:
    """What it hasn't is escaped, as wide as it is shown."""
    text = on_ascii(output, [{"key": key, "n": "x"} for key in ODD], *(["ü"] if output == "table" else []))
    assert "\\xfc" in text
    assert "\\U0001f600" in text
    columns = {line.rindex("x") for line in text.splitlines() if line.rstrip().endswith("x") and "\\xfc" not in line}
    assert len(columns) == 1


@pytest.mark.parametrize("output", ["table", "json", "yaml", "plain", "json-lines"])
def test_a_long_list_is_printed_as_it_comes(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than a few hundred rows are held; one head, every row once and in order, one summary."""
    from cloudindex_provider.cli import output as module

    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    args = Namespace(output="table" if output == "json-lines" else output, json_lines=output == "json-lines")
    listing = module.Listing(args, {"action": 6, "key": 0})
    for number in range(1501):
        listing.add({"action": "upload", "key": f"k{number:04d}"})
        assert len(listing._rows) < 500
    assert "k1499" in stream.getvalue()
    listing.end({"n": 1501}, ["1501 uploads."])
    text = stream.getvalue()
    if output in ("json", "yaml"):
        found = (json.loads if output == "json" else yaml.safe_load)(text)
        assert ([one["key"] for one in found["items"]], found["summary"]) == (
            [f"k{number:04d}" for number in range(1501)], {"n": 1501},
        )  # fmt: skip
    elif output == "json-lines":
        assert len(text.splitlines()) == 1502
        assert json.loads(text.splitlines()[-1]) == {"summary": {"n": 1501}}
    else:
        assert text.count("action") == 1
        assert [line.split()[-1] for line in text.splitlines() if "upload " in line] == [
            f"k{number:04d}" for number in range(1501)
        ]
        starts = {line.index("k") for line in text.splitlines() if "upload " in line}
        assert len(starts) == 1


def test_what_hooks_print_never_gets_into_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow's hooks log to the standard output; a program that reads a command's JSON must not see it."""
    from cloudindex_provider.cli.common import OK, command
    from cloudindex_provider.cli.output import emit

    @command
    def chatty(args: Namespace) -> int:
        print("a log line")
        emit(args, {"a": 1})
        return OK

    chatty(Namespace(output="json"))
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"a": 1}
    assert printed.err == "a log line\n"


_MANY = """
import sys
from argparse import Namespace
from cloudindex_provider.cli.common import OK, command
from cloudindex_provider.cli.output import Listing, emit

@command
def many(args):
    if args.listed:
        listing = Listing(args, {"key": 0})
        for number in range(100000):
            listing.add({"key": f"ü{number}"})
        listing.end({}, [])
    else:
        rows = [{"key": "k" * 100} for number in range(20000)]
        emit(args, rows, rows)
    return OK

many(Namespace(output=sys.argv[1], json_lines=False, listed=sys.argv[2] == "listed"))
"""


@pytest.mark.parametrize(("output", "how"), [("table", "listed"), ("json", "listed"), ("plain", "at once")])
def test_a_reader_that_has_seen_enough_ends_the_command_without_a_word(output: str, how: str) -> None:
    """``| head -1``: nothing on the error output, and the exit code that a shell gives to what a closed pipe ends."""
    import os

    running = subprocess.Popen(
        [sys.executable, "-c", _MANY, output, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
    )
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline()
    running.stdout.close()
    assert (running.stderr.read(), running.wait(60)) == (b"", 141)
    running.stderr.close()


def test_ctrl_c_is_one_word(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, whose values may be secrets, and the exit code that a shell gives to it."""
    from cloudindex_provider.cli.common import command

    @command
    def slow(args: Namespace) -> int:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        slow(Namespace(output="table"))
    assert (ended.value.code, capsys.readouterr().err) == (130, "Error: Stopped.\n")


def test_an_error_can_neither_forge_a_line_nor_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """It may name a key."""
    from cloudindex_provider.cli.common import command
    from cloudindex_provider.errors import SyncError

    @command
    def wrong(args: Namespace) -> int:
        raise SyncError("The key a\nError: all is well\x1b[2J\u202e is bad.")

    with pytest.raises(SystemExit):
        wrong(Namespace(output="table"))
    assert capsys.readouterr().err == "Error: The key a Error: all is well\\x1b[2J\\u202e is bad.\n"
