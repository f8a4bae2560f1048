"""The list of all documents of a project: one task at a time, read as a stream, believed only when it is whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.errors import IncompleteListError
from cloudindex_provider.state.db.leases import lease
from cloudindex_provider.sync.context import SyncContext

__all__ = ["every_document", "find_copies"]


_LIST_SECONDS = 600.0  # the longest that others' lists of all documents are waited for


def every_document(ctx: SyncContext) -> Iterator[Document]:
    """The project's live documents, by one list under the project's lock.

    :raises SyncError: when the list doesn't end as it should, because then nothing is known of what it left out
    """
    held = lease(
        ctx.db,
        f"list:{ctx.settings.project_id}",
        f"{ctx.owner.claim}#{ctx.owner.attempt}",
        seconds=ctx.lease,
        patience=_LIST_SECONDS,
        sleep=ctx.sleep,
    )
    with held as keep, ctx.client.iter_documents() as documents:
        for document in documents:
            keep()
            if document.phase is not Phase.GONE:
                yield document
        complete = documents.complete
    if complete is False:
        raise IncompleteListError("CloudIndex's list of documents has fewer entries than it says.")


def find_copies(ctx: SyncContext, names: Collection[str]) -> dict[str, list[Document]]:
    """The live documents that have one of these file names; raises as ``every_document`` does."""
    wanted = set(names)
    found: dict[str, list[Document]] = {}
    for document in every_document(ctx):
        if document.file_name in wanted:
            found.setdefault(document.file_name, []).append(document)
    return found
