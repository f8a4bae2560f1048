"""A sync that is scheduled on an asset of S3 looks at the keys that its events name, and at no others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG, Context
from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor

from cloudindex_provider.errors import DeletesHeldError, SettingsError, SyncFailedError
from cloudindex_provider.transfers.s3_to_cloudindex import (
    KEYS_FROM_ASSET_EVENTS,
    S3ToCloudIndexOperator,
    s3_to_cloudindex,
)
from tests.integration.airflow.conftest import World


def started_by(world: World, *extras: dict[str, Any], alias: str | None = None) -> Context:
    """The context of a run that events of the prefix's asset have started, as Airflow makes it."""
    uri = f"s3://{world.bucket}/documents"
    events = [
        AssetEventDagRunReferenceResult.model_validate(
            {
                "asset": {"name": uri, "uri": uri, "extra": {}}, "extra": extra, "timestamp": datetime.now(UTC),
                "source_task_id": None, "source_dag_id": None, "source_run_id": None, "source_map_index": None,
                "source_aliases": [{"name": alias}] if alias else [],
            }
        )
        for extra in extras
    ]  # fmt: skip
    return {"triggering_asset_events": TriggeringAssetEventsAccessor.build(events)}


def operator(world: World, **more: Any) -> S3ToCloudIndexOperator:
    given: dict[str, Any] = {"bucket": world.bucket, "prefix": "documents/", "keys": KEYS_FROM_ASSET_EVENTS} | more
    return S3ToCloudIndexOperator(task_id="sync", **given)


def test_exactly_the_named_keys_are_synced(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Also when an event has an alias, under which Airflow has it once more; others are counted and said."""
    world.put("documents/a.txt", "documents/b.txt", "documents/c.txt", "private/d.txt")
    extras = {"keys": ["documents/a.txt", "private/d.txt"]}, {"keys": ["documents/b.txt", "documents/a.txt"]}
    report = operator(world).execute(started_by(world, *extras, alias="some alias"))
    assert (report["listed"], report["indexed"]) == (2, 2)
    assert [world.has(f"documents/{name}.txt") for name in "abc"] == [True, True, False]
    assert len(world.names) == 2
    said = f"1 key of other buckets or prefixes named by asset events is passed over; the first: 's3://{world.bucket}"
    assert f"{said}/private/d.txt'." in "".join(capfd.readouterr())


@pytest.mark.parametrize("extras", [(), ({"keys": []},)])
def test_no_key_is_never_the_whole_prefix(
    world: World, extras: tuple[dict[str, Any], ...], capfd: pytest.CaptureFixture[str]
) -> None:
    """A run that a person has started has no events, and one whose events name nothing has no keys."""
    world.put("documents/a.txt")
    report = operator(world).execute(started_by(world, *extras))
    assert (report["listed"], report["indexed"], report["removed"]) == (0, 0, 0)
    assert world.names == []
    assert "The run's asset events name no key of this sync, so nothing is looked at." in "".join(capfd.readouterr())


def test_a_run_outside_of_airflow_has_no_events(world: World) -> None:
    world.put("documents/a.txt")
    assert operator(world).execute({})["listed"] == 0


@pytest.mark.parametrize("bad", [{}, {"keys": "documents/b.txt"}, {"keys": [None]}])
def test_an_event_that_cannot_be_read_turns_the_run_red_and_loses_no_other_key(
    world: World, bad: dict[str, Any]
) -> None:
    """What the good events name is in step by then; the report is there."""
    world.put("documents/a.txt", "documents/b.txt")
    with pytest.raises(SyncFailedError) as caught:
        operator(world).execute(started_by(world, bad, {"keys": ["documents/a.txt"]}))
    assert world.has("documents/a.txt")
    assert not world.has("documents/b.txt")
    assert caught.value.message.startswith("The run's asset events can't all be read: the event of 's3://")
    assert caught.value.report["indexed"] == 1
    assert not caught.value.retryable


def test_a_removed_key_goes_after_its_proof_and_a_mass_of_them_is_held(world: World) -> None:
    """An event that says what isn't so removes nothing; the limits are those of every named key."""
    keys = [f"documents/{i}.txt" for i in range(4)]
    world.put(*keys)
    world.sync()
    world.remove(keys[0])
    report = operator(world).execute(started_by(world, {"keys": keys[:2]}))
    assert (report["deleted"], report["unchanged"]) == (1, 1)
    world.remove(*keys[1:])
    limits = {"max_delete_documents": 1, "max_delete_percent": 1}
    with pytest.raises(DeletesHeldError):
        operator(world, **limits).execute(started_by(world, {"keys": keys[1:]}))
    assert [world.has(key) for key in keys] == [False, True, True, True]


def test_a_dag_with_it_can_be_stored_and_copied(world: World) -> None:
    """In the group, in a single task and in a mapped one; what Airflow shows of it is in words."""
    import copy

    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("by_events") as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", keys=KEYS_FROM_ASSET_EVENTS)
        operator(world)
        S3ToCloudIndexOperator.partial(task_id="mapped", bucket=world.bucket, keys=KEYS_FROM_ASSET_EVENTS).expand(
            prefix=["documents/"]
        )
    stored = str(DagSerialization.to_dict(dag))
    assert "those that the run's asset events name" in stored
    tasks: list[Any] = copy.deepcopy(dag).tasks
    for task in tasks:
        keys = task.partial_kwargs["keys"] if task.is_mapped and "keys" in task.partial_kwargs else task.keys
        assert keys is KEYS_FROM_ASSET_EVENTS


def test_a_group_does_not_wait_for_what_events_have_named(world: World) -> None:
    with DAG("waits"), pytest.raises(SettingsError, match="nothing to wait for"):
        s3_to_cloudindex(bucket=world.bucket, keys=KEYS_FROM_ASSET_EVENTS, wait_for_documents=True)
