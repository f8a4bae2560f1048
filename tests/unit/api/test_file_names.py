"""What a server makes of a file's name, and what the client still knows of it."""

from __future__ import annotations

import pytest

from cloudindex_provider.api.file_names import is_dropped, server_names
from cloudindex_provider.api.multipart import quote
from cloudindex_provider.api.parse import parse_document
from cloudindex_provider.local.names import express_name

NAMES = [
    "plain.txt",
    "prüfung.txt",
    "straße.txt",
    "日本語.txt",
    'a "b".txt',
    "a\nb.txt",
    "dir/a.txt",
    "dir\\ü.txt",
    "a  b",
]


@pytest.mark.parametrize("decode_percent", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_name_that_express_makes_is_among_those_that_are_looked_for(name: str, decode_percent: bool) -> None:
    """As an answer gives it: cleaned of what can't be shown."""
    made = express_name(quote(name), decode_percent=decode_percent)
    assert parse_document({"id": "1", "fileName": made}).file_name in server_names(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_changes_nothing_is_met_too(name: str) -> None:
    """The name itself is one of them."""
    assert parse_document({"id": "1", "fileName": name}).file_name in server_names(name)


def test_names_that_only_look_alike_are_others() -> None:
    """Nothing is guessed: one letter more is another file."""
    assert not server_names("prüfung.txt") & server_names("pruefung.txt")
    assert not server_names("prüfung.txt") & server_names("prüfung.txt.txt")


@pytest.mark.parametrize(("name", "dropped"), [("", True), ("a/", True), ("..", True), ("a\\.", True), (".a", False)])
def test_what_a_server_drops(name: str, dropped: bool) -> None:
    """A name of which nothing is left."""
    assert is_dropped(name) is dropped
