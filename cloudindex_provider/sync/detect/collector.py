"""Python's garbage collector while rows pass by the million."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["rare_collections"]

_ALLOCATIONS = 50_000  # more tuples than the pages of all ranges hold at a time


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the collector run seldom inside of the block.

    Rows are tuples of strings, which reference counting frees. The collector would look at every page of them, and
    at all that is imported, to find nothing: a quarter of the time of listing a million keys.
    """
    before = gc.get_threshold()
    if before[0]:  # 0: somebody has switched it off
        gc.set_threshold(max(before[0], _ALLOCATIONS), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
