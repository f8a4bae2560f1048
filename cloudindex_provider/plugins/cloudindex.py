"""The plugin as Airflow loads it, in every process: imports nothing until the api-server asks for the application."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin

from cloudindex_provider.links.routes import DAG_ROUTE, NAV_ROUTE, RUN_ROUTE

__all__ = ["PREFIX", "CloudIndexPlugin"]

PREFIX = "/cloudindex"
_NAME = "CloudIndex"
_PLACES = {"nav": NAV_ROUTE, "dag": DAG_ROUTE, "dag_run": RUN_ROUTE}  # where -> its part of the address


class CloudIndexPlugin(AirflowPlugin):
    """A page in the navigation, and a tab on each DAG and DAG run."""

    name = "cloudindex"

    @cached_property
    def react_apps(self) -> list[dict[str, str]]:  # type: ignore[override]  # a list to whoever reads it
        """The same page in each place. Its address begins with Airflow's base path: 3.2 takes no relative one."""
        from airflow.configuration import conf

        base = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
        files = f"{base}{PREFIX}/static"
        return [
            {
                "name": _NAME,
                "bundle_url": f"{files}/page.js",
                "destination": place,
                "url_route": route,
                "icon": f"{files}/icon.svg",
                "icon_dark_mode": f"{files}/icon-dark.svg",
            }
            for place, route in _PLACES.items()
        ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # the same
        """The API and the page's files."""
        from cloudindex_provider.plugins.app import create_app

        return [{"app": create_app(), "url_prefix": PREFIX, "name": _NAME}]
