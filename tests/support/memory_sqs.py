"""An SQS queue in this process: at least once, in any order, with visibility timeouts, as boto3's client gives it."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

__all__ = ["MemorySqs", "s3_message"]


_LONG_POLL = 0.02  # seconds, however long a long poll was asked for


def s3_message(bucket: str, *keys: str, name: str = "ObjectCreated:Put", **more: Any) -> str:
    """A message as S3 itself sends it."""
    records = [
        {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/"), **more}}}
        for key in keys
    ]
    return json.dumps({"Records": records})


@dataclass(slots=True)
class _Message:
    number: int
    body: str
    visible_at: float = 0.0
    received: int = 0
    sent: float = field(default_factory=time.time)


@dataclass(slots=True)
class MemorySqs:
    """One queue. ``twice`` is the share of deliveries that stay visible, as a standard queue may do."""

    seed: int = 0
    twice: float = 0.0
    clock: Callable[[], float] = time.monotonic
    calls: list[str] = field(default_factory=list)
    on_call: Callable[[str], None] = lambda _: None
    _messages: dict[int, _Message] = field(default_factory=dict)
    _numbers: Any = field(default_factory=itertools.count)
    _lock: Any = field(default_factory=threading.Lock)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def send(self, *bodies: str) -> None:
        with self._lock:
            for body in bodies:
                number = next(self._numbers)
                self._messages[number] = _Message(number, body)

    @property
    def left(self) -> list[str]:
        """Bodies of what isn't deleted."""
        with self._lock:
            return [message.body for message in self._messages.values()]

    def make_visible(self) -> None:
        """As when every visibility timeout is over."""
        with self._lock:
            for message in self._messages.values():
                message.visible_at = 0.0

    def visible_in(self) -> list[float]:
        """Seconds until each message can be received."""
        with self._lock:
            return [message.visible_at - self.clock() for message in self._messages.values()]

    # boto3's methods

    def receive_message(
        self, *, MaxNumberOfMessages: int, VisibilityTimeout: int, WaitTimeSeconds: int, **_: Any
    ) -> dict[str, Any]:
        self._called("receive")
        if WaitTimeSeconds and not any(seconds <= 0 for seconds in self.visible_in()):
            time.sleep(_LONG_POLL)
        with self._lock:
            now = self.clock()
            ready = [message for message in self._messages.values() if message.visible_at <= now]
            self._random.shuffle(ready)
            chosen = ready[:MaxNumberOfMessages]
            for message in chosen:
                message.received += 1
                if self._random.random() >= self.twice:
                    message.visible_at = now + VisibilityTimeout
            return {"Messages": [self._shown(message) for message in chosen]} if chosen else {}

    def delete_message_batch(self, *, Entries: list[dict[str, str]], **_: Any) -> dict[str, Any]:
        self._called("delete")
        with self._lock:
            for entry in Entries:
                self._messages.pop(int(entry["ReceiptHandle"]), None)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def change_message_visibility_batch(self, *, Entries: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        self._called("hide")
        with self._lock:
            for entry in Entries:
                message = self._messages.get(int(entry["ReceiptHandle"]))
                if message is not None:
                    message.visible_at = self.clock() + entry["VisibilityTimeout"]
        return {"Successful": []}

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        self._called("depth")
        now = self.clock()
        number = sum(message.visible_at <= now for message in self._messages.values())
        return {"Attributes": {"ApproximateNumberOfMessages": str(number)}}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.on_call(name)

    @staticmethod
    def _shown(message: _Message) -> dict[str, Any]:
        return {
            "MessageId": f"message-{message.number}",
            "ReceiptHandle": str(message.number),
            "Body": message.body,
            "Attributes": {
                "ApproximateReceiveCount": str(message.received),
                "SentTimestamp": str(int(message.sent * 1000)),
            },
        }
