"""What templates and other tasks give for bucket, prefix and keys: nothing given is never everything."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk import task as as_task

from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex

_NUMBERS = itertools.count()
NATIVE = pytest.mark.parametrize("native", [False, True], ids=["text", "native"])

# What says nothing, or isn't text; beside it the lists that have no key in them. Units have more of them.
NOTHING: dict[str, Any] = {"none": None, "empty": "", "zero": 0, "dict": {"a": "documents/a.txt"}}


@as_task
def give(value):
    return value


def a_dag(native=False, **more):
    return DAG(f"given_{next(_NUMBERS)}", schedule=None, render_template_as_native_obj=native, **more)


@as_task(multiple_outputs=True)
def values():
    return NOTHING


def test_what_another_task_gives_for_nothing_syncs_nothing(run, world):
    """Each of them fails at its first try, and no document reaches CloudIndex."""
    world.put("documents/a.txt", "elsewhere/secret.txt")
    more = {"bucket": world.bucket, "prefix": "documents/"}
    with a_dag() as dag:
        given: Any = values()
        for field in ("prefix", "keys", "bucket"):
            for name in NOTHING:
                S3ToCloudIndexOperator(task_id=f"{field}_{name}", **{**more, field: given[name]})
    ran = run(dag)
    assert ran.tasks.pop("values") == [("success", 1)]
    assert set(map(str, ran.tasks.values())) == {str([("failed", 1)])}
    assert len(ran.tasks) == 12
    assert world.names == []


@NATIVE
def test_a_template_without_a_value_syncs_nothing(run, world, native):
    """A param that is None, one that is empty, and an XCom that nobody has pushed."""
    world.put("documents/a.txt", "elsewhere/secret.txt")
    more = {"bucket": world.bucket, "prefix": "documents/"}
    pulled = "{{ ti.xcom_pull(task_ids='nobody') }}"
    with a_dag(native, params={"nothing": None, "empty": ""}) as dag:
        S3ToCloudIndexOperator(task_id="prefix_none", bucket=world.bucket, prefix="{{ params.nothing }}")
        S3ToCloudIndexOperator(task_id="prefix_empty", bucket=world.bucket, prefix="{{ params.empty }}")
        S3ToCloudIndexOperator(task_id="keys_none", **more, keys=pulled)
        S3ToCloudIndexOperator(task_id="keys_empty", **more, keys="{{ params.empty }}")
        S3ToCloudIndexOperator(task_id="bucket", prefix="documents/", bucket=pulled)
    ran = run(dag)
    assert set(map(str, ran.tasks.values())) == {str([("failed", 1)])}
    assert len(ran.tasks) == 5
    assert world.names == []


def test_the_keys_that_another_task_gives_are_synced(run, world):
    """Text and every kind of list that XCom stores; no key is no work."""
    world.put("documents/a.txt", "documents/b.txt", "documents/c.txt", "documents/d.txt", "elsewhere/secret.txt")
    given = {
        "none": [], "list": ["documents/a.txt"], "tuple": ("documents/b.txt",), "set": {"documents/c.txt"},
        "text": "documents/d.txt",
    }  # fmt: skip
    with a_dag() as dag:

        @as_task(multiple_outputs=True)
        def choose():
            return given

        chosen: Any = choose()
        for name in given:
            S3ToCloudIndexOperator(task_id=name, bucket=world.bucket, prefix="documents/", keys=chosen[name])
    ran = run(dag)
    assert ran.state == "success"
    assert {name: ran.value(name)["indexed"] for name in given} == {
        "none": 0, "list": 1, "tuple": 1, "set": 1, "text": 1,
    }  # fmt: skip
    assert len(world.names) == 4


def test_the_group_and_its_sensor_take_bucket_prefix_and_keys_from_other_tasks(run, world):
    """The sensor's key is made when it runs; characters of globs are characters of the prefix."""
    world.put("docs [a]/x.txt", "docs [a]/y.txt", "docs a/z.txt")
    with a_dag() as dag:
        bucket, prefix = give.override(task_id="b")(world.bucket), give.override(task_id="p")("docs [a]/")
        quick: dict[str, Any] = {"bucket": bucket, "prefix": prefix, "wait_for_documents": True, "sensor_timeout": 0}
        s3_to_cloudindex(group_id="whole", **quick)
        s3_to_cloudindex(
            group_id="keys",
            sync_id="k",
            **quick,
            keys=give.override(task_id="k")(["docs [a]/nope.txt", "docs [a]/y.txt"]),
        )
    ran = run(dag)
    assert ran.state == "success"
    assert "No document has appeared" not in ran.log
    assert len(world.names) == 2
    assert ran.value("whole.report")["listed"] == 2
    assert ran.value("keys.report")["listed"] == 1


