"""Answers that a sound server never gives: connections cut at the transport, halves of bodies, unreadable JSON.

``scope["app"].state.connections`` holds what finds a client's transport; see ``server``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cloudindex_provider.local.faults import Fault

__all__ = ["CutBody", "FindTransport", "HangUp", "after", "html_page"]

# From a client's address and port to its connection; None if it is gone already.
FindTransport = Callable[[tuple[str, int]], asyncio.Transport | None]


class HangUp(Response):
    """No answer at all: the client sees the end of the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if transport := _transport(scope):
            transport.abort()
        await _gone(receive)


class CutBody(Response):
    """The head and the first half of an answer, then the end of the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        if transport := _transport(scope):
            transport.close()  # sends what is buffered first
        await _gone(receive)


def html_page(status: int) -> Response:
    """What a proxy answers in place of the service."""
    page = f"<html><head><title>{status}</title></head><body><h1>{status} Bad Gateway</h1><hr>nginx</body></html>"
    return Response(page, status, media_type="text/html")


def after(fault: Fault | None, answer: Response) -> Response:
    """What becomes of the answer to a request that was carried out."""
    if fault is None:
        return answer
    if fault.kind == "cut_after":
        return HangUp()
    if fault.kind == "cut_body":
        return CutBody(answer.body, answer.status_code, media_type="application/json")
    if fault.kind == "garbage":
        return Response(bytes(answer.body)[:-1] + b'\xff"', answer.status_code, media_type="application/json")
    return answer


def _transport(scope: Scope) -> asyncio.Transport | None:
    find: FindTransport = scope["app"].state.connections
    return find(tuple(scope["client"]))


async def _gone(receive: Receive) -> None:
    # Returning before the server noticed the closed connection would make it send a 500 into it.
    while (await receive())["type"] != "http.disconnect":
        pass
