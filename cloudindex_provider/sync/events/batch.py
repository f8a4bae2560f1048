"""One sync's keys of one gathering, as a run of their own: looked at, uploaded, followed, removed, reported.

The look commits what S3 says of every key; after it nothing is lost if this process dies. The rest goes on in steps, so
that one slow document holds up neither the queue nor the other batches.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cloudindex_provider.errors import DeletesHeldError, ProviderError
from cloudindex_provider.state import claims, looks, sources
from cloudindex_provider.state.folding import fold_run
from cloudindex_provider.state.tally import count_underway
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.remove import remove
from cloudindex_provider.sync.report.report import SyncReport, make_report
from cloudindex_provider.sync.run import find_work, record_requests
from cloudindex_provider.sync.upload.loop import upload_side_by_side
from cloudindex_provider.sync.upload.task_count import upload_tasks_for

__all__ = ["RUN_MARK", "Batch", "begin_batch"]

RUN_MARK = "#"  # between the task's name and a batch's, in the name of its run
_FIRST_WAIT = 5.0  # seconds before a step that has failed is made again
_LONGEST_WAIT = 120.0


def begin_batch(ctx: SyncContext, keys: Sequence[str]) -> Batch:
    """Look at the keys and commit what S3 says of them.

    :param ctx: the sync's own, for its whole prefix
    :raises ProviderError: when nothing can be said of the keys; then their messages must come again
    """
    ctx = replace(
        ctx,
        source=sources.get_source(ctx.db, ctx.source.id),  # of which another run may have learned something
        settings=replace(ctx.settings, keys=tuple(keys)),
        name=replace(ctx.name, task_id=f"{ctx.name.task_id}{RUN_MARK}{secrets.token_hex(6)}"),
        begun=time.monotonic(),  # max_run_time is the batch's, not that of a consumer which works for hours
        hears_again=True,
    )
    with record_requests(ctx):
        found = find_work(ctx)
    return Batch(
        ctx,
        uploads=found.requests,
        contested=frozenset(found.contested),
        unanswered=frozenset(found.unanswered),
    )


@dataclass(slots=True)
class Batch:
    """An open batch.

    :param uploads: about how many requests its uploads still take
    :param contested: keys of which another run keeps the state from saying what S3 has; their messages must come again
    :param unanswered: keys that S3 couldn't answer for, such as by a 503; the same
    """

    ctx: SyncContext
    uploads: int
    contested: frozenset[str] = frozenset()
    unanswered: frozenset[str] = frozenset()
    clock: Callable[[], float] = time.monotonic
    held: DeletesHeldError | None = None
    report: SyncReport | None = None  # once it is closed
    _begun: float = field(init=False)
    _failures: int = 0  # of steps, in a row
    _not_before: float = 0.0
    _removed: bool = False

    def __post_init__(self) -> None:
        self._begun = self.clock()

    @property
    def not_before(self) -> float:
        """When the next step is made, by the clock: later where the last one has failed."""
        return self._not_before

    def work(self) -> None:
        """Upload, delete and close, as far as that goes now.

        :raises ProviderError: when no later step would fare better
        """
        if self.clock() < self._not_before:
            return
        try:
            with record_requests(self.ctx):
                self._upload()
                self._remove(once=True)
            if self._is_done():
                with record_requests(self.ctx):
                    self._remove()  # what the new documents have replaced
                self.report = make_report(self.ctx)
                self._fold()
        except ProviderError as error:
            if not error.retryable:
                raise
            self._wait(error)
        else:
            self._failures = 0

    def delete_replaced(self) -> None:
        """Delete what its new documents have replaced so far, while the rest goes on.

        :raises ProviderError: of the service or the state
        """
        with record_requests(self.ctx):
            self._remove()

    def _upload(self) -> None:
        if not self.uploads and self._has_more():
            self.uploads = 1
        if self.uploads:
            upload_side_by_side(self.ctx, upload_tasks_for(self.ctx, self.uploads))
            self.uploads = 0

    def _has_more(self) -> bool:
        """Whether what an event told of is ready only now, because an older version was under way before."""
        db, run, keys = self.ctx.db, self.ctx.run(), self.ctx.settings.keys or ()
        return claims.has_untried(db, run, keys) and looks.read_looks(db, self.ctx.source).looked

    def _remove(self, *, once: bool = False) -> None:
        if once and self._removed:
            return
        try:
            remove(self.ctx)
        except DeletesHeldError as error:
            self.held = error
        self._removed = True

    def _fold(self) -> None:
        """One run for all batches of a task: nobody looks for the one of a moment."""
        settings, name = self.ctx.settings, self.ctx.name
        whole = name.task_id[: name.task_id.rindex(RUN_MARK) + len(RUN_MARK)]
        fold_run(self.ctx.db, self.ctx.run(), into=whole, keys=settings.keys or ())

    def _is_done(self) -> bool:
        settings = self.ctx.settings
        patience = settings.limits.processing_timeout if settings.wait_for_processing else 0.0
        return self.clock() - self._begun >= patience or not count_underway(self.ctx.db, self.ctx.run())

    def _wait(self, error: ProviderError) -> None:
        self._failures += 1
        doubled = min(_FIRST_WAIT * 2 ** (self._failures - 1), _LONGEST_WAIT)
        seconds = doubled if error.retry_after is None else error.retry_after
        self._not_before = self.clock() + seconds
        self.ctx.log.warning("%s Trying again in %.0f s.", error, seconds)
