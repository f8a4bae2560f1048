"""The consumer of one queue, for any number of syncs: receive, look, acknowledge, and work the open batches off.

At least once: a message is deleted when what S3 says of all its keys is committed, and not before; what a killed
consumer has committed and not done is taken up by the next one. A message that nobody can read is left to the queue's
redrive policy, and comes back less and less often.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cloudindex_provider.errors import (
    DeletesHeldError,
    EventQueueUnavailableError,
    ProviderError,
    StateError,
    StoppedError,
)
from cloudindex_provider.s3.event_queue import Delivery, EventQueue, Hidden
from cloudindex_provider.state.abandoned import abandoned_keys, close_abandoned
from cloudindex_provider.state.tally import EXAMPLES
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.events.batch import RUN_MARK, Batch
from cloudindex_provider.sync.events.follower import Follower
from cloudindex_provider.sync.events.gather import MOST_KEYS, Gathered, Place
from cloudindex_provider.sync.metrics import EVENTS_LAG, Metrics, event_metric
from cloudindex_provider.sync.polling import EVENTS_OUTAGE_PAUSE, EVENTS_POLL_INTERVAL, FIRST_EVENT_LOOK
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.words import count

__all__ = ["LONGEST_OUTAGE", "EventConsumer"]

GATHER_SECONDS = 2.0  # how long messages are gathered, so that a storm of one key is one upload
_MOST_OPEN = 50  # batches; more of them are left in the queue
# Seconds, doubled at each delivery: a redrive policy counts those, and takes a message away after a few.
_CONTESTED_COMES_BACK = 5.0
_POISON_COMES_BACK = 60.0
_POISON_DOUBLES = 9  # times: to less than the 12 hours from its receive on for which SQS hides a message
LONGEST_OUTAGE = 900.0  # seconds for which SQS may fail before the task says so; until then what is open goes on


@dataclass(slots=True)
class _Follower(Follower):
    """A sync of this consumer's."""

    error: ProviderError | None = None  # S3's, when it was last asked about its keys
    refused: ProviderError | None = None  # of the last step that no later one would mend
    taken_up: set[str] = field(default_factory=set)  # keys of others, which are looked at once


