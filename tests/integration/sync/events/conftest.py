"""A consumer of S3 events around a mirror: its queue, and ways to let events come as a store sends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.sync.events.consumer import EventConsumer
from tests.support.memory_sqs import MemorySqs, s3_message
from tests.support.mirror import Mirror


@dataclass
class Followed:
    """A mirror that is kept in step by events alone."""

    mirror: Mirror
    sqs: MemorySqs = field(default_factory=MemorySqs)

    def put(self, key: str, body: str = "text", **more: Any) -> str:
        """Write an object and send its event."""
        whole = self.mirror.put(key, body, **more)
        self.tell(whole)
        return whole

    def remove(self, key: str) -> str:
        """Delete an object and send its event."""
        self.mirror.remove(key)
        whole = self.mirror.prefix + key
        self.tell(whole, name="ObjectRemoved:Delete")
        return whole

    def tell(self, *keys: str, name: str = "ObjectCreated:Put") -> None:
        """Send an event about whole keys, true or not."""
        for key in keys:
            self.sqs.send(s3_message(self.mirror.bucket, key, name=name))

    def consumer(
        self, name: str | None = None, *, syncs: list[Any] | None = None, outage: float = 0.0, **changes: Any
    ) -> EventConsumer:
        contexts = syncs or [self.mirror.context(name, dag="events", **changes)]
        queue = EventQueue(self.sqs, "https://queue")
        return EventConsumer(queue, contexts, idle=0.0, first_look=0.02, outage=outage)

    def follow(self, name: str | None = None, **changes: Any) -> EventConsumer:
        """Consume until there is nothing to do any more."""
        consumer = self.consumer(name, **changes)
        assert consumer.run(60.0), "the consumer didn't come to rest"
        return consumer


@pytest.fixture
def followed(in_memory: Mirror) -> Followed:
    """Events of a bucket in this process."""
    return Followed(in_memory)
