"""The endpoints below ``/_local``, by which a demo or a test in another process steers the server.

They need no key: a server offers them only when started so, and only where everyone who can connect may steer it.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloudindex_provider.local import documents
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.local.service import Service
from cloudindex_provider.local.settings import Settings

__all__ = ["apply_settings", "router"]

_FAULTS = TypeAdapter(list[Fault])


def apply_settings(settings: Settings, changes: dict[str, Any]) -> None:
    """Change settings, all or none of them. Raises ``ValueError`` naming what is wrong."""
    checked = Settings.model_validate(settings.model_dump() | changes)
    for name in changes:
        setattr(settings, name, getattr(checked, name))


def router(service: Service) -> APIRouter:
    """The control endpoints of one server."""
    routes = APIRouter(prefix="/_local")

    @routes.post("/faults", response_model=None)
    async def add_faults(request: Request) -> Response:
        try:
            faults = _FAULTS.validate_json(await request.body())
        except ValidationError as exc:
            return _invalid(exc)
        service.faults.add(*faults)
        return JSONResponse({"added": len(faults)})

    @routes.delete("/faults", response_model=None)
    async def clear_faults() -> Response:
        service.faults.clear()
        return JSONResponse({"message": "cleared"})

    @routes.post("/settings", response_model=None)
    async def change_settings(request: Request) -> Response:
        try:
            apply_settings(service.settings, dict(json.loads(await request.body())))
        except (ValueError, TypeError) as exc:
            return _invalid(exc)
        return JSONResponse({"message": "changed"})

    @routes.get("/stats", response_model=None)
    async def stats() -> Response:
        requests = list(service.requests)
        return JSONResponse(
            {
                "requests": len(requests),
                "operations": Counter(request.operation for request in requests),
                "statuses": Counter(str(request.status) for request in requests),
                "files": sum(request.files for request in requests),
                "documents": documents.counts(service.store),
                "faults": {"waiting": len(service.faults.waiting), "fired": service.faults.fired},
            }
        )

    return routes


def _invalid(exc: Exception) -> Response:
    return JSONResponse({"error": str(exc), "code": "validation/invalid-input"}, 400)
