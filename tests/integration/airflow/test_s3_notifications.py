"""The operator of a bucket's notifications, with moto's S3 and SQS: the same core as the command's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from cloudindex_provider.errors import SettingsError, SyncFailedError
from cloudindex_provider.operators.cloudindex_s3_notifications import CloudIndexS3NotificationsOperator
from tests.integration.airflow.conftest import World


@pytest.fixture
def queue(world: World) -> SimpleNamespace:
    sqs = boto3.client(
        "sqs", endpoint_url=world.endpoint, aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1"
    )
    url = sqs.create_queue(QueueName=f"{world.bucket[:70]}-n")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return SimpleNamespace(url=url, arn=arn)


def act(world: World, action: str, **more: Any) -> Any:
    task = CloudIndexS3NotificationsOperator(
        task_id="notify", action="{{ params.action }}", bucket=world.bucket, prefix="documents/", wait="2", **more
    )
    task.render_template_fields({"params": {"action": action}})
    return task.execute({})


def test_a_dag_applies_tests_checks_and_takes_back(world: World, queue: SimpleNamespace) -> None:
    """With confirm alone anything is written; applied twice nothing changes."""
    with pytest.raises(SyncFailedError, match="notification is broken") as caught:
        act(world, "check", queue_url=queue.url)
    assert caught.value.report["links"][0]["name"] == "queue"
    given = {"target": queue.arn, "queue_policy": "True", "bucket_account": "123456789012"}
    assert act(world, "apply", **given)["written"] is False
    assert act(world, "remove") == {"changes": False, "written": False, "notification": {}}
    assert act(world, "apply", **given, confirm=True)["written"] is True
    assert act(world, "apply", **given, confirm=True)["changes"] is False
    assert act(world, "test", queue_url=queue.url) == {"heard_by": [queue.arn], "link": None}
    assert act(world, "test", queue_url=queue.url, confirm="true")["link"]["state"] == "ok"
    links = act(world, "check", queue_url=queue.url)["links"]
    assert {link["state"] for link in links if link["name"] in ("queue", "notification", "queue policy")} == {"ok"}
    assert act(world, "remove", target=queue.arn, confirm=True)["notification"] == {}


@pytest.mark.parametrize(
    ("action", "more", "field"),
    [
        ("look", {}, "action"),
        ("check", {}, "queue_url"),
        ("test", {"queue_url": "None"}, "queue_url"),
        ("apply", {}, "target"),
        ("apply", {"target": "nonsense"}, "target"),
    ],
)
def test_what_is_missing_is_named(world: World, action: str, more: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingsError) as caught:
        act(world, action, **more)
    assert caught.value.field == field
