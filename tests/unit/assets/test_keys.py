"""Which keys asset events name, and what is said of those that name none."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cloudindex_provider.assets.keys import read_events

PREFIX_ASSET = "s3://docs/handbook"


def event(extra: Any = None, uri: str = PREFIX_ASSET) -> Any:
    asset = SimpleNamespace(name=uri, uri=uri)
    return SimpleNamespace(asset=asset, extra=extra or {}, timestamp=datetime(2026, 1, 31, 12, tzinfo=UTC))


def read(*events: Any, prefix: str = "handbook/") -> Any:
    return read_events(events, "docs", prefix)


@pytest.mark.parametrize(
    ("events", "keys"),
    [
        ([event({"keys": ["handbook/a", "handbook/b"]})], ["handbook/a", "handbook/b"]),
        ([event({"keys": ["handbook/a"], "from_rest_api": True})], ["handbook/a"]),
        ([event({"keys": ["handbook/a"]}), event({"keys": ["handbook/a"]})], ["handbook/a"]),
        ([event({"keys": ["handbook/ä +%20.txt"]})], ["handbook/ä +%20.txt"]),
        ([event({"keys": ["handbook/a"]}, uri="what-the-export-writes")], ["handbook/a"]),
        ([event(uri="s3://docs/handbook/a.pdf")], ["handbook/a.pdf"]),
        ([event({"by": "me"}, uri="s3://docs/handbook/a b#1.pdf")], ["handbook/a b#1.pdf"]),
        ([event({"keys": []})], []),
        ([], []),
    ],
)  # fmt: skip
def test_keys_are_those_that_are_named(events: list[Any], keys: list[str]) -> None:
    found = read(*events)
    assert (list(found.keys), found.foreign, found.problems) == (keys, 0, [])


@pytest.mark.parametrize(
    ("one", "examples"),
    [
        (event({"keys": ["handbook/a", "other/b"]}), ["s3://docs/other/b"]),
        (event({"keys": ["handbook/a"]}, uri="s3://elsewhere/handbook"), ["s3://elsewhere/handbook/a"]),
        (event(uri="s3://elsewhere/handbook/a"), ["s3://elsewhere/handbook/a"]),
        (event(uri="s3://docs/handbooks"), ["s3://docs/handbooks"]),
    ],
)
def test_keys_of_another_bucket_or_prefix_are_counted_and_no_keys_of_this_sync(one: Any, examples: list[str]) -> None:
    found = read(one, event({"keys": ["handbook/mine"]}))
    assert (found.foreign, found.examples) == (1, examples)
    assert "handbook/mine" in found.keys
    assert not set(found.keys) - {"handbook/mine", "handbook/a"}


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (event(), "names no key"),
        (event(uri="s3://docs"), "names no key"),
        (event(uri="the-handbook"), "names no key"),
        (event({"keys": "handbook/a"}), "its keys are 'handbook/a', no list"),
        (event({"keys": None}), "its keys are None, no list"),
        (event({"keys": {"handbook/a": 1}}), "its keys are {'handbook/a': 1}, no list"),
        (event({"keys": ["handbook/good", 7]}), "7 is no key"),
        (event({"keys": ["handbook/good", ""]}), "'' is no key"),
        (event({"keys": ["handbook/good", "handbook/\0"]}), "'handbook/\\x00' is no key"),
        (event({"keys": ["x" * 100 + "\ud800"]}), "is no key"),
    ],
)
def test_what_names_no_key_is_a_problem_that_keeps_no_other_key_from_being_read(one: Any, said: str) -> None:
    """It says which event, and what it has; a long one is cut."""
    found = read(one, event({"keys": ["handbook/mine"]}))
    (problem,) = found.problems
    assert problem.startswith(f"the event of {one.asset.name!r} at 2026-01-31 12:00:00")
    assert said in problem
    assert len(problem) < 150
    assert "handbook/mine" in found.keys
    assert not set(found.keys) - {"handbook/mine", "handbook/good"}


def test_a_whole_bucket_s_event_without_keys_names_none_either() -> None:
    found = read(event(uri="s3://docs"), prefix="")
    assert (list(found.keys), len(found.problems)) == ([], 1)


def test_foreign_keys_are_named_up_to_a_few() -> None:
    found = read(event({"keys": [f"other/{i}" for i in range(100)]}))
    assert (found.foreign, len(found.examples)) == (100, 5)
