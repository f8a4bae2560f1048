"""The state as the api-server sees it: opened to read, kept open for a while, and counted no oftener than it is cheap.

It is opened anew after half a minute, so that a changed configuration or connection is seen, and when its file is
another one. A state that can't be opened is asked for again after seconds, and not waited for by every request of the
api-server, which has others to serve. What an action writes goes by an opening of its own, which begins no state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudindex_provider.errors import ProviderError, StateError, StateUnavailableError
from cloudindex_provider.hooks.state import open_state
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.views.numbers import Numbers, read_numbers

__all__ = ["StateReader"]

_KEPT_OPEN, _KEPT_FAILED = 30.0, 3.0  # seconds
_CONNECT_TIMEOUT = 5
_LOCK_TIMEOUT = 3  # a migration locks tables, and each request that waits for it has a thread of the api-server
_SHARE = 25  # of the time that counting takes: so many times as long the numbers are kept
_KEPT_NUMBERS = 2.0  # seconds, at least


class StateReader:
    """One for the process. Thread-safe."""

    def __init__(self) -> None:
        self._lock, self._counting = threading.Lock(), threading.Lock()
        self._db: Database | None = None
        self._file: tuple[int, int] | None = None
        self._opened_at = 0.0
        self._failure: StateError | None = None
        self._failed_at = 0.0
        self._numbers: Numbers | None = None
        self._numbers_until = 0.0

    def database(self) -> Database:
        """The state, for reading.

        :raises StateError: when it can't be used
        """
        with self._lock:
            if self._failure is not None and time.monotonic() - self._failed_at < _KEPT_FAILED:
                raise self._failure
            db = self._db
            if db is None or time.monotonic() - self._opened_at > _KEPT_OPEN or _identity(db) != self._file:
                return self._reopen()
            return db

    def _reopen(self) -> Database:
        before, self._db = self._db, None
        if before is not None:
            before.close()  # whoever reads from it goes on
        self._failure = None
        try:
            self._db = db = _opened(read_only=True)
        except StateError as error:
            self._failure, self._failed_at = error, time.monotonic()
            raise
        if before is None or before.url != db.url or self._file != _identity(db):
            self._numbers = None
        self._file, self._opened_at = _identity(db), time.monotonic()
        return db

    def doubt(self) -> None:
        """A statement has failed: before the next one, look again whether it is this version's state, and is there."""
        with self._lock:
            self._opened_at = -_KEPT_OPEN

    def numbers(self) -> Numbers:
        """How many keys are in which status; of the last seconds."""
        with self._counting:
            if self._numbers is None or time.monotonic() > self._numbers_until:
                began = time.monotonic()
                self._numbers = read_numbers(self.database())
                ended = time.monotonic()
                self._numbers_until = ended + max(_KEPT_NUMBERS, _SHARE * (ended - began))
            return self._numbers

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """The state, for one action."""
        self.database()  # a schema that this version doesn't know is refused, and none is migrated from a page
        db = _opened(must_exist=True)
        try:
            yield db
        finally:
            db.close()
            with self._counting:
                self._numbers = None


def _opened(*, must_exist: bool = False, read_only: bool = False) -> Database:
    """The state.

    :raises StateError: also where it is a connection or a setting that can't be used; that is no fault of a request's
    """
    try:
        return open_state(
            must_exist=must_exist, read_only=read_only, connect_timeout=_CONNECT_TIMEOUT, lock_timeout=_LOCK_TIMEOUT
        )
    except StateError:
        raise
    except ProviderError as error:
        kind = StateUnavailableError if error.retryable else StateError
        raise kind(error.message, hint=error.hint) from None


def _identity(db: Database) -> tuple[int, int] | None:
    """Which file it is: one that was restored has another number."""
    if not db.is_sqlite:
        return None
    try:
        found = Path(db.url.database or "").stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino
