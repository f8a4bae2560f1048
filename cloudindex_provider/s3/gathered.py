"""A complete listing in no order, brought into key order by a temporary SQLite file: memory stays flat.

For storages that list a tree of folders or a hash table, and for commands that must be right on any. Costs one request
after another, about a hundred bytes of disk a key, and some ten seconds of a processor a million keys; a key that is
listed twice is there once. Nothing of it outlives its ``with`` block. Used by one thread.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cloudindex_provider.errors import StateError
from cloudindex_provider.s3.page import ListedPage

if TYPE_CHECKING:
    from cloudindex_provider.s3.source import S3Source

__all__ = ["GatheredListing", "gathered"]

_PAGE = 1000  # rows, as S3 gives them


@contextmanager
def gathered(s3: S3Source, prefix: str, at_page: Callable[[int], None] | None = None) -> Iterator[GatheredListing]:
    """The whole listing of the prefix, when all of it has come.

    :param at_page: is told after each page how many keys have come
    :raises S3IntegrationError: when a page can't be had, or the listing goes round in circles
    :raises StateError: when the system's folder for temporary files (``TMPDIR``) has no room for it
    """
    with tempfile.TemporaryDirectory(prefix="cloudindex-") as folder:
        path = Path(folder) / "listing.db"
        listing = GatheredListing(path)
        try:
            for page in s3.pages(prefix, ordered=False):
                listing.add(page)
                if at_page is not None:
                    at_page(listing.rows)
            yield listing
        except sqlite3.Error as error:
            raise StateError(
                f"The temporary file for the listing of bucket {s3.bucket} can't be used: {error}.",
                hint=f"Free space in {tempfile.gettempdir()}, or set TMPDIR to a folder that has some.",
            ) from None
        finally:
            listing.close()


class GatheredListing:
    """Listed objects, in the order in which they came until they are read."""

    def __init__(self, path: Path) -> None:
        self.rows = 0  # as listed
        self.in_order = True  # whether they came in key order, each once
        self._last = ""
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16000", "temp_store = FILE"):
            self._db.execute(f"PRAGMA {pragma}")
        # Bytes, which compare as S3 orders keys, and hold any of them. Sorted once at the end: an index would cost five
        # times as much where keys come in no order at all.
        self._db.execute("CREATE TABLE listed (key BLOB, etag TEXT, size TEXT, modified TEXT, class TEXT)")
        self._db.execute("BEGIN")

    def close(self) -> None:
        self._db.close()

    def add(self, page: ListedPage) -> None:
        """Take over a page."""
        self.rows += len(page)
        self.in_order = self.in_order and page.in_order and page.keys[0] > self._last
        self._last = page.keys[-1]
        keys = [key.encode("utf-8", "surrogatepass") for key in page.keys]
        columns = zip(keys, page.etags, page.sizes, page.modified, page.classes, strict=True)
        self._db.executemany("INSERT INTO listed VALUES (?, ?, ?, ?, ?)", columns)

    def pages(self) -> Iterator[ListedPage]:
        """The objects in key order. Of a key that was listed more than once, the newest."""
        rows = self._db.execute("SELECT * FROM listed ORDER BY key, modified DESC")
        last = ""
        while some := rows.fetchmany(_PAGE):
            keys, etags, sizes, modified, classes = zip(*some, strict=True)
            page = ListedPage([key.decode("utf-8", "surrogatepass") for key in keys], etags, sizes, modified, classes)
            if not page.in_order or page.keys[0] <= last:
                page = page.once(last)
            if page:
                last = page.keys[-1]
                yield page
