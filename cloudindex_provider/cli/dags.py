"""``airflow cloudindex dags``: the DAGs that come with the package, and their way into Airflow's DAGs folder."""

from __future__ import annotations

import ast
import os
from argparse import Namespace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from cloudindex_provider.cli.common import OK, command
from cloudindex_provider.cli.output import emit
from cloudindex_provider.errors import SettingsError

__all__ = ["dags"]


@command
def dags(args: Namespace) -> int:
    """List them, or copy them. A file that differs from ours is somebody's work: it stays, unless it may go."""
    shipped = _shipped()
    facts = {file.name: {"file": file.name, "about": _about(file)} for file in shipped}
    lines = ["They are copied by --copy-to DIR, where DIR is Airflow's DAGs folder or what is deployed to it."]
    if args.copy_to is not None:
        done = _copy(shipped, _folder(args.copy_to), overwrite=args.overwrite)
        facts = {name: {**one, "done": done[name]} for name, one in facts.items()}
        lines = []
    emit(args, list(facts.values()), list(facts.values()), lines)
    return OK


def _shipped() -> list[Traversable]:
    folder: Traversable = files("cloudindex_provider").joinpath("dags")
    if not folder.is_dir():
        folder = Path(__file__).parents[2] / "dags"  # of the repository, installed in place
    return sorted((one for one in folder.iterdir() if one.name.endswith(".py")), key=lambda one: one.name)


def _about(file: Traversable) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _folder(given: str) -> Path:
    if not given.strip():
        raise SettingsError(
            "--copy-to is given without a folder.",
            field="copy_to",
            hint="Name Airflow's DAGs folder; the variable that should may not be set in this shell.",
        )
    return Path(os.path.expanduser(given))  # noqa: PTH111 - Path's raises where there is no such user


def _copy(shipped: list[Traversable], to: Path, *, overwrite: bool) -> dict[str, str]:
    """What became of each, by name; nothing is written where one is refused."""
    there = {file.name: _read(to / file.name) for file in shipped}
    changed = [file.name for file in shipped if there[file.name] not in (None, file.read_bytes())]
    if changed and not overwrite:
        raise SettingsError(
            f"In {to} {', '.join(changed)} isn't as it is shipped, so nothing was copied.",
            field="copy_to",
            hint="Use another folder to compare, or --overwrite to lose what was changed there.",
        )
    return {file.name: _write(file, there[file.name], to) for file in shipped}


def _write(file: Traversable, there: bytes | None, to: Path) -> str:
    body = file.read_bytes()
    if there == body:
        return "was there"
    try:
        to.mkdir(parents=True, exist_ok=True)
        (to / file.name).write_bytes(body)
    except OSError as error:
        raise SettingsError(f"{to / file.name} can't be written: {error.strerror}.", field="copy_to") from None
    return "copied" if there is None else "overwritten"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}.", field="copy_to") from None
