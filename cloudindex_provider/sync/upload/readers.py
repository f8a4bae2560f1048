"""The threads that read S3 for one upload loop: a request's objects at once, and the next request's ahead of time.

Reading ahead is bounded in bytes and never leaves a body open: a large object is opened when its request's turn comes,
because one that is left unread while another request streams, or waits for a rate limit, may be cut off by S3. Reading
touches neither state nor CloudIndex, and what it finds wrong is told when the request's turn comes, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from cloudindex_provider.state.records import WorkRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.upload.prepare import SMALL, Prepared, Ready, may_be_same, prepare

__all__ = ["AHEAD", "READERS", "Readers", "Reading"]

READERS = 8  # objects read at once, by one upload loop
AHEAD = 8 << 20  # bytes read ahead of their request, by one upload loop; small files are far below it


class Readers:
    """A pool of reader threads, which are started as they are needed and kept until ``close``."""

    def __init__(self, ctx: SyncContext) -> None:
        self._ctx = ctx
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="cloudindex-reader")

    def begin(self, rows: Sequence[WorkRow]) -> Reading:
        """Begin to read what of these claimed rows may be read ahead of their request; returns at once."""
        reading = Reading(self, rows)
        room = AHEAD
        for row in rows:
            held = 0 if row.size > SMALL else row.size
            if held <= room and (held or may_be_same(row)):  # of a larger one, only its hash is kept
                room -= held
                reading.start(row)
        return reading

    def submit(self, row: WorkRow) -> Future[Prepared]:
        return self._pool.submit(prepare, self._ctx, row)

    def close(self) -> None:
        """Begin nothing more. Nobody waits for a read that is under way: the task may be being stopped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Reading:
    """One request's rows while their objects are read. Used by one thread."""

    def __init__(self, readers: Readers, rows: Sequence[WorkRow]) -> None:
        self.rows = rows
        self._readers = readers
        self._begun: dict[str, Future[Prepared]] = {}

    def start(self, row: WorkRow) -> None:
        """Have the row's object read, unless it already is."""
        if row.key not in self._begun:
            self._begun[row.key] = self._readers.submit(row)

    def result(self) -> list[Prepared]:
        """All of the rows' objects, in the rows' order; waits for them, and opens what wasn't read ahead.

        :raises S3IntegrationError: when S3 fails in a way that isn't about one object; nothing is left open then
        """
        try:
            for row in self.rows:
                self.start(row)
            # One wait for all: waking up for each of twenty takes the readers' time.
            wait(self._begun.values(), return_when=FIRST_EXCEPTION)
            for future in self._begun.values():
                if future.done():
                    future.result()  # raises what has failed already, without waiting for the others
            return [self._begun[row.key].result() for row in self.rows]
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """Read no further; whatever is or will be open is closed, without waiting for it."""
        for future in self._begun.values():
            future.cancel()
            future.add_done_callback(_close)


def _close(done: Future[Prepared]) -> None:
    item = None if done.cancelled() or done.exception() else done.result()
    if isinstance(item, Ready):
        item.close()
