"""The documents of the projects: adding, listing, reading and deleting them in the store."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cloudindex_provider.local.filetypes import extension, processor
from cloudindex_provider.local.store import Store, timestamp

__all__ = ["NewFile", "add", "content", "counts", "find", "listing", "remove", "versions"]

SameName = Literal["duplicate", "version", "replace"]


@dataclass(frozen=True, slots=True)
class NewFile:
    """Uploaded bytes that wait at ``path`` for their place."""

    file_name: str
    path: Path
    size: int
    sha256: str
    metadata: Any = None


def add(store: Store, project: str, files: Sequence[NewFile], same_name: SameName, batch: str) -> list[sqlite3.Row]:
    """Commit all files in one transaction, in order, each with a pending job; their document rows."""
    kept: list[str] = []
    dropped: list[str] = []
    rows: list[sqlite3.Row] = []
    try:
        with store.write() as db:
            for file in files:
                blob = store.keep(file.path)
                kept.append(blob)
                document, gone = _place(db, project, file, same_name)
                dropped += gone
                rows.append(_record(db, document, file, blob, batch))
    except BaseException:
        store.forget(kept)
        raise
    store.forget(dropped)
    return rows


def listing(store: Store, project: str | None = None) -> list[sqlite3.Row]:
    """The live documents in upload order: of one project, or of all."""
    where, values = ("WHERE project_id = ?", (project,)) if project else ("", ())
    with store.read() as db:
        return db.execute(f"SELECT * FROM documents {where} ORDER BY seq", values).fetchall()  # noqa: S608 - constants


def find(store: Store, project: str, document: str) -> tuple[sqlite3.Row, list[sqlite3.Row]] | None:
    """A document and its processing jobs, newest first; None if it isn't there."""
    with store.read() as db:
        row = db.execute("SELECT * FROM documents WHERE project_id = ? AND id = ?", (project, document)).fetchone()
        if row is None:
            return None
        jobs = db.execute("SELECT * FROM jobs WHERE document_id = ? ORDER BY seq DESC", (document,)).fetchall()
    return row, jobs


def versions(store: Store, document: str) -> list[sqlite3.Row]:
    """The versions of a document, newest first."""
    with store.read() as db:
        query = "SELECT * FROM versions WHERE document_id = ? ORDER BY version DESC"
        return db.execute(query, (document,)).fetchall()


def content(store: Store, document: str) -> bytes:
    """The bytes of the newest version; ``KeyError`` if there is no such document."""
    history = versions(store, document)
    if not history:
        raise KeyError(document)
    return store.blob(history[0]["blob"]).read_bytes()


def remove(store: Store, project: str, document: str) -> bool:
    """Delete a document with its whole history; whether it was there."""
    with store.write() as db:
        row = db.execute("SELECT id FROM documents WHERE project_id = ? AND id = ?", (project, document)).fetchone()
        blobs = _drop(db, document) if row else []
    store.forget(blobs)
    return row is not None


def counts(store: Store) -> dict[str, int]:
    """How many live documents there are, by status."""
    with store.read() as db:
        return {row[0]: row[1] for row in db.execute("SELECT status, count(*) FROM documents GROUP BY status")}


def _place(db: sqlite3.Connection, project: str, file: NewFile, same_name: SameName) -> tuple[str, list[str]]:
    """Make or renew the document row; its id, and the names of bytes that lost their row."""
    now = timestamp()
    twins: list[str] = []
    if same_name != "duplicate":
        query = "SELECT id FROM documents WHERE project_id = ? AND file_name = ? ORDER BY seq DESC"
        twins = [row["id"] for row in db.execute(query, (project, file.file_name))]
    metadata = None if file.metadata is None else json.dumps(file.metadata)
    if twins and same_name == "version":
        db.execute(
            "UPDATE documents SET version = version + 1, status = 'pending', file_size = ?, content_hash = ?,"
            " uploaded_at = ?, modified_at = ?, metadata = ?, started_at = NULL, completed_at = NULL, error = NULL,"
            " processing_ms = NULL, chunk_count = NULL WHERE id = ?",
            (file.size, file.sha256, now, now, metadata, twins[0]),
        )
        return twins[0], []
    gone = [blob for twin in twins for blob in _drop(db, twin)]
    document = str(uuid.uuid4())
    db.execute(
        "INSERT INTO documents (id, project_id, file_name, extension, version, status, file_size, content_hash,"
        " uploaded_at, modified_at, metadata) VALUES (?, ?, ?, ?, 1, 'pending', ?, ?, ?, ?, ?)",
        (document, project, file.file_name, extension(file.file_name), file.size, file.sha256, now, now, metadata),
    )
    return document, gone


def _record(db: sqlite3.Connection, document: str, file: NewFile, blob: str, batch: str) -> sqlite3.Row:
    row: sqlite3.Row = db.execute("SELECT * FROM documents WHERE id = ?", (document,)).fetchone()
    db.execute(
        "INSERT INTO versions (document_id, version, file_size, content_hash, uploaded_at, blob)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (document, row["version"], file.size, file.sha256, row["uploaded_at"], blob),
    )
    db.execute(
        "INSERT INTO jobs (id, batch_id, document_id, version, status, processor, created)"
        " VALUES (?, ?, ?, ?, 'pending', ?, ?)",
        (str(uuid.uuid4()), batch, document, row["version"], processor(file.file_name), time.time()),
    )
    return row


def _drop(db: sqlite3.Connection, document: str) -> list[str]:
    blobs = [row["blob"] for row in db.execute("SELECT blob FROM versions WHERE document_id = ?", (document,))]
    # Explicit: the rows that a cascade removes fire the index's trigger too, but saying so costs nothing.
    db.execute("DELETE FROM chunks WHERE document_id = ?", (document,))
    db.execute("DELETE FROM documents WHERE id = ?", (document,))
    return blobs
