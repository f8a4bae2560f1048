"""Every request of the API as a value: method, path, parameters, body, and what repeating it would mean.

Pure, and knows no host and no key. Ids are opaque strings, quoted whole, so no id can reach another path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from cloudindex_provider.api.attempts import Repeat
from cloudindex_provider.errors import ConfigurationError

__all__ = [
    "Call",
    "check",
    "configure_integration",
    "delete_document",
    "document_versions",
    "get_document",
    "list_documents",
    "query",
    "upload_documents",
]


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``json`` is the encoded body; it stays out of ``repr``, for it may hold credentials."""

    operation: str  # what a person would call it, for messages and logs
    method: str
    path: str  # quoted, under the base URL
    params: Mapping[str, str | int] = field(default_factory=dict)
    json: bytes | None = field(default=None, repr=False)
    repeat: Repeat = Repeat.SAFE
    writes: bool = False  # an unanswered one may have taken effect
    not_found_hint: str | None = None
    follow: bool = True  # a GET's redirects on the same origin
    verdicts: frozenset[int] = frozenset()  # statuses of errors whose body may say which file is refused


_PROJECT_HINT = "Check project_id, and that the API key belongs to this project."


def upload_documents(project_id: str | None) -> Call:
    """The call alone; its body is a ``Multipart``."""
    path = _documents(project_id)
    return Call(
        "upload documents",
        "POST",
        path,
        repeat=Repeat.ONLY_IF_NOT_DONE,
        writes=True,
        not_found_hint=_PROJECT_HINT,
        verdicts=frozenset({400, 422}),
    )


def list_documents(project_id: str | None, params: Mapping[str, str | int] | None = None) -> Call:
    return Call("list documents", "GET", _documents(project_id), params or {}, not_found_hint=_PROJECT_HINT)


def check(project_id: str | None) -> Call:
    """The list, of which only the beginning will be read. A redirect is none: an upload isn't redirected."""
    return replace(list_documents(project_id), follow=False)


def get_document(project_id: str | None, document_id: str) -> Call:
    return Call("get document", "GET", _document(project_id, document_id))


def document_versions(project_id: str | None, document_id: str, limit: int | None, offset: int | None) -> Call:
    params = {name: value for name, value in (("limit", limit), ("offset", offset)) if value is not None}
    return Call("list versions", "GET", f"{_document(project_id, document_id)}/versions", params)


def delete_document(project_id: str | None, document_id: str) -> Call:
    return Call("delete document", "DELETE", _document(project_id, document_id), writes=True)


def query(text: str, filters: Mapping[str, Any] | None, options: Mapping[str, Any] | None) -> Call:
    body: dict[str, Any] = {"query": text}
    if filters is not None:
        body["filters"] = dict(filters)
    if options is not None:
        body["options"] = dict(options)
    return Call("query", "POST", "/query", json=_json(body))


def configure_integration(kind: str, credentials: Mapping[str, Any], settings: Mapping[str, Any], path: str) -> Call:
    """``path`` is under the base URL: the API's documents name none, so whoever knows one says it."""
    steps = path.strip("/").split("/")
    if "//" in path or not path.strip("/") or any(step in (".", "..") for step in steps):
        raise ConfigurationError(
            "The path of the integration call can't be used.",
            hint="Give a path under the base URL, like /integrations.",
        )
    quoted = "/" + "/".join(quote(step, safe="") for step in steps)
    body = _json({"type": kind, "credentials": dict(credentials), "settings": dict(settings)})
    return Call("configure integration", "POST", quoted, json=body, repeat=Repeat.ONLY_IF_NOT_DONE, writes=True)


def _documents(project_id: str | None) -> str:
    return f"/projects/{_segment(project_id, 'project_id', _NO_PROJECT)}/documents"


def _document(project_id: str | None, document_id: str) -> str:
    return f"{_documents(project_id)}/{_segment(document_id, 'document_id', '')}"


_NO_PROJECT = "Set project_id, or project_id in the CloudIndex connection's extras."


def _segment(value: str | None, name: str, hint: str) -> str:
    # "." and ".." survive quoting, and URL libraries resolve them: DELETE documents/.. would be another request
    if not isinstance(value, str) or not value.strip() or value in (".", ".."):
        raise ConfigurationError(f"{name} is missing." if not value else f"{name} is {value!r}.", hint=hint)
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:  # a lone surrogate
        raise ConfigurationError(f"{name} is no text that a URL can hold.", hint=hint) from None


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
