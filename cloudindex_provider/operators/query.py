"""Asks CloudIndex a question, and says which S3 object each hit comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cloudindex_provider.api.models import ScoredChunk
from cloudindex_provider.errors import ConfigurationError
from cloudindex_provider.hooks.rendered import Object, Text, mapping, text
from cloudindex_provider.operators.single_step import CloudIndexStepOperator
from cloudindex_provider.state.citations import Citation, cite
from cloudindex_provider.words import count, verb

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CloudIndexQueryOperator"]


class CloudIndexQueryOperator(CloudIndexStepOperator):
    """Asks CloudIndex a question.

    Returns the hits, best first: ``[{"id", "text", "score", "document_id", "document_name", "document_metadata",
    "ours", "s3"}]``. ``ours`` says whether a sync of this Airflow's state has made the document; ``None``: there is no
    state to ask. Where it is true, ``s3`` says of what: ``{"uri", "bucket", "key", "etag", "version_id", "size",
    "sha256", "project_id", "stale", "stale_reason"}``, the version being the one that was indexed. ``stale`` is true
    where the last sync has found newer bytes of the key, or the key gone. S3 itself is not asked. ``version_id`` is
    known only where CloudIndex gives the metadata back that the sync has sent. The state is read, never made.

    :param query: the question (templated)
    :param filters: such as ``{"documentIds": [...], "types": ["pdf"]}``, also as JSON text (templated)
    :param options: such as ``{"similarityTopK": 10}``, also as JSON text (templated)
    """

    template_fields: Sequence[str] = ("query", "filters", "options", "cloudindex_conn_id")

    def __init__(
        self,
        *,
        query: Text,
        filters: Object | None = None,
        options: Object | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.filters = filters
        self.options = options

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Ask.

        :raises ConfigurationError: the question is empty, or an argument is none
        """
        query = text("query", self.query)
        if query is None:
            raise ConfigurationError("the query is empty.", hint="Give the query at least one word.")
        filters, options = mapping("filters", self.filters), mapping("options", self.options)
        with self._session(self._hook(), reads_state=True) as session:
            chunks = session.client.query(query, filters=filters, options=options).chunks
            known = None if session.db is None else cite(session.db, {chunk.document_id for chunk in chunks})
        hits = [_hit(chunk, known) for chunk in chunks]
        stale = sum(1 for hit in hits if hit["s3"] and hit["s3"]["stale"])
        ours = sum(1 for hit in hits if hit["ours"])
        what = (count(len(hits), "hit"), f"{ours:,}", f"{stale:,} of those {verb(stale)}")
        self.log.info("%s, %s of documents that a sync has made, %s stale", *what)
        return hits


def _hit(chunk: ScoredChunk, known: Mapping[str, Sequence[Citation]] | None) -> dict[str, Any]:
    if known is None:
        return asdict(chunk) | {"ours": None, "s3": None}
    citations = known.get(chunk.document_id, ())
    # Of several keys with the same bytes, the one that the document is named after.
    cited = next((one for one in citations if one.file_name == chunk.document_name), next(iter(citations), None))
    return asdict(chunk) | {"ours": cited is not None, "s3": cited and _object(cited, chunk.document_metadata)}


def _object(cited: Citation, metadata: Mapping[str, Any]) -> dict[str, Any]:
    version = metadata.get("versionId") if cited.etag and metadata.get("etag") == cited.etag else None
    return {
        "uri": f"s3://{cited.bucket}/{cited.key}",
        "bucket": cited.bucket,
        "key": cited.key,
        "etag": cited.etag,
        "version_id": version if isinstance(version, str) else None,
        "size": cited.size,
        "sha256": cited.sha256,
        "project_id": cited.project_id,
        "stale": cited.stale is not None,
        "stale_reason": cited.stale,
    }
