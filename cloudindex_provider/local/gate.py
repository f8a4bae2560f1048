"""The ASGI layer around the API: request ids, keys, rate limits, the size of requests, and the log of requests."""

from __future__ import annotations

import asyncio
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloudindex_provider.local import render
from cloudindex_provider.local.errors import Refusal
from cloudindex_provider.local.faults import Operation
from cloudindex_provider.local.ratelimit import limit_headers, too_many
from cloudindex_provider.local.service import BASE_PATH, Request, Service

__all__ = ["SCOPE_KEY", "Gate"]

SCOPE_KEY = "cloudindex"  # where the scope keeps the ``Request``
_HOUR = 3600.0
_DOCUMENTS = re.compile(r"/projects/[^/]+/documents(?P<one>/[^/]+(?P<versions>/versions)?)?")


class Gate:
    """Lets authorised requests through and writes the headers that every answer carries."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(BASE_PATH + "/"):
            await self._app(scope, receive, send)
            return
        request = Request(
            method=scope["method"],
            path=scope["path"],
            operation=operation_of(scope["method"], scope["path"].removeprefix(BASE_PATH)),
            request_id=str(uuid.uuid4()),
            started=time.monotonic(),
        )
        scope[SCOPE_KEY] = request
        self._service.requests.append(request)
        try:
            await self._admit(scope, receive, send, request)
        except asyncio.CancelledError:
            # Only a stopping server cancels, after it cut the connection: uvicorn would log this as an error of ours.
            pass
        finally:
            request.ended = time.monotonic()

    async def _admit(self, scope: Scope, receive: Receive, send: Send, request: Request) -> None:
        extra = {"X-Request-ID": request.request_id}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in extra.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._check(scope, request, extra)
        if refusal is None:
            self._service.running[request.key] += 1
            try:
                await self._app(scope, receive, send_with_headers)
            finally:
                self._service.running[request.key] -= 1
            return
        await _drain(receive)
        body = render.error(refusal, request.operation, request.request_id, self._service.settings)
        await JSONResponse(body, refusal.status, refusal.headers)(scope, receive, send_with_headers)

    def _check(self, scope: Scope, request: Request, extra: dict[str, str]) -> Refusal | None:
        """Why not to let the request in; ``extra`` gets the headers of the window that it was counted in."""
        settings = self._service.settings
        headers = Headers(scope=scope)
        denied = self._authenticate(headers, request)
        address = scope["client"][0]
        per_ip = self._service.limiter.take(f"ip {address}", settings.requests_per_hour_per_ip, _HOUR)
        window = per_ip
        if denied is None and per_ip.allowed:
            window = self._service.limiter.take(f"key {request.key}", settings.requests_per_window, settings.window)
        extra.update(limit_headers(window, settings))
        if not window.allowed:
            return too_many(settings, window)
        if denied is not None:
            return denied
        limit = settings.concurrent_requests
        if limit is not None and self._service.running[request.key] >= limit:
            return too_many(settings, window, "rate_limit/concurrent-exceeded")
        length = headers.get("content-length", "")
        if settings.max_request_size is not None and length.isdecimal() and int(length) > settings.max_request_size:
            return Refusal(413, "validation/request-too-large", "The request is too large")
        return None

    def _authenticate(self, headers: Headers, request: Request) -> Refusal | None:
        value = headers.get("authorization")
        if not value:
            return Refusal(401, "api_key/missing", "An API key is required")
        scheme, _, key = value.partition(" ")
        settings = self._service.settings
        wanted = ("apikey", "bearer") if settings.auth_scheme == "both" else (settings.auth_scheme.lower(),)
        if scheme.lower() not in wanted or key.strip() not in settings.api_keys:
            return Refusal(401, "api_key/invalid", "The provided API key is invalid or has been revoked")
        request.key = key.strip()
        return None


def operation_of(method: str, path: str) -> Operation:
    """Which operation a path below the base path means."""
    if method == "POST" and path in ("/query", "/integrations"):
        return "query" if path == "/query" else "integrations"
    match = _DOCUMENTS.fullmatch(path)
    if match is None:
        return "other"
    if match["one"] is None:
        known: dict[str, Operation] = {"POST": "upload", "GET": "list"}
    elif match["versions"]:
        known = {"GET": "versions"}
    else:
        known = {"GET": "get", "DELETE": "delete"}
    return known.get(method, "other")


async def _drain(receive: Receive) -> None:
    """Read the body before answering: a client that still sends may never read an early answer."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return
