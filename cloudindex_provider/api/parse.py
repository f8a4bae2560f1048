"""From decoded JSON to the models. Pure and tolerant: null is absent, both spellings of a field are read.

Raises ``ValueError`` naming the field where an answer can't mean anything; the message repeats no content. Whatever the
service says of a document or of a file's error is cleaned here, because it is logged, stored and shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cloudindex_provider.api.models import (
    Batch,
    Document,
    DocumentDetails,
    FileError,
    QueryResult,
    ScoredChunk,
    UploadResult,
)
from cloudindex_provider.api.redact import clean

_SENTENCE, _NAME = 300, 1000  # characters that are kept of a text

__all__ = [
    "decode",
    "parse_details",
    "parse_document",
    "parse_object",
    "parse_query",
    "parse_refusal",
    "parse_upload",
    "parse_versions",
]


def decode(body: bytes) -> Any:
    """The JSON of a body, whatever its Content-Type said; ``ValueError`` where it is none."""
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # the parser's text would repeat the body
        raise ValueError("the body is not JSON" if body else "the body is empty") from None


def parse_document(data: Any, *, default_name: str | None = None) -> Document:
    """A document in the spelling of the OpenAPI, the upload answer or the guides."""
    fields = _object(data, "document")
    document_id = _text(fields, "id", "documentId", "document_id")
    name = _said(fields, "fileName", "filename", "file_name", "name", limit=_NAME) or default_name
    if not document_id:
        raise ValueError("a document has no id")
    if document_id != clean(document_id, limit=_NAME):  # asked for by another id, it would be another document
        raise ValueError("a document has an id that is no text for a URL")
    if name is None:
        raise ValueError("a document has no fileName")
    return Document(
        id=document_id,
        file_name=name,
        status=_said(fields, "processingStatus", "status") or "",
        version=_integer(fields, "version"),
        content_hash=_hash(_said(fields, "contentHash", "content_hash")),
        size=_integer(fields, "fileSize", "size"),
        error_message=_said(fields, "errorMessage", "error_message"),
        chunk_count=_integer(fields, "chunkCount", "chunk_count"),
        file_type=_said(fields, "fileType", "file_type"),
        uploaded_at=_said(fields, "uploadDate", "uploadedAt", "uploaded_at"),
        project_id=_said(fields, "projectId", "project_id"),
    )


def parse_details(data: Any) -> DocumentDetails:
    """``{document, processingJobs}``, or the document alone."""
    fields = _object(data, "answer")
    inner = fields.get("document")
    document = parse_document(fields if inner is None else inner)
    return DocumentDetails(document, _objects(fields.get("processingJobs")))


def parse_versions(data: Any) -> tuple[Mapping[str, Any], ...]:
    """A bare list, or ``{versions: [...]}``; entries as the service wrote them."""
    found = data.get("versions") if isinstance(data, dict) else data
    if not isinstance(found, list):
        raise ValueError("the answer has no versions")
    return _objects(found)


def parse_upload(data: Any, file_names: Sequence[str], request_id: str | None) -> UploadResult:
    """The answer to an upload of ``file_names``.

    A document that can't be read fails the whole answer, and so does a refusal that names no file: taken for "not
    uploaded", they would be uploaded twice.
    """
    fields = _object(data, "answer")
    documents, errors = fields.get("documents"), fields.get("errors")
    if documents is None and errors is None:
        raise ValueError("the answer has neither documents nor errors")
    if fields.get("success") is False and not errors:
        raise ValueError("the answer says success: false and no errors")
    only = file_names[0] if len(file_names) == 1 else None
    return UploadResult(
        documents=tuple(parse_document(item, default_name=only) for item in _list(documents, "documents")),
        errors=tuple(_file_error(item, only) for item in _list(errors, "errors")),
        batch=_batch(fields.get("batch")),
        request_id=request_id,
    )


def parse_refusal(body: bytes, file_names: Sequence[str], request_id: str | None) -> UploadResult | None:
    """The verdict on files in the body of a 400 or 422; ``None`` where it names none of them."""
    try:
        fields = _map(decode(body))
    except ValueError:
        return None
    only = file_names[0] if len(file_names) == 1 else None
    places = (fields, _map(fields.get("error")), _map(fields.get("details")))
    items = next((place["errors"] for place in places if isinstance(place.get("errors"), list)), ())
    errors = [_file_error(item, only) for item in items if isinstance(item, str | dict)]
    named = tuple(error for error in errors if error.file_name in file_names)
    return UploadResult((), named, request_id=request_id, refused=True) if named else None


def parse_object(data: Any) -> Mapping[str, Any]:
    """An answer that nobody documented, as it is."""
    return _object(data, "answer")


def parse_query(data: Any) -> QueryResult:
    fields = _object(data, "answer")
    chunks = fields.get("scored_chunks", fields.get("scoredChunks"))
    if chunks is None:
        raise ValueError("the answer has no scored_chunks")
    return QueryResult(tuple(_chunk(item) for item in _list(chunks, "scored_chunks")), _map(fields.get("metadata")))


def _chunk(data: Any) -> ScoredChunk:
    fields = _object(data, "chunk")
    score = fields.get("score")
    return ScoredChunk(
        id=_text(fields, "id") or "",
        text=_text(fields, "text") or "",
        score=float(score) if isinstance(score, int | float) else 0.0,
        document_id=_text(fields, "document_id", "documentId") or "",
        document_name=_text(fields, "document_name", "documentName") or "",
        document_metadata=_map(fields.get("document_metadata", fields.get("documentMetadata"))),
    )


def _file_error(data: Any, only: str | None) -> FileError:
    if isinstance(data, str):
        return FileError(only or "", clean(data))
    fields = _object(data, "error of a file")
    inner = _map(fields.get("error"))  # the nested dialect
    retryable = fields.get("retryable")
    return FileError(
        file_name=_said(fields, "fileName", "filename", "file_name", limit=_NAME) or only or "",
        message=_said(fields, "error", "message") or _said(inner, "message") or "The service gave no reason.",
        code=_said(fields, "code") or _said(inner, "code"),
        category=_said(fields, "category") or _said(inner, "category"),
        retryable=retryable if isinstance(retryable, bool) else None,
        details=_map(fields.get("details")) or _map(inner.get("details")),
    )


def _batch(data: Any) -> Batch | None:
    fields = _map(data)
    batch_id = _said(fields, "id")
    if not batch_id:
        return None
    return Batch(batch_id, _said(fields, "status"), _integer(fields, "totalFiles"), _integer(fields, "progress"))


def _object(data: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"the {name} is no object")
    return data


def _list(data: Any, name: str) -> list[Any]:
    if data is None:
        return []
    if not isinstance(data, list):
        raise ValueError(f"{name} is no list")
    return data


def _objects(data: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple(item for item in data if isinstance(item, dict)) if isinstance(data, list) else ()


def _map(data: Any) -> Mapping[str, Any]:
    return data if isinstance(data, dict) else {}


def _text(fields: Mapping[str, Any], *names: str) -> str | None:
    """The first of the names that holds a text or a number; ids may be either."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def _said(fields: Mapping[str, Any], *names: str, limit: int = _SENTENCE) -> str | None:
    """A text that is shown, logged and stored: no control characters, no half of a surrogate pair, not too long."""
    found = _text(fields, *names)
    return clean(found, limit=limit) or None if found else None


def _integer(fields: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = fields.get(name)
        if isinstance(value, bool):
            continue
        if isinstance(value, int):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
            return int(value)
    return None


def _hash(value: str | None) -> str | None:
    return value.lower().removeprefix("sha256:") if value else None
