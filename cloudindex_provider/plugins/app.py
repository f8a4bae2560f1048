"""The FastAPI application that Airflow's api-server mounts: nobody gets an answer who isn't signed in.

The dependency is the application's own, so no route can be forgotten; there is no mounted file server, which a
dependency wouldn't reach, and no description of the API for strangers.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from cloudindex_provider.errors import (
    ClaimLostError,
    ProviderError,
    SettingsError,
    StateError,
    StateUnavailableError,
)
from cloudindex_provider.plugins import actions, models, plans, routes
from cloudindex_provider.plugins.reading import StateReader

__all__ = ["create_app"]

_KINDS = {".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_SAID = 3  # things that are wrong with a request
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
_SEEN_FROM_HERE = (
    "The page shows the state that [cloudindex] names, as the api-server sees it. Where tasks keep theirs on another"
    " machine or in another container, set state_conn_id to a Postgres connection for all components."
)


def create_app() -> FastAPI:
    """The application, with a state of its own to look at."""
    app = FastAPI(title="CloudIndex", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])
    app.state.reader = StateReader()
    app.include_router(routes.router)
    app.include_router(plans.router)
    app.include_router(actions.router)
    app.get("/static/{name}")(static)
    app.exception_handler(ProviderError)(_on_error)
    app.exception_handler(RequestValidationError)(_on_invalid)
    return app


def static(name: Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]*\.(js|svg)$")]) -> Response:
    """A file of the page: one folder, and no other names than its own."""
    file = files("cloudindex_provider.plugins").joinpath("static", name)
    if not file.is_file():
        raise HTTPException(404)
    return Response(file.read_bytes(), media_type=_KINDS[f".{name.rpartition('.')[2]}"], headers=_HEADERS)


def _on_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ProviderError):  # whom this is not for
        raise error
    if isinstance(error, StateError):
        request.app.state.reader.doubt()
    status, what, hint = _meaning(error)
    problem = models.Problem(what=what, message=error.message, hint=hint)  # type: ignore[arg-type]
    return JSONResponse(problem.model_dump(), status_code=status)


def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    """What is wrong, and where. FastAPI would repeat the value as well, and fail where JSON has no word for it."""
    if not isinstance(error, RequestValidationError):  # whom this is not for
        raise error
    found = [f"{'.'.join(str(part) for part in one['loc']) or 'body'}: {one['msg']}" for one in error.errors()]
    problem = models.Problem(what="settings", message=f"No request can have this: {'; '.join(found[:_SAID])}.")
    return JSONResponse(problem.model_dump(), status_code=422)


def _meaning(error: ProviderError) -> tuple[int, str, str]:
    """(HTTP status, what it is, what to do)."""
    if isinstance(error, StateError):
        what = "state_unavailable" if isinstance(error, StateUnavailableError) else "state_unusable"
        return 503, what, f"{error.hint} {_SEEN_FROM_HERE}".strip()
    if isinstance(error, ClaimLostError):
        return 409, "refused", error.hint
    if isinstance(error, SettingsError):
        return (404, "not_found", "") if error.field == "source" else (400, "settings", error.hint)
    return 500, "refused", error.hint
