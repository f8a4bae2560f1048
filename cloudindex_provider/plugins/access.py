"""Who may see and do what, by Airflow's own permissions; and whether a request that changes something is this page's.

A sync is visible to those who may read one of its DAGs, and acted on by those who may edit or trigger one of them.
Where Airflow has none of its DAGs (any more), that is for those who may edit connections: an auth manager has no other
word for an administrator.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from fastapi import HTTPException, Request

from cloudindex_provider.plugins.runs import DagFacts, read_dags
from cloudindex_provider.state.views.overview import SyncRow

__all__ = ["Visitor", "require_own_page", "visitor"]

_PORTS = {"http": 80, "https": 443}


class Visitor:
    """Whoever asks, for one request."""

    def __init__(self, user: Any) -> None:
        self.user = user
        self._auth = get_auth_manager()

    @property
    def name(self) -> str:
        """For the history."""
        return str(self.user.get_name())

    @cached_property
    def _readable(self) -> set[str]:
        return set(self._auth.get_authorized_dag_ids(user=self.user, method="GET"))

    @cached_property
    def _editable(self) -> set[str]:
        return set(self._auth.get_authorized_dag_ids(user=self.user, method="PUT"))

    @cached_property
    def _is_admin(self) -> bool:
        return bool(self._auth.is_authorized_connection(method="PUT", user=self.user))

    def may_see(self, dag_ids: Collection[str]) -> bool:
        """
        :param dag_ids: those of the sync's DAGs that Airflow has
        """
        return bool(self._readable & set(dag_ids)) if dag_ids else self._is_admin

    def hidden(self, dag_ids: Collection[str]) -> set[str]:
        """Those of the DAGs that Airflow has and the visitor may not read: their runs aren't named to them."""
        return set(read_dags(set(dag_ids) - self._readable - {""}))

    def may_act(self, dag_ids: Collection[str]) -> bool:
        """
        :param dag_ids: those of the sync's DAGs that Airflow has
        """
        if not dag_ids:
            return self._is_admin
        mine = self._readable & set(dag_ids)
        return bool(self._editable & mine) or any(self.may_trigger(one) for one in mine)

    def may_trigger(self, dag_id: str) -> bool:
        """Whether the visitor may start a run of this DAG."""
        details = DagDetails(id=dag_id, team_name=_team(dag_id))
        return bool(
            self._auth.is_authorized_dag(
                method="POST", access_entity=DagAccessEntity.RUN, details=details, user=self.user
            )
        )

    def visible(self, rows: Collection[SyncRow]) -> tuple[list[SyncRow], Mapping[str, DagFacts]]:
        """Those of the syncs that the visitor may see, and what Airflow knows of their DAGs."""
        there = read_dags({dag_id for row in rows for dag_id in row.dag_ids})
        return [row for row in rows if self.may_see([one for one in row.dag_ids if one in there])], there


def _team(dag_id: str) -> str | None:
    from airflow.models.dag import DagModel

    find = getattr(DagModel, "get_team_name", None)  # with several teams in one Airflow, as later versions have
    return find(dag_id) if find and conf.getboolean("core", "multi_team", fallback=False) else None


def visitor(user: GetUserDep) -> Visitor:
    """The request's dependency: 401 for whoever isn't signed in."""
    return Visitor(user)


def require_own_page(request: Request) -> None:
    """Refuse what another site could make a browser send: the session's cookie goes with it.

    JSON can't be sent across sites without being asked for, and a browser says where a POST comes from. A program that
    signs in by a header has neither a cookie nor a page.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON.")
    if request.headers.get("authorization"):
        return
    site, origin = request.headers.get("sec-fetch-site"), _place(request.headers.get("origin"))
    if site is not None and site != "same-origin":
        raise HTTPException(403, "This request comes from another page.")
    if origin is None or (origin.host, origin.port) not in _own_places(request, origin.scheme):
        raise HTTPException(403, "This request comes from another page than Airflow's: check [api] base_url.")


class _Place(NamedTuple):
    """Where a page is from, as browsers compare it: the port is there, be it said or not."""

    scheme: str
    host: str
    port: int | None


def _place(address: str | None) -> _Place | None:
    try:
        parts = urlsplit(address or "")
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets without an address, a port that is no number
        return None
    return _Place(parts.scheme, host, _PORTS.get(parts.scheme) if port is None else port) if host else None


def _own_places(request: Request, scheme: str) -> set[tuple[str, int | None]]:
    """Of the request itself, whose ``Host`` says no scheme, and of the configuration, which is right behind a proxy."""
    found = (_place(f"{scheme}://{request.headers.get('host', '')}"), _place(conf.get("api", "base_url", fallback="")))
    return {(one.host, one.port) for one in found if one is not None}
