"""docs/troubleshooting.md has every message of the package with its cause and its cure, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloudindex_provider import errors
from cloudindex_provider.api import connecting
from tests.support.error_messages import HOLE, Raised, raised, words_of

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"

# (module, function) -> why the words of an error that is made there stand elsewhere
PASSED_ON = {
    ("api/connecting.py", "connect_error"): "a table's, below",
    ("api/connecting.py", "proxy_error"): "a table's, below",
    ("hooks/connections.py", "check_aws_connection"): "those of Unusable",
    ("hooks/state.py", "_postgres"): "those of Unusable",
    ("operators/upload_documents.py", "_failed"): "the error's own",
    ("sync/events/rows.py", "naming_row"): "the error's own, after the place of its sync: `syncs[1]: …`",
    ("sync/upload/prepare.py", "_restless"): "the error's own",
    ("sync/upload/sender.py", "_about_the_request"): "the error's own",
    ("triggers/cloudindex.py", "error_from_event"): "those of the trigger's error",
}


def from_tables() -> set[str]:
    """What is put together from tables, or given back beside other things."""
    proxy = f"the proxy that {HOLE} names"
    ways = [text for _, text, _ in connecting._CAUSES]
    proxies = [*connecting._PROXY_SAYS.values(), "{name} did not connect to {host}."]
    found = {text.format(host=HOLE, timeout=0.0).replace("0 s", f"{HOLE} s") for text in ways}
    found |= {f"{said[0].upper()}{said[1:]}" for said in (text.format(name=proxy, host=HOLE) for text in proxies)}
    found.add(f"No connection to {HOLE} could be made.")
    whole = re.compile(r"(?:s3://…/…|bucket …)")
    of_s3 = {whole.sub(HOLE, text) for text in words_of("s3/error_mapping.py", "_judged", "_unsent")}
    answers = {f"{text.rstrip()}." for text in words_of("api/error_mapping.py", "answer_error")}
    answers |= {text for text in words_of("api/error_mapping.py", "redirect_error") if text.startswith("The service")}
    return found | of_s3 | answers


def messages() -> set[str]:
    return {text for one in raised() for text in one.texts} | from_tables()


def rows() -> list[list[str]]:
    """The cells of every row about messages."""
    found = []
    for table in re.split(r"\n\n", PAGE.read_text(encoding="utf-8")):
        lines = table.splitlines()
        if lines and lines[0].startswith("| message |"):
            found += [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines[2:]]
    return found


def told() -> list[str]:
    return [text for row in rows() for text in re.findall(r"`([^`]+)`", row[0])]


def test_every_message_is_told_once_with_its_cause_and_its_cure() -> None:
    """A new or changed message says here what its row must begin with."""
    missing, stale = messages() - {*told()}, {*told()} - messages()
    assert sorted(f"missing: `{text}`" for text in missing) + sorted(f"no message: `{text}`" for text in stale) == []
    assert len(told()) == len({*told()})
    assert [row for row in rows() if len(row) != 3 or not all(cell.strip() for cell in row)] == []


def test_the_words_of_every_error_are_found() -> None:
    """Or it is said above whose they are."""
    silent = {(one.module, one.function) for one in raised() if not one.texts}
    assert silent == {*PASSED_ON}


def test_every_type_of_answer_is_told() -> None:
    """The errors that CloudIndex itself words are known by their type."""
    text = PAGE.read_text(encoding="utf-8")
    assert [one.__name__ for one in errors.ApiError.__subclasses__() if f"| `{one.__name__}` |" not in text] == []


@pytest.mark.parametrize(
    ("message", "module"),
    [
        ("… is no bucket name.", "sync/settings.py"),  # with something that varies
        ("connection … is not defined.", "hooks/connections.py"),  # no error yet, but the words of two
        ("The proxy that … names wants a user and password (…).", "api/connecting.py"),  # over names and a function
        ("…: source … has no such key.", "state/repairs.py"),  # one side of a conditional
        ("s3://…/… gave bytes with another MD5 than its ETag.", "s3/object.py"),  # what a caller gives
    ],
)
def test_messages_are_read_from_the_source_however_they_are_put_together(message: str, module: str) -> None:
    """The reader of the source finds what the test above relies on."""
    found = [one for one in raised() if message in one.texts]
    assert [one.module for one in found] == [module]
    assert isinstance(found[0], Raised)
