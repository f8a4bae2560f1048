"""Messages in hand: which keys of which sync they speak of, and which of them nobody can read. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cloudindex_provider.s3.event_queue import Delivery
from cloudindex_provider.s3.events import KeyEvent, Worth, parse_message
from cloudindex_provider.sync.settings import is_key_storable
from cloudindex_provider.words import count, quoted

__all__ = ["MOST_KEYS", "Gathered", "Place", "Readable"]

MOST_KEYS = 1000  # of one gathering
_SHOWN = 5  # examples of what belongs to nobody


@dataclass(frozen=True, slots=True)
class Place:
    """What a sync mirrors."""

    bucket: str
    prefix: str

    def has(self, bucket: str, key: str) -> bool:
        return bucket == self.bucket and key.startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class Readable:
    """A message, and what it is about: the numbers of places, with keys of theirs."""

    delivery: Delivery
    about: frozenset[tuple[int, str]]

    @property
    def places(self) -> set[int]:
        return {number for number, _ in self.about}


@dataclass(slots=True)
class Gathered:
    """Some messages, gathered. A key is in ``keys`` once, however many events speak of it."""

    places: Sequence[Place]
    keys: dict[int, dict[str, None]] = field(default_factory=dict)  # number of the place -> its keys
    readable: list[Readable] = field(default_factory=list)
    poison: list[tuple[Delivery, str]] = field(default_factory=list)  # and why nobody can read them
    counts: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)  # the first objects that belong to no place

    def add(self, delivery: Delivery) -> None:
        """Take in one message."""
        message = parse_message(delivery.body)
        self.counts["messages"] += 1
        self.counts["test_messages"] += message.is_test
        about: set[tuple[int, str]] = set()
        for event in message.events:
            about |= self._take(event)
        if message.problem is None:
            self.readable.append(Readable(delivery, frozenset(about)))
        else:
            # Its good events are looked at all the same; the message itself is left to the queue's redrive policy.
            self.counts["unreadable"] += 1
            self.poison.append((delivery, message.problem))

    def number_of_keys(self) -> int:
        return sum(len(keys) for keys in self.keys.values())

    def complaints(self) -> list[str]:
        """What a person should know of these messages, in sentences."""
        said = [
            f"Message {delivery.message_id or '(without an id)'} can't be read: {problem}."
            for delivery, problem in self.poison
        ]
        return [*said, *self.about_foreign()]

    def about_foreign(self) -> list[str]:
        """The same of events about objects of no sync: a sentence, or none."""
        if not self.foreign:
            return []
        what = count(self.counts["foreign"], "event is", "events are")
        shown = ", ".join(map(quoted, self.foreign))
        return [f"{what} about objects of no sync, the first of them {shown}: look at the notification's prefix."]

    def _take(self, event: KeyEvent) -> set[tuple[int, str]]:
        self.counts["events"] += 1
        if event.worth is Worth.NOTHING:
            self.counts["ignored"] += 1
            return set()
        found: set[tuple[int, str]] = set()
        for number, place in enumerate(self.places):
            for key in event.keys:
                if place.has(event.bucket, key) and is_key_storable(key):
                    self.keys.setdefault(number, {})[key] = None
                    found.add((number, key))
        if not found:
            self.counts["foreign"] += 1
            if len(self.foreign) < _SHOWN:
                self.foreign.append(f"s3://{event.bucket}/{event.keys[0]}")
        return found
