"""Reads the list of all documents as a stream: flat memory, whatever its length; and says whether it was whole.

Invariant: a list that can't be read to its end raises. It never just ends, because whoever compares with it would
delete what is missing. ``complete`` is true only when nothing was skipped and no announced total differs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

import ijson

from cloudindex_provider.api.models import Document
from cloudindex_provider.api.parse import parse_document

__all__ = ["DocumentStream", "Page", "check_beginning", "next_page"]

Event = tuple[str, Any]
Params = Mapping[str, str | int]

BEGINNING = 1 << 18  # bytes, within which a list shows its first document

_LISTS = ("documents", "data", "items")
_CURSORS = ("nextCursor", "next_cursor", "cursor")
_TOTALS = ("total", "totalCount", "totalDocuments", "total_count")


class Page(Protocol):
    """One answer, its body unread."""

    def chunks(self) -> Iterator[bytes]:
        """The body; raises the client's own errors."""

    def close(self) -> None: ...

    def invalid(self, reason: str) -> Exception:
        """The error that says this answer can't be read."""


def check_beginning(page: Page) -> None:
    """Read a list as far as its first document, or to the end of an empty one.

    Raises what ``page.invalid`` makes where it is another answer: no JSON, no list, or a list of other things.
    """
    count = _Count()
    if next(_documents(_Beginning(page), count), None) is None and count.entries:
        raise page.invalid("it is a list of something else than documents")


class DocumentStream:
    """The documents of a project, parsed while they arrive; single use.

    Asks at the first step. Close it, use it as a context manager, or read it to its end: each frees the connection.
    """

    def __init__(self, open_page: Callable[[Params], Page]) -> None:
        self._open_page = open_page
        self._complete: bool | None = None
        self._unread_names: frozenset[str] | None = None
        self._documents = self._run()

    @property
    def complete(self) -> bool | None:
        """``None`` until the end was reached; false when the list is known or suspected not to be whole."""
        return self._complete

    @property
    def unread_names(self) -> frozenset[str] | None:
        """The file names that may stand in what wasn't read, once the end was reached; ``None``: any name may.

        An entry that has an id and no file name is no upload of ours, whose parts all have one.
        """
        return self._unread_names

    def __iter__(self) -> Iterator[Document]:
        return self

    def __next__(self) -> Document:
        return next(self._documents)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._documents.close()

    def _run(self) -> Generator[Document, None, None]:
        params: Params | None = {}
        count = _Count()
        while params is not None:
            page = self._open_page(params)
            try:
                yield from _documents(page, count)
            finally:
                page.close()
            params = count.next_params(params)
        self._complete = count.whole and not count.unread
        self._unread_names = frozenset(name for name in count.unread if name) if count.whole else None


class _Beginning:
    """A page that ends after some bytes, as if it were cut there."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._cut = False
        self.close = page.close

    def chunks(self) -> Iterator[bytes]:
        read = 0
        for chunk in self._page.chunks():
            yield chunk
            read += len(chunk)
            if read >= BEGINNING:
                self._cut = True
                return

    def invalid(self, reason: str) -> Exception:
        return self._page.invalid(f"its first {BEGINNING:,} bytes hold no document" if self._cut else reason)


class _Count:
    """What was read so far, over all pages."""

    def __init__(self) -> None:
        self.entries = 0
        self.whole = True  # no entry is missing, or has a name that can't be told
        self.unread: set[str] = set()  # names of entries without an id; "" for one with an id and without a name
        self.facts: dict[str, Any] = {}  # the last page's own numbers
        self.first_id: str | None = None
        self.on_page = 0
        self._last_first: str | None = None

    def next_params(self, params: Params) -> Params | None:
        """The next page's parameters; ``None`` at the end, after comparing what came with what was announced."""
        if self.facts.get("hasMore") is True:
            following = next_page(params, self.facts, self.on_page)
            # a server that ignores the parameters sends its first page for ever
            if following is not None and self.on_page and self.first_id != self._last_first and following != params:
                self._last_first, self.on_page = self.first_id, 0
                return following
            self.whole = False
        total = next((self.facts[name] for name in _TOTALS if type(self.facts.get(name)) is int), None)
        if total is not None and total != self.entries:
            self.whole = False
        return None


def next_page(params: Params, facts: Mapping[str, Any], on_page: int) -> Params | None:
    """The parameters of the page after this one, in the way that the answer itself counts, or ``None``."""
    limit = facts.get("limit")
    base: dict[str, str | int] = {"limit": limit} if type(limit) is int and limit > 0 else {}
    for name in _CURSORS:
        cursor = facts.get(name)
        if isinstance(cursor, str) and cursor:
            return {**base, "cursor": cursor}
    for name, step in (("page", 1), ("offset", on_page)):
        here = facts.get(name)
        if type(here) is int:
            return {**base, name: here + step}
    return None


