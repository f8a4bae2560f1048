"""From an operator's rendered arguments to settings. Templates give text, so every type is read from text too."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import timedelta
from enum import Enum
from typing import Any, TypeVar

from cloudindex_provider.errors import SettingsError

__all__ = [
    "DEFAULT_FILE_TYPES",
    "KEYS_FROM_ASSET_EVENTS",
    "NOT_GIVEN",
    "KeysFrom",
    "NotGiven",
    "StringList",
    "file_types",
    "flag",
    "is_unset",
    "keys",
    "number",
    "optional",
    "parsed_list",
    "plain",
    "prefix",
    "seconds",
    "string",
    "strings",
    "text",
    "whole",
]


class NotGiven(Enum):
    """The type of ``NOT_GIVEN``: an argument that nobody has given, which one that turned out empty isn't.

    A class of its own, because a template or another task's output can give every other value, ``None`` too.
    """

    NOT_GIVEN = "not given"

    def __bool__(self) -> bool:
        return False  # Airflow renders nothing that is false

    def __str__(self) -> str:
        return self.value

    __repr__ = __str__

    def serialize(self) -> list[str]:
        """For Airflow's copy of the DAG, where nobody must take it for a value; before 3.2.2 that needs a length."""
        return []


NOT_GIVEN = NotGiven.NOT_GIVEN


class KeysFrom(Enum):
    """Where a run's keys are found that no author can give."""

    ASSET_EVENTS = "those that the run's asset events name"

    def __str__(self) -> str:
        return self.value

    __repr__ = __str__

    def serialize(self) -> str:
        """For Airflow's copy of the DAG."""
        return self.value


KEYS_FROM_ASSET_EVENTS = KeysFrom.ASSET_EVENTS

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


def string(field: str, value: Any) -> str:
    """Text; what says nothing is the empty text.

    :raises SettingsError: for everything else
    """
    return "" if is_unset(value) else text(field, value)


def text(field: str, value: Any) -> str:
    """Text as it is.

    :raises SettingsError: for everything else, also what a template of text becomes when it is rendered natively
    """
    if isinstance(value, str):
        return value
    raise SettingsError(
        f"{field} is {_shown(value)}, not text.",
        field=field,
        hint="Rendered natively, a template makes a number of 2024; with | tojson it stays text."
        if isinstance(value, int | float)
        else "Look at the template or the task that it comes from.",
    )


def prefix(field: str, value: Any) -> str:
    """A prefix as it is. Where nobody has given one it is ``""``, the whole bucket.

    :raises SettingsError: for one that was given and says nothing, so that a template or a task without a value never
        mirrors the whole bucket; and for what isn't text
    """
    if value is NOT_GIVEN:
        return ""
    if (nothing := _nothing(value)) is not None:
        raise SettingsError(
            f"{field} is {nothing}, and without a prefix the whole bucket would be synced.",
            field=field,
            hint=f'Let it give the prefix, or leave {field} out for the whole bucket. A prefix None is "None/".',
        )
    return text(field, value)


def _nothing(value: Any) -> str | None:
    """How a given value that says nothing is told; ``None`` for one that says something."""
    if isinstance(value, str):
        return {"": "empty", "None": "a template that rendered to None"}.get(value)
    return "None" if value is None else None


def _shown(value: Any) -> str:
    """A value that is wrong, with its type: templates and XCom show texts and numbers alike."""
    return f"{value!r:.200} ({type(value).__name__})"


def strings(field: str, value: Any) -> tuple[str, ...]:
    """A list, a JSON list, or text with one item a line or between commas."""
    if is_unset(value):
        return ()
    if not isinstance(value, str):
        return _texts(field, value)
    text = value.strip()
    if _is_list(text):
        return _texts(field, parsed_list(field, text))
    return tuple(item.strip() for item in text.replace("\n", ",").split(",") if item.strip())


def file_types(value: Any) -> tuple[str, ...]:
    """Extensions in lower case; none given: all that CloudIndex documents."""
    return tuple(item.lower().lstrip(".") for item in strings("file_types", value)) or DEFAULT_FILE_TYPES


def keys(value: Any) -> tuple[str, ...] | None:
    """Whole keys; ``None``, which is the whole prefix, where nobody has given any.

    Text is a list or one key, because keys may hold commas and newlines.

    :raises SettingsError: for what isn't text or a list of text, and for what was given and says nothing: a template or
        a task without a value must not sync the whole prefix
    """
    if value is NOT_GIVEN:
        return None
    if isinstance(value, KeysFrom):
        raise SettingsError(
            "keys are those that a run's asset events name, and there is no such run here.",
            field="keys",
            hint="Give the keys themselves.",
        )
    if (nothing := _nothing(value)) is not None:
        raise SettingsError(
            f"keys is {nothing}, and without keys the whole prefix would be synced.",
            field="keys",
            hint='Let it give a list, [] for no key; or leave keys out for the whole prefix. A key None is ["None"].',
        )
    if not isinstance(value, str):
        return _texts("keys", value)
    return _texts("keys", parsed_list("keys", value)) if _is_list(value.strip()) else (value,)


def _is_list(text: str) -> bool:
    return text.startswith("[") and text.endswith("]")  # [a-z]*.md is a glob


def parsed_list(field: str, text: str) -> list[Any]:
    """A JSON list, or a Python list as a template renders one.

    :raises SettingsError: for every other text
    """
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    raise SettingsError(f"{field} is no list: {text[:200]!r}.", field=field, hint='Write ["a", "b"].')


def _texts(field: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise SettingsError(f"{field} is {_shown(value)}, not a list.", field=field, hint='Write ["a", "b"].')
    items = tuple(value)
    for item in items:
        if not isinstance(item, str) or not item:
            raise SettingsError(f"{field} holds {_shown(item)}, not a text.", field=field, hint='Write ["a", "b"].')
    return tuple(sorted(items)) if isinstance(value, Set) else items


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
