"""What S3 gave for the rows of one loop: whether the rest can be read at all, and what of it needs no upload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloudindex_provider.errors import AccessDeniedError, SourceUnavailableError
from cloudindex_provider.state import claims, outcomes
from cloudindex_provider.state.outcomes import Failure
from cloudindex_provider.state.records import Run, WorkRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.upload.prepare import (
    Broken,
    Gone,
    Prepared,
    SameBytes,
    Skipped,
    may_be_opened,
    source_failure,
)

__all__ = ["Unsent"]

_DENIED_IN_ALL = 100  # objects, and none that may be read; then it is the identity that lacks the right
_STALE_LISTING = (
    "S3 listed it in two runs, and said 404 both times when it was read. Its listing is stale, or the key can't be"
    " asked for: look at the object with another client, delete it or leave it out with exclude."
)


@dataclass(slots=True)
class Unsent:
    """Of one upload loop.

    :param fail: writes that a row has failed
    """

    ctx: SyncContext
    run: Run
    fail: Callable[[WorkRow, Failure], None]
    _denied: int = 0
    _read: int = 0

    def check(self, prepared: Sequence[Prepared]) -> None:
        """Look whether S3 gives anything at all.

        :raises S3IntegrationError: when it doesn't
        """
        broken = [item.error for item in prepared if isinstance(item, Broken)]
        self._read += len(prepared) - len(broken)
        self._denied += sum(isinstance(error, AccessDeniedError) for error in broken)
        if len(broken) == len(prepared) > 1 and all(isinstance(error, SourceUnavailableError) for error in broken):
            raise broken[0]
        if not self._read and self._denied >= _DENIED_IN_ALL and not self._may_read_others():
            raise next(error for error in broken if isinstance(error, AccessDeniedError))

    def _may_read_others(self) -> bool:
        """Whether what is still to come may be read, or nothing is: a folder that is denied must not stop the rest."""
        others = claims.untried(self.ctx.db, self.run)
        if not others or any(may_be_opened(self.ctx, row) for row in others):
            self._denied = 0
            return True
        return False

    def record(self, item: Prepared) -> None:
        """Write what needs no upload."""
        db, run, owner = self.ctx.db, self.run, self.ctx.owner
        match item:
            case SameBytes():
                outcomes.record_same_bytes(db, run, owner, item.row, item.sha256)
            case Gone() if item.now is None and item.row.reason == outcomes.VANISHED:
                self.fail(item.row, Failure(_STALE_LISTING))
            case Gone():
                outcomes.record_gone(db, run, owner, item.row, item.now)
            case Skipped():
                outcomes.record_skipped(db, run, owner, item.row, item.reason)
            case Broken():
                self.fail(item.row, source_failure(item.error))