def _documents(page: Page, count: _Count) -> Iterator[Document]:
    count.facts = {}
    reader = _Reader(page.chunks())
    events = iter(ijson.basic_parse(reader, use_float=True))
    entries = _entries_of(events, count)
    while True:
        reason = None
        try:
            entry = next(entries, _END)
        except (ijson.JSONError, ValueError) as error:
            if error is reader.failure:
                raise
            reason = _reason(error, cut=reader.ended)
        if reason:  # raised here, so that the parser's text, which repeats the body, is not chained
            raise page.invalid(reason)
        if entry is _END:
            return
        document = _document(entry, count)
        if document is not None:
            yield document


def _reason(error: Exception, *, cut: bool) -> str:
    if isinstance(error, _MalformedError):
        return "it holds no list of documents"
    return "the list of documents is cut short" if cut else "the list of documents is not JSON"


def _document(entry: Any, count: _Count) -> Document | None:
    count.entries += 1
    count.on_page += 1
    try:
        document = parse_document(entry)
    except ValueError:
        _unread(entry, count)
        return None
    if count.on_page == 1:
        count.first_id = document.id
    return document


def _unread(entry: Any, count: _Count) -> None:
    """What an entry says that is no document."""
    try:
        named = parse_document({**entry, **dict.fromkeys(_IDS, "none")}, default_name="")
    except (ValueError, TypeError):
        count.whole = False
        return
    has_id = any(entry.get(name) for name in _IDS)
    if (named.file_name or has_id) and len(count.unread) < _UNREAD:
        count.unread.add(named.file_name)
    else:
        count.whole = False


_UNREAD = 1000  # names that are kept
_IDS = ("id", "documentId", "document_id")
_END: Any = object()


class _MalformedError(ValueError):
    """JSON, but no list of documents."""


def _entries_of(events: Iterator[Event], count: _Count) -> Iterator[Any]:
    """The list's entries, in either of its shapes; what stands beside the list goes to ``count.facts``."""
    event, _ = next(events, _EOF)
    if event == "start_array":
        yield from _items(events)
    elif event == "start_map":
        yield from _envelope(events, count)
    else:
        raise _MalformedError("no list")
    for _ in events:  # nothing may follow; the parser raises where something does
        pass


_EOF: Event = ("eof", None)


def _envelope(events: Iterator[Event], count: _Count) -> Iterator[Any]:
    lists = 0
    beside: dict[str, Any] = {}
    for event, name in events:
        if event == "end_map":
            break
        event, value = next(events, _EOF)
        if event == "start_array" and name in _LISTS:
            lists += 1
            yield from _items(events)
        elif event == "start_map":
            inner = _object(events)
            if name == "pagination":
                count.facts.update(inner)
        elif event == "start_array":
            _skip(events)
        else:
            beside[name] = value
    count.facts = {**beside, **count.facts}
    if not lists or count.facts.get("success") is False:
        raise _MalformedError("no list")
    if lists > 1:
        count.whole = False


def _items(events: Iterator[Event]) -> Iterator[Any]:
    for event, value in events:
        if event == "end_array":
            return
        if event == "start_map":
            yield _object(events)
        else:
            if event == "start_array":
                _skip(events)
            yield value  # no object, so no document: counted, and skipped


def _object(events: Iterator[Event]) -> dict[str, Any]:
    """An object's own scalars; nothing that we read is nested."""
    found: dict[str, Any] = {}
    key = ""
    for event, value in events:
        if event == "map_key":
            key = value
        elif event == "end_map":
            break
        elif event in ("start_map", "start_array"):
            _skip(events)
        else:
            found[key] = value
    return found


def _skip(events: Iterator[Event]) -> None:
    depth = 1
    for event, _ in events:
        if event in ("start_map", "start_array"):
            depth += 1
        elif event in ("end_map", "end_array"):
            depth -= 1
            if not depth:
                return


class _Reader:
    """The file that the parser wants; keeps what reading raised, which is not the parser's error."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.failure: BaseException | None = None
        self.ended = False

    def read(self, size: int = -1) -> bytes:
        if size == 0:  # the parser's question whether this is bytes or text
            return b""
        try:
            for chunk in self._chunks:
                if chunk:
                    return chunk
        except Exception as error:
            self.failure = error
            raise
        self.ended = True
        return b""
