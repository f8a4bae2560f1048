"""Arguments as templates leave them: text, lists of text, numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.settings import DEFAULT_FILE_TYPES


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, ()),
        ("", ()),
        ("None", ()),
        ([], ()),
        ("[]", ()),
        (["a", "b"], ("a", "b")),
        (("a",), ("a",)),
        ("a", ("a",)),
        ("a, b", ("a", "b")),
        ("a\nb\n", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("['a', 'b']", ("a", "b")),
        ("""['a', "it's"]""", ("a", "it's")),
        (r"['caf\xe9']", ("café",)),
        ("[a-z]*.md", ("[a-z]*.md",)),
        ("*.md,[a-z]*.txt", ("*.md", "[a-z]*.txt")),
    ],
)
def test_a_list_is_read_from_a_list_json_a_rendered_python_list_and_plain_text(given, read):
    assert arguments.strings("include", given) == read


@pytest.mark.parametrize("given", ["[1, 2]", [1], [None], [""], "[a]", 5, {"a": 1}, b"a"])
def test_what_is_no_list_of_texts_is_refused_by_the_name_of_its_field(given):
    with pytest.raises(SettingsError, match="exclude") as caught:
        arguments.strings("exclude", given)
    assert caught.value.field == "exclude"
    assert caught.value.hint


def test_file_types_are_lower_case_without_dots_and_none_means_all_documented_ones():
    assert arguments.file_types([".PDF", "Md"]) == ("pdf", "md")
    assert arguments.file_types('["*"]') == ("*",)
    for nothing in (None, "", "[]", [], "None"):
        assert arguments.file_types(nothing) == DEFAULT_FILE_TYPES
    with pytest.raises(SettingsError) as caught:
        arguments.file_types("[1]")
    assert caught.value.field == "file_types"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, None),
        ("", None),
        ([], ()),
        ("[]", ()),
        ("docs/a, b\nc.txt", ("docs/a, b\nc.txt",)),
        (["docs/a,b.txt"], ("docs/a,b.txt",)),
        ('["docs/a", "docs/b"]', ("docs/a", "docs/b")),
        ("""['docs/a', "docs/it's"]""", ("docs/a", "docs/it's")),
        ('["None"]', ("None",)),
        (" spaces are part of a key ", (" spaces are part of a key ",)),
    ],
)
def test_keys_are_never_split_or_trimmed(given, read):
    assert arguments.keys(given) == read


def test_keys_from_a_template_without_a_value_never_mean_the_whole_prefix():
    with pytest.raises(SettingsError, match="rendered to None"):
        arguments.keys("None")


@pytest.mark.parametrize("given", [True, "true", "True", " yes ", "1", 1])
def test_true_in_every_way_a_template_writes_it(given):
    assert arguments.flag("dry_run", given) is True


@pytest.mark.parametrize("given", [False, "false", "False", "no", "0", "", "None", None, 0])
def test_false_in_every_way_a_template_writes_it(given):
    assert arguments.flag("dry_run", given) is False


@pytest.mark.parametrize("given", ["maybe", 2, "{{ params.dry }}"])
def test_what_is_neither_is_refused_and_not_taken_for_true(given):
    with pytest.raises(SettingsError) as caught:
        arguments.flag("dry_run", given)
    assert caught.value.field == "dry_run"


@pytest.mark.parametrize(
    ("given", "read"), [(5, 5), ("5", 5), (" 5 ", 5), (5.0, 5), ("5.0", 5), (2**60 + 1, 2**60 + 1)]
)
def test_a_whole_number_is_read_exactly(given, read):
    assert arguments.whole("max_delete_documents", given) == read


@pytest.mark.parametrize("given", ["5.5", 5.5, "many", None, True, "nan", "inf", [], ""])
def test_what_is_no_whole_number_is_refused_by_name(given):
    with pytest.raises(SettingsError, match="max_delete_documents") as caught:
        arguments.whole("max_delete_documents", given)
    assert caught.value.field == "max_delete_documents"


@pytest.mark.parametrize(("given", "read"), [(timedelta(minutes=2), 120.0), (90, 90.0), ("90.5", 90.5)])
def test_a_duration_is_a_timedelta_or_seconds(given, read):
    assert arguments.seconds("max_run_time", given) == read


@pytest.mark.parametrize("nothing", [None, "", "None", " None "])
def test_an_optional_argument_may_say_nothing(nothing):
    assert arguments.optional(arguments.whole, "max_documents_per_run", nothing) is None
    assert arguments.optional(arguments.whole, "max_documents_per_run", 0) == 0


@pytest.mark.parametrize("value", [None, "None"])
def test_a_prefix_without_a_value_is_refused(value: Any) -> None:
    """A template that gives nothing must not mirror the whole bucket."""
    with pytest.raises(SettingsError, match="whole bucket") as caught:
        arguments.prefix("prefix", value)
    assert caught.value.field == "prefix"


@pytest.mark.parametrize("value", ["", "docs/", "None/", 5])
def test_a_prefix_is_taken_as_it_is(value: Any) -> None:
    """Whether it is text is checked with the other settings."""
    assert arguments.prefix("prefix", value) == value
