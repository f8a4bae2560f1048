"""The code blocks of a Markdown guide, and the shell lines, connections and settings in them."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

__all__ = ["Block", "blocks", "connections", "environment", "requirements", "shell_lines"]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
_SECRETS = "airflow/connections/"


@dataclass(frozen=True)
class Block:
    """One fenced block: the section it stands in, its language and its text."""

    section: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.section}: {self.language} {self.text.split()[0]}"


def blocks(guide: Path) -> list[Block]:
    """All of a guide, in order."""
    text = guide.read_text(encoding="utf-8")
    headings = [(found.start(), found[1]) for found in _HEADING.finditer(text)]

    def section(at: int) -> str:
        return next((name for start, name in reversed(headings) if start < at), "")

    return [Block(section(found.start()), found[1], found[2]) for found in _BLOCK.finditer(text)]


def shell_lines(block: Block) -> list[list[str]]:
    """The words of each command, with continued lines put together."""
    return [shlex.split(line) for line in block.text.replace("\\\n", " ").splitlines() if line.strip()]


def environment(block: Block) -> Iterator[tuple[str, str]]:
    """Environment variables that a block sets, wherever it sets them."""
    if block.language == "bash":
        for words in shell_lines(block):
            if words[0] in ("export", "astro"):
                yield from (tuple(word.split("=", 1)) for word in words[1:] if re.match(r"AIRFLOW_\w+=", word))  # type: ignore[misc]
    elif block.language == "env":
        yield from (tuple(line.split("=", 1)) for line in block.text.splitlines())  # type: ignore[misc]
    elif block.language == "yaml":
        yield from yaml.safe_load(block.text).get("stringData", {}).items()


def connections(block: Block) -> Iterator[tuple[str, str]]:
    """(id, URI or JSON) of every connection in a block."""
    for name, value in environment(block):
        if name.startswith("AIRFLOW_CONN_"):
            yield name.removeprefix("AIRFLOW_CONN_").lower(), value
    if block.language == "json":
        for name, value in json.loads(block.text).items():
            if isinstance(value, dict):
                yield name, json.dumps(value)
    elif block.language == "bash":
        for words in shell_lines(block):
            given = dict(itertools.pairwise(words))
            if words[:3] == ["airflow", "connections", "add"] and (
                text := given.get("--conn-uri") or given.get("--conn-json")
            ):
                yield words[3], text
            elif "--secret-string" in given:
                yield given["--name"].removeprefix(_SECRETS), given["--secret-string"]


def requirements(block: Block) -> list[str]:
    """The requirements on our package in a block, as pip is given them."""
    return re.findall(r"airflow-provider-cloudindex[^\s\"']*", block.text) if block.language != "json" else []
