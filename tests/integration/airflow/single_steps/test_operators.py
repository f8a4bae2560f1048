"""What all single-step operators have in common, and the integration's configuration."""

from __future__ import annotations

import inspect
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk import DAG

from cloudindex_provider import errors
from cloudindex_provider.operators.cloudindex import (
    CloudIndexConfigureIntegrationOperator,
    CloudIndexDeleteDocumentOperator,
    CloudIndexQueryOperator,
    CloudIndexUploadDocumentsOperator,
)
from cloudindex_provider.operators.single_step import CloudIndexStepOperator
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.sensors.cloudindex import CloudIndexProcessingSensor

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")


def configure(**more):
    return CloudIndexConfigureIntegrationOperator(
        task_id="t", settings={"bucket": "b"}, region_name="eu-west-1", **more
    )


@pytest.mark.parametrize("settings", ['{"bucket": "b"}', "{'bucket': 'b'}"])
def test_settings_may_be_the_text_of_an_object(service, monkeypatch, settings):
    """As a template renders one."""
    aws(monkeypatch)
    task = CloudIndexConfigureIntegrationOperator(task_id="t", settings=settings, region_name="None")
    assert task.execute({})["status"] == "active"
    assert json.loads(service.requests[0][2])["settings"] == {"bucket": "b"}


@pytest.mark.parametrize("settings", [None, "", "None", "b", ["b"]])
def test_settings_that_are_none_are_refused_before_anything_is_sent(service, monkeypatch, settings):
    """No integration is made of nothing."""
    aws(monkeypatch)
    with pytest.raises(errors.ConfigurationError, match="settings is"):
        CloudIndexConfigureIntegrationOperator(task_id="t", settings=settings).execute({})
    assert service.requests == []


def aws(monkeypatch, **more):
    fields = {"conn_type": "aws", "login": "AKIAEXAMPLE", "password": "aws-secret-example", "extra": more}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(fields))


def test_an_integration_gets_the_aws_credentials_and_gives_none_back(service, monkeypatch, caplog):
    aws(monkeypatch)
    result = configure().execute({})
    assert result == {"id": "int-1", "status": "active"}
    sent = json.loads(service.requests[0][2])
    assert sent["credentials"] == {
        "accessKeyId": "AKIAEXAMPLE",
        "secretAccessKey": "aws-secret-example",
        "region": "eu-west-1",
    }
    assert sent["settings"] == {"bucket": "b"}
    assert "aws-secret-example" not in caplog.text


def test_an_aws_connection_that_is_not_defined_leads_to_no_other_credentials(service, monkeypatch):
    """CloudIndex isn't given those that the machine happens to have."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEMACHINE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-machine")
    with pytest.raises(errors.SettingsError, match="connection 'nowhere' is not defined"):
        configure(aws_conn_id="nowhere").execute({})
    assert service.requests == []


def test_temporary_aws_credentials_are_refused_before_anything_is_sent(service, monkeypatch):
    aws(monkeypatch, aws_session_token="aws-token-example")
    with pytest.raises(errors.ConfigurationError, match="temporary credentials"):
        configure().execute({})
    assert service.requests == []


OPERATORS = [
    (CloudIndexUploadDocumentsOperator, {"files": ["a"]}),
    (CloudIndexDeleteDocumentOperator, {"document_ids": ["a"]}),
    (CloudIndexQueryOperator, {"query": "a"}),
    (CloudIndexConfigureIntegrationOperator, {"settings": {}}),
]


@pytest.mark.parametrize(("operator", "arguments"), OPERATORS)
def test_retries_reach_classic_and_mapped_tasks_and_can_be_overridden(operator, arguments):
    with DAG("d", schedule=None):
        classic = operator(task_id="classic", **arguments)
        mapped = operator.partial(task_id="mapped").expand(**{name: [value] for name, value in arguments.items()})
    with DAG("e", schedule=None, default_args={"retries": 7}):
        overridden = operator(task_id="overridden", **arguments)
    for task in (classic, mapped):
        assert task.retries == 3
        assert task.retry_delay == timedelta(seconds=30)
    for task in (classic, mapped.unmap(arguments)):
        assert task.retry_policy == CloudIndexRetryPolicy()
    assert overridden.retries == 7


@pytest.mark.parametrize(("operator", "arguments"), OPERATORS)
def test_every_template_field_is_an_argument_that_init_only_assigns(operator, arguments):
    task = operator(task_id="t", **arguments)
    for name in operator.template_fields:
        assert hasattr(task, name)
    for name, value in arguments.items():
        assert getattr(task, name) is value


STEPS = [*(operator for operator, _ in OPERATORS), CloudIndexProcessingSensor]
GUIDE = Path(__file__).parents[4] / "docs" / "single-steps.md"


def own_arguments(step):
    """Those of the class itself; the connection and Airflow's are all steps'."""
    shared = set(inspect.signature(CloudIndexStepOperator.__init__).parameters)
    airflows = {"multiple_outputs", "poke_interval", "timeout"}
    return set(inspect.signature(step.__init__).parameters) - shared - airflows


@pytest.mark.parametrize("step", STEPS)
def test_signature_docstring_template_fields_and_guide_say_the_same(step):
    """A new argument is in all four places, and says itself whether it may be a template."""
    said = dict(re.findall(r":param (\w+):(.*?)(?=:param|\Z)", inspect.getdoc(step) or "", re.DOTALL))
    mine = own_arguments(step)
    assert mine <= set(said)
    templated = {name for name, text in said.items() if "(templated)" in " ".join(text.split())}
    assert templated & mine == set(step.template_fields) & mine
    row = next(line for line in GUIDE.read_text().splitlines() if line.startswith(f"| `{step.__name__}` |"))
    assert set(re.findall(r"`(\w+)`", row.split("|")[2])) == mine
    assert mine - set(step.template_fields) <= {"deferrable"}  # as the guide says


def test_without_a_state_a_step_that_only_asks_makes_none(service, monkeypatch, state_path):
    """Questions, looks and integrations keep to what they are told themselves."""
    aws(monkeypatch)
    service.add("a")
    CloudIndexQueryOperator(task_id="q", query="why?").execute({})
    CloudIndexProcessingSensor(task_id="s", document_ids="a").poke({})
    configure().execute({})
    assert not state_path.parent.exists()
