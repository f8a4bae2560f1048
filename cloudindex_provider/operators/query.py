"""Asks CloudIndex a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cloudindex_provider.errors import ConfigurationError
from cloudindex_provider.operators.single_step import CloudIndexStepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CloudIndexQueryOperator"]


class CloudIndexQueryOperator(CloudIndexStepOperator):
    """Asks CloudIndex a question.

    Returns the hits, best first: ``[{"id", "text", "score", "document_id", "document_name", "document_metadata"}]``.

    :param query: the question (templated)
    :param filters: such as ``{"documentIds": [...], "types": ["pdf"]}`` (templated)
    :param options: such as ``{"similarityTopK": 10}`` (templated)
    """

    template_fields: Sequence[str] = ("query", "filters", "options", "cloudindex_conn_id")

    def __init__(
        self,
        *,
        query: str,
        filters: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.filters = filters
        self.options = options

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Ask."""
        if not isinstance(self.query, str) or not self.query.strip():
            raise ConfigurationError("the query is empty.", hint="Give the query at least one word.")
        with self._hook().session() as client:
            result = client.query(self.query, filters=self.filters, options=self.options)
        self.log.info("%d hits", len(result.chunks))
        return [asdict(chunk) for chunk in result.chunks]
