"""An event run and a full run at once over the same keys, while the objects change: both end clean, and the older wins
never.

Each round has a bucket, a queue and a state of its own. A consumer of the bucket's events and a full sync run side by
side, each with connections of its own, and somebody goes on writing and deleting. A trigger in the state notes every
version that a key was ever indexed in: they may only go forward.

    python -m programs.soak.side_by_side --rounds 50 --seed 1
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloudindex_provider.errors import DeletesHeldError
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.s3.event_queue import EventQueue
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.sync.context import SyncContext, sleep_until_stopped
from cloudindex_provider.sync.events.consumer import EventConsumer
from cloudindex_provider.sync.run import synchronize
from tests.support.memory_s3 import MemoryS3
from tests.support.memory_sqs import MemorySqs, s3_message
from tests.support.mirror import DisagreementError, Mirror

__all__ = ["soak"]

KEYS = 40
_WRITER_SECONDS = 1.5  # for which objects change in each round
_PATIENCE = 60.0  # seconds
_NOTE = (
    "CREATE TABLE seen (number INTEGER PRIMARY KEY, key TEXT, etag TEXT)",
    "CREATE TRIGGER seen_indexed AFTER UPDATE OF indexed_etag ON object WHEN NEW.indexed_etag IS NOT NULL"
    " AND NEW.indexed_etag IS NOT OLD.indexed_etag"
    " BEGIN INSERT INTO seen (key, etag) VALUES (NEW.key, NEW.indexed_etag); END",
)


class Round:
    """One bucket, one state, one round."""

    def __init__(self, folder: Path, cloud: LocalCloudIndex, seed: int) -> None:
        self.random = random.Random(seed)
        self.sqs = MemorySqs(seed=seed, twice=0.1)
        s3 = MemoryS3(page_size=10)
        self.mirror = Mirror(folder, cloud, s3, s3, request_timeout=20.0, doubt_grace=5.0, lease=30.0)
        self.revisions: dict[str, int] = {}  # ETag -> number of the write
        self.numbers = 0

    def write(self) -> None:
        """A new revision of some key, or its end, and the event of it; some events never come."""
        key = f"{self.random.randrange(KEYS):03d}.txt"
        mirror, name = self.mirror, "ObjectCreated:Put"
        if self.random.random() < 0.1:
            mirror.remove(key)
            name = "ObjectRemoved:Delete"
        else:
            self.numbers += 1
            body = f"revision {self.numbers} of {key}"
            self.revisions[hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()] = self.numbers
            mirror.put(key, body)
        self.sqs.send(s3_message(mirror.bucket, mirror.prefix + key, name=name))

    def run(self) -> list[str]:
        """What went wrong."""
        mirror = self.mirror
        for number in range(KEYS):
            mirror.put(f"{number:03d}.txt", f"the first {number}")
        mirror.run()
        for statement in _NOTE:
            mirror.execute(statement)
        for _ in range(KEYS):
            self.write()
        wrong: list[str] = []
        with ThreadPoolExecutor(3) as pool:
            done = [pool.submit(self._write_on), pool.submit(self._follow), pool.submit(self._full_run)]
            for task in done:
                wrong += task.result(_PATIENCE * 2)
        wrong += self._follow()  # what was written last
        end = time.monotonic() + _PATIENCE
        while self.sqs.left and time.monotonic() < end:  # what a run held while another one looked at it
            wrong += self._follow()
        if self.sqs.left:
            wrong.append(f"{len(self.sqs.left)} messages are left")
        wrong += self._went_back()
        try:
            mirror.assert_agreement()
        except DisagreementError as error:
            wrong += str(error).splitlines()
        return wrong

    def _write_on(self) -> list[str]:
        end = time.monotonic() + _WRITER_SECONDS
        while time.monotonic() < end:
            self.write()
            time.sleep(self.random.uniform(0.0, 0.03))
        return []

    def _follow(self) -> list[str]:
        """A consumer, until there is nothing to do."""
        with self._context("events", max_delete_documents=10_000) as ctx:
            consumer = EventConsumer(
                EventQueue(self.sqs, "https://queue", 20.0), [ctx], idle=0.5, first_look=0.05, gather_seconds=0.1
            )
            if not consumer.run(_PATIENCE):
                return ["the consumer didn't come to rest"]
            return [f"events: {row['key']}: {row['reason']}" for row in consumer.failures]

    def _full_run(self) -> list[str]:
        time.sleep(self.random.uniform(0.0, 0.5))
        with self._context("full", max_delete_documents=10_000) as ctx:
            try:
                report = synchronize(ctx)
            except DeletesHeldError:
                return []
            wrong = [f"full run: {report.imbalance}"] if report.imbalance else []
            return wrong + [f"full run: {row['key']}: {row['reason']}" for row in report.failures]

    @contextmanager
    def _context(self, dag: str, **settings: Any) -> Iterator[SyncContext]:
        """With its own connections, and waits that are real."""
        mirror = self.mirror
        db, client = Database(mirror.db.url), mirror.new_client()
        try:
            ctx = mirror.context(dag=dag, db=db, client=client, **settings)
            ctx.sleep = lambda seconds: sleep_until_stopped(ctx.stop, seconds)
            yield ctx
        finally:
            client.close()
            db.close()

    def _went_back(self) -> Iterator[str]:
        """Keys that were indexed in an older version after a newer one."""
        last: dict[str, int] = {}
        for row in self.mirror.execute("SELECT key, etag FROM seen ORDER BY number"):
            revision = self.revisions.get(row.etag, 0)
            if revision < last.get(row.key, 0):
                yield f"{row.key} went back from revision {last[row.key]} to {revision}"
            last[row.key] = revision


def soak(rounds: int, seed: int) -> list[str]:
    """What went wrong in so many rounds, printed with how long they took."""
    began, changes = time.monotonic(), 0
    wrong: list[str] = []
    logger = logging.getLogger("cloudindex_provider")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="cloudindex-side-") as name, LocalCloudIndex(Path(name) / "index") as cloud:
        for number in range(rounds):
            one = Round(Path(name), cloud, seed + number)
            try:
                wrong += [f"round {number} (seed {seed + number}): {what}" for what in one.run()]
            finally:
                one.mirror.close()
            changes += one.numbers
    logger.setLevel(level)
    for text in wrong:
        print(text)
    clean = rounds - len({text.partition(":")[0] for text in wrong})
    print(
        f"An event run and a full run at once: clean {clean} of {rounds}, {changes} changes meanwhile, seed {seed},"
        f" {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return wrong


def main() -> int:
    """Run by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return 1 if soak(options.rounds, options.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
