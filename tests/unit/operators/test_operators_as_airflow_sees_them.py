"""What the scheduler and a worker make of the operators: serialised, rendered, mapped, and built without any I/O."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator
from cloudindex_provider.operators.cloudindex_sync import (
    CloudIndexDeleteRemovedOperator,
    CloudIndexDetectChangesOperator,
    CloudIndexSyncReportOperator,
    CloudIndexUploadChangesOperator,
    CloudIndexWaitForSyncOperator,
)
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.sync.arguments import NOT_GIVEN
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex

OPERATORS = [
    CloudIndexDeleteRemovedOperator,
    CloudIndexDetectChangesOperator,
    CloudIndexSyncReportOperator,
    CloudIndexUploadChangesOperator,
    CloudIndexWaitForSyncOperator,
    S3ToCloudIndexOperator,
]
NOT_TEMPLATED = {"state_conn_id", "state_url", "run_scope", "retries", "retry_delay", "retry_policy"}


def own_arguments(cls):
    return {name for name, p in inspect.signature(cls.__init__).parameters.items() if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize("cls", OPERATORS)
def test_every_argument_is_kept_under_its_own_name(cls):
    with DAG("d", schedule=None):
        task = cls(task_id="t", bucket="b-1")
    for name in own_arguments(BaseS3ToCloudIndexOperator):
        assert hasattr(task, name)
    assert task.bucket == "b-1"


def test_every_setting_is_a_template_field_but_those_of_the_state():
    assert set(BaseS3ToCloudIndexOperator.template_fields) == own_arguments(BaseS3ToCloudIndexOperator) - NOT_TEMPLATED


def test_templates_are_rendered_before_they_are_read():
    with DAG("d", schedule=None):
        task = S3ToCloudIndexOperator(
            task_id="t",
            bucket="{{ b }}",
            prefix="{{ p }}/",
            file_types="{{ types | tojson }}",
            keys="{{ keys }}",
            max_delete_documents="{{ most }}",
            dry_run="{{ dry }}",
            max_run_time="{{ none }}",
            upload_order="{{ order }}",
            listing_ranges="{{ most + 1 }}",
        )
    values: Any = {"b": "b-1", "p": "docs", "types": ["pdf", "md"], "keys": ["docs/it's", "docs/a"], "most": 7}
    task.render_template_fields(values | {"dry": True, "none": None, "order": "newest"})
    hook: Any = _Hook()
    settings = task._settings(hook)
    assert (settings.bucket, settings.prefix, settings.dry_run) == ("b-1", "docs/", True)
    assert settings.selection.file_types == ("pdf", "md")
    assert settings.keys == ("docs/it's", "docs/a")
    assert settings.limits.max_delete_documents == 7
    assert settings.limits.max_run_time is None
    assert settings.upload_order == "newest"
    assert settings.limits.listing_ranges == 8


class _Hook:
    project_id = "project"

    class settings:  # noqa: N801 - stands for the hook's attribute
        max_file_size = 20_000_000
        max_request_size = 10_000_000


@pytest.mark.parametrize("cls", OPERATORS)
def test_a_task_retries_with_the_policy_without_being_told_to(cls):
    with DAG("d", schedule=None):
        task = cls(task_id="t", bucket="b-1")
    assert task.retries == (2 if cls is CloudIndexSyncReportOperator else 5)
    assert task.retry_delay == timedelta(seconds=60)
    assert task.retry_policy == CloudIndexRetryPolicy()


@pytest.mark.parametrize("cls", OPERATORS)
def test_a_mapped_task_keeps_retries_and_policy_where_the_scheduler_and_the_worker_look(cls):
    expected = 2 if cls is CloudIndexSyncReportOperator else 5
    with DAG("d", schedule=None) as dag:
        mapped = cls.partial(task_id="t").expand(bucket=["b-1", "b-2"])
    assert (mapped.retries, mapped.retry_delay) == (expected, timedelta(seconds=60))
    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("t")
    assert (stored.retries, stored.retry_delay) == (expected, timedelta(seconds=60))
    one = mapped.unmap({"bucket": "b-2"})
    assert (one.bucket, one.retries, one.retry_policy) == ("b-2", expected, CloudIndexRetryPolicy())


def test_the_group_survives_serialisation_with_its_rules_order_and_templates():
    with DAG("d", schedule=None) as dag:
        s3_to_cloudindex(
            bucket="{{ params.b }}",
            prefix="docs/",
            wait_for_documents=True,
            pool="uploads",
            max_run_time=timedelta(minutes=9),
            keys=["docs/a"],
        )
    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    tasks: dict[str, Any] = {name.rpartition(".")[2]: stored.get_task(name) for name in stored.task_dict}
    rules = {name: str(getattr(task.trigger_rule, "value", task.trigger_rule)) for name, task in tasks.items()}
    assert rules == {
        "wait_for_documents": "all_success",
        "detect_changes": "all_success",
        "upload_documents": "all_success",
        "wait_until_processed": "none_failed_min_one_success",
        "delete_removed": "all_success",
        "report": "all_done",
    }
    order = ["wait_for_documents", "detect_changes", "upload_documents", "wait_until_processed", "delete_removed"]
    for before, after in zip(order, [*order[1:], "report"], strict=True):
        assert f"s3_to_cloudindex.{after}" in tasks[before].downstream_task_ids
    assert tasks["upload_documents"].pool == "uploads"
    assert tasks["detect_changes"].bucket == "{{ params.b }}"
    assert tasks["report"].retries == 2
    assert "KEY" not in str(DagSerialization.to_dict(dag)).replace("KEYS", "")


def test_the_sensor_has_neither_deferral_nor_skip_whatever_airflow_and_default_args_say(monkeypatch):
    """Its time's end is green: a skip couldn't be told from one upstream, and deferred Airflow fails it."""
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    with DAG("d", schedule=None, default_args={"deferrable": True, "soft_fail": True, "mode": "reschedule"}) as dag:
        s3_to_cloudindex(bucket="b-1", wait_for_documents=True)
    sensor: Any = dag.get_task("s3_to_cloudindex.wait_for_documents")
    assert (sensor.deferrable, sensor.soft_fail, sensor.mode) == (False, False, "reschedule")
    assert sensor.retry_policy == CloudIndexRetryPolicy()


def test_what_nobody_has_given_is_no_value_in_airflows_copy_of_the_dag():
    """Whoever reads the copy must not take it for a prefix; and the copy is the same at every parse."""
    with DAG("d", schedule=None) as dag:
        S3ToCloudIndexOperator(task_id="t", bucket="b-1")
        S3ToCloudIndexOperator.partial(task_id="m").expand(bucket=["b-1"])
    stored = DagSerialization.to_dict(dag)
    task: Any = DagSerialization.from_dict(stored).get_task("t")
    assert task.prefix == []
    assert "not given" not in str(stored).lower()
    assert pickle.loads(pickle.dumps(NOT_GIVEN)) is copy.deepcopy(NOT_GIVEN) is NOT_GIVEN  # noqa: S301 - our own bytes


NO_IO = """
import builtins, socket, sqlite3, sys
import airflow.providers.amazon.aws.hooks.s3, airflow.providers.amazon.aws.sensors.s3, airflow.sdk
from airflow.sdk import DAG

def refuse(*args, **kwargs):
    raise SystemExit(f"I/O at parse time: {args[:2]}")

socket.socket.connect = socket.getaddrinfo = sqlite3.connect = refuse
from airflow.sdk import BaseHook
BaseHook.get_connection = classmethod(refuse)
from airflow.sdk.configuration import conf
read = conf.get
def watched(section, *args, **kwargs):
    if section == "cloudindex":
        refuse(section, *args)
    return read(section, *args, **kwargs)
conf.get = watched
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex
import sqlalchemy
sqlalchemy.create_engine = refuse
with DAG("d", schedule=None):
    S3ToCloudIndexOperator(task_id="t", bucket="b-1", state_conn_id="nowhere", project_id="p")
    s3_to_cloudindex(bucket="b-1", wait_for_documents=True)
print("nothing was touched")
"""


def test_importing_and_constructing_touches_no_network_database_connection_or_configuration(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NO_IO], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert done.stdout.strip().endswith("nothing was touched"), done.stdout + done.stderr
