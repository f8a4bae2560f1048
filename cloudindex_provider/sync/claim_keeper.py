"""Keeps a task's claims alive while it works, from a thread of its own."""

from __future__ import annotations

import threading
from types import TracebackType

from cloudindex_provider.errors import StateError
from cloudindex_provider.state import claims
from cloudindex_provider.sync.context import SyncContext

__all__ = ["ClaimKeeper"]


class ClaimKeeper:
    """While it is entered, the context's claims are renewed four times a lease.

    A renewal that fails is tried again at the next beat: until the lease ends nobody else takes over, and after it
    every write checks the claim anyway.
    """

    def __init__(self, ctx: SyncContext) -> None:
        self._ctx = ctx
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="cloudindex-claims", daemon=True)

    def __enter__(self) -> ClaimKeeper:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._ctx.lease / 4):
            try:
                claims.renew(self._ctx.db, self._ctx.owner, self._ctx.source, self._ctx.lease)
            except StateError as error:
                self._ctx.log.warning("Claims couldn't be renewed, trying again: %s", error)
