"""The garbage collector is left as it was found."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from cloudindex_provider.sync.detect.collector import rare_collections


@pytest.fixture(autouse=True)
def _threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(("before", "inside"), [((700, 10, 10), 50_000), ((90_000, 5, 5), 90_000), ((0, 10, 10), 0)])
def test_collections_are_rare_inside(before: tuple[int, int, int], inside: int) -> None:
    """Never more often than it was, never on where it was off, and as before at the end, also after an error."""
    gc.set_threshold(*before)
    seen = []

    def fail() -> None:
        with rare_collections():
            seen.append(gc.get_threshold()[0])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [inside]
    assert gc.get_threshold() == before
