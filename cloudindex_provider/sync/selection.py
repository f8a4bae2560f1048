"""Which listed objects are synced, and why the others aren't. Pure: decides by key, size and storage class alone."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

from cloudindex_provider.sync.naming import extension
from cloudindex_provider.sync.settings import Selection

__all__ = ["BlockSelector", "SkipReason", "block_selector", "selection_of", "selector"]

# A copy that was restored has another class here, see ``s3.facts.RESTORED``.
_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class SkipReason(StrEnum):
    """Why an object is not synced; stored and shown as it is."""

    FOLDER_MARKER = "folder_marker"
    EMPTY = "empty"
    EXCLUDED = "excluded"
    UNSUPPORTED_TYPE = "unsupported_type"
    TOO_LARGE = "too_large"
    ARCHIVED = "archived"
    INVALID_KEY = "invalid_key"
    OWNED_BY_OTHER = "owned_by_other"
    OPTED_OUT = "opted_out"
    ENCODED = "encoded"  # stored with a Content-Encoding that can't be decoded


# (keys, their sizes in digits, their storage classes): see ``block_selector``
BlockSelector = Callable[[Sequence[str], Sequence[str], Iterable[str]], bool]


_EXTENSION = re.compile("[a-z0-9]{1,10}")


def selection_of(rules: str) -> Selection:
    """The selection that has these rules."""
    facts: dict[str, Any] = json.loads(rules)
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in facts.items()}
    return Selection(**values)


def _matcher(globs: Iterable[str]) -> Callable[[str], object] | None:
    patterns = [fnmatch.translate(glob) for glob in globs]
    return re.compile("|".join(patterns)).match if patterns else None


def selector(selection: Selection) -> Callable[[str, int, str], SkipReason | None]:
    """A function of (key, size in bytes, storage class) that gives the reason for a skip, or ``None``: selected."""
    included, excluded = _matcher(selection.include), _matcher(selection.exclude)
    types = frozenset(t.lower().lstrip(".") for t in selection.file_types)
    all_types = "*" in types
    largest = selection.max_file_size

    def by_name(key: str) -> SkipReason | None:
        if "\0" in key:
            return SkipReason.INVALID_KEY  # Postgres stores no U+0000, so this comes before every other reason
        if key.endswith("/"):
            return SkipReason.FOLDER_MARKER
        if (included and not included(key)) or (excluded and excluded(key)):
            return SkipReason.EXCLUDED
        if not all_types and extension(key) not in types:
            return SkipReason.UNSUPPORTED_TYPE
        return None

    def decide(key: str, size: int, storage_class: str) -> SkipReason | None:
        reason = by_name(key)
        if reason is None and size == 0:
            reason = SkipReason.EMPTY
        if reason is None and size > largest:
            reason = SkipReason.TOO_LARGE
        if reason is None and storage_class in _ARCHIVED:
            reason = SkipReason.ARCHIVED
        return reason

    return decide


def block_selector(selection: Selection) -> BlockSelector:
    """A function of (keys, their sizes in digits, their storage classes), true only if ``selector`` skips none of them.

    It may be false although none is skipped; it costs a tenth of asking for each.
    """
    included, excluded = _matcher(selection.include), _matcher(selection.exclude)
    types = frozenset(t.lower().lstrip(".") for t in selection.file_types)
    all_types = "*" in types
    tails = frozenset(f".{name}" for name in types if _EXTENSION.fullmatch(name))
    largest = selection.max_file_size

    digits = len(str(largest))

    def decide(keys: Sequence[str], sizes: Sequence[str], classes: Iterable[str]) -> bool:
        if not keys or "0" in sizes or not _ARCHIVED.isdisjoint(classes):
            return False
        if max(map(len, sizes)) >= digits and max(map(int, sizes)) > largest:
            return False
        if "\0" in "".join(keys):
            return False
        if (included and not all(map(included, keys))) or (excluded and any(map(excluded, keys))):
            return False
        if all_types:
            return not any(key.endswith("/") for key in keys)
        return all(tail in tails or (tail.isascii() and tail.lower() in tails) for tail in _tails(keys))

    return decide


def _tails(keys: Sequence[str]) -> set[str]:
    """How the keys end, each from its last dot on."""
    ends = "\n".join(keys) + "\n"
    tail = keys[0][keys[0].rfind(".") :]
    if ends.count(tail + "\n") == len(keys) == ends.count("\n"):
        return {tail}  # most folders have files of one type: a third of the time
    return {key[key.rfind(".") :] for key in keys}
