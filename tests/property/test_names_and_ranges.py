"""File names that never collide, and prefixes as ranges of keys."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudindex_provider.state.blocks import prefix_end
from cloudindex_provider.sync.naming import MAX_NAME_BYTES, file_name

# Characters at the ends of what UTF-8 can say, where a range's end may go wrong.
EDGES = "\x00\x01a\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010fffe\U0010ffff"
edges = st.text(alphabet=EDGES, max_size=3)
keys = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40) | st.text("aA.-_/ +\u00e9", max_size=6)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), keys), unique=True, max_size=40))
@settings(max_examples=200, deadline=None)
def test_different_objects_never_share_a_name(objects: list[tuple[str, str]]) -> None:
    """Different (bucket, key) pairs have different names, even where the service ignores case; equal ones have one."""
    names = [file_name(bucket, key) for bucket, key in objects]
    assert len({name.lower() for name in names}) == len(objects)
    assert names == [file_name(bucket, key) for bucket, key in objects]


@given(keys | st.text(max_size=1100))
@settings(max_examples=300, deadline=None)
@example("-." * 600)
@example("." * 1024)
def test_every_name_is_harmless(key: str) -> None:
    """Any text at all becomes a safe name of bounded length."""
    name = file_name("bucket", key)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]", name)
    assert len(name) <= MAX_NAME_BYTES


@given(edges, st.lists(edges, max_size=30), st.lists(edges, max_size=10))
@settings(max_examples=500, deadline=None)
@example("", ["", "\U0010ffff"], [])
@example("\U0010ffff\U0010ffff", ["\U0010ffff"], ["\U0010ffff"])
@example("a\U0010ffff", ["b", "a"], ["\U0010ffff"])
@example("\ud7ff", ["\ue000"], ["\U0010ffff"])
def test_a_prefix_is_a_range(prefix: str, strangers: list[str], tails: list[str]) -> None:
    """``prefix <= key < prefix_end(prefix)`` says the same as ``startswith``, in the order of UTF-8 bytes."""
    end = prefix_end(prefix)
    bound = None if end is None else end.encode()  # no half surrogate, so both databases can compare with it
    for key in [*strangers, *(prefix + tail for tail in tails), *([end] if end is not None else [])]:
        inside = prefix.encode() <= key.encode() and (bound is None or key.encode() < bound)
        assert inside == key.startswith(prefix)
