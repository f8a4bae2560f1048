"""Which document of an upload's answer is whose: by file name, and by hash where the service gave another name.

An answer may name more than was sent: an older document of the same name, another key's, or one that the service has
had already for the same bytes. Invariant: nothing is bound, and nothing is deleted as a stray, that isn't proven to be
of this very request. What isn't proven stays as it is: it is somebody's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cloudindex_provider.api.models import Document, Phase, UploadResult
from cloudindex_provider.sync.upload.prepare import Ready

__all__ = ["Binding", "Lookup", "bind"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What binding asks for."""

    details: Callable[[Document], Document | None]  # a document as a GET shows it
    held: Callable[[Collection[str]], set[str]]  # those of the ids that rows of other keys hold, in this project
    began: float  # just before the intent was written, by the state's clock


@dataclass(slots=True)
class Binding:
    """The documents of one answer."""

    taken: dict[str, Document] = field(default_factory=dict)  # file name -> its document
    shared: dict[str, Document] = field(default_factory=dict)  # file name -> another key's document with its bytes
    strays: list[Document] = field(default_factory=list)  # made by this request, and no file's
    foreign: list[Document] = field(default_factory=list)  # not proven to be ours


def bind(ready: Sequence[Ready], result: UploadResult, lookup: Lookup) -> Binding:
    """Tell the documents of an answer apart."""
    found = Binding()
    sent = {item.name: item for item in ready}
    others = [document for document in result.documents if document.file_name not in sent]
    for name, item in sent.items():
        same = [document for document in result.documents if document.file_name == name]
        if same:
            others += _by_name(item, same, lookup, found)
    refused = {error.file_name for error in result.errors}
    missing = [item for name, item in sent.items() if name not in {*found.taken, *found.shared, *refused}]
    for document in others:
        _by_hash(document, missing, list(sent), lookup, found)
    return found


def _by_name(item: Ready, same: Sequence[Document], lookup: Lookup, found: Binding) -> list[Document]:
    """Bind one of the documents of a file's name; gives the others."""
    best = max(same, key=lambda one: (_has_bytes(one, item), _is_newer(one, lookup.began), one.version or 0))
    bound = {document.id for document in found.taken.values()}
    if best.id in bound or (_looks_old(best, item, lookup.began) and lookup.held([best.id])):
        found.shared[item.name] = best
    else:
        found.taken[item.name] = best
    return [document for document in same if document.id != best.id]


def _by_hash(document: Document, missing: list[Ready], sent: Sequence[str], lookup: Lookup, found: Binding) -> None:
    if document.id in {one.id for one in (*found.taken.values(), *found.shared.values())}:
        return  # named twice
    known = document
    if not document.content_hash or not document.uploaded_at:
        known = lookup.details(document) or document
    ours = _is_newer(known, lookup.began) and any(name in document.file_name for name in sent)
    # Of files with the same bytes, the one whose name is still in the document's.
    equal = sorted((one for one in missing if _has_bytes(known, one)), key=lambda one: one.name not in known.file_name)
    item = equal[0] if equal else None
    held = bool(lookup.held([document.id])) if ours or item else False
    if item is not None and held:
        missing.remove(item)
        found.shared[item.name] = document
    elif item is not None and _is_newer(known, lookup.began):
        missing.remove(item)
        found.taken[item.name] = known
    elif ours and not held:
        found.strays.append(document)
    else:
        found.foreign.append(document)


def _has_bytes(document: Document, item: Ready) -> bool:
    return bool(document.content_hash) and document.content_hash == item.uploaded_sha256()


def _looks_old(document: Document, item: Ready, began: float) -> bool:
    """Whether a document of a file's own name may have been there before; a new version of the live one has its id."""
    if document.id in (item.row.document_id, item.row.upload_document_id):
        return False
    return document.phase is Phase.DONE or (bool(document.uploaded_at) and not _is_newer(document, began))


def _is_newer(document: Document, began: float) -> bool:
    """Whether the document is proven to have been made at that time or later; one without a time isn't."""
    try:
        made = datetime.fromisoformat(document.uploaded_at or "")
    except ValueError:
        return False
    moment = made.replace(tzinfo=made.tzinfo or UTC).timestamp()
    # A time in whole seconds, or milliseconds, is up to one of them before the moment that it means.
    precision = 0.001 if made.microsecond else 1.0
    return moment > began - precision
