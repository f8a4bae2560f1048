"""From an operator's rendered arguments to settings. Templates give text, so every type is read from text too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from cloudindex_provider.sync.errors import SettingsError
from cloudindex_provider.sync.settings import DEFAULT_FILE_TYPES

__all__ = ["file_types", "flag", "keys", "number", "seconds", "strings", "whole"]

StringList = str | Sequence[str] | None


def strings(field: str, value: StringList) -> tuple[str, ...]:
    """A list, a JSON list, or text with one item a line or between commas."""
    if value is None:
        return ()
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            return strings(field, _json_list(field, text))
        return tuple(item.strip() for item in text.replace("\n", ",").split(",") if item.strip())
    return tuple(value)


def _json_list(field: str, text: str) -> list[str]:
    try:
        found = json.loads(text.replace("'", '"') if '"' not in text else text)  # a rendered Python list has '
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise SettingsError(f"{field} is no list: {text!r}.", field=field, hint='Write ["a", "b"] or a,b.')
    return found


def file_types(value: StringList) -> tuple[str, ...]:
    """Extensions in lower case; none given: all that CloudIndex documents."""
    return tuple(item.lower().lstrip(".") for item in strings("file_types", value)) or DEFAULT_FILE_TYPES


def keys(value: StringList) -> tuple[str, ...] | None:
    """Whole keys; text is a JSON list or one key, because keys may hold commas and line breaks."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return tuple(json_or_one(value))
    return tuple(value)


def json_or_one(text: str) -> list[str]:
    """A JSON list of keys, or the text as one key."""
    if text.lstrip().startswith("["):
        return _json_list("keys", text)
    return [text]


def flag(field: str, value: Any) -> bool:
    """A truth value."""
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False, "none": False}
    try:
        return known[str(value).strip().lower()]
    except KeyError:
        raise SettingsError(f"{field} is {value!r}.", field=field, hint="Use true or false.") from None


def number(field: str, value: Any) -> float:
    """A number."""
    if isinstance(value, bool):
        raise SettingsError(f"{field} is {value!r}, not a number.", field=field)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise SettingsError(f"{field} is {value!r}, not a number.", field=field) from None


def whole(field: str, value: Any) -> int:
    """A whole number."""
    found = number(field, value)
    if not found.is_integer():
        raise SettingsError(f"{field} is {value!r}, not a whole number.", field=field)
    return int(found)


def seconds(field: str, value: Any) -> float:
    """A timedelta, or a number of seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else number(field, value)
