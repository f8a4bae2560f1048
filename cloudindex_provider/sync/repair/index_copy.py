"""A temporary SQLite file to compare in: CloudIndex's list beside S3's and the state's rows, with flat memory.

Lives as long as its ``with`` block and is never the state: nothing in it outlives what made it. Used by one
thread.
"""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cloudindex_provider.api.models import Document
from cloudindex_provider.errors import StateError
from cloudindex_provider.state import budgets
from cloudindex_provider.state.budgets import ListCost
from cloudindex_provider.state.conditions import Status
from cloudindex_provider.state.records import Finding, Tracked
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.document_list import every_document
from cloudindex_provider.sync.naming import our_name

__all__ = ["IndexCopy", "Listed", "index_copy", "stage_index"]

_TABLES = """
CREATE TABLE document (id TEXT PRIMARY KEY, name TEXT, status TEXT, sha256 TEXT, size INTEGER, version INTEGER,
  uploaded_at TEXT, other_name TEXT) WITHOUT ROWID;
CREATE TABLE listed (key TEXT PRIMARY KEY, etag TEXT, size INTEGER, last_modified TEXT, storage_class TEXT,
  name TEXT, reason TEXT) WITHOUT ROWID;
CREATE TABLE tracked (key TEXT PRIMARY KEY, mine INTEGER, quiet INTEGER, stuck INTEGER, revision INTEGER, status TEXT,
  document_id TEXT, sha256 TEXT, name TEXT) WITHOUT ROWID;
CREATE TABLE known (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE rebuilt (key TEXT PRIMARY KEY, row TEXT) WITHOUT ROWID;
"""
_UNKNOWN = "NOT EXISTS (SELECT 1 FROM known WHERE known.id = document.id)"
# kind -> (key, the revision seen, document id or ""), each as (FROM and WHERE, revision, document)
_FINDINGS = {
    "gone": (
        f"tracked WHERE mine AND quiet AND document_id IS NOT NULL AND status <> '{Status.PROCESSING}'"
        " AND NOT EXISTS (SELECT 1 FROM document WHERE document.id = tracked.document_id)",
        "tracked.revision",
        "tracked.document_id",
    ),
    "differs": (
        "tracked JOIN document ON document.id = tracked.document_id WHERE mine AND quiet"
        f" AND tracked.status = '{Status.INDEXED}'"
        " AND (document.sha256 <> tracked.sha256 OR lower(document.status) = 'failed')",
        "tracked.revision",
        "document.id",
    ),
    "untracked": (
        f"tracked JOIN document ON document.name = tracked.name WHERE mine AND quiet AND {_UNKNOWN}",
        "tracked.revision",
        "document.id",
    ),
    "stuck": ("tracked WHERE mine AND stuck", "tracked.revision", "''"),
    "removed": (
        "tracked JOIN document ON document.id = tracked.document_id WHERE mine AND tracked.status <>"
        f" '{Status.DELETING}'"
        " AND NOT EXISTS (SELECT 1 FROM listed WHERE listed.key = tracked.key)",
        "tracked.revision",
        "document.id",
    ),
    "rowless": (
        f"listed AS tracked JOIN document ON document.name = tracked.name WHERE {_UNKNOWN}"
        " AND NOT EXISTS (SELECT 1 FROM tracked AS row WHERE row.key = tracked.key)",
        "0",
        "document.id",
    ),
}
_FOREIGN = (
    f"FROM document WHERE {_UNKNOWN} AND (name IS NULL"
    " OR NOT EXISTS (SELECT 1 FROM tracked WHERE tracked.name = document.name))"
)
_ORPHANS = (
    "FROM document WHERE name IS NOT NULL"
    f" AND NOT EXISTS (SELECT 1 FROM listed WHERE listed.name = document.name) AND {_UNKNOWN}"
)


class Listed(NamedTuple):
    """What S3 lists, with the name of its document, and why it isn't selected where it isn't."""

    key: str
    etag: str
    size: int
    last_modified: str
    storage_class: str
    name: str
    reason: str | None


@contextmanager
def index_copy() -> Iterator[IndexCopy]:
    """A new, empty copy in the system's folder for temporary files (``TMPDIR``).

    :raises StateError: when the folder has no room for it
    """
    with tempfile.TemporaryDirectory(prefix="cloudindex-") as folder:
        copy = IndexCopy(Path(folder) / "copy.db")
        try:
            yield copy
        except sqlite3.Error as error:
            raise StateError(
                f"The temporary file for CloudIndex's list can't be used: {error}.",
                hint=f"Free space in {tempfile.gettempdir()}, or set TMPDIR to a folder that has some.",
            ) from None
        finally:
            copy.close()


