"""Whether a pattern of an EventBridge rule lets an event pass, and events as S3 sends them to try it with. Pure.

As in "Amazon EventBridge event patterns": every name of the pattern must be in the event, with one of the values that
are listed for it. Filters on numbers and addresses, which no name of an S3 object needs, aren't judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["lets_pass", "sample_event"]

_FITS: dict[str, Callable[[str, str], bool]] = {
    "prefix": str.startswith,
    "suffix": str.endswith,
    "wildcard": lambda value, given: fnmatchcase(value, given.replace("[", "[[]").replace("?", "[?]")),
    "equals-ignore-case": lambda value, given: value.lower() == given.lower(),
}


def sample_event(kind: str, bucket: str, key: str) -> dict[str, Any]:
    """An event about an object, as far as a rule selects by it.

    :param kind: its detail-type, such as ``Object Created``
    """
    return {"source": "aws.s3", "detail-type": kind, "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}


def lets_pass(pattern: Any, event: Mapping[str, Any]) -> bool:
    """Whether the event passes. What the event doesn't say (account, time, size) or isn't judged passes."""
    if not isinstance(pattern, Mapping):
        return False
    return all(_passes(wanted, name, event) for name, wanted in pattern.items())


def _passes(wanted: Any, name: str, event: Mapping[str, Any]) -> bool:
    if name == "$or":
        return any(lets_pass(one, event) for one in _list(wanted))
    if name not in event:
        return True
    value = event[name]
    if isinstance(value, Mapping):
        return lets_pass(wanted, value)
    return any(_is_one(value, one) for one in _list(wanted))


def _is_one(value: str, wanted: Any) -> bool:
    """Whether a value is the wanted one, or passes its filter."""
    if not isinstance(wanted, Mapping):
        return bool(value == wanted)
    return all(_filtered(value, kind, given) for kind, given in wanted.items())


def _filtered(value: str, kind: str, given: Any) -> bool:
    if kind == "anything-but":
        return not any(_is_one(value, one) for one in _list(given))
    if kind == "exists":
        return bool(given)
    if isinstance(given, Mapping):  # {"prefix": {"equals-ignore-case": ...}}
        value, given = value.lower(), str(given.get("equals-ignore-case", "")).lower()
    fits = _FITS.get(kind)
    return fits is None or any(fits(value, str(one)) for one in _list(given))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
