"""Keys that the function of AWS Lambda hands over, at Airflow's own API server."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from cloudindex_provider.aws_lambda.airflow_api import AirflowAssets, RestApi
from cloudindex_provider.aws_lambda.environment import AirflowPlace
from cloudindex_provider.errors import HandOverError
from cloudindex_provider.sync.events.gather import Place
from tests.integration.airflow.page.conftest import SITE, server  # noqa: F401 - a fixture

DOCS = Place("lambda-docs", "handbook/")


@pytest.fixture
def asset(server: Any) -> int:  # noqa: F811 - a fixture
    """The id of the asset that a DAG is scheduled on, beside others whose URIs are like it."""
    from airflow.models.asset import AssetActive, AssetModel
    from airflow.sdk import Asset
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        uris = [Asset(f"s3://lambda-docs/{path}").uri for path in ("handbook/", "handbook/2026/", "x/handbook")]
        for uri in uris:
            if session.scalar(select(AssetModel).where(AssetModel.uri == uri)) is None:
                model = AssetModel(name=uri, uri=uri, group="asset", extra={})
                session.add(model)
                session.flush()
                session.add(AssetActive.for_asset(model))
        return int(session.scalars(select(AssetModel.id).where(AssetModel.uri == uris[0])).one())


def assets(server: Any, role: str) -> AirflowAssets:  # noqa: F811 - a fixture
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=f"a {role}", role=role))
    client: Any = TestClient(server, base_url=SITE)  # of httpx2 where that is installed, which is used in the same way
    return AirflowAssets(RestApi(AirflowPlace(SITE, token=token), client))


def test_keys_become_an_event_of_the_asset_that_dags_are_scheduled_on(server: Any, asset: int) -> None:  # noqa: F811
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    keys = ["handbook/a b.txt", "handbook/ü+%.txt"]
    assets(server, "admin").tell(DOCS, keys)
    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.asset_id == asset)).all()
        assert [event.extra["keys"] for event in events] == [keys]


def test_who_may_not_make_events_is_told_the_right(server: Any, asset: int) -> None:  # noqa: F811
    with pytest.raises(HandOverError, match="403") as caught:
        assets(server, "viewer").tell(DOCS, ["handbook/a.txt"])
    assert "right to create Assets" in caught.value.hint


def test_an_asset_that_no_dag_names_is_missing(server: Any, asset: int) -> None:  # noqa: F811
    with pytest.raises(HandOverError, match="no asset s3://lambda-docs/other/"):
        assets(server, "admin").tell(Place("lambda-docs", "other/"), ["other/a.txt"])
