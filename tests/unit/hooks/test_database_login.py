"""A Postgres connection with the extra ``iam``: whose token it takes, where for, and what is refused in a sentence."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from cloudindex_provider.errors import ConfigurationError, SettingsError
from cloudindex_provider.hooks.state import open_state, resolve_state
from cloudindex_provider.state.db.address import Address

pytestmark = pytest.mark.usefixtures("airflow_home")
HOST = "state.abc123.eu-west-1.rds.amazonaws.com"
AWS = {"conn_type": "aws", "login": "AKIADEFAULT", "password": "secret-5ecret", "extra": {}}

State = Callable[..., Address]


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Defines AWS connections, and lets nothing of this machine count."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)

    def define(conn_id: str = "aws_default", **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(AWS | fields))

    define()
    return define


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> State:
    """The address that a connection with ``iam`` leads to."""

    def resolve(extra: dict[str, Any] | None = None, **fields: Any) -> Address:
        connection = {
            "conn_type": "postgres", "host": HOST, "login": "cloudindex_state", "schema": "cloudindex_state",
            "extra": {"iam": True} | (extra or {}),
        }  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_STATE_DB", json.dumps(connection | fields))
        return resolve_state(state_conn_id="state_db")

    return resolve


def asked(address: Address) -> dict[str, str]:
    """What a new token says."""
    assert address.password is not None
    token = address.password()
    place, _, query = token.partition("/?")
    return {"place": place} | {name: values[0] for name, values in parse_qs(query).items()}


def test_each_connection_gets_a_token_of_the_aws_connection(state: State) -> None:
    """Of the one that ``PostgresHook`` takes by default, for the region that the host names; TLS is a must."""
    address = state()
    said = asked(address)
    assert (said["place"], said["DBUser"], said["Action"]) == (f"{HOST}:5432", "cloudindex_state", "connect")
    assert said["X-Amz-Credential"].startswith("AKIADEFAULT/")
    assert "/eu-west-1/rds-db/" in said["X-Amz-Credential"]
    assert (address.url.password, dict(address.url.query)) == (None, {"sslmode": "require"})


def test_what_the_connection_says_of_tls_counts(state: State) -> None:
    extra = {"sslmode": "verify-full", "sslrootcert": "/etc/ssl/rds.pem"}
    assert dict(state(extra).url.query) == extra


@pytest.mark.parametrize("iam", [False, "false", "", None])
def test_without_iam_nothing_is_asked_of_aws(state: State, iam: Any) -> None:
    """Also in the spelling of a URI, which knows texts alone."""
    address = state({"iam": iam}, password="pass-5ecret")
    assert (address.password, address.url.password, dict(address.url.query)) == (None, "pass-5ecret", {})


def test_iam_may_be_told_by_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"postgres://cloudindex_state@{HOST}:5433/cloudindex_state?iam=true&aws_conn_id=aws_default"
    monkeypatch.setenv("AIRFLOW_CONN_STATE_DB", uri)
    assert asked(resolve_state(state_conn_id="state_db"))["place"] == f"{HOST}:5433"


def test_another_aws_connection_or_none_may_be_named(
    state: State, aws: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``aws_conn_id`` as of ``PostgresHook``; null is boto3's own credentials, such as a role of the worker."""
    aws("aws_state", login="AKIASTATE")
    assert asked(state({"aws_conn_id": "aws_state"}))["X-Amz-Credential"].startswith("AKIASTATE/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAROLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert asked(state({"aws_conn_id": None}))["X-Amz-Credential"].startswith("AKIAROLE/")


def test_a_connection_that_is_made_for_s3_signs_as_rds_wants_it(state: State, aws: Callable[..., None]) -> None:
    """Its endpoint and kind of signature are S3's; RDS would refuse a token that is signed so."""
    s3 = {"endpoint_url": "https://minio.example.com", "config_kwargs": {"signature_version": "s3v4"}}
    plain = state()
    asked(plain)  # so that its client is made of the connection as it was
    aws(extra=s3)
    of_s3 = state()
    for _ in range(10):  # the same second, which is signed too
        one, other = asked(plain), asked(of_s3)
        if one["X-Amz-Date"] == other["X-Amz-Date"]:
            break
    assert one == other


def test_the_region_of_another_host_is_that_of_the_aws_connection(state: State, aws: Callable[..., None]) -> None:
    """Or it is missing, and said to be."""
    with pytest.raises(SettingsError, match=r"its host db\.example\.com is no endpoint of RDS") as caught:
        asked(state(host="db.example.com"))
    assert caught.value.field == "region_name"
    aws(extra={"region_name": "ap-south-1"})
    assert "/ap-south-1/rds-db/" in asked(state(host="db.example.com"))["X-Amz-Credential"]
    assert "/eu-west-1/rds-db/" in asked(state())["X-Amz-Credential"]


@pytest.mark.parametrize(
    ("extra", "fields", "said"),
    [
        ({}, {"password": "pass-5ecret"}, "'state_db' logs in by IAM and has a password, too"),
        ({}, {"login": ""}, "'state_db' logs in by IAM and names no user"),
        ({}, {"host": ""}, "'state_db' logs in by IAM and names no single host"),
        ({"redshift": True}, {}, "has the extras iam and redshift, and that is no Postgres of Amazon RDS"),
        ({"redshift-serverless": True}, {}, "has the extras iam and redshift-serverless"),
        ({"azure_conn_id": "azure_default"}, {}, "has the extras iam and azure_conn_id"),
    ],
)
def test_a_connection_that_can_have_no_token_is_refused(
    state: State, extra: dict[str, Any], fields: dict[str, Any], said: str
) -> None:
    """Before anything is opened, with what to do."""
    with pytest.raises(SettingsError, match=said) as caught:
        state(extra, **fields)
    assert caught.value.hint
    assert "5ecret" not in f"{caught.value} {caught.value.fields()}"


def test_a_word_that_is_neither_true_nor_false_is_refused(state: State) -> None:
    with pytest.raises(ConfigurationError, match="the extra iam of connection 'state_db'"):
        state({"iam": "maybe"})


def test_extras_that_are_no_json_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not taken for none: the login would be another one, and without the TLS that they ask for."""
    connection = {"conn_type": "postgres", "host": HOST, "extra": '{"iam": true, "sslmode": "verify-full"'}
    monkeypatch.setenv("AIRFLOW_CONN_STATE_DB", json.dumps(connection))
    with pytest.raises(ConfigurationError, match="extras of connection 'state_db' are not JSON"):
        resolve_state(state_conn_id="state_db")


def test_an_aws_connection_that_isnt_there_is_named(state: State) -> None:
    """Whatever credentials the machine has aren't taken in its place."""
    with pytest.raises(SettingsError, match="'no_such' is not defined"):
        asked(state({"aws_conn_id": "no_such"}))


def test_a_client_is_made_once_and_signs_every_token(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its credentials renew themselves; to make one takes 0.1 CPU-seconds."""
    from cloudindex_provider.hooks.aws import aws_client

    made: list[str] = []

    def counting(service: str, *rest: Any, **more: Any) -> Any:
        made.append(service)
        return aws_client(service, *rest, **more)

    monkeypatch.setattr("cloudindex_provider.hooks.database_login.aws_client", counting)
    address = state()
    assert made == []
    asked(address), asked(address)
    assert made == ["rds"]


def test_no_secret_gets_into_a_log_an_error_or_a_name(
    state: State, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the token, nor the key that signs it: of a whole opening that fails, with everything logged."""
    from cloudindex_provider.s3.database_login import TokenPassword

    tokens: list[str] = []
    make = TokenPassword.__call__

    def keeping(self: TokenPassword) -> str:
        tokens.append(make(self))
        return tokens[-1]

    monkeypatch.setattr(TokenPassword, "__call__", keeping)
    caplog.set_level(logging.DEBUG)
    address = state({"connect_timeout": 1}, host="127.0.0.1", port=9)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(Exception, match="can't be used now") as caught:
        open_state(state_conn_id="state_db")
    [token] = tokens
    signature = parse_qs(token)["X-Amz-Signature"][0]
    told = f"{caught.value!r} {caught.value} {address!r} {address.url!r} {caplog.text}"
    assert (signature in told, "5ecret" in told) == (False, False)
    assert "rds-db:connect" in str(caught.value)