class IndexCopy:
    """Tables of documents, listed objects and tracked rows, and what differs between them."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16000", "temp_store = FILE"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")

    def close(self) -> None:
        self._db.close()

    # Filling

    def add_documents(self, documents: Iterable[tuple[Document, str | None]]) -> None:
        """(document, its name where that is one of ours)."""
        rows = [
            (d.id, name, d.status, d.content_hash, d.size, d.version, d.uploaded_at, None if name else d.file_name)
            for d, name in documents
        ]
        self._db.executemany("INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_listed(self, rows: Iterable[Listed]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def add_tracked(self, rows: Iterable[Tracked]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO tracked VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_known(self, ids: Iterable[str]) -> None:
        """Documents that the state knows, whatever it knows them as."""
        self._db.executemany("INSERT OR IGNORE INTO known VALUES (?)", ((one,) for one in ids))

    def add_rebuilt(self, rows: Iterable[tuple[str, str]]) -> None:
        """(key, its row as JSON)."""
        self._db.executemany("INSERT OR REPLACE INTO rebuilt VALUES (?, ?)", rows)

    def index(self) -> None:
        """To be called when the documents are in."""
        self._db.execute("CREATE INDEX document_by_name ON document (name) WHERE name IS NOT NULL")

    def index_listed(self) -> None:
        """To be called when the listing is in."""
        self._db.execute("CREATE INDEX listed_by_name ON listed (name)")

    # Looking

    def documents(self) -> int:
        """How many there are."""
        return int(self._db.execute("SELECT count(*) FROM document").fetchone()[0])

    def named(self, name: str, *, unknown: bool = False) -> list[Document]:
        """The documents of a name; those alone that the state doesn't know, where that is asked for."""
        rows = self._db.execute(
            "SELECT id, name, status, sha256, size, version, uploaded_at FROM document WHERE name = ?"
            f"{f' AND {_UNKNOWN}' if unknown else ''}",
            (name,),
        )
        return [Document(r[0], r[1], r[2], content_hash=r[3], size=r[4], version=r[5], uploaded_at=r[6]) for r in rows]

    def has(self, name: str) -> bool:
        return self._db.execute("SELECT 1 FROM document WHERE name = ?", (name,)).fetchone() is not None

    def has_unknown(self, name: str) -> bool:
        """Whether there is a document of the name that the state doesn't know."""
        statement = f"SELECT 1 FROM document WHERE name = ? AND {_UNKNOWN}"
        return self._db.execute(statement, (name,)).fetchone() is not None

    def has_id(self, document_id: str) -> bool:
        return self._db.execute("SELECT 1 FROM document WHERE id = ?", (document_id,)).fetchone() is not None

    def has_ours(self) -> bool:
        """Whether any document has a name of the kind that a sync gives."""
        return self._db.execute("SELECT 1 FROM document WHERE name IS NOT NULL").fetchone() is not None

    def selected(self) -> tuple[int, int]:
        """(keys, bytes) of what is listed and selected."""
        row = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM listed WHERE reason IS NULL").fetchone()
        return int(row[0]), int(row[1])

    def listed_after(self, key: str | None, limit: int) -> list[Listed]:
        """The next listed objects, in key order."""
        # No key is empty. With an OR in the condition every block would be looked for from the first row on.
        rows = self._db.execute("SELECT * FROM listed WHERE key > ? ORDER BY key LIMIT ?", (key or "", limit))
        return [Listed(*row) for row in rows]

    def rebuilt_after(self, key: str | None, limit: int) -> list[tuple[str, str]]:
        """The next rebuilt rows, in key order."""
        statement = "SELECT key, row FROM rebuilt WHERE key > ? ORDER BY key LIMIT ?"
        return self._db.execute(statement, (key or "", limit)).fetchall()

    def is_rebuilt(self, key: str) -> bool:
        return self._db.execute("SELECT 1 FROM rebuilt WHERE key = ?", (key,)).fetchone() is not None

    def orphans(self, examples: int) -> tuple[int, list[str]]:
        """(number, first names) of documents named like ours whose key isn't listed and whose id nobody knows."""
        number = self._db.execute(f"SELECT count(*) {_ORPHANS}").fetchone()[0]
        names = self._db.execute(f"SELECT DISTINCT name {_ORPHANS} ORDER BY name LIMIT ?", (examples,))
        return int(number), [row[0] for row in names]

    def foreign(self, examples: int) -> tuple[int, list[str]]:
        """(number, first names) of documents that the state doesn't know, and that aren't named after its keys."""
        self._db.execute("CREATE INDEX IF NOT EXISTS tracked_by_name ON tracked (name)")
        number = self._db.execute(f"SELECT count(*) {_FOREIGN}").fetchone()[0]
        names = self._db.execute(
            f"SELECT DISTINCT coalesce(name, other_name) AS shown {_FOREIGN} ORDER BY shown LIMIT ?", (examples,)
        )
        return int(number), [row[0] for row in names]

    def findings(self, kind: str, after: Finding | None, limit: int) -> list[Finding]:
        """The next differences of a kind, in key order."""
        source, revision, document = _FINDINGS[kind]
        last = after or Finding("", 0, "")
        rows = self._db.execute(
            f"SELECT tracked.key, {revision}, {document} FROM {source}"
            f" AND (tracked.key > ? OR (tracked.key = ? AND {document} > ?))"
            f" ORDER BY tracked.key, {document} LIMIT ?",
            (last.key, last.key, last.document_id, limit),
        )
        return [Finding(*row) for row in rows]


_BLOCK = 1000


def stage_index(ctx: SyncContext, copy: IndexCopy, at_block: Callable[[], None] = lambda: None) -> None:
    """Read every live document of the project into the copy, and remember what the list took.

    :param at_block: called now and then, while the list is read
    :raises IncompleteListError: when the list has fewer entries than it says
    :raises CloudIndexError: when it can't be read to its end
    """
    documents, asked, number = every_document(ctx), ctx.client.request_count, 0
    while block := list(itertools.islice(documents, _BLOCK)):
        copy.add_documents((one, our_name(one.file_name)) for one in block)
        number += len(block)
        at_block()
    copy.index()
    cost = ListCost(max(1, ctx.client.request_count - asked), number)
    budgets.record_list(ctx.books, ctx.settings.project_id, cost)
