"""The function's settings: what is wrong is said with the variable's name, and no secret is repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloudindex_provider.aws_lambda.environment import Environment
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.sync.events.gather import Place

SYNCS = json.dumps([{"bucket": "company-docs", "prefix": "handbook/"}])
AIRFLOW = {
    "CLOUDINDEX_SYNCS": SYNCS,
    "CLOUDINDEX_AIRFLOW_URL": "https://airflow.test/",
    "CLOUDINDEX_AIRFLOW_USERNAME": "lambda",
    "CLOUDINDEX_AIRFLOW_PASSWORD": "pass-5ecret",
}
STATE = {
    "CLOUDINDEX_SYNCS": SYNCS,
    "CLOUDINDEX_STATE_URL": "postgresql://u:pass-5ecret@db/state",
    "CLOUDINDEX_API_KEY": "key-5ecret",
    "CLOUDINDEX_PROJECT_ID": "project",
}


def of(base: dict[str, str], **changes: str | None) -> Environment:
    merged = {**base, **changes}
    return Environment({name: value for name, value in merged.items() if value is not None}, lambda *_: "from-AWS")


def read_all(environment: Environment) -> None:
    """Everything that a start reads."""
    environment.check()
    if environment.has_state:
        environment.state(), environment.sync_settings()
    else:
        environment.airflow(), environment.places()


def test_the_default_way_is_airflow() -> None:
    environment = of(AIRFLOW)
    place = environment.airflow()
    assert (environment.has_state, place.url, place.username) == (False, "https://airflow.test", "lambda")
    assert environment.places() == [Place("company-docs", "handbook/")]


def test_a_sync_without_a_prefix_is_the_whole_bucket() -> None:
    assert of(AIRFLOW, CLOUDINDEX_SYNCS='[{"bucket": "b-1"}]').places() == [Place("b-1", "")]


@pytest.mark.parametrize("url", ["HTTPS://airflow.test", "http://10.0.0.7:8080/airflow", "https://[fd00::7]:8080"])
def test_an_address_may_have_a_port_and_a_path(url: str) -> None:
    assert of(AIRFLOW, CLOUDINDEX_AIRFLOW_URL=f" {url}/\n").airflow().url == url


def test_a_token_or_mwaa_need_no_login() -> None:
    none = {"CLOUDINDEX_AIRFLOW_USERNAME": None, "CLOUDINDEX_AIRFLOW_PASSWORD": None}
    assert of(AIRFLOW, **none, CLOUDINDEX_AIRFLOW_TOKEN="t").airflow().token == "t"
    mwaa = of(AIRFLOW, **none, CLOUDINDEX_AIRFLOW_URL=None, CLOUDINDEX_MWAA_ENVIRONMENT="prod")
    assert (mwaa.has_state, mwaa.airflow().mwaa_environment) == (False, "prod")


def test_with_a_state_the_keys_are_synced_here() -> None:
    environment = of(STATE)
    assert environment.has_state
    (settings,) = environment.sync_settings()
    assert (settings.bucket, settings.prefix, settings.project_id) == ("company-docs", "handbook/", "project")
    place = environment.state()
    assert (place.base_url, place.conn_id) == ("https://api.cloudindex.ai/public/v1", "cloudindex_default")
    assert "5ecret" not in repr(place)


@pytest.mark.parametrize(("text", "iam"), [("true", True), ("1", True), ("false", False), ("", False), (None, False)])
def test_the_state_may_be_logged_in_to_by_the_functions_role(text: str | None, iam: bool) -> None:
    url = "postgresql://cloudindex_state@db/state"
    assert of(STATE, CLOUDINDEX_STATE_URL=url, CLOUDINDEX_STATE_IAM=text).state().iam is iam


def test_a_secret_may_be_kept_elsewhere_and_is_read_when_it_is_needed() -> None:
    arn = "arn:aws:secretsmanager:eu-central-1:1:secret:x"
    environment = of(STATE, CLOUDINDEX_API_KEY=None, CLOUDINDEX_API_KEY_ARN=arn)
    place = environment.state()
    assert (place.api_key, place.new_key()) == ("from-AWS", "from-AWS")
    state = of(STATE, CLOUDINDEX_STATE_URL=None, CLOUDINDEX_STATE_URL_ARN=arn)
    assert state.has_state


@pytest.mark.parametrize(
    ("base", "changes", "field"),
    [
        (AIRFLOW, {"CLOUDINDEX_SYNCS": None}, "CLOUDINDEX_SYNCS"),
        (AIRFLOW, {"CLOUDINDEX_SYNCS": "nonsense"}, "CLOUDINDEX_SYNCS"),
        (AIRFLOW, {"CLOUDINDEX_SYNCS": "[]"}, "CLOUDINDEX_SYNCS"),
        (AIRFLOW, {"CLOUDINDEX_SYNCS": '[{"bukket": "b"}]'}, "CLOUDINDEX_SYNCS"),
        (AIRFLOW, {"CLOUDINDEX_SYNCS": '[{"prefix": "p/"}]'}, "bucket"),
        (AIRFLOW, {"CLOUDINDEX_SYNCS": '[{"bucket": "b-1", "prefix": null}]'}, "prefix"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_URL": None}, "CLOUDINDEX_AIRFLOW_URL"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_URL": "airflow.test"}, "CLOUDINDEX_AIRFLOW_URL"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_URL": "https://u:pass-5ecret@airflow.test"}, "CLOUDINDEX_AIRFLOW_URL"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_URL": "https://airflow.test/api/v2/"}, "CLOUDINDEX_AIRFLOW_URL"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_URL": "https://airflow.test?x=5ecret"}, "CLOUDINDEX_AIRFLOW_URL"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_URL": "https://air flow.test"}, "CLOUDINDEX_AIRFLOW_URL"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_TOKEN": "to\nken-5ecret"}, "CLOUDINDEX_AIRFLOW_TOKEN"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_TOKEN": "tokén-5ecret"}, "CLOUDINDEX_AIRFLOW_TOKEN"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_TOKEN": "Bearer token-5ecret"}, "CLOUDINDEX_AIRFLOW_TOKEN"),
        (STATE, {"CLOUDINDEX_API_KEY": "k\n5ecret"}, "CLOUDINDEX_API_KEY"),
        (STATE, {"CLOUDINDEX_API_KEY": "ApiKey 5ecret"}, "CLOUDINDEX_API_KEY"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_USERNAME": None}, "CLOUDINDEX_AIRFLOW_USERNAME"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_PASSWORD": " "}, "CLOUDINDEX_AIRFLOW_PASSWORD"),
        (AIRFLOW, {"CLOUDINDEX_MWAA_ENVIRONMENT": "prod"}, "CLOUDINDEX_AIRFLOW_URL"),
        (AIRFLOW, {"CLOUDINDEX_STATE_URL": "postgresql://db/state"}, "CLOUDINDEX_AIRFLOW_URL"),
        (AIRFLOW, {"CLOUDINDEX_AIRFLOW_ULR": "https://airflow.test"}, "CLOUDINDEX_AIRFLOW_ULR"),
        (STATE, {"CLOUDINDEX_STATE_URL": "sqlite:////srv/5ecret.db"}, "CLOUDINDEX_STATE_URL"),
        (STATE, {"CLOUDINDEX_STATE_URL": "mysql://u:pass-5ecret@db/x"}, "CLOUDINDEX_STATE_URL"),
        (STATE, {"CLOUDINDEX_STATE_URL_ARN": "arn:aws:ssm:r:1:parameter/x"}, "CLOUDINDEX_STATE_URL"),
        (STATE, {"CLOUDINDEX_STATE_IAM": "perhaps"}, "CLOUDINDEX_STATE_IAM"),
        (STATE, {"CLOUDINDEX_API_KEY": None}, "CLOUDINDEX_API_KEY"),
        (STATE, {"CLOUDINDEX_PROJECT_ID": None}, "project_id"),
        (STATE, {"CLOUDINDEX_AUTH_SCHEME": "Basic"}, "CLOUDINDEX_AUTH_SCHEME"),
        (STATE, {"CLOUDINDEX_HOST": "https://u:pass-5ecret@api.test"}, "CLOUDINDEX_HOST"),
        (STATE, {"CLOUDINDEX_SYNCS": '[{"bucket": "b-1", "upload_tasks": "many"}]'}, "upload_tasks"),
        (STATE, {"CLOUDINDEX_SYNCS": '[{"bucket": "b-1", "keys": ["k"]}]'}, "CLOUDINDEX_SYNCS"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(base: dict[str, str], changes: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_all(of(base, **changes))
    assert caught.value.field == field
    assert "5ecret" not in f"{caught.value} {caught.value.fields()}"
    assert caught.value.hint or caught.value.field in ("prefix", "upload_tasks")
