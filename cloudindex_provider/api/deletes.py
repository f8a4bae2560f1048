"""Deletes of many documents, one after another: what a 404 proves, and when a failure is the service's.

A 404 may be about the project or the path, so it is believed only once something has shown that the project is where
it is looked for. A document that fails for its own sake lets the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from cloudindex_provider.errors import BadRequestError, CloudIndexError, ConflictError, ServerError

__all__ = ["Deletes"]

_FAILURES_IN_A_ROW = 3  # then it is the service that fails, not the document


class _Client(Protocol):
    def delete_document(self, document_id: str, *, at_turn: Callable[[], None]) -> bool: ...
    def check(self) -> None: ...


class Deletes:
    """Deletes of one project's documents. One that fails for its own sake is raised at the end."""

    def __init__(self, client: _Client, log: logging.Logger) -> None:
        self._client = client
        self._log = log
        self._first: CloudIndexError | None = None
        self._in_a_row = 0
        self._sure = False  # the project is where we look for it

    def delete(self, document_id: str, at_turn: Callable[[], None]) -> bool:
        """Delete one document; false where it was not there.

        :param at_turn: called just before each request
        :raises CloudIndexError: also where a 404 is about the project or the path, and says nothing of the document
        """
        deleted = self._client.delete_document(document_id, at_turn=at_turn)
        if not deleted and not self._sure:
            self._client.check()
        self._sure = True
        return deleted

    @contextmanager
    def of(self, subject: str) -> Iterator[None]:
        """Deletes that are one subject's: their failure isn't that of the next one's.

        :raises CloudIndexError: where it is about all, or the third in a row
        """
        try:
            yield
            self._in_a_row = 0
        except (BadRequestError, ConflictError, ServerError) as error:
            self._log.error("The documents of %r couldn't be deleted: %s", subject, error)
            self._first = self._first or error
            self._in_a_row += 1
            if self._in_a_row >= _FAILURES_IN_A_ROW:
                raise

    def raise_first(self) -> None:
        """
        :raises CloudIndexError: the first of those that were let pass
        """
        if self._first is not None:
            raise self._first
