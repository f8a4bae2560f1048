"""Keeps secrets and terminal tricks out of texts that a server or a library wrote, before they reach an exception.

Owns no decision: it takes a text and the secrets to look for, and returns a text that may be logged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cloudindex_provider.api.connection import AUTH_SCHEMES

__all__ = ["MASK", "clean", "redact", "secret_values"]

MASK = "***"
MIN_SECRET = 4  # shorter values, such as "1", would mask half of every sentence

_WORDS = "|".join(AUTH_SCHEMES)
_SCHEMES = re.compile(rf"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:{_WORDS}|basic)\s+)?)[^\s\"',;]+")
_VALUES = re.compile(rf"(?i)\b((?:{_WORDS})\s+)[^\s\"',;:]*[0-9_\-.+/=][^\s\"',;]*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without the given secrets, and without whatever follows ``Authorization:``, ``ApiKey`` or ``Bearer``.

    After a bare ``ApiKey`` or ``Bearer`` only words that hold a digit or one of ``_-.+/=`` count as a secret, so that
    "the ApiKey header is missing" stays readable.
    """
    for secret in sorted({s for s in secrets if len(s) >= MIN_SECRET}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _VALUES.sub(rf"\g<1>{MASK}", _SCHEMES.sub(rf"\g<1>{MASK}", text))


def clean(text: str, secrets: Iterable[str] = (), *, limit: int = 300) -> str:
    """``text`` on one line, redacted, at most ``limit`` characters: fit for a log line."""
    text = " ".join(_UNPRINTABLE.sub(" ", redact(text, secrets)).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def secret_values(credentials: Mapping[str, Any]) -> tuple[str, ...]:
    """Every string inside a credentials object, at any depth."""
    found: list[str] = []
    todo: list[Any] = [credentials]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, Mapping):
            todo.extend(value.values())
        elif isinstance(value, list | tuple):
            todo.extend(value)
    return tuple(found)
