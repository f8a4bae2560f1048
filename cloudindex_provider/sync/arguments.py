"""From an operator's rendered arguments to settings. Templates give text, so every type is read from text too."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from cloudindex_provider.errors import SettingsError

__all__ = [
    "DEFAULT_FILE_TYPES",
    "StringList",
    "file_types",
    "flag",
    "is_unset",
    "keys",
    "number",
    "optional",
    "plain",
    "prefix",
    "seconds",
    "string",
    "strings",
    "whole",
]

StringList = str | Sequence[str] | None

T = TypeVar("T")

# documents.yaml, "Supported formats", with cs and rs for its CSHARP and RUST.
_FILE_TYPES = """
    pdf doc docx rtf txt odt pages abw sxw stw sxg wpd wps lwp hwp html htm xml
    xls xlsx xlsm xlsb csv tsv ods fods numbers dif sylk dbf wks ppt pptx pptm pot potm potx odp key
    js jsx ts tsx py go java cs rs sql sh bash css scss sass ejs tmpl yaml env conf md mdx
"""
DEFAULT_FILE_TYPES = tuple(_FILE_TYPES.split())


def is_unset(value: Any) -> bool:
    """Whether an argument says nothing; a template of ``None`` renders to the text ``None``."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def optional(read: Callable[[str, Any], T], field: str, value: Any) -> T | None:
    """``read``, or ``None`` for what says nothing."""
    return None if is_unset(value) else read(field, value)


def plain(field: str, value: Any) -> Any:
    """A value as it is; what it may be is checked with the other settings."""
    return value


def string(field: str, value: Any) -> Any:
    """Text; nothing at all is the empty text."""
    return value or ""


def prefix(field: str, value: Any) -> Any:
    """A prefix as it is: nothing given is ``""``, but a template without a value isn't the whole bucket.

    :raises SettingsError: for ``None`` and the text that a template of it renders to
    """
    if value is None or value == "None":
        raise SettingsError(
            f"{field} is a template that rendered to None, and without a prefix the whole bucket would be synced.",
            field=field,
            hint='Let it give the prefix; write "" for the whole bucket. A prefix None is "None/".',
        )
    return value


def strings(field: str, value: StringList) -> tuple[str, ...]:
    """A list, a JSON list, or text with one item a line or between commas."""
    if is_unset(value):
        return ()
    if not isinstance(value, str):
        return _texts(field, value)
    text = value.strip()
    if _is_list(text):
        return _texts(field, _parsed_list(field, text))
    return tuple(item.strip() for item in text.replace("\n", ",").split(",") if item.strip())


def file_types(value: StringList) -> tuple[str, ...]:
    """Extensions in lower case; none given: all that CloudIndex documents."""
    return tuple(item.lower().lstrip(".") for item in strings("file_types", value)) or DEFAULT_FILE_TYPES


def keys(value: StringList) -> tuple[str, ...] | None:
    """Whole keys, ``None`` for the whole prefix. Text is a list or one key, because keys may hold commas and newlines.

    :raises SettingsError: also for the text ``None``: a template without a value must not sync the whole prefix
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return _texts("keys", value)
    if value == "None":
        raise SettingsError(
            "keys is a template that rendered to None.",
            field="keys",
            hint='Let it give a list, [] for no key; or leave keys out for the whole prefix. A key None is ["None"].',
        )
    return _texts("keys", _parsed_list("keys", value)) if _is_list(value.strip()) else (value,)


def _is_list(text: str) -> bool:
    return text.startswith("[") and text.endswith("]")  # [a-z]*.md is a glob


def _parsed_list(field: str, text: str) -> list[Any]:
    """A JSON list, or a Python list as a template renders one."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    raise SettingsError(f"{field} is no list: {text[:200]!r}.", field=field, hint='Write ["a", "b"].')


def _texts(field: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, dict | bytes) or not hasattr(value, "__iter__"):
        raise SettingsError(f"{field} is {value!r}, not a list.", field=field, hint='Write ["a", "b"].')
    items = tuple(value)
    for item in items:
        if not isinstance(item, str) or not item:
            raise SettingsError(f"{field} holds {item!r}, not a text.", field=field, hint='Write ["a", "b"].')
    return items


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
    """A number, also as text."""
    try:
        found = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if math.isnan(found):
        raise SettingsError(f"{field} is {value!r}, not a number.", field=field)
    return found


def whole(field: str, value: Any) -> int:
    """A whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = number(field, value)
    if not found.is_integer():
        raise SettingsError(f"{field} is {value!r}, not a whole number.", field=field)
    return int(found)


def seconds(field: str, value: Any) -> float:
    """A timedelta, or a number of seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else number(field, value)
