"""Secrets by ARN, from moto's Secrets Manager and Parameter Store."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from cloudindex_provider.aws_lambda.secret_store import read_secret
from cloudindex_provider.errors import SettingsError

REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    with mock_aws():
        yield


def secret(text: str) -> str:
    client = boto3.client("secretsmanager", region_name=REGION)
    return str(client.create_secret(Name="cloudindex", SecretString=text)["ARN"])


def test_a_secret_is_read_in_its_own_region() -> None:
    assert read_secret("V", secret("key-5ecret")) == "key-5ecret"


def test_one_field_of_a_json_secret_is_named_after_the_arn() -> None:
    arn = secret(json.dumps({"api_key": "key-5ecret", "port": 5432, "more": {}}))
    assert read_secret("V", f"{arn}:api_key") == read_secret("V", f"{arn}:api_key::") == "key-5ecret"
    assert read_secret("V", f"{arn}:port") == "5432"
    for field in ("missing", "more"):
        with pytest.raises(SettingsError, match=field) as caught:
            read_secret("V", f"{arn}:{field}")
        assert "5ecret" not in str(caught.value)


def test_a_json_secret_whose_field_is_not_named_is_no_value() -> None:
    """As a whole it would be a key that CloudIndex refuses, and nobody would see why."""
    with pytest.raises(SettingsError, match="no field of it is named") as caught:
        read_secret("V", secret(json.dumps({"api_key": "key-5ecret"})))
    assert "5ecret" not in f"{caught.value} {caught.value.fields()}"


def test_a_field_of_a_secret_that_is_no_json_is_named() -> None:
    with pytest.raises(SettingsError, match="no field 'x'") as caught:
        read_secret("V", secret("key-5ecret") + ":x")
    assert "5ecret" not in str(caught.value)


def test_a_parameter_is_read_decrypted() -> None:
    client = boto3.client("ssm", region_name=REGION)
    client.put_parameter(Name="/cloudindex/key", Value="key-5ecret", Type="SecureString")
    arn = client.get_parameter(Name="/cloudindex/key")["Parameter"]["ARN"]
    assert read_secret("V", arn) == "key-5ecret"


@pytest.mark.parametrize("arn", ["", "key-5ecret", "arn:aws:s3:::bucket", "arn:aws:iam::1:role/x"])
def test_what_is_no_arn_of_a_secret_is_not_repeated(arn: str) -> None:
    """It may be the secret itself, in the wrong variable."""
    with pytest.raises(SettingsError, match="V is no ARN") as caught:
        read_secret("V", arn)
    assert (caught.value.field, "5ecret" in str(caught.value)) == ("V", False)


@pytest.mark.parametrize(
    ("arn", "right"),
    [
        (f"arn:aws:secretsmanager:{REGION}:123456789012:secret:missing-abcdef", "secretsmanager:GetSecretValue"),
        (f"arn:aws:ssm:{REGION}:123456789012:parameter/missing", "ssm:GetParameter"),
    ],
)
def test_what_aws_does_not_give_is_named_with_the_right_to_it(arn: str, right: str) -> None:
    with pytest.raises(SettingsError, match="missing") as caught:
        read_secret("V", arn)
    assert right in caught.value.hint
