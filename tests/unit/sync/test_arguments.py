"""Arguments as templates leave them: text, lists of text, numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.arguments import NOT_GIVEN
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
    nothings: list[Any] = [None, "", "[]", [], "None"]
    for nothing in nothings:
        assert arguments.file_types(nothing) == DEFAULT_FILE_TYPES
    with pytest.raises(SettingsError) as caught:
        arguments.file_types("[1]")
    assert caught.value.field == "file_types"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (NOT_GIVEN, None),
        ([], ()),
        ((), ()),
        (set(), ()),
        ("[]", ()),
        (("docs/b", "docs/a"), ("docs/b", "docs/a")),
        ({"docs/b", "docs/a"}, ("docs/a", "docs/b")),
        (frozenset({"docs/a"}), ("docs/a",)),
        ((key for key in ["docs/b", "docs/a"]), ("docs/b", "docs/a")),
        ("0", ("0",)),
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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "keys is None, and without keys the whole prefix would be synced."),
        ("", "keys is empty, and without keys the whole prefix would be synced."),
        ("None", "keys is a template that rendered to None, and without keys the whole prefix would be synced."),
        (0, "keys is 0 (int), not a list."),
        (2024, "keys is 2024 (int), not a list."),
        (1.5, "keys is 1.5 (float), not a list."),
        (False, "keys is False (bool), not a list."),
        ({"a": 1}, "keys is {'a': 1} (dict), not a list."),
        ({}, "keys is {} (dict), not a list."),
        (b"a", "keys is b'a' (bytes), not a list."),
        ([None], "keys holds None (NoneType), not a text."),
        ([""], "keys holds '' (str), not a text."),
        (["a", 1], "keys holds 1 (int), not a text."),
        ([["a"]], "keys holds ['a'] (list), not a text."),
    ],
)
def test_keys_that_were_given_and_say_nothing_or_are_no_texts_are_refused(given: Any, said: str) -> None:
    """They never mean the whole prefix; the error names the argument and what came."""
    with pytest.raises(SettingsError) as caught:
        arguments.keys(given)
    assert (caught.value.message, caught.value.field) == (said, "keys")
    assert caught.value.hint


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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "prefix is None, and without a prefix the whole bucket would be synced."),
        ("", "prefix is empty, and without a prefix the whole bucket would be synced."),
        ("None", "prefix is a template that rendered to None, and without a prefix the whole bucket would be synced."),
        (0, "prefix is 0 (int), not text."),
        (2024, "prefix is 2024 (int), not text."),
        (0.5, "prefix is 0.5 (float), not text."),
        (False, "prefix is False (bool), not text."),
        ({}, "prefix is {} (dict), not text."),
        ([], "prefix is [] (list), not text."),
        (["docs/"], "prefix is ['docs/'] (list), not text."),
        (("docs/",), "prefix is ('docs/',) (tuple), not text."),
        ({"docs/"}, "prefix is {'docs/'} (set), not text."),
        (b"docs/", "prefix is b'docs/' (bytes), not text."),
    ],
)
def test_a_prefix_that_was_given_and_says_nothing_or_is_no_text_is_refused(given: Any, said: str) -> None:
    """It never mirrors the whole bucket; the error names the argument and what came."""
    with pytest.raises(SettingsError) as caught:
        arguments.prefix("prefix", given)
    assert (caught.value.message, caught.value.field) == (said, "prefix")
    assert caught.value.hint


@pytest.mark.parametrize(("given", "read"), [(NOT_GIVEN, ""), ("docs/", "docs/"), ("None/", "None/"), ("0", "0")])
def test_a_prefix_is_taken_as_it_is_and_is_the_whole_bucket_where_none_is_given(given: Any, read: str) -> None:
    """Nothing of it is trimmed or guessed."""
    assert arguments.prefix("prefix", given) == read


@pytest.mark.parametrize("nothing", [None, "", "None", " "])
def test_a_name_may_say_nothing_and_is_text_otherwise(nothing: Any) -> None:
    """``sync_id`` of a template without a value is the default one, no other sync of the name None."""
    assert arguments.string("sync_id", nothing) == ""
    assert arguments.string("sync_id", "a") == "a"
    with pytest.raises(SettingsError, match=r"sync_id is 7 \(int\), not text"):
        arguments.string("sync_id", 7)


@pytest.mark.parametrize("value", [2024, 0.5])
def test_a_number_in_the_place_of_text_is_told_where_it_may_come_from(value: float) -> None:
    """Natively rendered, a template of text that looks like a number gives one."""
    with pytest.raises(SettingsError) as caught:
        arguments.text("bucket", value)
    assert "tojson" in (caught.value.hint or "")
