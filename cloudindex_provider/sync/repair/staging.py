"""CloudIndex's list of documents, read once into a temporary file. A list that isn't whole decides nothing."""

from __future__ import annotations

import itertools
import re

from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.doubt import every_document
from cloudindex_provider.sync.repair.index_copy import IndexCopy

__all__ = ["our_name", "stage_index"]

_OURS = re.compile(r"[A-Za-z0-9-]+-[0-9a-f]{24}(\.[A-Za-z0-9]{1,10})?\Z")  # what naming.file_name makes
_BLOCK = 1000


def our_name(name: str) -> str | None:
    """The name, where it is of the kind that a sync gives.

    >>> our_name("docs-Prices-fees-438be2a10e26b1863182b4d6.csv"), our_name("notes.txt")
    ('docs-Prices-fees-438be2a10e26b1863182b4d6.csv', None)
    """
    return name if _OURS.match(name) else None


def stage_index(ctx: SyncContext, copy: IndexCopy) -> None:
    """Read every live document of the project into the copy.

    :raises IncompleteListError: when the list has fewer entries than it says
    :raises CloudIndexError: when it can't be read to its end
    """
    documents = every_document(ctx)
    while block := list(itertools.islice(documents, _BLOCK)):
        copy.add_documents((one, our_name(one.file_name)) for one in block)
    copy.index()
