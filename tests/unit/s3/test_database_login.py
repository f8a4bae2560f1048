"""Tokens for a Postgres on Amazon RDS: what is in them, where they are for, and that they get nowhere else."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore import exceptions as boto

from cloudindex_provider.errors import SettingsError, StateError, StateUnavailableError
from cloudindex_provider.s3.aws_policies import state_policy
from cloudindex_provider.s3.database_login import DatabaseLogin, TokenPassword

HOST = "state.abc123.eu-west-1.rds.amazonaws.com"
KEYS = {
    "aws_access_key_id": "AKIAEXAMPLE",
    "aws_secret_access_key": "secret-5ecret",
    "aws_session_token": "sess-5ecret",
}


def rds(region: str = "us-east-1", **more: Any) -> Any:
    return boto3.client("rds", region_name=region, **{**KEYS, **more})


def password(host: str = HOST, client: Any = None) -> TokenPassword:
    made = client or rds()
    return TokenPassword(DatabaseLogin(host, 5433, "cloudindex state"), lambda: made)


class Failing:
    """A client whose credentials can't be had."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def generate_db_auth_token(self, *_: Any, **__: Any) -> str:
        raise self._error


def test_a_token_is_for_this_host_this_user_and_to_connect() -> None:
    """As RDS reads it: signed for its own region whatever the client's is, and good for 15 minutes."""
    token = urlsplit(f"https://{password()()}")
    said = {name: values[0] for name, values in parse_qs(token.query).items()}
    assert token.netloc == f"{HOST}:5433"
    assert (said["Action"], said["DBUser"], said["X-Amz-Expires"]) == ("connect", "cloudindex state", "900")
    assert said["X-Amz-Credential"].split("/")[2:] == ["eu-west-1", "rds-db", "aws4_request"]
    assert said["X-Amz-Security-Token"] == "sess-5ecret"


def test_making_a_token_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is signing alone, so a new connection costs no request."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a request was sent")

    client = rds()
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)
    assert password(client=client)().startswith(HOST)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOST, "eu-west-1"),
        ("state.cluster-abc123.us-gov-east-1.rds.amazonaws.com", "us-gov-east-1"),
        ("state.cluster-ro-abc123.ap-southeast-2.rds.amazonaws.com", "ap-southeast-2"),
        ("state.proxy-abc123.eu-central-1.rds.amazonaws.com", "eu-central-1"),
        ("state.abc123.cn-north-1.rds.amazonaws.com.cn", "cn-north-1"),
        ("state.abc123.rds.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"),
        ("state.abc123.eusc-de-east-1.rds.amazonaws.eu", "eusc-de-east-1"),
        ("db.example.com", None),
        ("rds.amazonaws.com", None),
        ("state.eu-west-1.rds.amazonaws.com.example.com", None),
        ("10.0.0.7", None),
    ],
)
def test_an_endpoint_of_rds_names_its_region(host: str, region: str | None) -> None:
    """An instance's, a cluster's or a proxy's; no other name does, and the client's region counts there."""
    assert DatabaseLogin(host, 5432, "u").region == region
    assert password(host, rds("ap-south-1")).region == (region or "ap-south-1")


@pytest.mark.parametrize("host", [HOST.upper(), f"{HOST}."])
def test_a_token_is_for_the_endpoint_as_rds_spells_it(host: str) -> None:
    """Whatever else DNS takes for it."""
    login = DatabaseLogin.read("It", host=host, port=None, user="u", has_password=False)
    assert (login.host, login.region) == (HOST, "eu-west-1")


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("mars-1", "aws")],
)
def test_the_policy_names_one_user_of_one_database(region: str, partition: str) -> None:
    """In the partition of its region; nothing but connecting is allowed."""
    found = password(f"x.abc.{region}.rds.amazonaws.com")
    policy = state_policy(
        partition=found.partition, region=found.region, account="123456789012", resource_id="db-ABC", user="u"
    )
    arn = f"arn:{partition}:rds-db:{region}:123456789012:dbuser:db-ABC/u"
    assert policy["Statement"] == [{"Effect": "Allow", "Action": "rds-db:connect", "Resource": arn}]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"has_password": True}, "password"),
        ({"user": None}, "login"),
        ({"user": ""}, "login"),
        ({"host": None}, "host"),
        ({"host": f"{HOST},other"}, "host"),
    ],
)
def test_a_login_that_can_have_no_token_is_refused_with_what_to_do(changes: dict[str, Any], field: str) -> None:
    given: dict[str, Any] = {"host": HOST, "port": None, "user": "u", "has_password": False}
    assert DatabaseLogin.read("connection 'x'", **given) == DatabaseLogin(HOST, 5432, "u")
    with pytest.raises(SettingsError, match="connection 'x' logs in by IAM") as caught:
        DatabaseLogin.read("connection 'x'", **{**given, **changes})
    assert (caught.value.field, bool(caught.value.hint)) == (field, True)


def test_no_credentials_are_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By botocore itself, on a machine that has none."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.session.Session().client("rds", region_name="eu-west-1")
    with pytest.raises(
        StateError, match=f"no AWS credentials for the login to the state's database at {HOST}"
    ) as caught:
        password(client=client)()
    assert not caught.value.retryable
    assert "worker a role" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("error", "retryable", "said"),
    [
        (boto.PartialCredentialsError(provider="env", cred_var="x"), False, "There are no AWS credentials"),
        (
            boto.ClientError(
                {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "AssumeRole"
            ),
            False,
            r"AWS refuses AssumeRole for the login .* \(AccessDenied\)",
        ),
        (
            boto.ClientError(
                {"Error": {"Code": "Throttling"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "AssumeRole"
            ),
            True,
            "can't be had now",
        ),
        (boto.ConnectTimeoutError(endpoint_url="https://sts"), True, "can't be had now"),
        (FileNotFoundError(2, "No such file", "/var/run/token"), True, "can't be had now"),
    ],
)
def test_credentials_that_cant_be_had_are_an_error_of_the_state(error: Exception, retryable: bool, said: str) -> None:
    """What another try may find is tried again; what is refused isn't."""
    with pytest.raises(StateError, match=said) as caught:
        password(client=Failing(error))()
    assert isinstance(caught.value, StateUnavailableError) is retryable
    assert caught.value.__cause__ is None


def test_no_part_of_a_token_gets_into_a_log(caplog: pytest.LogCaptureFixture) -> None:
    """botocore logs each step of a signature as DEBUG; what it signs beside that is logged as ever."""
    caplog.set_level(logging.DEBUG)
    token = password()()
    signature = parse_qs(token)["X-Amz-Signature"][0]
    assert signature not in caplog.text
    assert "5ecret" not in caplog.text
    logging.getLogger("botocore.auth").debug("of another request")
    assert "of another request" in caplog.text
    assert token not in repr(password())
