"""What OpenLineage is told of a sync, by its own extractor and in its own form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloudindex_provider import __version__
from cloudindex_provider.errors import DeletesHeldError, SyncFailedError
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator
from tests.integration.airflow.conftest import World


def told(operator: Any, how: str = "extract_on_complete") -> Any:
    """The operator's lineage as JSON has it."""
    from airflow.providers.openlineage.extractors.base import DefaultExtractor
    from openlineage.client.serde import Serde

    found = getattr(DefaultExtractor(operator), how)(None)
    return None if found is None else json.loads(Serde.to_json(found))


def operator(world: World, **more: Any) -> S3ToCloudIndexOperator:
    return S3ToCloudIndexOperator(task_id="sync", **{"bucket": world.bucket, "prefix": "documents/"} | more)


def test_input_output_counts_and_version_are_told(world: World) -> None:
    world.put("documents/a.txt", "documents/b.txt")
    sync = operator(world)
    report = sync.execute({})
    lineage = told(sync)
    (source,), (target,) = lineage["inputs"], lineage["outputs"]
    assert (source["namespace"], source["name"]) == (f"s3://{world.bucket}", "documents/")
    host = world.ci.url.split("/")[2]
    assert target["namespace"] == f"cloudindex://{host}"
    assert target["name"] == f"{world.ci.project_id}/{world.bucket}/documents"
    statistics = target["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (2, report["bytes"])
    facet = lineage["run_facets"]["cloudindex_sync"]
    assert facet["providerVersion"] == __version__
    assert facet["counts"] == {name: report[name] for name in facet["counts"]}
    assert facet["counts"]["indexed"] == 2


def test_a_red_run_tells_what_it_has_done(world: World) -> None:
    world.ci.settings.fail_processing = ["broken"]
    world.put("documents/a.txt", "documents/broken.txt")
    sync = operator(world)
    with pytest.raises(SyncFailedError):
        sync.execute({})
    counts = told(sync, "extract_on_failure")["run_facets"]["cloudindex_sync"]["counts"]
    assert (counts["indexed"], counts["failed"]) == (1, 1)


def test_a_run_whose_deletes_are_held_is_told_too(world: World) -> None:
    keys = [f"documents/{i}.txt" for i in range(4)]
    world.put(*keys)
    world.sync()
    world.remove(*keys[:3])
    sync = operator(world, max_delete_documents=1, max_delete_percent=1)
    with pytest.raises(DeletesHeldError):
        sync.execute({})
    assert told(sync, "extract_on_failure")["run_facets"]["cloudindex_sync"]["counts"]["held"] == 3


def test_a_task_that_came_to_no_report_tells_nothing(world: World) -> None:
    assert told(operator(world), "extract_on_failure") is None
