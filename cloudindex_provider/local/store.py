"""The data directory: one SQLite database (WAL) and the bytes of every version as a file.

Invariant: a row names only bytes that are already in place, and bytes that no row names are swept at the next start.
One server per directory.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Store", "timestamp"]

_SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE documents (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, project_id TEXT NOT NULL, file_name TEXT NOT NULL, extension TEXT NOT NULL,
  version INTEGER NOT NULL, status TEXT NOT NULL, file_size INTEGER NOT NULL, content_hash TEXT NOT NULL,
  uploaded_at TEXT NOT NULL, modified_at TEXT NOT NULL, metadata TEXT,
  started_at TEXT, completed_at TEXT, error TEXT, processing_ms INTEGER, chunk_count INTEGER,
  retry_count INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX documents_by_name ON documents (project_id, file_name);
CREATE TABLE versions (
  document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE, version INTEGER NOT NULL,
  file_size INTEGER NOT NULL, content_hash TEXT NOT NULL, uploaded_at TEXT NOT NULL, blob TEXT NOT NULL,
  PRIMARY KEY (document_id, version)
);
CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, batch_id TEXT NOT NULL,
  document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE, version INTEGER NOT NULL,
  status TEXT NOT NULL, processor TEXT NOT NULL, created REAL NOT NULL,
  started_at TEXT, completed_at TEXT, error TEXT, chunk_count INTEGER
);
CREATE INDEX jobs_by_document ON jobs (document_id);
CREATE INDEX jobs_open ON jobs (seq) WHERE status IN ('pending', 'processing');
CREATE TABLE chunks (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL,
  document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE, text TEXT NOT NULL
);
CREATE INDEX chunks_by_document ON chunks (document_id);
CREATE VIRTUAL TABLE chunk_index USING fts5 (
  text, content = 'chunks', content_rowid = 'seq', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER chunk_added AFTER INSERT ON chunks BEGIN
  INSERT INTO chunk_index (rowid, text) VALUES (new.seq, new.text);
END;
CREATE TRIGGER chunk_gone AFTER DELETE ON chunks BEGIN
  INSERT INTO chunk_index (chunk_index, rowid, text) VALUES ('delete', old.seq, old.text);
END;
CREATE TABLE integrations (id TEXT PRIMARY KEY, type TEXT NOT NULL, settings TEXT NOT NULL, status TEXT NOT NULL);
"""


def timestamp() -> str:
    """Now, as the service writes it: UTC, milliseconds, Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Store:
    """Connections and files; what is in them is the business of ``documents``, ``processing`` and ``search``."""

    def __init__(self, data_dir: Path) -> None:
        self._blobs = data_dir / "blobs"
        self._incoming = data_dir / "incoming"
        for folder in (self._blobs, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)
        self._path = data_dir / "cloudindex.sqlite"
        self._lock = threading.RLock()
        self._writer = self._connect()
        self._create()
        self._sweep()

    def close(self) -> None:
        """Wait for the running transaction, then close; a later write raises ``sqlite3.ProgrammingError``."""
        with self._lock:
            self._writer.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, one writer at a time."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent snapshot that never waits for a writer."""
        connection = self._connect()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.close()

    def incoming(self) -> Path:
        """A fresh path to write an upload to."""
        return self._incoming / uuid.uuid4().hex

    def keep(self, incoming: Path) -> str:
        """Move written bytes to their place; their name."""
        name = incoming.name
        target = self.blob(name)
        target.parent.mkdir(exist_ok=True)
        incoming.replace(target)
        return name

    def blob(self, name: str) -> Path:
        """Where the bytes of that name are."""
        return self._blobs / name[:2] / name

    def forget(self, names: Iterable[str]) -> None:
        """Remove bytes that no row names any more."""
        for name in names:
            self.blob(name).unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _create(self) -> None:
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = NORMAL")  # survives a killed process, which is what tests do
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._writer.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
        elif version != _SCHEMA_VERSION:
            raise RuntimeError(f"{self._path} has schema {version}, this server knows {_SCHEMA_VERSION}: remove it")

    def _sweep(self) -> None:
        for path in self._incoming.iterdir():
            path.unlink()
        known = {row["blob"] for row in self._writer.execute("SELECT blob FROM versions")}
        for path in self._blobs.glob("*/*"):
            if path.name not in known:
                path.unlink()
