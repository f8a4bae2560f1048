"""OpenLineage: what a sync read, what it wrote and how much, for installations with that provider.

Its listener calls the methods after the task; without it nobody does, and nothing of it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudindex_provider import __version__
from cloudindex_provider.assets.cloudindex import asset_uri, dataset_name
from cloudindex_provider.sync.context import SyncContext

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

__all__ = ["Lineage", "TellsLineage"]


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a run was about, and its report's counts."""

    bucket: str
    prefix: str
    uri: str
    counts: Mapping[str, int]

    @classmethod
    def of(cls, ctx: SyncContext, counts: Mapping[str, int]) -> Lineage:
        settings = ctx.settings
        uri = asset_uri(ctx.client.base_url, settings.project_id, settings.bucket, settings.prefix)
        return cls(settings.bucket, settings.prefix, uri, dict(counts))


class TellsLineage:
    """What OpenLineage asks an operator for, beside ``execute``."""

    lineage: Lineage | None = None  # once the run has a report

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Input, output, counts and version; ``None`` where the task came to no report."""
        return None if self.lineage is None else _facets(self.lineage)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """The same: what a red run has indexed is searchable."""
        return self.get_openlineage_facets_on_complete(task_instance)


def _facets(lineage: Lineage) -> OperatorLineage[Any, Any]:
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
        RunFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    counts = lineage.counts
    written = OutputStatisticsOutputDatasetFacet(rowCount=counts["indexed"], size=counts["bytes"])
    namespace, name = dataset_name(lineage.uri)
    sync = RunFacet().with_additional_properties(counts=dict(counts), providerVersion=__version__)
    return OperatorLineage(
        inputs=[Dataset(namespace=f"s3://{lineage.bucket}", name=lineage.prefix or "/")],
        outputs=[OutputDataset(namespace=namespace, name=name, outputFacets={"outputStatistics": written})],
        run_facets={"cloudindex_sync": sync},
    )
