"""Each part's policy holds the rights to what its modules call of AWS, and no others.

Read from the source: a new call without its right fails here, also one that no test makes, and so does a right that
nothing calls any more.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from cloudindex_provider.aws_lambda import secret_store
from cloudindex_provider.s3.aws_policies import iam_policy

PACKAGE = Path(__file__).parents[2] / "cloudindex_provider"
SERVICES = ("s3", "sqs", "sns", "events", "kms", "mwaa", "ssm", "secretsmanager")
CLOUDINDEX = {"list_documents", "get_document", "delete_document", "verify"}  # ours, named like some of AWS's
# Modules that call AWS -> who runs them.
USERS = {
    "s3/botocore_shortcuts.py": {"sync"},
    "s3/source.py": {"sync"},
    "s3/event_queue.py": {"events", "notifications"},
    "s3/event_chain.py": {"notifications"},
    "s3/notification_document.py": {"notifications"},
    "hooks/notifications.py": {"notifications"},
    "aws_lambda/airflow_api.py": {"mwaa"},
    "aws_lambda/secret_store.py": {"secrets"},
}
# What IAM calls otherwise than the API does.
RIGHTS = {
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "mwaa:InvokeRestApi": "airflow:InvokeRestApi",
}
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:q"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/k"
UNCALLED = {"kms:Decrypt"}  # which S3 and SQS ask for of whoever reads


def operations() -> dict[str, str]:
    """Method of a boto3 client -> the operation, such as ``sqs:ReceiveMessage``."""
    clients = {name: boto3.client(name, region_name="us-east-1") for name in SERVICES}
    return {
        method: f"{name}:{operation}"
        for name, client in clients.items()
        for method, operation in client.meta.method_to_api_mapping.items()
    }


def names(path: Path) -> Iterator[str]:
    """What a module takes of anything by a dot, and the operations that it pages through."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("get_paginator", "get_waiter"):
            assert isinstance(node.args[0], ast.Constant)
            yield str(node.args[0].value)


def called() -> dict[str, set[str]]:
    """Module -> the rights that its calls need."""
    known = operations()
    found = {
        path.relative_to(PACKAGE).as_posix(): {known[name] for name in names(path) if name in known.keys() - CLOUDINDEX}
        for path in PACKAGE.rglob("*.py")
    }
    return {
        module: {RIGHTS.get(one, one.replace("Batch", "")) for one in made} for module, made in found.items() if made
    }


def test_every_module_that_calls_aws_is_of_a_part() -> None:
    assert set(called()) == set(USERS)


@pytest.mark.parametrize("part", ["sync", "events", "notifications"])
def test_a_policy_is_what_its_part_calls(part: str) -> None:
    policy = iam_policy(part, bucket="b", prefix="p/", queue_arn="" if part == "sync" else QUEUE, key_arn=KEY)
    given = [action for one in policy["Statement"] for action in _list(one["Action"])]
    wanted = set().union(*(rights for module, rights in called().items() if part in USERS[module]))
    assert sorted(given) == sorted(wanted | UNCALLED)


def test_what_the_lambda_calls_beside_is_told() -> None:
    """By its guide, and where AWS refuses it."""
    guide = (PACKAGE.parent / "docs" / "lambda.md").read_text(encoding="utf-8")
    calls = called()
    for right in calls["aws_lambda/airflow_api.py"] | calls["aws_lambda/secret_store.py"]:
        assert f"`{right}`" in guide
    assert set(secret_store._RIGHTS.values()) == calls["aws_lambda/secret_store.py"]


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
