"""Which S3 object a document of an answer was made from, as far as the state knows: for citing it.

Only reads. A document that no row names isn't ours, or isn't known any more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from cloudindex_provider.state.conditions import KeyClass, Status
from cloudindex_provider.state.db.database import Database

__all__ = ["Citation", "cite"]

_GONE = "S3 has the key no more"
_NEWER = "S3 has newer bytes of the key"
_REPLACED = "a newer document of the key has replaced it"


@dataclass(frozen=True, slots=True)
class Citation:
    """The object that a document was made from; what isn't known of the version is ``None``.

    ``stale`` says why the document isn't what S3 has now, as of the last sync; ``None``: it is.
    """

    project_id: str
    bucket: str
    key: str
    file_name: str | None  # the document's
    etag: str | None
    size: int | None  # bytes, as S3 lists them
    sha256: str | None
    stale: str | None


def cite(db: Database, document_ids: Collection[str]) -> dict[str, list[Citation]]:
    """Document id -> the objects that it is the document of: mostly one, more where they have the same bytes.

    Reads every row of the state, since there is no index on documents: a first load would pay for it at every key.
    """
    found: dict[str, list[Citation]] = {}
    if not document_ids:
        return found
    values = {"ids": list(document_ids)}
    with db.read() as connection:
        for row in connection.execute(_LIVE, values).all():
            for one in {row.document_id, row.upload_document_id} & set(document_ids):
                found.setdefault(one, []).append(_citation(connection, row, one))
        for row in connection.execute(_SUPERSEDED, values).all():
            held = found.setdefault(row.document_id, [])
            if row.key not in [one.key for one in held]:  # what a key holds is live, whatever else is noted of it
                held.append(_of_key(row, None, None, None, stale=_REPLACED))
    return {one: _named_first(citations) for one, citations in found.items()}


def _citation(connection: Connection, row: Row[Any], document_id: str) -> Citation:
    if document_id != row.document_id:  # on its way to be the key's document
        sent = _of_key(row, row.upload_etag, row.upload_size, row.upload_sha256)
        return replace(sent, stale=_stale(connection, row, row.upload_etag, row.upload_size))
    cited = _of_key(row, row.indexed_etag or None, row.indexed_size, row.indexed_sha256)
    if row.status == Status.SKIPPED and not row.indexed_etag:
        return cited  # after the loss of a state: nothing is known of it, and nobody looks
    return replace(cited, stale=_stale(connection, row, row.indexed_etag, row.indexed_size))


def _stale(connection: Connection, row: Row[Any], etag: str | None, size: int | None) -> str | None:
    if row.status == Status.DELETING or connection.execute(_REMOVED, {"source": row.source_id, "key": row.key}).first():
        return _GONE
    if etag != row.etag or (size is not None and size != row.size):
        return _NEWER
    return None


def _of_key(
    row: Row[Any], etag: str | None, size: int | None, sha256: str | None, *, stale: str | None = None
) -> Citation:
    return Citation(row.project_id, row.bucket, row.key, row.file_name, etag, size, sha256, stale)


def _named_first(citations: Sequence[Citation]) -> list[Citation]:
    return sorted(citations, key=lambda one: (one.stale is not None, one.bucket, one.key))


_COLUMNS = (
    "scope.project_id, scope.bucket, object.key, object.source_id, object.status, object.etag, object.size,"
    " object.document_id, object.file_name, indexed_etag, indexed_size, indexed_sha256,"
    " upload_document_id, upload_etag, upload_size, upload_sha256"
)
_LIVE = sa.text(
    f"SELECT {_COLUMNS} FROM object JOIN scope ON scope.id = object.scope_id"
    " WHERE object.document_id IN :ids OR upload_document_id IN :ids"
).bindparams(sa.bindparam("ids", expanding=True))
_SUPERSEDED = sa.text(
    "SELECT superseded.document_id, superseded.key, scope.project_id, scope.bucket, NULL AS file_name FROM superseded"
    " JOIN scope ON scope.id = superseded.scope_id"
    " WHERE superseded.scope_id IN (SELECT id FROM scope) AND superseded.document_id IN :ids"
).bindparams(sa.bindparam("ids", expanding=True))
# The last whole listing, or a look at named keys since then, has found the key to be gone. A key that is back and
# unchanged leaves no trace in a run, so older runs say nothing.
_REMOVED = sa.text(
    "SELECT 1 FROM run JOIN run_key ON run_key.run_id = run.id WHERE run.source_id = :source AND run.complete = 1"
    f" AND run_key.key = :key AND run_key.class = '{KeyClass.REMOVED}' AND run.detected_at >= (SELECT max(detected_at)"
    " FROM run AS whole JOIN selection ON selection.source_id = whole.source_id AND selection.dag_id = whole.dag_id"
    " AND selection.task_id = whole.task_id AND selection.run_id = whole.run_id"
    " WHERE whole.source_id = :source AND whole.complete = 1)"
)
