"""The crash test: a process that syncs is killed at a step boundary or at a random moment, and the next tries go on.

Every round has a bucket, a project and a state of its own: a first sync, then changes of every kind, then a sync that
is killed (sometimes twice), then the next try and one more run. At the end S3, state and index must agree. Uploads
beyond those that the changes need are redundant and counted.

    python -m programs.soak.crash --kills 200 --seed 1
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer

from cloudindex_provider.local.server import LocalCloudIndex
from programs.soak.child import Try, run
from tests.support.mirror import DisagreementError, Mirror, s3_client
from tests.support.service_faults import BEHAVIOURS

__all__ = ["CrashTest", "Figures"]

_FIRST = 8  # objects of the first sync; then 3 new, 3 changed, 2 removed, 1 rewritten
_NEEDED = 6  # uploads that the changes need
_RANDOM_SHARE = 0.6  # of the kills come at a random moment
_SECOND_SHARE = 0.25  # of the rounds have a second kill


@dataclass
class Figures:
    """What a crash test found."""

    kills: int = 0
    at_boundaries: int = 0
    at_random: int = 0
    rounds: int = 0
    late: int = 0  # tries that ended before their kill
    redundant: int = 0  # uploads
    redundant_with_hash: int = 0  # of them where the service lists contentHash
    longest_recovery: float = 0.0  # seconds from the last kill to agreement
    wrong: list[str] = field(default_factory=list)
    by_behaviour: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        return (
            f"{self.kills} kills ({self.at_boundaries} at step boundaries, {self.at_random} at random moments) in"
            f" {self.rounds} rounds, {dict(self.by_behaviour)}: {len(self.wrong)} disagreements,"
            f" {self.redundant} redundant uploads ({self.redundant_with_hash} where contentHash is listed),"
            f" longest recovery {self.longest_recovery:.1f} s"
        )


class CrashTest:
    """Servers and figures of one crash test; a context manager."""

    def __init__(self, seed: int = 0, *, hashes: bool = True) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.hashes = hashes
        self.figures = Figures()
        self.fork = multiprocessing.get_context("forkserver")
        self.fork.set_forkserver_preload(["programs.soak.child"])
        self.steps: dict[int, int] = {}  # upload loops -> steps of a whole try
        self.duration = 0.3  # seconds of a whole try

    def __enter__(self) -> CrashTest:
        self.loggers = [logging.getLogger(name) for name in ("werkzeug", "cloudindex_provider.sync")]
        self.levels = [logger.level for logger in self.loggers]
        for logger in self.loggers:
            logger.setLevel(logging.CRITICAL)
        self.folder = Path(tempfile.mkdtemp(prefix="cloudindex-crash-"))
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        host, port = self.moto.get_host_and_port()
        self.s3_url = f"http://{host}:{port}"
        self.s3 = s3_client(self.s3_url)
        self.cloud = LocalCloudIndex(self.folder / "index")
        self.cloud.settings.list_content_hash = self.hashes
        return self

    def __exit__(self, *exc: object) -> None:
        self.cloud.close()
        self.moto.stop()
        for logger, level in zip(self.loggers, self.levels, strict=True):
            logger.setLevel(level)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run_kills(self, kills: int) -> Figures:
        """Rounds until there were that many kills, over the three same-name behaviours."""
        while self.figures.kills < kills and self.figures.late < 4 * kills + 20:
            behaviour = BEHAVIOURS[self.figures.rounds % len(BEHAVIOURS)]
            self.round(behaviour, tasks=1 if self.random.random() < 0.7 else 2)
        return self.figures

    def round(self, behaviour: str, *, tasks: int = 1, die_at: int | None = None) -> int:
        """One round; ``die_at``: the step of the first kill, chosen by chance if not given. Gives the kills."""
        self.cloud.settings.same_name = behaviour  # type: ignore[assignment]
        self.figures.rounds += 1
        mirror = self._mirror()
        try:
            uploads = mirror.uploads
            kills = self._kill_tries(mirror, tasks, die_at)
            self.recover(mirror, f"round {self.figures.rounds} ({behaviour}, seed {self.seed}, kills {kills})")
            redundant = mirror.uploads - uploads - _NEEDED
            self.figures.redundant += redundant
            self.figures.redundant_with_hash += redundant if self.hashes else 0
        finally:
            mirror.close()
        self.figures.kills += len(kills)
        self.figures.by_behaviour[behaviour] += len(kills)
        return len(kills)

    def _mirror(self) -> Mirror:
        project = str(uuid.uuid4())
        self.cloud.settings.projects.append(project)
        mirror = Mirror(
            self.folder, self.cloud, self.s3, self.s3, bucket=f"crash-{project}",
            project_id=project, request_timeout=0.25, doubt_grace=0.1, lease=2.0, defaults={"max_run_time": None},
        )  # fmt: skip
        mirror.sleep = time.sleep  # type: ignore[method-assign, assignment]  # what was under way when it was killed needs real time
        mirror.put_many(_FIRST)
        self.first_run(mirror)
        mirror.put_many(3, start=100)
        for number in range(3):
            mirror.put(f"{number:04d}.txt", f"changed document {number}")
        mirror.remove("0003.txt", "0004.txt")
        mirror.put_in_parts("0005.txt", b"document number 5")  # another ETag, the same bytes
        return mirror

    def first_run(self, mirror: Mirror) -> None:
        """What a round begins with, undisturbed."""
        mirror.run_to_the_end("first")

    def _kill_tries(self, mirror: Mirror, tasks: int, die_at: int | None) -> list[str]:
        kills: list[str] = []
        for attempt in (1, 2):
            at_random = die_at is None and self.random.random() < _RANDOM_SHARE
            step = die_at if die_at is not None else self.random.randrange(self.steps.get(tasks, 100))
            what = self.make_try(mirror, attempt, tasks, None if at_random else step)
            killed = self._child(what, self.random.random() * self.duration if at_random else None)
            if killed:
                kills.append("random" if at_random else f"step {step}")
                self.figures.at_random += at_random
                self.figures.at_boundaries += not at_random
            else:
                self.figures.late += 1
            mirror.attempts["crashing"] = attempt
            if not killed or die_at is not None or self.random.random() > _SECOND_SHARE:
                break
        return kills

    def make_try(self, mirror: Mirror, attempt: int, tasks: int, die_at: int | None) -> Try:
        """What the child is told."""
        return Try(
            s3_url=self.s3_url,
            bucket=mirror.bucket,
            api_url=self.cloud.url,
            api_key=self.cloud.api_key,
            project_id=mirror.project_id,
            state_url=str(mirror.db.url),
            run_name="crashing",
            attempt=attempt,
            tasks=tasks,
            request_timeout=mirror.request_timeout,
            doubt_grace=mirror.doubt_grace,
            lease=mirror.lease,
            die_at=die_at,
        )

    def _child(self, what: Try, kill_after: float | None) -> bool:
        """Run a try in a child; whether it was killed."""
        mine, theirs = self.fork.Pipe()
        process: Any = self.fork.Process(target=run, args=(what, theirs))
        process.start()
        theirs.close()
        with suppress(EOFError):
            mine.recv()
        began = time.monotonic()
        if kill_after is not None:
            process.join(kill_after)
            process.kill()
        process.join(60)
        if process.is_alive():
            process.kill()
            process.join()
            self.figures.wrong.append(f"{what} never ended")
        if process.exitcode not in (0, -signal.SIGKILL):
            self.figures.wrong.append(f"{what} ended by itself with {process.exitcode}")
        try:
            if mine.poll():
                steps, error = mine.recv()
                self.steps[what.tasks] = max(steps, self.steps.get(what.tasks, 0))
                self.duration = time.monotonic() - began
                if error:
                    self.figures.wrong.append(f"an undisturbed try failed: {error}")
                return False
        except EOFError:
            pass  # killed before it could say anything
        finally:
            mine.close()
        return True

    def count_steps(self, tasks: int = 1) -> int:
        """How many steps an undisturbed try has."""
        mirror = self._mirror()
        try:
            self._child(self.make_try(mirror, 1, tasks, None), None)
        finally:
            mirror.close()
        return self.steps[tasks]

    def recover(self, mirror: Mirror, what: str) -> None:
        """Let the next tries and runs end what was begun, and note what doesn't agree then."""
        began = time.monotonic()
        try:
            mirror.run_to_the_end("crashing")
            mirror.run_to_the_end()
            mirror.assert_agreement()
        except (AssertionError, DisagreementError) as error:
            self.figures.wrong.append(f"{what}: {error}")
        self.figures.longest_recovery = max(self.figures.longest_recovery, time.monotonic() - began)


def soak(kills: int, seed: int, *, hashes: bool = True, kind: type[CrashTest] = CrashTest) -> Figures:
    """The whole crash test, with its figures printed.

    :param kind: of which process
    """
    began = time.monotonic()
    with kind(seed, hashes=hashes) as test:
        for tasks in (1, 2):
            test.count_steps(tasks)
        # Every step of a try, evenly, makes about half of the kills.
        for number, step in enumerate(range(0, test.steps[1], max(1, test.steps[1] * 2 // kills))):
            test.round(BEHAVIOURS[number % len(BEHAVIOURS)], die_at=step)
        figures = test.run_kills(kills)
    for wrong in figures.wrong:
        print(wrong)
    shown = "the list shows contentHash" if hashes else "no contentHash"
    print(f"{kind.__name__}, {shown}, seed {seed}: {figures.line()}, {time.monotonic() - began:.0f} s", flush=True)
    return figures


def main() -> int:
    """Run by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-hashes", action="store_true", help="the service's list has no contentHash")
    options = parser.parse_args()
    figures = soak(options.kills, options.seed, hashes=not options.no_hashes)
    return 1 if figures.wrong or figures.redundant_with_hash else 0


if __name__ == "__main__":
    sys.exit(main())
