"""The endpoints of the public API, and the faults that meet them."""

from __future__ import annotations

import json
import uuid
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cloudindex_provider.local import control, documents, render
from cloudindex_provider.local.committing import commit
from cloudindex_provider.local.errors import Refusal
from cloudindex_provider.local.faults import Operation, Plan
from cloudindex_provider.local.gate import SCOPE_KEY, Gate
from cloudindex_provider.local.performing import Performer
from cloudindex_provider.local.query import parse_query
from cloudindex_provider.local.responses import FindTransport, HangUp
from cloudindex_provider.local.search import search
from cloudindex_provider.local.service import BASE_PATH, Service
from cloudindex_provider.local.service import Request as Logged
from cloudindex_provider.local.uploads import read_upload

__all__ = ["create_app"]

_CODES = {404: "business/not-found", 405: "validation/invalid-input"}


def create_app(service: Service, connections: FindTransport, *, with_control: bool) -> Gate:
    """The whole ASGI application. ``with_control`` adds the endpoints below ``/_local``."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.connections = connections
    api = _Api(service)
    one = f"{BASE_PATH}/projects/{{project}}/documents"
    app.add_api_route(one, api.upload, methods=["POST"], response_model=None)
    app.add_api_route(one, api.list_, methods=["GET"], response_model=None)
    app.add_api_route(one + "/{document}", api.get, methods=["GET"], response_model=None)
    app.add_api_route(one + "/{document}", api.delete, methods=["DELETE"], response_model=None)
    app.add_api_route(one + "/{document}/versions", api.versions, methods=["GET"], response_model=None)
    app.add_api_route(f"{BASE_PATH}/query", api.query, methods=["POST"], response_model=None)
    app.add_api_route(f"{BASE_PATH}/integrations", api.integrate, methods=["POST"], response_model=None)
    app.add_exception_handler(Refusal, api.refused)
    app.add_exception_handler(HTTPException, api.refused)
    app.add_exception_handler(ClientDisconnect, api.left)
    if with_control:
        app.include_router(control.router(service))
    return Gate(app, service)


class _Api:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = service.settings
        self._store = service.store
        self._performer = Performer(service.faults, service.settings)

    async def upload(self, request: Request, project: str) -> Response:
        self._check_project(request, project)
        content_type = request.headers.get("content-type", "")
        upload = await read_upload(content_type, request.stream(), self._store, self._settings)
        _logged(request).files = upload.parts
        names = [file.file_name for file in upload.files]
        return await self._performer.perform(
            "upload", names, lambda plan: _json(commit(self._service, project, upload, plan)), upload.discard
        )

    async def list_(self, request: Request, project: str) -> Response:
        self._check_project(request, project)

        def action(plan: Plan) -> Response:
            rows = documents.listing(self._store, project)
            shown = [row for row in rows if not plan.change("missing_entries", f"{row['file_name']} {row['id']}")]
            return _json(render.listing(shown, len(rows), self._settings, request.query_params))

        return await self._performer.perform("list", [], action)

    async def get(self, request: Request, project: str, document: str) -> Response:
        self._check_project(request, project)

        def action(_plan: Plan) -> Response:
            found = documents.find(self._store, project, document)
            if found is None:
                raise _not_found()
            return _json(render.details(*found, self._settings))

        return await self._performer.perform("get", self._subjects(project, document), action)

    async def versions(self, request: Request, project: str, document: str) -> Response:
        self._check_project(request, project)

        def action(_plan: Plan) -> Response:
            if not self._settings.versions_endpoint:
                raise Refusal(404, "business/not-found", "Not found")
            if documents.find(self._store, project, document) is None:
                raise _not_found()
            limit = render.whole(request.query_params, "limit", 20, 1)
            offset = render.whole(request.query_params, "offset", 0, 0)
            return _json(render.history(documents.versions(self._store, document), limit, offset))

        return await self._performer.perform("versions", self._subjects(project, document), action)

    async def delete(self, request: Request, project: str, document: str) -> Response:
        self._check_project(request, project)

        def action(_plan: Plan) -> Response:
            if not documents.remove(self._store, project, document):
                raise _not_found()
            return _json({"message": "Document deleted successfully"})

        return await self._performer.perform("delete", self._subjects(project, document), action)

    async def query(self, request: Request) -> Response:
        query = parse_query(await _body(request))
        allowed = self._settings.api_keys.get(_logged(request).key)
        projects = self._settings.projects if allowed is None else allowed
        return await self._performer.perform(
            "query", [query.text], lambda _plan: _json(search(self._store, query, list(projects)))
        )

    async def integrate(self, request: Request) -> Response:
        body = await _body(request)
        if not isinstance(body, dict) or not isinstance(body.get("type"), str):
            raise Refusal(400, "validation/missing-field", "type is required", details={"field": "type"})

        def action(_plan: Plan) -> Response:
            # The credentials are accepted and forgotten: nothing here needs them.
            answer = {"id": str(uuid.uuid4()), "type": body["type"], "status": "active"}
            with self._store.write() as db:
                db.execute(
                    "INSERT INTO integrations (id, type, settings, status) VALUES (:id, :type, :settings, :status)",
                    {**answer, "settings": json.dumps(body.get("settings"))},
                )
            return _json(answer)

        return await self._performer.perform("integrations", [body["type"]], action)

    async def refused(self, request: Request, exc: Exception) -> Response:
        """Turn a refusal, ours or the framework's, into an error body."""
        if isinstance(exc, HTTPException):
            exc = Refusal(exc.status_code, _CODES.get(exc.status_code, "system/internal-error"), str(exc.detail))
        assert isinstance(exc, Refusal)  # noqa: S101 - registered for these two only
        logged: Logged | None = request.scope.get(SCOPE_KEY)  # None below /_local
        operation: Operation = logged.operation if logged else "other"
        request_id = logged.request_id if logged else ""
        return _json(render.error(exc, operation, request_id, self._settings), exc.status, exc.headers)

    async def left(self, _request: Request, _exc: Exception) -> Response:
        """A client that went away in the middle of its body gets no answer, and nothing was done."""
        return HangUp()

    def _subjects(self, project: str, document: str) -> tuple[str, ...]:
        """What a fault may match: the document's id and, looked up only if there are faults, its name."""
        found = documents.find(self._store, project, document) if self._service.faults.waiting else None
        return (document, found[0]["file_name"]) if found else (document,)

    def _check_project(self, request: Request, project: str) -> None:
        if project not in self._settings.projects:
            raise Refusal(404, "business/not-found", "Project not found")
        allowed = self._settings.api_keys.get(_logged(request).key)
        if allowed is not None and project not in allowed:
            raise Refusal(403, "permission/forbidden", "The API key has no access to this project")


def _logged(request: Request) -> Logged:
    logged: Logged = request.scope[SCOPE_KEY]
    return logged


def _not_found() -> Refusal:
    return Refusal(404, "business/not-found", "Document not found")


async def _body(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as exc:
        raise Refusal(400, "validation/invalid-format", "The body is not JSON") from exc


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    data = json.dumps(body, separators=(",", ":")).encode()
    return Response(data, status, headers, media_type="application/json")
