"""Single steps against CloudIndex, by the path that DAGs import: a module each, named here.

Each operator makes one call or a few, builds its client in ``execute`` and closes it there.
"""

from __future__ import annotations

from cloudindex_provider.operators.configure_integration import CloudIndexConfigureIntegrationOperator
from cloudindex_provider.operators.delete_document import CloudIndexDeleteDocumentOperator
from cloudindex_provider.operators.query import CloudIndexQueryOperator
from cloudindex_provider.operators.upload_documents import CloudIndexUploadDocumentsOperator

__all__ = [
    "CloudIndexConfigureIntegrationOperator",
    "CloudIndexDeleteDocumentOperator",
    "CloudIndexQueryOperator",
    "CloudIndexUploadDocumentsOperator",
]
