"""File names: what the service can't misread, and what no two keys share."""

from __future__ import annotations

import doctest
import re
import unicodedata

import pytest

from cloudindex_provider.sync import naming
from cloudindex_provider.sync.naming import MAX_NAME_BYTES, extension, file_name

ODD_KEYS = [
    "a b/c d.txt",
    "a+b.txt",
    "a%2Bb.txt",
    "emoji \U0001f600.md",
    unicodedata.normalize("NFC", "caf\u00e9.txt"),
    unicodedata.normalize("NFD", "caf\u00e9.txt"),
    "line\nbreak.txt",
    "../../etc/passwd",
    "..",
    ".",
    "...",
    "/",
    "//",
    "a//b.txt",
    "-a-.txt",
    "--",
    ".env",
    "folder/.env",
    "no-extension",
    "k" * 1020 + ".pdf",
    "\u00e9" * 510 + ".pdf",
    "\U0001f600" * 256,
    "x." + "y" * 500,
    "x.tar.gz",
    "x.PDF",
    "x.p df",
    "x.",
    "x.pdf/",
    'quote".txt',
    "back\\slash.txt",
    "nul\0.txt",
    "half \ud800.txt",
]


def test_the_documented_examples_are_right() -> None:
    """The docstrings of the module show what really comes out."""
    result = doctest.testmod(naming)
    assert (result.failed, result.attempted) == (0, 3)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_every_key_gets_a_harmless_name(key: str) -> None:
    """Whatever the key: safe characters, at most 150 bytes, and neither a dot nor a dash at either end."""
    name = file_name("bucket", key)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]", name)
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert name.count(".") <= 1  # "a.pdf.exe" and ".." are read in more than one way
    assert "--" not in name


def test_names_are_the_same_tomorrow() -> None:
    """A name is a function of bucket and key that never changes: documents are found again by it."""
    assert file_name("b", "docs/caf\u00e9.txt") == file_name("b", "docs/caf\u00e9.txt")
    assert file_name("b", "docs/caf\u00e9.txt") == "docs-caf-ed2495eb8576ab6702c233e8.txt"


def test_keys_that_look_alike_differ() -> None:
    """All odd keys, and the same key in two buckets, get names of their own, even where case is ignored."""
    names = {file_name(bucket, key).lower() for bucket in ("a", "b") for key in ODD_KEYS}
    assert len(names) == 2 * len(ODD_KEYS)


def test_bucket_and_key_cannot_be_shifted() -> None:
    """Where the bucket ends and the key begins is part of the name."""
    assert file_name("a", "b/c").split("-")[-1] != file_name("a/b", "c").split("-")[-1]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a.pdf", "pdf"), ("A.PDF", "pdf"), ("d.d/x", ""), (".env", "env"), ("d/.env", "env"), ("x.tar.gz", "gz"),
        ("x.", ""), ("x.p df", ""), ("x." + "y" * 10, "y" * 10), ("x." + "y" * 11, ""), ("x.txt/", ""), ("x.txt\n", ""),
        ("", ""), ("\u00e9.m\u00e9", ""),
    ],
)  # fmt: skip
def test_the_extension_is_that_of_the_last_part(key: str, expected: str) -> None:
    """An extension is 1 to 10 letters or digits after the last dot of the last part of a key."""
    assert extension(key) == expected


def test_the_extension_stays_as_it_was_written() -> None:
    """The service tells the type by the extension, so the name keeps it, however long the key is."""
    assert file_name("b", "k" * 1000 + ".PDF").endswith(".PDF")


def test_the_end_of_a_long_key_is_shown() -> None:
    """The readable part of a name is the key's end, which says more than its folders."""
    assert "the-report-of-2026-" in file_name("b", "deep/" * 100 + "the report of 2026.pdf")
