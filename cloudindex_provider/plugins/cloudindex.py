"""The plugin as Airflow loads it, in every process: imports nothing until the api-server asks for the application."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

__all__ = ["PREFIX", "CloudIndexPlugin"]

PREFIX = "/cloudindex"
_NAME = "CloudIndex"


def _page(destination: str, url_route: str) -> dict[str, str]:
    return {
        "name": _NAME,
        "bundle_url": f"{PREFIX.removeprefix('/')}/static/page.js",  # relative, so that a base path holds
        "destination": destination,
        "url_route": url_route,
        "icon": f"{PREFIX.removeprefix('/')}/static/icon.svg",
        "icon_dark_mode": f"{PREFIX.removeprefix('/')}/static/icon-dark.svg",
    }


class CloudIndexPlugin(AirflowPlugin):
    """A page in the navigation, and a tab on each DAG and DAG run."""

    name = "cloudindex"
    react_apps = [  # noqa: RUF012 - Airflow's own shape
        _page("nav", "cloudindex"),
        _page("dag", "cloudindex-dag"),
        _page("dag_run", "cloudindex-run"),
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # a list to whoever reads it
        """The API and the page's files."""
        from cloudindex_provider.plugins.app import create_app

        return [{"app": create_app(), "url_prefix": PREFIX, "name": _NAME}]
