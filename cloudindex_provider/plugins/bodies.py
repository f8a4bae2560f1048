"""What a request has in its body: read when it is known who sends it and from where, and no more than an action takes.

FastAPI reads the whole body of a route that declares one, and parses it, before it asks for any dependency: a stranger
would be told what is wrong with their JSON, and could have any amount of it kept in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from cloudindex_provider.plugins.models import MAX_KEYS

__all__ = ["body_of"]

_MAX_BODY = MAX_KEYS * 1024 * 12 + 10_000  # bytes: as many keys as may be named, every character of them escaped
Body = TypeVar("Body", bound=BaseModel)


def body_of(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that gives the body; it stands behind those that say who may send one."""

    async def read(request: Request) -> Body:
        try:
            return model.model_validate_json(await _read(request))
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None

    return read


async def _read(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > _MAX_BODY:
            raise HTTPException(413, f"A request has {_MAX_BODY:,} bytes at most: name fewer keys at once.")
    return bytes(found)
