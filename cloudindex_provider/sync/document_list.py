"""The list of all documents of a project: one task at a time, read as a stream; it proves absence only when whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.errors import IncompleteListError
from cloudindex_provider.state.db.leases import lease
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.naming import our_name

__all__ = ["Copies", "every_document", "find_copies"]


_LIST_SECONDS = 600.0  # the longest that others' lists of all documents are waited for


class Copies(dict[str, list[Document]]):
    """File name -> live documents. One that is here is there; that one isn't here only a whole list proves."""

    complete = True  # false: an entry couldn't be read or was left out
    unread_names: frozenset[str] | None = None  # what those entries may be named; ``None``: anything

    def of(self, name: str) -> list[Document]:
        return self.get(name, [])

    def has_all(self, name: str) -> bool:
        """Whether there is no other document of this name."""
        return self.complete or (self.unread_names is not None and name not in self.unread_names)

    def demand_all(self, names: Iterable[str]) -> None:
        """
        :raises IncompleteListError: when there may be other documents of these names
        """
        if not all(map(self.has_all, names)):
            raise _incomplete()


def every_document(ctx: SyncContext) -> Iterator[Document]:
    """The project's live documents, by one list under the project's lock.

    :raises IncompleteListError: when the list doesn't end as it should, or what can't be read of it may be ours
    """
    whole = Copies()
    yield from _read(ctx, whole)
    if not whole.complete and (whole.unread_names is None or any(map(our_name, whole.unread_names))):
        raise _incomplete()


def find_copies(ctx: SyncContext, names: Collection[str]) -> Copies:
    """The live documents that have one of these file names.

    :raises CloudIndexError: when the list can't be read to its end
    """
    wanted = set(names)
    found = Copies()
    for document in _read(ctx, found):
        if document.file_name in wanted:
            found.setdefault(document.file_name, []).append(document)
    return found


def _read(ctx: SyncContext, copies: Copies) -> Iterator[Document]:
    held = lease(
        ctx.books,
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
        copies.complete = documents.complete is not False
        copies.unread_names = getattr(documents, "unread_names", None)


def _incomplete() -> IncompleteListError:
    return IncompleteListError("CloudIndex's list of documents has fewer entries than it says, or some can't be read.")
