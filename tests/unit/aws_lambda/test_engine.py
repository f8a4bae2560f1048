"""Where the function's state is, and who logs in there: a password of its URL, or the function's role."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest

from cloudindex_provider.aws_lambda.engine import rds_client, state_address
from cloudindex_provider.aws_lambda.environment import StatePlace
from cloudindex_provider.errors import SettingsError

HOST = "state.abc123.eu-west-1.rds.amazonaws.com"


def place(url: str, *, iam: bool = True) -> StatePlace:
    return StatePlace(url, "https://api.test", "key", "ApiKey", "cloudindex_default", lambda: "key", iam)


def no_client() -> Any:
    raise AssertionError("AWS is asked for nothing")


def test_the_functions_role_signs_a_token_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what Lambda's runtime has in its environment; the region is the database's."""
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAROLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-5ecret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-5ecret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    address = state_address(place(f"postgresql://cloudindex_state@{HOST}/state"), rds_client)
    assert address.password is not None
    start, _, query = address.password().partition("/?")
    said = parse_qs(query)
    assert (start, said["DBUser"], said["Action"]) == (f"{HOST}:5432", ["cloudindex_state"], ["connect"])
    assert "/eu-west-1/rds-db/" in said["X-Amz-Credential"][0]
    assert (address.url.drivername, dict(address.url.query)) == ("postgresql+psycopg2", {"sslmode": "require"})
    assert "5ecret" not in f"{address!r} {address.url!r}"


def test_a_password_is_the_urls_own() -> None:
    address = state_address(place(f"postgresql://u:pass-5ecret@{HOST}/state", iam=False), no_client)
    assert (address.password, address.url.password, dict(address.url.query)) == (None, "pass-5ecret", {})


@pytest.mark.parametrize("driver", ["", "+psycopg", "+asyncpg", "+pg8000"])
def test_the_driver_is_the_one_of_the_zip(driver: str) -> None:
    """Airflow's own URL of the same state may name another one."""
    address = state_address(place(f"postgresql{driver}://u:pass-5ecret@{HOST}/state", iam=False), no_client)
    assert address.url.drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    ("url", "field"),
    [
        (f"postgresql://u:pass-5ecret@{HOST}/state", "password"),
        (f"postgresql://u@{HOST}/state?password=pass-5ecret", "password"),
        (f"postgresql://{HOST}/state", "login"),
        ("postgresql://u@/state", "host"),
    ],
)
def test_a_url_that_can_have_no_token_is_refused_unread(url: str, field: str) -> None:
    with pytest.raises(SettingsError, match="CLOUDINDEX_STATE_URL logs in by IAM") as caught:
        state_address(place(url), no_client)
    assert caught.value.field == field
    assert "5ecret" not in f"{caught.value} {caught.value.fields()}"