def test_a_sensor_without_a_prefix_from_its_task_fails_by_name(run, world):
    with a_dag() as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix=give(None), wait_for_documents=True)
    ran = run(dag)
    assert (ran.state, ran.tasks["wait_for_documents"]) == ("failed", [("failed", 1)])
    assert "prefix is None, and without a prefix the whole bucket would be synced." in ran.log


def test_text_that_looks_like_a_number_stays_text_where_it_is_no_template(run, world):
    """Airflow's native rendering makes a number of every text that looks like one, template or not."""
    world.put("2024.txt", "2025")
    with a_dag(native=True) as dag:
        S3ToCloudIndexOperator(task_id="prefix", bucket=world.bucket, prefix="2024")
        S3ToCloudIndexOperator(task_id="keys", bucket=world.bucket, prefix="2025", keys=["2025"])
    ran = run(dag)
    assert (ran.state, ran.value("prefix")["indexed"]) == ("success", 1)
    assert ran.value("keys")["skipped_by_reason"] == {"unsupported_type": 1}


@NATIVE
def test_settings_are_read_from_templates_of_either_kind(run, world, native):
    """Numbers, truth values, lists, durations and optional settings, as text and as objects."""
    world.put("documents/a.md", "documents/b.txt", "documents/drafts/c.md")
    params = {
        "types": ["md"], "without": ["documents/drafts/*"], "most": 7, "share": 12.5, "yes": True, "seconds": 90,
        "nothing": None, "project": world.ci.project_id,
    }  # fmt: skip
    with a_dag(native, params=params) as dag:
        S3ToCloudIndexOperator(
            task_id="sync",
            bucket="{{ dag.dag_id and '" + world.bucket + "' }}",
            prefix="{{ 'documents' }}/",
            project_id="{{ params.project }}",
            file_types="{{ params.types }}",
            exclude="{{ params.without | tojson }}",
            max_delete_documents="{{ params.most }}",
            max_delete_percent="{{ params.share }}",
            wait_for_processing="{{ params.yes }}",
            processing_timeout="{{ params.seconds }}",
            max_run_time="{{ params.nothing }}",
            max_documents_per_run="{{ params.nothing }}",
            upload_order="{{ 'newest' }}",
            sync_id="{{ params.nothing }}",
        )
    ran = run(dag)
    assert (ran.state, ran.value("sync")["indexed"], len(world.names)) == ("success", 1, 1)
    assert world.has("documents/a.md")


def test_mapped_operators_sync_each_its_prefix_and_refuse_nothing_alone(run, world):
    """``expand`` and ``expand_kwargs``, over literals and another task's list; an empty item isn't the whole bucket."""
    world.put("a/1.txt", "b/2.txt", "c/3.txt", "elsewhere/secret.txt")
    with a_dag() as dag:
        S3ToCloudIndexOperator.partial(task_id="literal", bucket=world.bucket).expand(prefix=["a/", ""])
        S3ToCloudIndexOperator.partial(task_id="given", bucket=world.bucket).expand(prefix=give(["b/", None]))
        S3ToCloudIndexOperator.partial(task_id="kwargs").expand_kwargs(
            [{"bucket": world.bucket, "prefix": "c/"}, {"bucket": world.bucket, "prefix": "c/", "keys": None}]
        )
    ran = run(dag)
    for task in ("literal", "given", "kwargs"):
        assert ran.tasks[task] == [("success", 1), ("failed", 1)]
    assert len(world.names) == 3
    assert not world.has("elsewhere/secret.txt")


def test_a_bucket_is_mirrored_whole_where_no_prefix_is_given(run, world):
    world.put("a/1.txt", "b.txt")
    with a_dag() as dag:
        s3_to_cloudindex(bucket=world.bucket, wait_for_documents=True)
    ran = run(dag)
    assert (ran.state, ran.value("report")["indexed"]) == ("success", 2)
