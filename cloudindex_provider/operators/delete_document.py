"""Deletes documents by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cloudindex_provider.errors import NotFoundError
from cloudindex_provider.hooks.cloudindex import checked_ids
from cloudindex_provider.operators.single_step import CloudIndexStepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CloudIndexDeleteDocumentOperator"]


class CloudIndexDeleteDocumentOperator(CloudIndexStepOperator):
    """Deletes documents for good, with their version history.

    Returns ``{"deleted": [ids], "missing": [ids]}``.

    :param document_ids: one id or several (templated)
    :param project_id: the project (templated); default: the connection's
    :param ignore_missing: a document that is not there counts as deleted; else the task fails, once all are tried
    """

    template_fields: Sequence[str] = ("document_ids", "project_id", "cloudindex_conn_id")

    def __init__(
        self,
        *,
        document_ids: str | Sequence[str],
        project_id: str | None = None,
        ignore_missing: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.document_ids = document_ids
        self.project_id = project_id
        self.ignore_missing = ignore_missing

    def execute(self, context: Context) -> dict[str, list[str]]:
        """Delete one after the other.

        :raises NotFoundError: a document was not there, and ``ignore_missing`` is false
        """
        document_ids = checked_ids(self.document_ids)
        hook = self._hook(self.project_id)
        outcome: dict[str, list[str]] = {"deleted": [], "missing": []}
        with hook.session() as client:
            for document_id in document_ids:
                deleted = client.delete_document(document_id, project_id=hook.project_id)
                outcome["deleted" if deleted else "missing"].append(document_id)
        self.log.info("%d documents deleted, %d were not there", len(outcome["deleted"]), len(outcome["missing"]))
        if outcome["missing"] and not self.ignore_missing:
            missing = ", ".join(outcome["missing"])
            message = f"connection {hook.cloudindex_conn_id!r}: project {hook.project_id!r} has no document {missing}."
            raise NotFoundError(message, status=404, hint="Correct document_ids or project_id.")
        return outcome
