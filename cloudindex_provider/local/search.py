"""Full-text search over the chunks: SQLite FTS5, ranked by BM25.

The user's text never reaches FTS5's own syntax: it is split into words, each quoted, any of which may match.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Collection
from typing import Any

from cloudindex_provider.local.filetypes import mime_type
from cloudindex_provider.local.query import Query
from cloudindex_provider.local.store import Store

__all__ = ["search"]

_WORD = re.compile(r"\w+")
_DIGITS = 6


def search(store: Store, query: Query, projects: Collection[str]) -> dict[str, Any]:
    """The answer of ``POST /query`` over these projects; the best chunk scores 1, the others relative to it."""
    began = time.perf_counter()
    where, values = _filters(query, projects)
    match = " OR ".join(f'"{word}"' for word in _WORD.findall(query.text))
    rows: list[sqlite3.Row] = []
    with store.read() as db:
        total = db.execute(
            f"SELECT count(*) FROM chunks JOIN documents d ON d.id = chunks.document_id WHERE {where}",  # noqa: S608 - values are bound
            values,
        ).fetchone()[0]
        if match:
            rows = db.execute(
                "SELECT chunks.id, chunks.text, -bm25(chunk_index) AS rank, d.id AS document_id, d.file_name,"  # noqa: S608 - values are bound
                " d.uploaded_at, d.status FROM chunk_index JOIN chunks ON chunks.seq = chunk_index.rowid"
                f" JOIN documents d ON d.id = chunks.document_id WHERE chunk_index MATCH ? AND {where}"
                " ORDER BY rank DESC, chunks.seq LIMIT ?",
                (match, *values, query.top_k),
            ).fetchall()
    scored = [(row, row["rank"] / rows[0]["rank"]) for row in rows]
    if query.reranking:
        scored = [pair for pair in scored[: query.reranking_top_n] if pair[1] >= query.reranking_threshold]
    scored = [pair for pair in scored if pair[1] >= query.threshold][: query.limit]
    return {
        "scored_chunks": [_chunk(row, score, query.include_metadata) for row, score in scored],
        "metadata": {
            "total_chunks": total,
            "processing_time_ms": round((time.perf_counter() - began) * 1000),
            "reranking_applied": query.reranking,
        },
    }


def _filters(query: Query, projects: Collection[str]) -> tuple[str, list[str]]:
    # Lists go in as one JSON value: a bound parameter each would meet SQLite's limit.
    where = ["d.project_id IN (SELECT value FROM json_each(?))"]
    values = [json.dumps(sorted(projects))]
    if query.document_ids:
        where.append("d.id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(query.document_ids))
    if query.types:
        where.append("d.extension IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(query.types))
    if query.since:
        where.append("d.uploaded_at >= ?")
        values.append(query.since)
    if query.until:
        where.append("d.uploaded_at <= ?")
        values.append(query.until)
    return " AND ".join(where), values


def _chunk(row: sqlite3.Row, score: float, include_metadata: bool) -> dict[str, Any]:
    chunk = {
        "id": row["id"],
        "text": row["text"],
        "score": round(min(1.0, max(0.0, score)), _DIGITS),
        "document_id": row["document_id"],
        "document_name": row["file_name"],
    }
    if include_metadata:
        chunk["document_metadata"] = {
            "mime_type": mime_type(row["file_name"]),
            "created_at": row["uploaded_at"],
            "file_path": row["file_name"],
            "source_type": "upload",
            "processing_status": row["status"],
        }
    return chunk
