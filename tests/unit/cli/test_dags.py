"""``airflow cloudindex dags``: what is shipped gets into a folder, and nobody's work is lost there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHIPPED = {path.name: path.read_bytes() for path in (Path(__file__).parents[3] / "dags").glob("*.py")}


@pytest.fixture(scope="module")
def parser(airflow_home: Path) -> Any:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


@pytest.fixture
def dags(parser: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs the command through Airflow's own parser; gives what it printed as JSON, or its error."""

    def run(*words: str) -> Any:
        args = parser.parse_args(["cloudindex", "dags", "--output", "json", *words])
        try:
            args.func(args)
        except SystemExit as end:
            return f"{end.code}: {capsys.readouterr().err}"
        return {one["file"]: one.get("done", one["about"]) for one in json.loads(capsys.readouterr().out)}

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_they_are_named_with_what_they_are_for(dags: Callable[..., Any]) -> None:
    """The first sentence of each file; nothing is written."""
    found = dags()
    assert set(found) == set(SHIPPED)
    assert all(found.values())


def test_they_are_copied_into_a_folder_that_need_not_be_there(dags: Callable[..., Any], tmp_path: Path) -> None:
    """Once; the second time they are there."""
    folder = tmp_path / "new" / "dags"
    assert set(dags("--copy-to", str(folder)).values()) == {"copied"}
    assert contents(folder) == SHIPPED
    assert set(dags("--copy-to", str(folder)).values()) == {"was there"}


def test_what_was_changed_there_stays_unless_it_may_go(dags: Callable[..., Any], tmp_path: Path) -> None:
    """It is named, and nothing is copied beside it; with --overwrite it is ours again, and files of others stay."""
    name = min(SHIPPED)
    (tmp_path / name).write_text("# our own")
    (tmp_path / "other.py").write_text("# another DAG")
    error = dags("--copy-to", str(tmp_path))
    assert error.startswith("2: ")
    assert name in error
    assert "--overwrite" in error
    assert set(contents(tmp_path)) == {name, "other.py"}
    done = dags("--copy-to", str(tmp_path), "--overwrite")
    assert done == {**dict.fromkeys(SHIPPED, "copied"), name: "overwritten"}
    assert contents(tmp_path) == {**SHIPPED, "other.py": b"# another DAG"}


def test_a_folder_that_is_a_file_is_an_error_in_one_sentence(dags: Callable[..., Any], tmp_path: Path) -> None:
    """As every error of a command."""
    (tmp_path / "file").write_text("")
    assert "can't be written" in dags("--copy-to", str(tmp_path / "file" / "dags"))


def test_a_folder_without_a_name_is_refused(
    dags: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``--copy-to "$DAGS"`` is where that isn't set: not the folder that one happens to be in."""
    monkeypatch.chdir(tmp_path)
    for nothing in ("", " "):
        assert dags("--copy-to", nothing).startswith("2: ")
    assert list(tmp_path.iterdir()) == []
