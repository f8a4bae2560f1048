"""Keys as asset events: what is sent to Airflow, and what its refusals mean."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import httpx
import pytest
from botocore.stub import Stubber

from cloudindex_provider.aws_lambda.airflow_api import AirflowAssets, MwaaApi, RestApi
from cloudindex_provider.aws_lambda.environment import AirflowPlace
from cloudindex_provider.errors import HandOverError
from cloudindex_provider.sync.events.gather import Place

LOGIN = AirflowPlace("https://airflow.test", username="lambda", password="pass-5ecret")
DOCS = Place("company-docs", "handbook/")


@dataclass
class Airflow:
    """As much of an API server as is used here."""

    assets: list[dict[str, Any]] = field(default_factory=lambda: [{"id": 7, "uri": "s3://company-docs/handbook"}])
    tokens: int = 0  # given so far; the last one is valid
    events: list[dict[str, Any]] = field(default_factory=list)
    logins: list[dict[str, str]] = field(default_factory=list)
    refuse: Callable[[httpx.Request], httpx.Response | None] = lambda _: None

    def answer(self, request: httpx.Request) -> httpx.Response:
        refused = self.refuse(request)
        if refused is not None:
            return refused
        if request.url.path == "/auth/token":
            self.tokens += 1
            self.logins.append(json.loads(request.content))
            return httpx.Response(201, json={"access_token": f"token{self.tokens}"})
        if request.headers.get("Authorization") not in (f"Bearer token{self.tokens}", "Bearer given"):
            return httpx.Response(401, json={"detail": "Invalid JWT token"})
        if request.url.path == "/api/v2/assets":
            first, number = int(request.url.params["offset"]), int(request.url.params["limit"])
            found = [row for row in self.assets if request.url.params["uri_pattern"] in row["uri"]]
            return httpx.Response(200, json={"assets": found[first : first + number], "total_entries": len(found)})
        assert request.url.path == "/api/v2/assets/events"
        body = json.loads(request.content)
        if body["asset_id"] not in [row["id"] for row in self.assets]:
            return httpx.Response(404, json={"detail": "not found"})
        self.events.append(body)
        return httpx.Response(200, json={})

    def api(self, place: AirflowPlace = LOGIN) -> AirflowAssets:
        return AirflowAssets(RestApi(place, httpx.Client(transport=httpx.MockTransport(self.answer))))


def test_keys_become_an_event_of_their_asset() -> None:
    """One login and one search, however often keys come."""
    airflow = Airflow()
    assets = airflow.api()
    assets.tell(DOCS, ["handbook/a.txt", "handbook/b.txt"])
    assets.tell(DOCS, ["handbook/c.txt"])
    assert airflow.events == [
        {"asset_id": 7, "extra": {"keys": ["handbook/a.txt", "handbook/b.txt"]}},
        {"asset_id": 7, "extra": {"keys": ["handbook/c.txt"]}},
    ]
    assert airflow.logins == [{"username": "lambda", "password": "pass-5ecret"}]


def test_many_keys_are_several_events() -> None:
    airflow = Airflow()
    keys = [f"handbook/{number}.txt" for number in range(1201)]
    airflow.api().tell(DOCS, keys)
    assert [len(event["extra"]["keys"]) for event in airflow.events] == [500, 500, 201]
    assert [key for event in airflow.events for key in event["extra"]["keys"]] == keys


def test_the_asset_is_the_one_of_exactly_this_uri() -> None:
    """Airflow's search is a pattern, in pages, and stores no slash at the end."""
    more = [{"id": number, "uri": f"s3://company-docs/handbook{number}"} for number in range(100, 350)]
    airflow = Airflow(assets=[*more, {"id": 7, "uri": "s3://company-docs/handbook"}])
    airflow.api().tell(DOCS, ["handbook/a.txt"])
    assert airflow.events[0]["asset_id"] == 7


def test_a_whole_bucket_has_an_asset_too() -> None:
    airflow = Airflow(assets=[{"id": 8, "uri": "s3://company-docs/"}])
    airflow.api().tell(Place("company-docs", ""), ["a.txt"])
    assert airflow.events[0]["asset_id"] == 8


def test_a_missing_asset_is_named_with_what_to_do() -> None:
    with pytest.raises(HandOverError, match="no asset s3://company-docs/other/") as caught:
        Airflow().api().tell(Place("company-docs", "other/"), ["other/a.txt"])
    assert "Asset('s3://company-docs/other/')" in caught.value.hint


def test_an_asset_that_was_made_anew_is_found_again() -> None:
    airflow = Airflow()
    assets = airflow.api()
    assets.tell(DOCS, ["handbook/a.txt"])
    airflow.assets[0]["id"] = 9
    assets.tell(DOCS, ["handbook/b.txt"])
    assert [event["asset_id"] for event in airflow.events] == [7, 9]


def test_a_token_that_has_run_out_is_got_anew() -> None:
    airflow = Airflow()
    assets = airflow.api()
    assets.tell(DOCS, ["handbook/a.txt"])
    airflow.tokens += 1  # the one at hand is no longer valid
    assets.tell(DOCS, ["handbook/b.txt"])
    assert (len(airflow.events), len(airflow.logins)) == (2, 2)


