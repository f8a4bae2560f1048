"""Arguments of the single steps as Airflow renders them: of a template's text, native values, or an upstream's output.

Nothing here guesses: what can't be read is a ``ConfigurationError`` that names the argument and what came.
"""

from __future__ import annotations

import ast
import json
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow.sdk import XComArg

from cloudindex_provider.errors import ConfigurationError
from cloudindex_provider.sync.arguments import is_unset

__all__ = ["Flag", "Object", "Text", "Texts", "document_ids", "mapping", "required_mapping", "text", "texts"]

# What an argument may be where a DAG is written.
Text = str | XComArg
Texts = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | XComArg
Flag = bool | str | XComArg
Object = Mapping[str, Any] | str | XComArg

_LIST_HINT = 'Give one, or a list of them; as text, {{ ... | tojson }} or ["a", "b"].'
_MAP_HINT = 'Give a dict, or JSON text of one: {{ ... | tojson }} or {"a": 1}.'


def document_ids(value: object, *, at_most: int | None = None) -> list[str]:
    """Document ids without doubles, in order; one alone, a list, or the text of a list.

    :raises ConfigurationError: nothing was given, what was given is no id, or there are too many
    """
    ids = list(dict.fromkeys(item.strip() for item in texts("document_ids", value)))
    for one in ids:
        if one in ("", ".", "..") or any("\ud800" <= letter <= "\udfff" for letter in one):
            raise ConfigurationError(f"document_ids holds {one!r}, which is no id.", hint=_LIST_HINT)
    if at_most is not None and len(ids) > at_most:
        raise ConfigurationError(f"{len(ids)} document ids are too many.", hint=f"Give at most {at_most} to one task.")
    return ids


def texts(field: str, value: object) -> list[str]:
    """One text, or several in order; a path or a number is taken for its text, and the lists of mapped upstream tasks
    are taken together.

    :raises ConfigurationError: nothing was given, or something else than text; an empty list is a list
    """
    if is_unset(value):
        raise ConfigurationError(
            f"{field} is {value!r}: nothing was given.",
            hint="See what the upstream task or the template gives; where it may be none at all, let it be [].",
        )
    if isinstance(value, str) and _encloses(value, "[", "]"):
        value = _literal(field, value, list, _LIST_HINT)
    if isinstance(value, str | int | os.PathLike):
        value = [value]
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise _wrong(field, value, _LIST_HINT)
    return [_text(field, one) for item in value for one in (item if isinstance(item, list | tuple) else (item,))]


def _text(field: str, item: object) -> str:
    if isinstance(item, int) and not isinstance(item, bool):  # native rendering makes a number of the text 7
        return str(item)
    found = os.fspath(item) if isinstance(item, os.PathLike) else item
    if not isinstance(found, str) or not found.strip():
        raise ConfigurationError(f"{field} holds {reprlib.repr(item)}, which is no text.", hint=_LIST_HINT)
    return found


def text(field: str, value: object) -> str | None:
    """A text, or ``None`` where nothing was given."""
    if is_unset(value):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise _wrong(field, value, "Give text.")
    return value


def mapping(field: str, value: object) -> dict[str, Any] | None:
    """A JSON object, or ``None`` where nothing was given.

    :raises ConfigurationError: it is no object, or holds what JSON can't say
    """
    if is_unset(value) or (isinstance(value, str) and value.strip() == "null"):
        return None
    found = _literal(field, value, dict, _MAP_HINT) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise _wrong(field, value, _MAP_HINT)
    try:
        json.dumps(dict(found), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError(f"{field} holds something that JSON can't say.", hint=_MAP_HINT) from None
    return dict(found)


def required_mapping(field: str, value: object) -> dict[str, Any]:
    """``mapping``, where there must be one."""
    found = mapping(field, value)
    if found is None:
        raise ConfigurationError(f"{field} is {value!r}: nothing was given.", hint=_MAP_HINT)
    return found


def _encloses(value: str, first: str, last: str) -> bool:
    stripped = value.strip()
    return stripped.startswith(first) and stripped.endswith(last)


def _literal(field: str, value: str, kind: type, hint: str) -> Any:
    """JSON, or a Python literal, which is what Jinja makes of a list or a dict."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, kind):
            return found
    raise _wrong(field, value, hint)


def _wrong(field: str, value: object, hint: str) -> ConfigurationError:
    # Cut, and a mapping's values left out: whoever put a credential into metadata doesn't want it in the log.
    said = f"a {type(value).__name__}" if isinstance(value, Mapping | bytes) else reprlib.repr(value)
    return ConfigurationError(f"{field} is {said}.", hint=hint)
