"""Which objects are synced, and the one reason that is given for the others."""

from __future__ import annotations

import pytest

from cloudindex_provider.sync.selection import SkipReason, selector
from cloudindex_provider.sync.settings import DEFAULT_FILE_TYPES, Selection


@pytest.mark.parametrize(
    ("key", "size", "storage_class", "reason"),
    [
        ("a.txt", 1, "STANDARD", None),
        ("a.txt", 1000, "STANDARD", None),
        ("a.txt", 1001, "STANDARD", SkipReason.TOO_LARGE),
        ("a.txt", 0, "STANDARD", SkipReason.EMPTY),
        ("d/", 0, "STANDARD", SkipReason.FOLDER_MARKER),
        ("d.txt/", 5, "STANDARD", SkipReason.FOLDER_MARKER),
        ("a.exe", 1, "STANDARD", SkipReason.UNSUPPORTED_TYPE),
        ("a", 1, "STANDARD", SkipReason.UNSUPPORTED_TYPE),
        ("a.txt", 1, "GLACIER", SkipReason.ARCHIVED),
        ("a.txt", 1, "DEEP_ARCHIVE", SkipReason.ARCHIVED),
        ("a.txt", 1, "GLACIER_IR", None),  # reads at once
        ("a.txt", 1, "INTELLIGENT_TIERING", None),
        ("a\0.txt", 1, "STANDARD", SkipReason.INVALID_KEY),
    ],
)
def test_every_reason(key: str, size: int, storage_class: str, reason: SkipReason | None) -> None:
    """Each kind of object that isn't synced has a reason of its own, exactly at its limit."""
    assert selector(Selection(max_file_size=1000))(key, size, storage_class) == reason


@pytest.mark.parametrize(
    ("key", "size", "storage_class", "reason"),
    [
        ("x\0/", 0, "GLACIER", SkipReason.INVALID_KEY),
        ("tmp/x/", 0, "GLACIER", SkipReason.FOLDER_MARKER),
        ("tmp/x.exe", 0, "GLACIER", SkipReason.EXCLUDED),
        ("x.exe", 0, "GLACIER", SkipReason.UNSUPPORTED_TYPE),
        ("x.txt", 0, "GLACIER", SkipReason.EMPTY),
        ("x.txt", 9, "GLACIER", SkipReason.TOO_LARGE),
    ],
)
def test_the_name_decides_before_the_size(key: str, size: int, storage_class: str, reason: SkipReason) -> None:
    """Where several reasons hold, the one that a later version of the object can't change is given."""
    assert selector(Selection(exclude=("tmp/*",), max_file_size=8))(key, size, storage_class) == reason


@pytest.mark.parametrize("file_types", [("pdf",), ("PDF",), (".pdf",), (".Pdf", "x")])
@pytest.mark.parametrize("key", ["a.pdf", "a.PDF", "a.Pdf"])
def test_case_and_dots_of_extensions_do_not_matter(file_types: tuple[str, ...], key: str) -> None:
    """``.PDF`` in the settings and ``pdf`` in a key are the same type."""
    assert selector(Selection(file_types=file_types))(key, 1, "STANDARD") is None


def test_all_types() -> None:
    """``*`` takes every type, also none."""
    decide = selector(Selection(file_types=("*",)))
    assert [decide(key, 1, "STANDARD") for key in ("a", "a.exe", "a.b/c")] == [None] * 3


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        ((), (), ["a.txt", "d/a.txt", "d/e/a.txt", "D/a.txt"]),
        (("d/*",), (), ["d/a.txt", "d/e/a.txt"]),  # * crosses "/", and case counts in keys
        (("*/e/*",), (), ["d/e/a.txt"]),
        (("a.txt", "D/*"), (), ["a.txt", "D/a.txt"]),  # the whole key, any of the globs
        ((), ("d/*", "a*"), ["D/a.txt"]),
        (("d/*",), ("*/e/*",), ["d/a.txt"]),  # exclude wins
        (("[dD]/a.tx?",), (), ["d/a.txt", "D/a.txt"]),
        (("d/a",), (), []),  # no glob matches a part of a key
    ],
)
def test_globs(include: tuple[str, ...], exclude: tuple[str, ...], taken: list[str]) -> None:
    """A key is synced when any include (or none is given) and no exclude matches the whole of it."""
    decide = selector(Selection(include=include, exclude=exclude))
    keys = ["a.txt", "d/a.txt", "d/e/a.txt", "D/a.txt"]
    assert [key for key in keys if decide(key, 1, "STANDARD") is None] == taken
    assert {decide(key, 1, "STANDARD") for key in keys if key not in taken} <= {SkipReason.EXCLUDED}


def test_globs_match_keys_of_several_lines() -> None:
    """A line break in a key is a character like any other."""
    assert selector(Selection(include=("a*.txt",)))("a\nb.txt", 1, "STANDARD") is None


def test_the_default_types_are_extensions() -> None:
    """Every default type is one that a key can have: lower case, no dot, none twice."""
    assert len(set(DEFAULT_FILE_TYPES)) == len(DEFAULT_FILE_TYPES) > 50
    decide = selector(Selection())
    assert {decide(f"x.{name}", 1, "STANDARD") for name in DEFAULT_FILE_TYPES} == {None}