@pytest.mark.parametrize("path", ["/api/v2/assets", "/api/v2/assets/events"])
def test_a_page_in_airflows_place_takes_no_event(path: str) -> None:
    """A proxy that asks for a login answers 200, with HTML."""

    def page(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(200, html="<html>Sign in</html>") if request.url.path == path else None

    with pytest.raises(HandOverError, match=r"\(200\)") as caught:
        Airflow(refuse=page).api().tell(DOCS, ["handbook/a.txt"])
    assert "CLOUDINDEX_AIRFLOW_URL" in caught.value.hint


def test_a_given_token_is_used_and_its_end_is_said() -> None:
    airflow = Airflow()
    airflow.api(AirflowPlace("https://airflow.test", token="given")).tell(DOCS, ["handbook/a.txt"])
    assert (len(airflow.events), airflow.logins) == (1, [])
    with pytest.raises(HandOverError, match="401") as caught:
        airflow.api(AirflowPlace("https://airflow.test", token="old")).tell(DOCS, ["handbook/a.txt"])
    assert "token" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/auth/token", 401, "CLOUDINDEX_AIRFLOW_USERNAME"),
        ("/auth/token", 200, "CLOUDINDEX_AIRFLOW_USERNAME"),  # a page of something else
        ("/api/v2/assets", 403, "right to read Assets"),
        ("/api/v2/assets", 404, "an API server of Airflow 3"),
        ("/api/v2/assets/events", 403, "right to create Assets"),
        ("/api/v2/assets/events", 500, "500: it is down"),
    ],
)
def test_a_refusal_says_what_to_do_and_no_secret(path: str, status: int, said: str) -> None:
    def refuse(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(status, json={"detail": "it is down"}) if request.url.path == path else None

    with pytest.raises(HandOverError) as caught:
        Airflow(refuse=refuse).api().tell(DOCS, ["handbook/a.txt"])
    assert said in str(caught.value)
    assert "5ecret" not in f"{caught.value.fields()}"


def test_no_answer_is_said_with_the_address() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    with pytest.raises(HandOverError, match=r"https://airflow\.test gives no answer") as caught:
        Airflow(refuse=refuse).api().tell(DOCS, ["handbook/a.txt"])
    assert caught.value.retryable


@pytest.mark.parametrize("error", [httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError])
def test_a_connection_that_was_closed_while_the_function_was_frozen_costs_a_second_request(error: Any) -> None:
    broken = [1]

    def once(request: httpx.Request) -> None:
        if broken:
            broken.clear()
            raise error("Server disconnected", request=request)

    airflow = Airflow(refuse=once)
    airflow.api(AirflowPlace("https://airflow.test", token="given")).tell(DOCS, ["handbook/a.txt"])
    assert len(airflow.events) == 1


def test_no_answer_is_waited_for_beyond_the_functions_time() -> None:
    """Lambda would end it without a word of what it waited for."""
    allowed: list[float] = []

    def note(request: httpx.Request) -> None:
        allowed.append(request.extensions["timeout"]["read"])

    assets = Airflow(refuse=note).api(AirflowPlace("https://airflow.test", token="given"))
    assets.api.until = time.monotonic() + 3.0
    assets.tell(DOCS, ["handbook/a.txt"])
    assert 0 < max(allowed) <= 3.0
    assets.api.until = time.monotonic()
    with pytest.raises(HandOverError, match="time is over") as caught:
        assets.tell(DOCS, ["handbook/a.txt"])
    assert caught.value.retryable


def test_what_httpx_cannot_send_is_not_repeated() -> None:
    """Such as a header's value."""
    api = RestApi(AirflowPlace("http://127.0.0.1:9", token="to\nken-5ecret"))

    def send(*_: Any, **more: Any) -> Any:
        raise httpx.LocalProtocolError(f"Illegal header value {more['headers']}")

    api.client.request = send  # type: ignore[method-assign]
    with pytest.raises(HandOverError, match="LocalProtocolError") as caught:
        api.ask("GET", "/assets")
    assert "5ecret" not in f"{caught.value} {caught.value.fields()}"


# Amazon MWAA


@pytest.fixture
def mwaa() -> tuple[AirflowAssets, Stubber]:
    client = boto3.client("mwaa", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="y")
    return AirflowAssets(MwaaApi(client, "prod")), Stubber(client)


LIST = {
    "Name": "prod",
    "Method": "GET",
    "Path": "/assets",
    "QueryParameters": {"uri_pattern": "s3://company-docs/handbook", "limit": 100, "offset": 0},
}
FOUND = {"assets": [{"id": 7, "uri": "s3://company-docs/handbook"}]}


@pytest.mark.parametrize("form", [FOUND, json.dumps(FOUND)])
def test_mwaa_is_asked_by_its_own_call(mwaa: tuple[AirflowAssets, Stubber], form: Any) -> None:
    """No login: the function's role may invoke the API."""
    assets, stub = mwaa
    body = {"asset_id": 7, "extra": {"keys": ["handbook/a.txt"]}}
    stub.add_response("invoke_rest_api", {"RestApiStatusCode": 200, "RestApiResponse": form}, LIST)
    event = {"Name": "prod", "Method": "POST", "Path": "/assets/events", "Body": body}
    stub.add_response("invoke_rest_api", {"RestApiStatusCode": 200, "RestApiResponse": {}}, event)
    with stub:
        assets.tell(DOCS, ["handbook/a.txt"])
    stub.assert_no_pending_responses()


def test_airflows_own_refusal_by_mwaa_is_told_apart_from_awss(mwaa: tuple[AirflowAssets, Stubber]) -> None:
    assets, stub = mwaa
    refused = {"RestApiStatusCode": 403, "RestApiResponse": {"detail": "Forbidden"}}
    stub.add_client_error("invoke_rest_api", "RestApiClientException", modeled_fields=refused)
    stub.add_client_error("invoke_rest_api", "AccessDeniedException", "not authorized", 403)
    with stub:
        with pytest.raises(HandOverError, match="403: Forbidden"):
            assets.tell(DOCS, ["handbook/a.txt"])
        with pytest.raises(HandOverError, match="AccessDeniedException") as caught:
            assets.tell(DOCS, ["handbook/a.txt"])
    assert "airflow:InvokeRestApi" in caught.value.hint
