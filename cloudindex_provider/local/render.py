"""The JSON that the server answers with, in the dialect that the settings ask for."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from cloudindex_provider.local.errors import Refusal
from cloudindex_provider.local.faults import Operation
from cloudindex_provider.local.filetypes import describe, processor
from cloudindex_provider.local.settings import Settings

__all__ = ["details", "document", "error", "history", "listing", "uploaded", "whole"]


def document(row: sqlite3.Row, settings: Settings) -> dict[str, Any]:
    """One ``Document`` of documents.yaml."""
    answer: dict[str, Any] = {
        "id": row["id"],
        "projectId": row["project_id"],
        "fileName": row["file_name"],
        "fileType": describe(row["file_name"]),
        "uploadDate": row["uploaded_at"],
        "processingStatus": _word(row["status"], settings),
        "fileSize": row["file_size"],
        "retryCount": row["retry_count"],
        "errorMessage": row["error"],
        "processing_time": row["processing_ms"],
        "chunkCount": row["chunk_count"],
        "processorType": processor(row["file_name"]),
        "version": row["version"],
        "contentHash": row["content_hash"],
        "lastModified": row["modified_at"],
        "processingStartedAt": row["started_at"],
        "processingCompletedAt": row["completed_at"],
    }
    if settings.return_metadata:
        answer["metadata"] = json.loads(row["metadata"]) if row["metadata"] else None
    return _nulls(answer, settings)


def listing(
    rows: Sequence[sqlite3.Row], total: int, settings: Settings, params: Mapping[str, str]
) -> list[dict[str, Any]] | dict[str, Any]:
    """The list answer. ``total`` is what the server claims to have; ``params`` are read by a paged list only."""
    if settings.list_style == "paged":
        return _paged(rows, total, settings, params)
    documents = [_listed(row, settings) for row in rows]
    if settings.list_style == "array":
        return documents
    return {"documents": documents, "total": total} if settings.list_total else {"documents": documents}


def uploaded(
    rows: Sequence[sqlite3.Row], errors: list[dict[str, Any]], batch: tuple[str, int], settings: Settings
) -> dict[str, Any]:
    """The upload answer; ``batch`` is its id and how many files were in the request."""
    documents = [_uploaded(row, settings) for row in rows]
    if settings.shuffle_uploads:
        random.shuffle(documents)
    status = "pending" if rows else "failed"
    return {
        "documents": documents,
        "errors": errors,
        "batch": {"id": batch[0], "status": status, "totalFiles": batch[1], "progress": 0},
    }


def details(row: sqlite3.Row, jobs: Sequence[sqlite3.Row], settings: Settings) -> dict[str, Any]:
    """The answer to a read of one document."""
    return {"document": document(row, settings), "processingJobs": [_job(job, settings) for job in jobs]}


def history(rows: Sequence[sqlite3.Row], limit: int, offset: int) -> dict[str, Any]:
    """One page of a document's versions, newest first."""
    page = [
        {
            "id": f"{row['document_id']}:{row['version']}",
            "version": row["version"],
            "fileSize": row["file_size"],
            "contentHash": row["content_hash"],
            "uploadDate": row["uploaded_at"],
        }
        for row in rows[offset : offset + limit]
    ]
    more = offset + len(page) < len(rows)
    return {"versions": page, "pagination": {"total": len(rows), "limit": limit, "offset": offset, "hasMore": more}}


def error(refusal: Refusal, operation: Operation, request_id: str, settings: Settings) -> dict[str, Any]:
    """An error body: flat, nested or the query endpoint's."""
    style = settings.error_style
    if style == "documented":
        style = "query" if operation == "query" else "flat"
    extra = {"details": refusal.details} if refusal.details or settings.nulls else {}
    if style == "query":
        return {"code": refusal.code, "category": refusal.category, "message": refusal.message, **extra}
    if style == "flat":
        return {"error": refusal.message, "code": refusal.code, "category": refusal.category, **extra}
    body = {"code": refusal.code, "message": refusal.message, "requestId": request_id, **extra}
    return {"error": {**body, "documentation": f"https://docs.cloudindex.ai/errors/{refusal.code}"}}


def _word(status: str, settings: Settings) -> str:
    return settings.status_words.get(status, status)


def _nulls(answer: dict[str, Any], settings: Settings) -> dict[str, Any]:
    return answer if settings.nulls else {name: value for name, value in answer.items() if value is not None}


def _listed(row: sqlite3.Row, settings: Settings) -> dict[str, Any]:
    answer = document(row, settings)
    if not settings.list_content_hash:
        answer.pop("contentHash", None)
    return answer


def _paged(rows: Sequence[sqlite3.Row], total: int, settings: Settings, params: Mapping[str, str]) -> dict[str, Any]:
    limit = whole(params, "limit", settings.page_size, 1)
    page = whole(params, "page", 1, 1)
    offset = whole(params, "offset", (page - 1) * limit, 0)
    shown = rows[offset : offset + limit]
    pagination: dict[str, Any] = {"hasMore": offset + len(shown) < len(rows), "total": total, "limit": limit}
    pagination |= {"page": page} if settings.paging == "page" else {"offset": offset}
    return {"documents": [_listed(row, settings) for row in shown], "pagination": pagination}


def whole(params: Mapping[str, str], name: str, default: int, least: int) -> int:
    """A whole number among the URL's parameters. Raises ``Refusal`` 400."""
    value = params.get(name)
    if value is None:
        return default
    if not value.isdecimal() or int(value) < least:
        message = f"{name} must be an integer of at least {least}"
        raise Refusal(400, "validation/invalid-input", message, details={"field": name})
    return int(value)


def _uploaded(row: sqlite3.Row, settings: Settings) -> dict[str, Any]:
    status = _word(row["status"], settings)
    answer = {"id": row["id"], "fileName": row["file_name"], "version": row["version"]}
    if settings.upload_style == "openapi":
        answer |= {"status": status, "uploadedAt": row["uploaded_at"]}
    else:
        answer |= {
            "projectId": row["project_id"],
            "processingStatus": status,
            "uploadDate": row["uploaded_at"],
            "fileType": describe(row["file_name"]),
            "fileSize": row["file_size"],
            "contentHash": row["content_hash"],
            "errorMessage": None,
        }
    return _nulls(answer, settings)


def _job(job: sqlite3.Row, settings: Settings) -> dict[str, Any]:
    answer = {
        "id": job["id"],
        "batchId": job["batch_id"],
        "status": job["status"],
        "processorType": job["processor"],
        "startedAt": job["started_at"],
        "completedAt": job["completed_at"],
        "errorMessage": job["error"],
        "processingMetadata": {"version": job["version"], "chunkCount": job["chunk_count"] or 0},
    }
    return _nulls(answer, settings)
