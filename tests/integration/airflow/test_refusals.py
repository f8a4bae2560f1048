"""What an engineer gets wrong first: a clear sentence with connection and remedy, no useless retry, no delete."""

from __future__ import annotations

import itertools
import socket

import pytest
from airflow.sdk import DAG

from cloudindex_provider.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    NoSuchBucketError,
    NotFoundError,
    SettingsError,
    SourceUnavailableError,
)
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex
from tests.support.s3_fault_proxy import S3Fault, S3FaultProxy

_NUMBERS = itertools.count()


@pytest.fixture
def nowhere():
    """A URL where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def denied(world, moto_url):
    """The same S3, refusing everything with 403."""
    with S3FaultProxy(moto_url) as proxy:
        proxy.add(S3Fault("error", "*", times=None, status=403, code="AccessDenied"))
        yield proxy.url


def wrong_key(world, nowhere, denied):
    world.connect_cloudindex(password="somebody-elses-key")


def unknown_project(world, nowhere, denied):
    world.connect_cloudindex(extra={"project_id": "no-such-project"})


def no_project(world, nowhere, denied):
    world.connect_cloudindex(extra={})


def no_key(world, nowhere, denied):
    world.connect_cloudindex(password="")


def missing_bucket(world, nowhere, denied):
    world.bucket = "no-such-bucket-at-all"


def denied_bucket(world, nowhere, denied):
    world.connect_aws(endpoint_url=denied)


def prefix_as_url(world, nowhere, denied):
    return {"prefix": f"s3://{world.bucket}/documents/"}


def bucket_as_path(world, nowhere, denied):
    return {"bucket": f"{world.bucket}/documents"}


def endpoint_no_url(world, nowhere, denied):
    world.connect_aws(endpoint_url="s3.example.com")


def s3_unreachable(world, nowhere, denied):
    world.connect_aws(endpoint_url=nowhere, config_kwargs={"retries": {"total_max_attempts": 1}})


def cloudindex_unreachable(world, nowhere, denied):
    world.connect_cloudindex(host=f"{nowhere}/public/v1")


def undefined_cloudindex(world, nowhere, denied):
    return {"cloudindex_conn_id": "nowhere"}


def undefined_aws(world, nowhere, denied):
    return {"aws_conn_id": "nowhere"}


def another_type(world, nowhere, denied):
    return {"aws_conn_id": "cloudindex_default"}


def dead_proxy(world, nowhere, denied):
    world.connect_cloudindex(extra={"project_id": world.ci.project_id, "proxy": nowhere})


CLOUDINDEX, AWS = "connection 'cloudindex_default'", "AWS connection 'aws_default'"
CASES = [
    (wrong_key, AuthenticationError, CLOUDINDEX, "Put a valid key into the connection's password", False),
    (unknown_project, NotFoundError, CLOUDINDEX, "Correct the project_id", False),
    (no_project, ConfigurationError, CLOUDINDEX, "Set project_id", False),
    (no_key, ConfigurationError, CLOUDINDEX, "Put the API key", False),
    (missing_bucket, NoSuchBucketError, AWS, "Check the bucket's name", False),
    (denied_bucket, AccessDeniedError, AWS, "s3:ListBucket", False),
    (prefix_as_url, SettingsError, "prefix 's3://", "Give the bucket as bucket", False),
    (bucket_as_path, SettingsError, "/documents' is no bucket name", "Give the name alone", False),
    (endpoint_no_url, SettingsError, AWS, "endpoint_url (http://host:port)", False),
    (s3_unreachable, SourceUnavailableError, AWS, "Check the endpoint", True),
    (cloudindex_unreachable, ConnectError, CLOUDINDEX, "Check the connection's host", True),
    (
        undefined_cloudindex,
        ConfigurationError,
        "connection 'nowhere' is not defined",
        "with the type CloudIndex",
        False,
    ),
    (undefined_aws, SettingsError, "connection 'nowhere' is not defined", "with the type Amazon Web Services", False),
    (another_type, SettingsError, "is of type 'cloudindex', not 'aws'", "or name another connection", False),
    (dead_proxy, ConnectError, CLOUDINDEX, "Look at the proxy", True),
]


@pytest.fixture
def world_with_a_past(world):
    """Two documents are indexed; then one goes from S3 and another comes, so there is work of both kinds."""
    world.put("documents/old.txt", "documents/kept.txt")
    world.sync()
    world.remove("documents/old.txt")
    world.put("documents/new.txt")
    return world


@pytest.mark.parametrize(
    ("mistake", "kind", "subject", "remedy", "retryable"), CASES, ids=lambda v: getattr(v, "__name__", None)
)
def test_a_mistake_is_one_sentence_with_connection_and_remedy_and_deletes_nothing(
    world_with_a_past, nowhere, denied, mistake, kind, subject, remedy, retryable
):
    world = world_with_a_past
    deletes = world.requests("delete")
    arguments = {"bucket": world.bucket, "prefix": "documents/"}
    more = mistake(world, nowhere, denied) or {}
    arguments["bucket"] = world.bucket
    with pytest.raises(kind) as caught:
        S3ToCloudIndexOperator(task_id="t", **(arguments | more)).execute({})
    text = str(caught.value)
    assert subject in text
    assert remedy in text
    assert text.count("connection '") <= 1
    assert "\n" not in text
    assert len(text) < 400
    assert caught.value.retryable is retryable
    assert caught.value.__cause__ is None  # Airflow's log would show it as a second sentence
    assert "must-never-be-seen" not in text
    assert "somebody-elses-key" not in text
    assert world.requests("delete") == deletes
    assert len(world.ci.documents()) == 2


@pytest.mark.parametrize(
    ("mistake", "sensor"),
    [
        (wrong_key, False), (missing_bucket, True), (denied_bucket, True), (denied_bucket, False),
        (prefix_as_url, True), (undefined_aws, False), (undefined_aws, True),
    ],
    ids=lambda value: getattr(value, "__name__", "with_sensor" if value else "without_sensor"),
)  # fmt: skip
def test_in_a_run_it_fails_at_the_first_try_and_the_report_says_which_task(
    run, world_with_a_past, nowhere, denied, mistake, sensor
):
    world = world_with_a_past
    more = mistake(world, nowhere, denied) or {}
    with DAG(f"mistake_{next(_NUMBERS)}", schedule=None) as dag:
        s3_to_cloudindex(
            **({"bucket": world.bucket, "prefix": "documents/"} | more), wait_for_documents=sensor, sensor_timeout=5
        )
    ran = run(dag)
    assert ran.state == "failed"
    failed = {name: tries for name, tries in ran.tasks.items() if ("failed", 1) in tries}
    culprit = "upload_documents[0]" if mistake is wrong_key else "wait_for_documents" if sensor else "detect_changes"
    assert set(failed) == {culprit.removesuffix("[0]"), "report"}
    assert f"because of s3_to_cloudindex.{culprit}." in ran.log
    assert ran.waits == []
    assert len(world.ci.documents()) == 2


def test_a_wrong_key_in_the_second_run_touches_nothing_when_there_is_nothing_to_do(run, world):
    """A no-op run needs CloudIndex for nothing, so it is green whatever the key."""
    world.put("documents/a.txt")
    S3ToCloudIndexOperator(task_id="t", bucket=world.bucket).execute({})
    world.connect_cloudindex(password="somebody-elses-key")
    assert S3ToCloudIndexOperator(task_id="t", bucket=world.bucket).execute({})["unchanged"] == 1
