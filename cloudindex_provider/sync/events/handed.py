"""Messages that somebody else has received and will receive again: worked off within a time, as by a function of AWS.

There is no later look here: a message is done when everything about its keys is, and comes again otherwise. So a
process that dies loses nothing, and a key that can't be dealt with now holds back its own messages alone.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cloudindex_provider.errors import ProviderError, StoppedError
from cloudindex_provider.s3.event_queue import Delivery
from cloudindex_provider.state.abandoned import abandoned_keys
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.events.batch import RUN_MARK, Batch
from cloudindex_provider.sync.events.follower import Follower
from cloudindex_provider.sync.events.gather import MOST_KEYS, Gathered, Place
from cloudindex_provider.sync.polling import FIRST_EVENT_LOOK
from cloudindex_provider.words import count

__all__ = ["HandedOver", "work_off"]

_WINDING_UP = 3.0  # seconds of the time, at most, in which what is done is ended
_SHORTEST_NAP = 0.05  # seconds between two rounds


@dataclass(slots=True)
class HandedOver:
    """What has become of the messages. ``again`` must come again; ``error`` is the first reason of it."""

    again: list[Delivery] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    error: ProviderError | None = None
    complaints: list[str] = field(default_factory=list)  # about messages, in sentences


def work_off(
    syncs: Sequence[SyncContext],
    deliveries: Sequence[Delivery],
    *,
    seconds: float,
    first_look: float = FIRST_EVENT_LOOK,
    clock: Callable[[], float] = time.monotonic,
) -> HandedOver:
    """Look at the messages' keys, upload, wait and delete, for so many seconds at most.

    :param syncs: a context for each sync, with its whole prefix; their ``stop`` is set when the time is over
    """
    places = [Place(ctx.settings.bucket, ctx.settings.prefix) for ctx in syncs]
    gathered = Gathered(places)
    for one in deliveries:
        gathered.add(one)
    until = clock() + seconds - min(_WINDING_UP, seconds / 4)
    work = _Work([Follower(_bounded(ctx, seconds), first_look, clock) for ctx in syncs], until, clock)
    timers = [threading.Timer(seconds, ctx.stop.set) for ctx in syncs]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        for number, keys in gathered.keys.items():
            work.begin(number, list(keys))
        work.go_on()
    finally:
        for timer in timers:
            timer.cancel()
    work.counts.update(gathered.counts)
    again = [one.delivery for one in gathered.readable if one.about & work.unsettled]
    again += [delivery for delivery, _ in gathered.poison]
    return HandedOver(again, work.counts, work.error, gathered.complaints())


def _bounded(ctx: SyncContext, seconds: float) -> SyncContext:
    """The context whose uploads end in time."""
    limit = ctx.settings.limits.max_run_time
    limits = replace(ctx.settings.limits, max_run_time=seconds if limit is None else min(limit, seconds))
    return replace(ctx, settings=replace(ctx.settings, limits=limits))


@dataclass(slots=True)
class _Work:
    """The syncs of one hand-over."""

    followers: list[Follower]
    until: float
    clock: Callable[[], float]
    unsettled: set[tuple[int, str]] = field(default_factory=set)  # number of the sync, key
    counts: Counter[str] = field(default_factory=Counter)
    error: ProviderError | None = None

    def begin(self, number: int, keys: Sequence[str]) -> None:
        for at in range(0, len(keys), MOST_KEYS):
            some = keys[at : at + MOST_KEYS]
            try:
                batch = self.followers[number].begin(some)
                self._note(number, sorted(batch.contested | batch.unanswered), None)
            except ProviderError as error:
                self._note(number, some, error)

    def go_on(self) -> None:
        """Until everything is done, or the time is over."""
        while self._can_go_on():
            for number, one in enumerate(self.followers):
                self._step(number, one)
            self._nap()
        for number, one in enumerate(self.followers):
            for batch in one.batches:
                self._wind_up(one, batch)
            self._give_up(number, one.batches, None)

    def _can_go_on(self) -> bool:
        """Whether something is open that may be done in time; what waits for longer isn't waited for."""
        waits = [batch.not_before for one in self.followers for batch in one.batches]
        return bool(waits) and max(min(waits), self.clock()) < self.until

    def _step(self, number: int, one: Follower) -> None:
        try:
            for batch, report in one.work():
                self.counts.update({name: value for name, value in report.counts.items() if value})
                if batch.held is not None:  # a person's matter: no other delivery would change it
                    one.ctx.log.error("%s", batch.held)
                else:  # its limits, or another run, may have left some of it
                    self._give_up(number, [batch], None)
        except ProviderError as error:  # of this sync; the others go on
            given_up, one.batches = [batch for batch in one.batches if batch.report is None], []
            self._give_up(number, given_up, None if isinstance(error, StoppedError) else error)

    @staticmethod
    def _wind_up(one: Follower, batch: Batch) -> None:
        """Keys that are done don't wait for their neighbours."""
        try:
            batch.delete_replaced()
        except ProviderError as error:
            one.ctx.log.warning("%s", error)

    def _nap(self) -> None:
        looks = [one.look_at for one in self.followers if one.batches]
        if looks:
            time.sleep(max(_SHORTEST_NAP, min([*looks, self.until, self.clock() + 1.0]) - self.clock()))

    def _give_up(self, number: int, batches: Sequence[Batch], error: ProviderError | None) -> None:
        """Note the keys that these batches leave undone; the others of them are done."""
        for batch in batches:
            keys = set(batch.ctx.settings.keys or ())
            name = batch.ctx.name
            prefix = name.task_id[: name.task_id.rindex(RUN_MARK) + 1]  # a closed batch is a part of a larger run
            try:
                left = abandoned_keys(batch.ctx.db, batch.ctx.source, dag_id=name.dag_id, task_prefix=prefix)
            except ProviderError as unknown:  # the state's own
                left, error = list(keys), error or unknown
            self._note(number, sorted(keys & set(left)), error)

    def _note(self, number: int, keys: Sequence[str], error: ProviderError | None) -> None:
        self.unsettled.update((number, key) for key in keys)
        self.error = self.error or error
        if keys:
            why = str(error) if error else "The time or a limit is over, another run works on them, or S3 fails."
            what = count(len(keys), "key isn't done and comes", "keys aren't done and come")
            self.followers[number].ctx.log.error("%s %s again.", why, what)
