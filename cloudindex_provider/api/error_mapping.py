"""Turns an answer that is no success into the typed error: an error answer of any shape, a redirect, an unreadable one.

Pure: it takes status, headers and bytes, and never keeps a reference to them.
Messages come out redacted and on one line, for servers do echo what they were sent.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from cloudindex_provider.api.build import Call
from cloudindex_provider.api.parse import decode
from cloudindex_provider.api.ratelimit import parse_reset, parse_retry_after, server_time
from cloudindex_provider.api.redact import clean
from cloudindex_provider.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InvalidAnswerError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnsupportedTypeError,
)

__all__ = [
    "Answer",
    "answer_error",
    "error_for_status",
    "invalid_answer",
    "redirect_error",
    "retry_after",
]

_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's head and, where it was read, its body. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @property
    def request_id(self) -> str | None:
        return clean(self.headers.get("x-request-id", ""), limit=120) or None


@dataclass(frozen=True, slots=True)
class _Body:
    """What an error's body says, from any dialect."""

    message: str | None = None
    code: str | None = None
    category: str | None = None
    request_id: str | None = None
    reset_at: Any = None
    is_page: bool = False


def answer_error(call: Call, answer: Answer, secrets: Iterable[str]) -> ApiError:
    """The error of an answer of 400 and up. Its type is decided by the status alone."""
    secrets = tuple(secrets)
    said = _read(answer.body)
    kind = error_for_status(answer.status)
    message = clean(said.message or "", secrets)
    return kind(
        message or f"The service answered {answer.status} {_phrase(answer.status)}".rstrip() + ".",
        status=answer.status,
        code=_short(said.code, secrets),
        category=_short(said.category, secrets),
        request_id=_short(answer.request_id or said.request_id, secrets),
        retry_after=retry_after(answer, said.reset_at),
        hint=call.not_found_hint if answer.status == 404 else None,
        operation=call.operation,
        outcome_unknown=call.writes and issubclass(kind, ServerError),
        foreign=said.is_page,
    )


def retry_after(answer: Answer, reset_at: Any = None) -> float | None:
    """Seconds that an answer asks to wait; for a 429 also by its Reset header or the body's ``reset_at``."""
    wait = parse_retry_after(answer.headers)
    if wait is not None or answer.status != 429:
        return wait
    now = server_time(answer.headers)
    for value in (answer.headers.get("x-ratelimit-reset"), answer.headers.get("ratelimit-reset"), reset_at):
        wait = parse_reset(value, now)
        if wait is not None:
            return wait
    return None


def redirect_error(call: Call, answer: Answer, base_url: str) -> ApiError:
    """A redirect that is not followed; only the target's origin is named, for its query may hold anything."""
    here = urlsplit(base_url)
    origin = _origin(answer.headers.get("location", ""))
    if origin in (None, _origin(base_url)):
        hint = "Check the connection's host and path."
    elif here.scheme == "http" and origin.startswith(f"https://{here.hostname}"):
        hint = "Use https in the connection's host."
    else:
        hint = f"If {origin} is the CloudIndex API, use it as the connection's host."
    target = f" to {origin}" if origin else ""
    return error_for_status(answer.status)(
        f"The service answered {answer.status}, a redirect{target}, which was not followed: the API key stays here.",
        status=answer.status,
        request_id=answer.request_id,
        hint=hint,
        operation=call.operation,
    )


def invalid_answer(call: Call, reason: str, answer: Answer | None = None) -> InvalidAnswerError:
    """A success that can't be read; ``reason`` is our own sentence, never a parser's, which would repeat the body."""
    return InvalidAnswerError(
        f"The answer can't be used: {reason}.",
        status=answer.status if answer else None,
        request_id=answer.request_id if answer else None,
        operation=call.operation,
        outcome_unknown=call.writes,
    )


def _read(body: bytes) -> _Body:
    try:
        data = decode(body)
    except ValueError:
        return _Body(message=_page(body), is_page=_MARKUP.match(body) is not None)
    if isinstance(data, str):
        return _Body(message=data)
    if not isinstance(data, dict):
        return _Body()
    inner = data.get("error")
    inner = inner if isinstance(inner, dict) else {}
    details = next((d for d in (data.get("details"), inner.get("details")) if isinstance(d, dict)), {})
    places = (inner, data)
    flat = data.get("error")
    return _Body(
        message=_first(places, "message") or (flat if isinstance(flat, str) else None),
        code=_first(places, "code"),
        category=_first(places, "category"),
        request_id=_first((*places, details), "requestId", "request_id"),
        reset_at=details.get("reset_at", details.get("resetAt")),
    )


def _first(places: Iterable[Mapping[str, Any]], *names: str) -> str | None:
    for place in places:
        for name in names:
            value = place.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                return str(value)
    return None


def _page(body: bytes) -> str | None:
    """What a proxy's page says: its title, or a short text as it is."""
    title = _TITLE.search(body)
    if title:
        return f"{html.unescape(title[1].decode('utf-8', 'replace')).strip()} (a web page, not the API)"
    if not body.strip() or _MARKUP.match(body):
        return None
    return body[:2000].decode("utf-8", "replace")


def _short(value: str | None, secrets: Iterable[str]) -> str | None:
    return clean(value, secrets, limit=120) or None if value else None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _origin(location: str) -> str | None:
    try:
        parts = urlsplit(location)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    return clean(f"{parts.scheme}://{parts.hostname}{port}", limit=120) if parts.scheme and parts.hostname else None


_BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: ServerError,
    409: ConflictError,
    413: PayloadTooLargeError,
    415: UnsupportedTypeError,
    425: ServerError,
    429: RateLimitedError,
}


def error_for_status(status: int) -> type[ApiError]:
    """The error type of an HTTP status of 300 and up."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ServerError if status >= 500 else BadRequestError
