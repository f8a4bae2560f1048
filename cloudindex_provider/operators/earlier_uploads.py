"""Which files of an upload are in CloudIndex already, by an earlier try or an answer that left them out.

A document is a file's when its SHA-256 is the file's, and it has the file's name as a server may have made it, or was
said to be the file's by an earlier answer. What can't be proven is sent again: a copy costs less than a lost file.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.file_names import server_names
from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.errors import IncompleteListError, NotFoundError
from cloudindex_provider.operators.local_files import LocalFile
from cloudindex_provider.words import count

__all__ = ["find_uploads"]

_LOOKS = 10  # documents of one file's name that are asked for, where the list tells no hash

log = logging.getLogger("cloudindex_provider.steps")


def find_uploads(
    client: CloudIndexClient, files: Sequence[LocalFile], remembered: Mapping[str, str]
) -> dict[str, Document]:
    """File name -> its live document, for the files that are there.

    :param remembered: file name -> id of the document that an earlier answer gave it
    :raises IncompleteListError: a file isn't found in a list that isn't whole, so nothing is known of it
    """
    wanted = _Wanted(files, remembered)
    with client.iter_documents() as documents:
        for document in documents:
            wanted.meet(document)
        whole = documents.complete is not False
        unread = documents.unread_names
    found: dict[str, Document] = {}
    taken: set[str] = set()
    for file in files:
        own = _own(client, file, wanted.of(file.name), taken)
        if own is not None:
            found[file.name] = own
            taken.add(own.id)
    absent = {name for file in files if file.name not in found for name in server_names(file.name)}
    if absent and not whole and (unread is None or absent & unread):
        raise IncompleteListError(
            "CloudIndex's list of documents has fewer entries than it says, or some can't be read, so it isn't known"
            " whether files of an earlier try are there."
        )
    return found


class _Wanted:
    """The documents of the list that may be a file's, the likeliest first."""

    def __init__(self, files: Sequence[LocalFile], remembered: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {made: file.name for file in files for made in server_names(file.name)}
        self._ids = {document_id: name for name, document_id in remembered.items()}
        self._met: dict[str, list[tuple[bool, Document]]] = {}

    def meet(self, document: Document) -> None:
        if document.phase in (Phase.FAILED, Phase.GONE):
            return
        known = self._ids.get(document.id)
        name = known or self._names.get(document.file_name)
        if name is not None:
            self._met.setdefault(name, []).append((known is not None, document))

    def of(self, name: str) -> list[tuple[bool, Document]]:
        """(whether an earlier answer gave it, document)"""
        return sorted(
            self._met.get(name, []),
            key=lambda one: (one[0], one[1].file_name == name, one[1].version or 0, one[1].uploaded_at or ""),
            reverse=True,
        )


def _own(
    client: CloudIndexClient, file: LocalFile, candidates: Sequence[tuple[bool, Document]], taken: set[str]
) -> Document | None:
    free = [one for one in candidates if one[1].id not in taken]
    if not free:
        return None
    digest = _sha256(file)
    hashed = [document for _, document in free if document.content_hash == digest]
    if hashed:
        return hashed[0]
    unproven = 0
    for remembered, listed in [one for one in free if not one[1].content_hash][:_LOOKS]:
        document = _details(client, listed)
        if document is None:
            continue
        if document.content_hash == digest:
            return document
        if document.content_hash is None:
            # Nothing tells its bytes. That an earlier try has uploaded it under this name is as good as can be.
            if remembered and document.size in (None, file.size):
                return document
            unproven += 1
    if unproven:
        log.warning(
            "CloudIndex has %s named like %r and tells no hash of them: the file is uploaded, and may be"
            " there twice.", count(unproven, "document"), file.name,
        )  # fmt: skip
    return None


def _details(client: CloudIndexClient, listed: Document) -> Document | None:
    try:
        document = client.get_document(listed.id).document
    except NotFoundError:  # of a document that was listed a moment ago
        return None
    return None if document.phase in (Phase.FAILED, Phase.GONE) else document


def _sha256(file: LocalFile) -> str:
    digest = hashlib.sha256()
    for chunk in file.part.open():
        digest.update(chunk)
    return digest.hexdigest()
