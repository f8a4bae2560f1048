"""One sync that follows events: its open batches, worked off step by step, and when to look at what is processing.

Knows no queue: whoever has messages begins batches here and asks what has become of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cloudindex_provider.errors import ProviderError
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.events.batch import Batch, begin_batch
from cloudindex_provider.sync.polling import FIRST_EVENT_LOOK, LONGEST_EVENT_LOOK, Poller
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.sync.run import record_requests
from cloudindex_provider.sync.wait import poll
from cloudindex_provider.words import plain, quoted, shortened

__all__ = ["Follower"]


@dataclass(slots=True)
class Follower:
    """A sync's context, with its whole prefix, and its open batches.

    :param first_look: seconds after an upload until the first look at its processing
    """

    ctx: SyncContext
    first_look: float = FIRST_EVENT_LOOK
    clock: Callable[[], float] = time.monotonic
    batches: list[Batch] = field(default_factory=list)
    look_at: float = 0.0
    _waited_since: float = 0.0

    def begin(self, keys: Sequence[str]) -> Batch:
        """Look at the keys and commit what S3 says of them, as a batch that is open from now on.

        :raises ProviderError: when nothing can be said of the keys; then their messages must come again
        """
        batch = begin_batch(self.ctx, keys)
        self.batches.append(batch)
        self.look_at = self._waited_since = self.clock() + self.first_look
        return batch

    def work(self) -> Iterator[tuple[Batch, SyncReport]]:
        """Upload, ask and delete as far as that goes now; gives the batches that are closed by it.

        :raises ProviderError: of a step that no later one would mend
        """
        yield from self._work_off()
        if self.batches and self.clock() >= self.look_at:
            self._look_at_processing()
            yield from self._work_off()

    def _work_off(self) -> Iterator[tuple[Batch, SyncReport]]:
        for batch in self.batches:
            batch.work()
            if batch.report is not None:
                self._tell(batch.report)
                yield batch, batch.report
        self.batches = [batch for batch in self.batches if batch.report is None]

    def _look_at_processing(self) -> None:
        """Ask about every open batch: a run of named keys follows its own alone."""
        for batch in self.batches:
            try:
                with record_requests(batch.ctx):
                    poll(batch.ctx)
            except ProviderError as error:
                if not error.retryable:
                    raise
                self.ctx.log.warning("%s Looking again later.", error)
                break  # the service, not the batch
        pause = Poller(self.first_look, LONGEST_EVENT_LOOK).after(waiting=1, waited=self.clock() - self._waited_since)
        self.look_at = self.clock() + (pause.seconds if pause else LONGEST_EVENT_LOOK)

    def _tell(self, report: SyncReport) -> None:
        settings = self.ctx.settings
        self.ctx.log.info("s3://%s/%s: %s", settings.bucket, plain(settings.prefix), report.numbers())
        for row in report.failures:
            self.ctx.log.error("%s %s: %s", row["outcome"], quoted(str(row["key"])), shortened(str(row["reason"])))