@dataclass(slots=True)
class EventConsumer:
    """Consumes ``queue`` until there is nothing to do for a while, or ``seconds`` are over.

    :param syncs: a context for each sync, with its whole prefix
    :param first_look: seconds after an upload until the first look at its processing
    :param idle: seconds without a message, and without anything open, after which ``run`` ends early
    :param metrics: where messages and events are counted; their documents are where each sync's are
    :param outage: seconds for which SQS may fail before ``run`` does
    """

    queue: EventQueue
    syncs: Sequence[SyncContext]
    idle: float = 30.0
    gather_seconds: float = GATHER_SECONDS
    first_look: float = FIRST_EVENT_LOOK
    clock: Callable[[], float] = time.monotonic
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(init=False)  # documents that failed, by sync
    failures: list[dict[str, str | None]] = field(default_factory=list)  # the first of them
    held: DeletesHeldError | None = None
    metrics: Metrics | None = None
    outage: float = LONGEST_OUTAGE
    _failing_since: float | None = None  # SQS
    _followers: list[_Follower] = field(init=False)

    def __post_init__(self) -> None:
        self._followers = [_Follower(ctx, self.first_look, self.clock) for ctx in self.syncs]
        self.failed = [0] * len(self.syncs)

    @property
    def is_open(self) -> bool:
        """Whether something that was begun isn't done."""
        return any(one.batches for one in self._followers)

    @property
    def error(self) -> ProviderError | None:
        """Why a sync didn't get on when it last tried to, of those of several syncs whose others did."""
        return next((error for one in self._followers for error in (one.refused, one.error) if error is not None), None)

    def run(self, seconds: float) -> bool:
        """Consume; true when it ended because there was nothing to do. What stopped one sync of several is ``error``.

        :raises EventQueueError: when SQS refuses, or fails for too long
        :raises ProviderError: where no sync can get on
        """
        end = self.clock() + seconds
        last_event = self.clock()
        for one in self._followers:
            close_abandoned(one.ctx.db, one.ctx.source, **_of_task(one.ctx))
        self._take_up_abandoned()
        with Hidden(self.queue) as hidden:
            while not self._stopped() and self.clock() < end:
                gathered = self._gather(hidden, end)
                if gathered.counts["messages"]:
                    self._take(gathered, hidden)
                self._work()
                if gathered.counts["messages"] or self.is_open:
                    last_event = self.clock()
                elif self._failing_since is None and self.clock() - last_event >= self.idle:
                    self._take_up_abandoned()  # a try that Airflow takes for dead may have written meanwhile
                    if not self.is_open:
                        return True
        return False

    def _stopped(self) -> bool:
        return any(ctx.stop.is_set() for ctx in self.syncs)

    # Messages

    def _gather(self, hidden: Hidden, end: float) -> Gathered:
        """What comes now, and what follows it within a short time."""
        gathered = Gathered([Place(ctx.settings.bucket, ctx.settings.prefix) for ctx in self.syncs])
        if sum(len(one.batches) for one in self._followers) >= _MOST_OPEN:
            self.syncs[0].sleep(self.first_look)
            return gathered
        wait = self._pause(end)
        until: float | None = None
        while gathered.number_of_keys() < MOST_KEYS and not self._stopped():
            deliveries = self._receive(wait)
            if not deliveries:
                break
            hidden.add(deliveries)
            for one in deliveries:
                gathered.add(one)
            until = until or self.clock() + self.gather_seconds
            if self.clock() >= until:
                break
            wait = 1.0 if until - self.clock() >= 1.0 else 0.0
        return gathered

    def _receive(self, wait: float) -> list[Delivery]:
        """Messages; none while SQS fails, because what is open needs no queue.

        :raises EventQueueError: when SQS refuses, or has failed for too long
        """
        try:
            deliveries = self.queue.receive(wait)
        except EventQueueUnavailableError as error:
            now = self.clock()
            self._failing_since = now if self._failing_since is None else self._failing_since
            if now - self._failing_since >= self.outage:
                raise
            self.syncs[0].log.warning("%s Asking again in %.0f s.", error, EVENTS_OUTAGE_PAUSE)
            self.syncs[0].sleep(EVENTS_OUTAGE_PAUSE)
            return []
        self._failing_since = None
        return deliveries

    def _pause(self, end: float) -> float:
        """Seconds to wait for a message: not beyond the next look at what is processing. A short poll beside a long one
        costs little, and a task that is stopped hears of it after one of them."""
        looks = [one.look_at for one in self._followers if one.batches]
        left = min([*looks, end]) - self.clock()
        return min(EVENTS_POLL_INTERVAL, max(1.0 if looks else 0.0, left))

    def _take(self, gathered: Gathered, hidden: Hidden) -> None:
        """Look at the keys, and acknowledge what is committed by that."""
        self.counts.update(gathered.counts)
        self._tell_events(gathered.counts)
        log = self.syncs[0].log
        for text in gathered.about_foreign():
            log.warning("%s", text)
        failed: set[tuple[int, str]] = set()  # number of the sync, key
        contested: set[tuple[int, str]] = set()
        for number, keys in gathered.keys.items():
            batch = self._look(number, list(keys))
            if batch is None:
                failed.update((number, key) for key in keys)
            else:
                failed.update((number, key) for key in batch.unanswered)
                contested.update((number, key) for key in batch.contested)
        left = [one.delivery for one in gathered.readable if one.about & failed]
        soon = [one.delivery for one in gathered.readable if not one.about & failed and one.about & contested]
        done = [one.delivery for one in gathered.readable if not one.about & (failed | contested)]
        for received in {one.received for one in soon}:
            some = [one for one in soon if one.received == received]
            self._hide(some, _doubled(_CONTESTED_COMES_BACK, received, most=5))
        self._delete(done)
        hidden.drop([*done, *left, *soon, *(delivery for delivery, _ in gathered.poison)])
        for delivery, problem in gathered.poison:
            self._postpone(delivery, problem)
        self._end_where_none_gets_on({one.error for one in self._followers})

    def _end_where_none_gets_on(self, errors: set[ProviderError | None]) -> None:
        if None not in errors:
            raise next(error for error in errors if error is not None)

    def _delete(self, done: Sequence[Delivery]) -> None:
        """What isn't deleted comes again, and what it speaks of is in the state."""
        try:
            again = self.queue.delete(done)
        except EventQueueUnavailableError as error:
            self.syncs[0].log.warning("%s", error)
            again = len(done)
        self._tell_lag(done)
        if again:
            what = count(again, "message couldn't be deleted and comes", "messages couldn't be deleted and come")
            self.syncs[0].log.warning("%s again, which costs a look.", what)

    def _hide(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        """Where SQS fails, they come again when their visibility timeout is over."""
        try:
            self.queue.hide(deliveries, seconds)
        except EventQueueUnavailableError as error:
            self.syncs[0].log.warning("%s", error)

    def _tell_events(self, counts: Counter[str]) -> None:
        for name, number in counts.items():
            if self.metrics is not None and number:
                self.metrics.count(event_metric(name), number)

    def _tell_lag(self, done: Sequence[Delivery]) -> None:
        """Of each gathering its oldest message: what a person waited for it at most."""
        sent = [one.sent_at for one in done if one.sent_at is not None]
        if self.metrics is not None and sent:
            self.metrics.timing(EVENTS_LAG, max(0.0, time.time() - min(sent)))

    def _look(self, number: int, keys: list[str]) -> Batch | None:
        """A batch that is begun; ``None`` where S3 says nothing of its keys, whose messages must come again."""
        follower = self._followers[number]
        try:
            batch = follower.begin(keys)
        except ProviderError as error:
            follower.error = error
            self.counts["looks_failed"] += 1
            what = count(
                len(keys), "key is looked at when its message comes", "keys are looked at when their messages come"
            )
            follower.ctx.log.error("%s %s again.", error, what)
            return None
        follower.error = None
        return batch

    def _postpone(self, delivery: Delivery, problem: str) -> None:
        seconds = _doubled(_POISON_COMES_BACK, delivery.received, most=_POISON_DOUBLES)
        self.syncs[0].log.warning(
            "Message %s can't be read: %s. It stays in the queue, whose redrive policy sees to it, and comes again in"
            " %.0f s.",
            delivery.message_id,
            problem,
            seconds,
        )
        self._hide([delivery], seconds)

    # Batches

    def _work(self) -> None:
        for number, one in enumerate(self._followers):
            try:
                for batch, report in one.work():
                    one.refused = None
                    self._account(number, batch, report)
            except (StateError, StoppedError):  # the state is everybody's
                raise
            except ProviderError as error:  # of this sync, such as its API key's; the others go on
                if len(self._followers) > 1:
                    one.ctx.log.error("%s What this sync has open is the next consumer's.", error)
                one.refused, one.batches = error, []
        self._end_where_none_gets_on({one.refused for one in self._followers})

    def _account(self, number: int, batch: Batch, report: SyncReport) -> None:
        self.counts.update({name: value for name, value in report.counts.items() if value})
        self.failed[number] += report.failed_now
        self.failures += report.failures[: max(0, EXAMPLES - len(self.failures))]
        self.held = batch.held or self.held

    def _take_up_abandoned(self) -> None:
        """What another try or an earlier consumer has committed and not done, because it was killed or its time was
        over. Each key once, so that one which nobody can settle doesn't keep the consumer awake."""
        for number, one in enumerate(self._followers):
            found = abandoned_keys(one.ctx.db, one.ctx.source, **_of_task(one.ctx))
            ours = {key for batch in one.batches for key in batch.ctx.settings.keys or ()}
            keys = [key for key in found if key not in ours and key not in one.taken_up]
            if keys:
                what = count(len(keys), "key of an earlier consumer isn't", "keys of an earlier consumer aren't")
                one.ctx.log.info("%s done: looking again.", what)
            for at in range(0, len(keys), MOST_KEYS):
                some = keys[at : at + MOST_KEYS]
                if (batch := self._look(number, some)) is not None:
                    one.taken_up.update(key for key in some if key not in batch.contested)


def _doubled(seconds: float, received: int, *, most: int) -> float:
    return float(seconds * 2 ** min(max(0, received - 1), most))


def _of_task(ctx: SyncContext) -> dict[str, str]:
    return {"dag_id": ctx.name.dag_id, "task_prefix": f"{ctx.name.task_id}{RUN_MARK}"}
