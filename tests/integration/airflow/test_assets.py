"""A sync tells Airflow that the index has changed: an asset's event, once a run, and none where nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, task

from cloudindex_provider.operators.cloudindex_s3_events import CloudIndexSyncS3EventsOperator
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex
from tests.integration.airflow.conftest import Ran, World, asset_events


def uri(world: World, prefix: str = "documents") -> str:
    return f"cloudindex://{world.ci.url.split('/')[2]}/{world.ci.project_id}/{world.bucket}/{prefix}"


def group_dag(world: World, dag_id: str, **more: Any) -> DAG:
    with DAG(dag_id) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", **more)
    return dag


def single_dag(world: World, dag_id: str, **more: Any) -> DAG:
    with DAG(dag_id) as dag:
        S3ToCloudIndexOperator(task_id="sync", bucket=world.bucket, prefix="documents/", **more)
    return dag


@pytest.mark.parametrize(("make", "name"), [(group_dag, "s3_to_cloudindex"), (single_dag, "sync")])
def test_a_run_that_indexes_or_deletes_emits_one_event_with_its_counts(
    world: World, run: Callable[..., Ran], make: Any, name: str
) -> None:
    """And a run that finds everything in step emits none, and one that only skips neither."""
    dag_id = f"tells_{name}"
    dag = make(world, dag_id)
    world.put("documents/a.txt", "documents/b.txt")
    assert run(dag).state == "success"
    ((told, extra, aliases),) = asset_events(dag_id)
    assert told == uri(world)
    assert aliases == [f"cloudindex:{dag_id}.{name}"]
    assert extra["changes"] == {"indexed": 2, "deleted": 0}
    assert (extra["indexed"], extra["uploaded"], extra["bucket"]) == (2, 2, world.bucket)
    world.put("documents/odd.exe")
    assert run(dag).state == "success"
    assert len(asset_events(dag_id)) == 1
    world.remove("documents/a.txt")
    assert run(dag).state == "success"
    assert asset_events(dag_id)[1][1]["changes"] == {"indexed": 0, "deleted": 1}


def test_what_a_red_run_has_changed_is_told_by_the_next_green_one(world: World, run: Callable[..., Ran]) -> None:
    """Airflow takes no event from a task that fails, and the next run finds what was indexed unchanged."""
    world.ci.settings.fail_processing = ["broken"]
    world.put("documents/a.txt", "documents/broken.txt")
    dag = group_dag(world, "red_then_green")
    assert run(dag).state == "failed"
    assert asset_events("red_then_green") == []
    world.remove("documents/broken.txt")
    assert run(dag).state == "success"
    ((_, extra, _),) = asset_events("red_then_green")
    assert (extra["indexed"], extra["changes"]) == (0, {"indexed": 1, "deleted": 0})
    assert run(dag).state == "success"
    assert len(asset_events("red_then_green")) == 1


def test_a_user_s_own_outlets_are_emitted_as_ever(world: World, run: Callable[..., Ran]) -> None:
    """At each success, also where nothing has changed."""
    dag = group_dag(world, "own_outlets", outlets=[Asset("x-done://handbook")])
    world.put("documents/a.txt")
    run(dag)
    run(dag)
    found = [one[0] for one in asset_events("own_outlets")]
    assert sorted(found) == sorted(["x-done://handbook", uri(world), "x-done://handbook"])


def test_an_asset_that_somebody_has_named_is_the_one_that_is_told(world: World, run: Callable[..., Ran]) -> None:
    """Airflow knows assets by name and URI; a consumer may have given it any name."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    named = Asset(name=f"handbook {world.bucket}", uri=uri(world))
    with DAG("names_it", schedule=named):

        @task
        def consume() -> None: ...

        consume()
    with DAG("named_asset", schedule=named) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/")
    world.put("documents/a.txt")
    assert run(dag).state == "success"
    with create_session() as session:
        names = session.scalars(select(AssetModel.name).join(AssetEvent, AssetEvent.asset_id == AssetModel.id)).all()
    assert named.name in names


def test_templates_are_rendered_before_the_asset_is_named(world: World, run: Callable[..., Ran]) -> None:
    with DAG("templated") as dag:
        S3ToCloudIndexOperator(
            task_id="sync", bucket="{{ dag_run.conf['bucket'] }}", prefix="{{ dag_run.conf['prefix'] }}"
        )
    world.put("documents/a.txt")
    assert run(dag, bucket=world.bucket, prefix="documents/").state == "success"
    assert [one[0] for one in asset_events("templated")] == [uri(world)]


def test_each_mapped_sync_tells_of_its_own_prefix(world: World, run: Callable[..., Ran]) -> None:
    """A mapped task has its alias when it runs."""
    with DAG("mapped_syncs") as dag:
        S3ToCloudIndexOperator.partial(task_id="sync", bucket=world.bucket).expand(prefix=["documents/", "empty/"])
    world.put("documents/a.txt")
    assert run(dag).state == "success"
    assert [(one[0], one[2]) for one in asset_events("mapped_syncs")] == [
        (uri(world), ["cloudindex:mapped_syncs.sync"])
    ]


def test_the_alias_stands_among_the_outlets_where_people_see_it(world: World) -> None:
    """Behind an author's own; of the group's tasks the report has it alone."""
    own = Asset("x-done://handbook")
    dag = group_dag(world, "outlets", outlets=own)
    outlets = {task.task_id.rpartition(".")[2]: task.outlets for task in dag.tasks}
    assert [getattr(one, "name", None) for one in outlets.pop("report")] == [
        own.name, "cloudindex:outlets.s3_to_cloudindex",
    ]  # fmt: skip
    assert set(map(tuple, outlets.values())) == {()}
    with DAG("consumer"):
        follow = CloudIndexSyncS3EventsOperator(task_id="follow", queue_url="https://queue", syncs=[{}])
    assert [one.name for one in follow.outlets] == ["cloudindex:consumer.follow"]


def test_a_dry_run_and_a_run_outside_of_airflow_tell_nobody(world: World, run: Callable[..., Ran]) -> None:
    """What the latter has changed is told by the next run in Airflow."""
    world.put("documents/a.txt")
    run(single_dag(world, "dry", dry_run=True))
    assert asset_events("dry") == []
    world.sync()
    run(single_dag(world, "after_outside"))
    assert [one[1]["changes"] for one in asset_events("after_outside")] == [{"indexed": 1, "deleted": 0}]
