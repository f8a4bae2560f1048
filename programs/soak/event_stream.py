"""A stream of events for minutes: all of them are taken as they come, in flat memory.

The consumer, with S3 and the queue in its own process, CloudIndex in another. Events come evenly, of few keys and again
and again, as from a busy bucket; some of them are of real changes, which are uploaded. Resident memory is read once a
second, and the last minute is compared with the first.

    python -m programs.soak.event_stream --seconds 300 --rate 100
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.local.settings import DEFAULT_API_KEY, DEFAULT_PROJECT
from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state import sources
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.events.consumer import EventConsumer
from cloudindex_provider.sync.settings import SyncSettings
from tests.support.memory_s3 import MemoryS3
from tests.support.memory_sqs import MemorySqs, s3_message

__all__ = ["soak"]

BUCKET, PREFIX, KEYS = "busy-bucket", "docs/", 500
_TICK = 0.1  # seconds between two deliveries to the queue
_DRAIN = 60.0  # seconds that the last events may take
_GROWTH, _SPARE = 1.1, 8.0  # of resident memory from the first minute to the last: a share, and MiB


@dataclass
class Stream:
    """What is sent, and what is measured meanwhile."""

    rate: float
    changes: float
    seed: int
    s3: MemoryS3 = field(default_factory=MemoryS3)
    sqs: MemorySqs = field(default_factory=MemorySqs)
    sent: int = 0
    changed: int = 0
    resident: list[float] = field(default_factory=list)  # MiB, once a second
    backlog: list[int] = field(default_factory=list)  # messages, once a second

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.s3.create_bucket(Bucket=BUCKET)

    def send(self, seconds: float) -> None:
        """Evenly, whatever the consumer makes of it."""
        began, next_look = time.monotonic(), 0.0
        while (passed := time.monotonic() - began) < seconds:
            for _ in range(int(passed * self.changes) - self.changed):
                self._change()
            due = int(passed * self.rate) - self.sent
            self.sqs.send(*(s3_message(BUCKET, self._key()) for _ in range(due)))
            self.sent += due
            if passed >= next_look:
                self.resident.append(resident())
                self.backlog.append(len(self.sqs.left))
                self.sqs.calls.clear()  # a test's record, which would grow
                next_look += 1.0
            time.sleep(_TICK)

    def _change(self) -> None:
        self.changed += 1
        key = self._key()
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=f"change {self.changed} of {key}".encode())
        self.sqs.send(s3_message(BUCKET, key))
        self.sent += 1

    def _key(self) -> str:
        return f"{PREFIX}{self.random.randrange(KEYS):04d}.txt"


def resident() -> float:
    """MiB of this process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    if found is None:
        raise RuntimeError("/proc/self/status has no VmRSS")
    return int(found[1]) / 1024


@contextmanager
def _cloudindex(folder: Path) -> Iterator[str]:
    """The embedded CloudIndex in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "cloudindex_provider.local", "--port", "0", "--data", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("no output")
            found = next(url for line in process.stdout if (url := re.search(r"http://\S+/v1", line)))
            yield found[0]
        finally:
            process.kill()


@contextmanager
def _context(stream: Stream, folder: Path, url: str) -> Iterator[SyncContext]:
    settings = SyncSettings(project_id=DEFAULT_PROJECT, bucket=BUCKET, prefix=PREFIX)
    db = Database(f"sqlite:///{folder}/state.db")
    try:
        source = sources.open_source(db, project_id=DEFAULT_PROJECT, bucket=BUCKET, prefix=PREFIX)
        with CloudIndexClient(url, DEFAULT_API_KEY, project_id=DEFAULT_PROJECT) as client:
            reader = S3Source(stream.s3, BUCKET)
            yield SyncContext(
                settings, db, source, reader, client, RunName("events", "stream", "follow"), Owner("events|stream", 1)
            )
    finally:
        db.close()


def soak(seconds: float, *, rate: float = 100.0, changes: float = 5.0, seed: int = 1) -> list[str]:
    """What went wrong, printed with what was measured.

    :param rate: events a second
    :param changes: of them, those of a real change
    """
    logging.getLogger("cloudindex_provider").setLevel(logging.WARNING)
    stream = Stream(rate, changes, seed)
    with tempfile.TemporaryDirectory(prefix="cloudindex-stream-") as name:
        folder = Path(name)
        with _cloudindex(folder / "index") as url, _context(stream, folder, url) as ctx:
            consumer = EventConsumer(EventQueue(stream.sqs, "https://queue"), [ctx], idle=5.0)
            thread = threading.Thread(target=stream.send, args=(seconds,))
            thread.start()
            rested = consumer.run(seconds + _DRAIN)
            thread.join()
    wrong = [] if rested else [f"{len(stream.sqs.left)} messages are left {_DRAIN:.0f} s after the last"]
    if consumer.counts["events"] < stream.sent:
        wrong.append(f"{consumer.counts['events']} of {stream.sent} events were taken")
    return _judged(stream, consumer, wrong)


def _judged(stream: Stream, consumer: EventConsumer, wrong: list[str]) -> list[str]:
    window = max(1, min(60, len(stream.resident) // 3))
    first, last = (statistics.median(some) for some in (stream.resident[:window], stream.resident[-window:]))
    if last > first * _GROWTH + _SPARE:
        wrong.append(f"memory grew from {first:.0f} to {last:.0f} MiB")
    if max(stream.backlog[-window:]) > max(stream.backlog[:window]) + 10 * stream.rate:
        wrong.append(f"the queue grew to {max(stream.backlog)} messages")
    print(
        f"{stream.sent} events in {len(stream.resident)} s, {stream.changed} changes: {consumer.counts['indexed']}"
        f" indexed, at most {max(stream.backlog)} messages waiting, resident memory {first:.0f} MiB in the first"
        f" {window} s, {last:.0f} in the last, at most {max(stream.resident):.0f}",
        flush=True,
    )
    for text in wrong:
        print(text)
    return wrong


def main() -> int:
    """Run by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--changes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return 1 if soak(options.seconds, rate=options.rate, changes=options.changes, seed=options.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
