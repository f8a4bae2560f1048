"""``airflow cloudindex iam-policy``: a policy for each part, or the sentence why there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.sync.repair.conftest import Cli

HOST = "state.abc123.eu-west-1.rds.amazonaws.com"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:events"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts the state into a Postgres by a connection."""

    def define(**fields: Any) -> None:
        connection = {
            "conn_type": "postgres", "host": HOST, "login": "cloudindex_state", "schema": "cloudindex_state",
            "extra": {"iam": True},
        }  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_STATE_DB", json.dumps(connection | fields))
        monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_CONN_ID", "state_db")

    return define


def arn(answer: Any) -> str:
    [statement] = answer.json["Statement"]
    assert (answer.code, statement["Effect"], statement["Action"]) == (0, "Allow", "rds-db:connect")
    return str(statement["Resource"])


def test_policies_are_printed_as_json(cli: Cli) -> None:
    answer = cli("iam-policy", "--for", "events", "--bucket", "b", "--queue-arn", QUEUE)
    assert answer.json["Statement"][0]["Resource"] == QUEUE
    assert "queue" in cli("iam-policy", "--for", "events", "--bucket", "b").error
    assert "No bucket is named" in cli("iam-policy", "--for", "sync").error


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_a_syncs_partition_is_that_of_its_connection(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, region: str, partition: str
) -> None:
    """No ARN says it; and where no connection is defined yet, boto3's own region does."""

    def listed(conn_id: str) -> str:
        found = cli("iam-policy", "--for", "sync", "--bucket", "b", "--aws-conn-id", conn_id).json["Statement"]
        return str(found[0]["Resource"])

    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_CHINA", json.dumps({"conn_type": "aws", "extra": {"region_name": region}}))
    assert listed("china") == f"arn:{partition}:s3:::b"
    assert listed("not_there") == "arn:aws:s3:::b"
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    assert listed("not_there") == listed("") == f"arn:{partition}:s3:::b"


@pytest.mark.parametrize("part", ["sync", "events", "notifications"])
def test_a_key_of_ones_own_is_an_option_that_is_told_of(cli: Cli, part: str) -> None:
    words = ["iam-policy", "--for", part, "--bucket", "b", *(["--queue-arn", QUEUE] if part != "sync" else [])]
    answer = cli(*words)
    assert "kms:" not in answer.out
    assert "--key-arn" in answer.err
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    answer = cli(*words, "--key-arn", key)
    assert answer.json["Statement"][-1]["Resource"] == key
    assert "--key-arn" not in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--queue-arn", "https://sqs.us-east-1.amazonaws.com/1/q"], "which is no ARN of sqs"),
        (["--queue-arn", QUEUE, "--key-arn", "alias/documents"], "which is no ARN of kms"),
        (["--queue-arn", QUEUE, "--key-arn", "arn:aws:kms:us-east-1:123456789012:alias/documents"], "no ARN of kms"),
        (["--queue-arn", QUEUE, "--bucket", "point-abc123-s3alias"], "the ARN of the access point"),
        (["--for", "sync", "--bucket", "point-abc123--ol-s3"], "the ARN of the access point"),
        (["--for", "sync", "--bucket", "arn:aws:s3:::documents"], "which is no ARN of an access point"),
        (["--for", "notifications", "--bucket", "arn:aws:s3:eu-west-1:123456789012:accesspoint/a"], "no notifications"),
    ],
)
def test_what_would_mean_nothing_in_a_policy_is_refused(cli: Cli, words: list[str], said: str) -> None:
    assert said in cli("iam-policy", "--for", "events", "--bucket", "b", *words).error


def test_the_states_policy_is_what_its_connection_says(cli: Cli, connect: Callable[..., None]) -> None:
    """And what it can't say is an option; then there is nothing to add."""
    connect()
    answer = cli(
        "iam-policy", "--for", "state", "--db-resource-id", "db-ABCDEFGHIJKL01234", "--db-account", "123456789012"
    )
    assert arn(answer) == "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABCDEFGHIJKL01234/cloudindex_state"
    assert "--db-" not in answer.err


@pytest.mark.parametrize("output", ["table", "json"])
def test_what_isnt_known_is_any_and_how_to_find_it_out_stands_beside(
    cli: Cli, connect: Callable[..., None], output: str
) -> None:
    """Not in the output, which is a policy to be stored."""
    connect()
    answer = cli("iam-policy", "--for", "state", "--output", output)
    assert arn(answer) == "arn:aws:rds-db:eu-west-1:*:dbuser:*/cloudindex_state"
    for word in ("DbiResourceId", "DbClusterResourceId", "prx-", "--db-account"):
        assert word in answer.err


def test_partition_and_region_are_those_of_the_host(cli: Cli, connect: Callable[..., None]) -> None:
    """Or the region is that of the AWS connection."""
    connect(host="state.abc.rds.cn-north-1.amazonaws.com.cn")
    assert arn(cli("iam-policy", "--for", "state")).startswith("arn:aws-cn:rds-db:cn-north-1:")
    connect(host="db.example.com")
    assert arn(cli("iam-policy", "--for", "state")).startswith("arn:aws:rds-db:us-east-1:")


def test_a_state_without_iam_needs_no_right_of_awss(cli: Cli, connect: Callable[..., None]) -> None:
    """The file, and a Postgres with a password: said in a sentence, with what to do."""
    assert "so it needs no right of AWS's" in cli("iam-policy", "--for", "state").error
    connect(extra={}, password="pass-5ecret")
    said = cli("iam-policy", "--for", "state").error
    assert "is logged in to without IAM, so it needs no right of AWS's" in said
    assert "GRANT CREATE" in said
    assert '"iam": true' in said
    assert "5ecret" not in said


@pytest.mark.parametrize(
    "words",
    [("--db-resource-id", "my-database"), ("--db-resource-id", "db-A/*"), ("--db-account", "1234")],
)
def test_an_option_that_is_no_id_is_refused(cli: Cli, connect: Callable[..., None], words: tuple[str, str]) -> None:
    connect()
    assert f"{words[0]} is {words[1]!r}" in cli("iam-policy", "--for", "state", *words).error
