"""Uploading the backlog, one request's worth of claimed rows after another (``sender``). Deletes nothing.

While a request is under way, the next one's rows are claimed and its small objects read (``readers``): one request
ahead and no more. However the loop ends, it gives back what it has claimed and not sent.
What is in doubt from before is looked up first (``sync.doubt``), and what must be sent again goes last: alone where the
service had given no answer, so that a file which breaks the service costs no other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from cloudindex_provider.api.limits import fit_request
from cloudindex_provider.errors import (
    ClaimLostError,
    IncompleteListError,
    RateLimitedError,
    StateError,
    UnsettledUploadsError,
)
from cloudindex_provider.state import claims, doubts, runs, sources
from cloudindex_provider.state.records import Run, WorkRow
from cloudindex_provider.state.upload_queue import UploadQueue
from cloudindex_provider.sync.claim_keeper import ClaimKeeper
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.doubt import resolve_doubts
from cloudindex_provider.sync.report.progress import UploadProgress, accepted_requests
from cloudindex_provider.sync.upload.others import outlast_others
from cloudindex_provider.sync.upload.readers import AHEAD, Readers, Reading
from cloudindex_provider.sync.upload.sender import Sender, UploadSummary
from cloudindex_provider.words import count, duration, verb

__all__ = ["UploadSummary", "upload", "upload_side_by_side"]

_SHORT_WAIT = 10.0  # seconds of a doubt's grace that a worker sleeps rather than gives back its slot
_ROUNDS = 3  # of doubts that arise, are waited for and sent again, in one try


def upload(ctx: SyncContext) -> UploadSummary:
    """Upload until nothing is left that this run may upload, or the task's time is up.

    A task that finds something to do makes one request at least, also when the time is over by then: a run that does
    nothing would be followed by others that do nothing.

    :raises RateLimitedError: when the next request's turn is far, and there is time for it or nothing was uploaded yet
    :raises CloudIndexError: when the service refuses or fails as a whole; the claimed rows are given back
    :raises UnsettledUploadsError: when uploads remain in doubt, with the time after which they can be looked up
    """
    run = ctx.run()
    loop = _UploadLoop(ctx, run, Sender(ctx, run), Readers(ctx))
    with ClaimKeeper(ctx), _etags_remembered(ctx):
        try:
            loop.run_until_done()
        finally:
            runs.add_s3_calls(ctx.db, run, ctx.s3.take_calls())
            loop.note_time()
    return loop.sender.summary


@contextmanager
def _etags_remembered(ctx: SyncContext) -> Iterator[None]:
    """What was once proven of the source's ETags isn't proven by two reads in every run."""
    proofs = ctx.s3.proofs
    known = sources.has_odd_etags(ctx.db, ctx.source)
    proofs.etags_are_md5 = proofs.etags_are_md5 and not known
    yield
    if not (known or proofs.etags_are_md5):
        ctx.log.info("ETags of s3://%s look like MD5s and are none: they aren't compared any more.", ctx.source.bucket)
        sources.note_odd_etags(ctx.db, ctx.source)


@dataclass(slots=True)
class _UploadLoop:
    ctx: SyncContext
    run: Run
    sender: Sender
    readers: Readers
    _again: list[WorkRow] = field(default_factory=list)  # claimed rows whose upload hadn't arrived
    _unknown: set[str] = field(default_factory=set)  # keys in doubt that a list which isn't whole doesn't show
    _ahead: Reading | None = None  # the next request, claimed and being read
    _queue: UploadQueue = field(init=False)
    _progress: UploadProgress = field(default_factory=UploadProgress)
    _begun: bool = False  # something was sent, or looked at and found to need no upload
    _over: bool = False  # the time, and it was said
    _worked: float = 0.0  # seconds

    def __post_init__(self) -> None:
        self._queue = UploadQueue(few=self.ctx.settings.keys is not None)

    def run_until_done(self) -> None:
        deadline = time.monotonic() + self.ctx.time_left
        self._begun = self.ctx.resumed
        try:
            try:
                self._rounds(deadline)
            except RateLimitedError as error:
                if not self._is_over_before(error):
                    raise
            self._demand_another_try()
        finally:
            self.readers.close()
            self._give_back(self._again)
            self.sender.note_suspects()

    def note_time(self) -> None:
        """Write down how long a request keeps a task busy, for the next run's number of tasks."""
        try:
            requests = self.sender.summary.requests
            runs.add_upload_time(self.ctx.db, self.run, seconds=self._worked - self.sender.waited, requests=requests)
        except StateError as error:
            self.ctx.log.warning("How long uploads take couldn't be noted: %s", error)

    def _rounds(self, deadline: float) -> None:
        for round_ in range(1, _ROUNDS + 1):
            settled = self._settle_doubts(wait=round_ > 1)
            if round_ > 1 and not settled:
                break
            self._work(deadline)
        while self._may_go_on(deadline) and outlast_others(self.ctx, self.run, deadline - time.monotonic()):
            self._settle_doubts(wait=False)
            self._work(deadline)

    def _is_over_before(self, error: RateLimitedError) -> bool:
        """Whether the time ends before the next request's turn, which then is the next run's; where the service has
        taken nothing of this run at all, it isn't only the time."""
        wait = error.retry_after
        if wait is None or wait <= self.ctx.time_left or not accepted_requests(self.ctx, self.run):
            return False
        self.ctx.log.info(
            "The next upload's turn is in %s, after max_run_time: what is left is deferred to the next run.",
            duration(wait),
        )
        return True

    def _work(self, deadline: float) -> None:
        began = time.monotonic()
        try:
            self._send_all(deadline)
        finally:
            self._worked += time.monotonic() - began

    def _send_all(self, deadline: float) -> None:
        try:
            while self._may_go_on(deadline):
                reading, self._ahead = self._ahead or self._begin_next(), None
                if reading is None:
                    break
                self._send(reading, partial(self._read_ahead, reading))
                self._settle_answered(deadline)
                self._progress.note(self.ctx, self.run, self.sender.summary.requests)
        finally:
            self._drop_ahead()
        while self._again and self._may_go_on(deadline):
            # 1: the service gave no answer, and this file may be why; 0: the try before was interrupted
            count = fit_request((row.size for row in self._again), self.ctx.settings.limits.max_request_size)
            together = [row for row in self._again[:count] if not row.doubtful] or self._again[:1]
            self._again = [row for row in self._again if row not in together]
            self._send(self.readers.begin(together))

    def _settle_answered(self, deadline: float) -> None:
        """Look up what an answered request leaves open, a moment later, and send what isn't there again: together at
        first, and the second time alone, after everything else.

        A longer wait is left to the end: other uploads may go meanwhile.
        """
        for together in (True, False):
            wait = max(self.sender.due.values(), default=0.0) - time.monotonic()
            if not self.sender.due or wait > _SHORT_WAIT or not self._may_go_on(deadline):
                return
            self.ctx.sleep(max(0.0, wait))
            rows = [row for row in self._in_doubt() if row.key in self.sender.due]
            again = self._look_up(rows)
            if not together:
                self._again += again
            elif again:
                self._send(self.readers.begin(again))

    def _may_go_on(self, deadline: float) -> bool:
        if self.ctx.stop.is_set():
            return False
        if time.monotonic() < deadline or not self._begun:
            return True
        if not self._over:
            self.ctx.log.info("max_run_time is over: what is left is deferred to the next run.")
            self._over = True
        return False

    def _send(self, reading: Reading, at_request: Callable[[], None] | None = None) -> None:
        sent, self._begun = False, True
        try:
            prepared = reading.result()
            if self.ctx.stop.is_set():
                reading.drop()
            else:
                self.sender.send(prepared, at_request)
                sent = True
        except ClaimLostError as error:
            self.ctx.log.info("%s", error)
        finally:
            if not sent:
                self._give_back(reading.rows)

    # The next request

    def _begin_next(self) -> Reading | None:
        """Claim the next request's rows and begin to read them; ``None`` when there is nothing to do."""
        rows = self._claim()
        try:
            return self.readers.begin(rows) if rows else None
        except BaseException:
            self._give_back(rows)
            raise

    def _read_ahead(self, current: Reading) -> None:
        """Before a request's intent, so that a state that can't be reached now leaves no upload in doubt.

        Not beside a large request: it takes so long that reading ahead saves nothing, and another loop may be free.
        """
        if sum(row.size for row in current.rows) <= AHEAD and not self.ctx.stop.is_set():
            self._ahead = self._begin_next()

    def _drop_ahead(self) -> None:
        reading, self._ahead = self._ahead, None
        if reading is not None:
            reading.drop()
            self._give_back(reading.rows)

    def _give_back(self, rows: Sequence[WorkRow]) -> None:
        """Release claims, where another error may be on its way that must not be hidden: the lease ends them too."""
        try:
            claims.give_back(self.ctx.db, self.run, self.ctx.owner, rows)
        except StateError as error:
            self.ctx.log.warning(
                "%s couldn't be given back, and %s by itself: %s"
                if len(rows) == 1
                else "%s couldn't be given back, and %s by themselves: %s",
                count(len(rows), "claim"), verb(len(rows), "ends", "end"), error,
            )  # fmt: skip

    def _claim(self) -> list[WorkRow]:
        limits = self.ctx.settings.limits
        return self._queue.claim(
            self.ctx.db,
            self.run,
            self.ctx.owner,
            order=self.ctx.settings.upload_order,
            lease=self.ctx.lease,
            max_request_size=limits.max_request_size,
            max_documents=limits.max_documents_per_run,
        )

    # Uploads in doubt

    def _settle_doubts(self, *, wait: bool) -> bool:
        """Look up what is in doubt and old enough; true where there was something.

        :param wait: a short rest of the grace is slept; a long one is for a later try
        """
        old, young, remaining = self._doubts()
        if young and wait and remaining <= _SHORT_WAIT and not self.ctx.stop.is_set():
            self.ctx.sleep(remaining)
            old, young = old + young, []
        if old:
            self._again += self._look_up(old)
        return bool(old)

    def _look_up(self, rows: Sequence[WorkRow]) -> list[WorkRow]:
        """Look up uploads in doubt; gives those to be sent again."""
        for row in rows:
            self.sender.due.pop(row.key, None)
        settled = resolve_doubts(self.ctx, self.run, rows)
        self._unknown |= {row.key for row in settled.unknown}
        return self.sender.worth_another_try(settled.again)

    def _in_doubt(self) -> list[WorkRow]:
        """What is in doubt, and wasn't looked for in vain."""
        self.sender.note_suspects()
        rows = doubts.doubtful_uploads(self.ctx.db, self.run, self.ctx.owner, lease=self.ctx.lease)
        return [row for row in rows if row.key not in self._unknown]

    def _doubts(self) -> tuple[list[WorkRow], list[WorkRow], float]:
        """(may be looked up, not yet, seconds until the last of those may)."""
        rows = self._in_doubt()
        age = doubts.seconds_since_intent(self.ctx.db, rows)
        newest = max((row.intent_at or 0.0 for row in rows), default=0.0)
        now, clock = newest + age, time.monotonic()
        left = {
            row.key: self.sender.due[row.key] - clock
            if row.key in self.sender.due
            else (row.intent_at or 0.0) + self.ctx.grace - now
            for row in rows
        }
        old = [row for row in rows if left[row.key] <= 0]
        young = [row for row in rows if left[row.key] > 0]
        return old, young, max((left[row.key] for row in young), default=0.0)

    def _demand_another_try(self) -> None:
        old, young, remaining = self._doubts()
        rows = old + young
        if self._unknown:
            raise IncompleteListError(
                f"The outcome of {count(len(self._unknown), 'upload')} is unknown, the first of them"
                f" {min(self._unknown)!r}: CloudIndex's list of documents has entries that can't be read, or fewer than"
                " it says.",
                key=min(self._unknown),
            )
        if rows:
            raise UnsettledUploadsError(
                f"The outcome of {count(len(rows), 'upload')} is unknown, the first of them {rows[0].key!r}.",
                hint="The next try looks them up; nothing is uploaded twice.",
                key=rows[0].key,
                retry_after=max(0.0, remaining),
            )


def upload_side_by_side(ctx: SyncContext, loops: int) -> list[UploadSummary]:
    """Run upload loops in threads, each an owner of its own; the first error of any is raised when all have ended."""
    if loops <= 1:
        return [upload(ctx)] if loops else []
    owners = [replace(ctx.owner, worker=number) for number in range(loops)]
    pool = ThreadPoolExecutor(max_workers=loops)
    try:
        results = list(pool.map(lambda owner: _outcome(replace(ctx, owner=owner)), owners))
    except BaseException:
        # The task is being stopped: the loops end after the request they are at, which nobody waits for.
        ctx.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    errors = [one for one in results if isinstance(one, Exception)]
    # What can't be mended by another try says more than what can, and a wait for the rate limit least.
    for error in sorted(errors, key=lambda one: (getattr(one, "retryable", False), isinstance(one, RateLimitedError))):
        raise error
    return [one for one in results if isinstance(one, UploadSummary)]


def _outcome(ctx: SyncContext) -> UploadSummary | Exception:
    try:
        return upload(ctx)
    except Exception as error:  # noqa: BLE001 - raised by the caller, when the other loops have ended
        return error
