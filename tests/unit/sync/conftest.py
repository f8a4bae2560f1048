"""Rows and listings with everything filled in that a test doesn't care for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.records import ObjectRow

OWN, OTHER = 1, 2


@pytest.fixture
def listed() -> Callable[..., ListedObject]:
    """A listed object."""

    def make(key: str = "k.txt", etag: str = "e1", size: int = 10, storage_class: str = "STANDARD") -> ListedObject:
        return ListedObject(key, etag, size, "2026-01-01T00:00:00Z", storage_class)

    return make


@pytest.fixture
def state_row() -> Callable[..., ObjectRow]:
    """A row of source 1, pending and never sent unless told otherwise."""

    def make(key: str = "k.txt", **more: Any) -> ObjectRow:
        plain = dict.fromkeys(ObjectRow._fields)
        return ObjectRow(
            **{**plain, "key": key, "source_id": OWN, "status": "pending", "etag": "e1", "size": 10, "doubtful": 0,
               "revision": 3, **more}
        )  # fmt: skip

    return make
