"""Any permutation with any duplication of a history's events ends in S3's present state, with a full run anywhere."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.sync.events.consumer import EventConsumer
from tests.support.machine import shared_server
from tests.support.memory_s3 import MemoryS3
from tests.support.memory_sqs import MemorySqs, s3_message
from tests.support.mirror import Mirror

KEYS = [f"{letter}.txt" for letter in "abcd"]
changes = st.tuples(st.sampled_from(KEYS), st.sampled_from(["one", "two", "three", None]))  # None: delete


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    history=st.lists(changes, min_size=1, max_size=10),
    data=st.data(),
    twice=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1000),
    full_run_at=st.none() | st.integers(1, 12),
)
def test_events_in_any_order_and_number_end_in_the_present_state(
    history: list[tuple[str, str | None]], data: st.DataObject, twice: float, seed: int, full_run_at: int | None
) -> None:
    """Steps are mixed: a change in S3, some of the events sent so far and not yet told, a consumer, a full run, also at
    one of a consumer's own calls to its queue."""
    with tempfile.TemporaryDirectory() as folder:
        s3, sqs = MemoryS3(), MemorySqs(seed=seed, twice=twice)
        mirror = Mirror(Path(folder), shared_server(), s3, s3)
        sqs.on_call = at_call(full_run_at, lambda: full_run(mirror))
        untold: list[str] = []
        for key, body in history:
            untold += change(mirror, key, body)
            told = data.draw(st.lists(st.sampled_from(untold), max_size=3))  # some late, some twice, some never yet
            sqs.send(*told)
            if data.draw(st.sampled_from([True, False, False])):
                consume(mirror, sqs)
            if data.draw(st.sampled_from([True, False, False, False, False])):
                full_run(mirror)
        again = data.draw(st.lists(st.sampled_from(untold), max_size=5))
        sqs.send(*data.draw(st.permutations([*untold, *again])))
        sqs.make_visible()
        consume(mirror, sqs)
        consume(mirror, sqs)  # what was still visible when it had been received
        assert sqs.left == []
        mirror.assert_agreement()
        mirror.close()


def at_call(number: int | None, do: Callable[[], Any]) -> Callable[[str], None]:
    """Does it at that call, once."""
    calls = itertools.count(1)

    def on_call(name: str) -> None:
        if next(calls) == number:
            do()

    return on_call


def change(mirror: Mirror, key: str, body: str | None) -> list[str]:
    """Make a change; gives its event."""
    if body is None:
        mirror.remove(key)
    else:
        mirror.put(key, body)
    name: dict[str, Any] = {"name": "ObjectRemoved:Delete" if body is None else "ObjectCreated:Put"}
    return [s3_message(mirror.bucket, mirror.prefix + key, **name)]


def full_run(mirror: Mirror) -> None:
    """With its guard, which an emptied prefix meets: the events tell of each key."""
    mirror.run(on_mass_delete="skip")


def consume(mirror: Mirror, sqs: MemorySqs) -> None:
    contexts = [mirror.context(dag="events")]
    EventConsumer(EventQueue(sqs, "https://queue"), contexts, idle=0.0, first_look=0.02, gather_seconds=0.05).run(60.0)
