"""The parts of the benchmark about listing and comparing: no change, changes, first loads, latency, memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from programs.benchmarks.before import Before
from programs.benchmarks.measure import Measured, interleaved, job
from programs.benchmarks.peers import Peer, Peers
from programs.benchmarks.report import Part, Table, Target
from programs.benchmarks.servers import Fake, running
from tests.support.postgres import find_binaries, running_postgres

__all__ = ["Comparisons"]

Say = Callable[[str], None]
LATENCY = 50  # ms a request, about what S3 takes for a page from within its region
RANGES = 16
QUIET = "sync without a change"
CHANGED = "sync with 1 % changed"
FIRST = "first sync: list and queue"
# A server as it is for users, but for memory that fits a small machine; nothing is switched off.
POSTGRES = "-c shared_buffers=256MB -c max_wal_size=4GB"


class Comparisons:
    """One run's measurements at ``keys`` keys, ``repeat`` times each."""

    def __init__(
        self, keys: int, repeat: int, home: Path, peers: Peers, say: Say, *, before: Before | None = None
    ) -> None:
        self.keys, self.repeat, self.home, self.peers, self.say = keys, repeat, home, peers, say
        self.before = before
        self.runs = 0

    # Parts

    def no_op(self) -> Part:
        """A sync of unchanged keys against those who list or compare the same bucket, and what changes cost."""
        with running("fakes3", "--keys", str(self.keys)) as fake:
            state = self._settled(fake, "state")
            peers = self.peers.no_op(fake.url, state)
            jobs = {
                "sync without a change": lambda: self._detect(fake, state),
                f"sync without a change, {RANGES} ranges": lambda: self._detect(fake, state, ranges=RANGES),
                "our listing alone": lambda: job("sync_list", url=fake.url),
                **{peer.name: peer.run for peer in peers},
            }
            compared = interleaved(fake, jobs, self.repeat, self.say)
            more = self._changes(fake, state)
            # A ratio of two short jobs of about the same length: three runs tell less than the machine's own noise.
            changes = interleaved(fake, more, 3 * self.repeat, self.say)
        part = Part(tables=[
            Table("No change", list(compared.values()), self.keys),
            Table("Changes", list(changes.values()), self.keys,
                  note="On a fresh copy of the state each; three times as many runs as elsewhere."),
        ])  # fmt: skip
        part.targets = [
            *_against_peers(compared, peers), *self._requests(compared), *_peaks(compared),
            *self._not_slower(changes, "no-op", QUIET), *self._not_slower(changes, "1 % changed", CHANGED),
        ]  # fmt: skip
        return part

    def latency(self) -> Part:
        """The same where every request to S3 takes its time."""
        with running("fakes3", "--keys", str(self.keys)) as fake:
            state = self._settled(fake, "slow")
            fake.ask(f"set?latency_ms={LATENCY}")
            jobs = {
                f"listing, {RANGES} ranges": lambda: job("sync_list", url=fake.url, state=str(state), ranges=RANGES),
                "listing, one range": lambda: job("sync_list", url=fake.url),
                f"sync without a change, {RANGES} ranges": lambda: self._detect(fake, state, ranges=RANGES),
                "sync without a change, one range": lambda: self._detect(fake, state),
            }
            listing = {peer.name: peer.run for peer in self.peers.listing(fake.url)}
            found = interleaved(fake, {**jobs, **listing}, self.repeat, self.say)
        note = "One range waits; many are bound by the CPUs, which the fake server shares: slower ones, lower ratio."
        part = Part(tables=[Table(f"{LATENCY} ms a request", list(found.values()), self.keys, note=note)])
        many, one, sync = list(found.values())[:3]
        pairs = [("listing", many, "one range", one)]
        pairs += [
            (what, ours, name, found[name]) for name in listing for what, ours in (("listing", many), ("sync", sync))
        ]
        part.targets = [
            Target(
                f"{LATENCY} ms: {what} in {RANGES} ranges, times as fast as {name}",
                slow.seconds / ours.seconds,
                least=12,
            )
            for what, ours, name, slow in pairs
        ]
        return part

    def first_load(self) -> Part:
        """A first sync's rows, against the least that the database can do for them."""
        part = Part()
        with running("fakes3", "--keys", str(self.keys)) as fake:
            state = self.home / "load.db"

            def fresh(name: str, **more: Any) -> dict[str, Any]:
                _forget(state)
                return job(name, url=fake.url, state=str(state), **more)

            jobs = {
                "first sync: rows of keys that are listed": lambda: fresh("load_only"),
                FIRST: lambda: fresh("sync_detect", run="first"),
                "bare executemany of the same rows": lambda: fresh("bare_inserts"),
            }
            if name := self._before(FIRST):
                jobs[name] = lambda: fresh("sync_detect", run="first", **self._there())
            found = interleaved(fake, jobs, self.repeat, self.say)
            self._loaded(part, "SQLite", found, most=2.5)
            part.targets += self._not_slower(found, "SQLite: first sync's list and queue", FIRST)
            _forget(state)
            if binaries := find_binaries():
                self._postgres(part, fake, binaries)
            else:
                part.facts.append("PostgreSQL: not to be had here")
        return part

    def memory(self, sizes: tuple[int, ...]) -> Part:
        """The no-op at sizes far apart."""
        found: dict[int, Measured] = {}
        for keys in sizes:
            with running("fakes3", "--keys", str(keys)) as fake:
                state = self._settled(fake, f"memory{keys}")
                name = f"sync of {keys:,} keys"
                found[keys] = interleaved(fake, {name: lambda: self._detect(fake, state)}, 1, self.say)[name]  # noqa: B023
                _forget(state)
        low, high = min(one.memory for one in found.values()), max(one.memory for one in found.values())
        (few, short), (many, long) = list(found.items())[-2:]
        slope = (long.seconds / many) / (short.seconds / few)
        return Part(
            [Table("Memory and size", list(found.values()), note="No change, one range.")],
            [
                Target(f"peak memory at {', '.join(f'{keys:,}' for keys in found)} keys: difference, %",
                       (high / low - 1) * 100, most=15),
                Target(f"time a key, {many:,} keys against {few:,}", slope, most=1.2),
            ],
        )  # fmt: skip

    # Jobs

    def _changes(self, fake: Fake, state: Path) -> dict[str, Callable[[], dict[str, Any]]]:
        """What nothing and a few changes cost now, and what they cost before."""
        jobs = {
            QUIET: lambda: self._detect(fake, state, fresh=True),
            CHANGED: lambda: self._changed(fake, state),
        }
        quiet, changed = self._before(QUIET), self._before(CHANGED)
        if quiet and changed:
            there = self._there()
            old = self._settled(fake, "state_before", **there)
            jobs[quiet] = lambda: self._detect(fake, old, fresh=True, **there)
            jobs[changed] = lambda: self._changed(fake, old, **there)
        return jobs

    def _before(self, name: str) -> str | None:
        """The job's name where it is the code before; ``None`` where there is none."""
        return f"{name}, before ({self.before.commit})" if self.before else None

    def _there(self) -> dict[str, Any]:
        return {"_module": self.before.module, "_root": self.before.root} if self.before else {}

    def _not_slower(self, found: dict[str, Measured], what: str, name: str) -> list[Target]:
        before = self._before(name)
        if before not in found:
            return []
        return [Target(f"{what}: times as long as before", found[name].seconds / found[before].seconds, most=1.1)]

    def _detect(
        self, fake: Fake, state: Path | str, *, fresh: bool = False, ranges: int = 1, **there: Any
    ) -> dict[str, Any]:
        """Ours, on a copy of the state where the run changes it."""
        self.runs += 1
        used = str(state)
        if fresh:
            copy = self.home / "copy.db"
            _forget(copy)
            shutil.copy(state, copy)
            used = str(copy)
        return job("sync_detect", url=fake.url, state=used, run=f"run{self.runs}", ranges=ranges, **there)

    def _settled(self, fake: Fake, name: str, **there: Any) -> Path:
        """A state in which every key is indexed."""
        state = self.home / f"{name}.db"
        self._detect(fake, state, **there)
        job("settle", state=str(state), **there)
        return state

    def _changed(self, fake: Fake, state: Path, **there: Any) -> dict[str, Any]:
        fake.ask("set?gen=1")
        try:
            return self._detect(fake, state, fresh=True, **there)
        finally:
            fake.ask("set?gen=0")

    def _postgres(self, part: Part, fake: Fake, binaries: Path) -> None:
        with running_postgres(binaries, POSTGRES) as server:

            def fresh(name: str, **more: Any) -> dict[str, Any]:
                server.sql("DROP DATABASE IF EXISTS load", "CREATE DATABASE load")
                return job(name, url=fake.url, state=url("load"), **more)

            def url(name: str) -> str:
                return server.url("psycopg2", name).render_as_string(hide_password=False)

            jobs = {
                "first sync: rows of keys that are listed": lambda: fresh("load_only"),
                FIRST: lambda: fresh("sync_detect", run="first"),
                "one bare COPY of the same rows": lambda: fresh("bare_copy"),
            }
            self._loaded(part, "PostgreSQL", interleaved(fake, jobs, self.repeat, self.say), most=2.0)
            self._detect(fake, url("state"))
            job("settle_postgres", state=url("state"))
            quiet = {"sync without a change": lambda: self._detect(fake, url("state"))}
            found = interleaved(fake, quiet, self.repeat, self.say)
            part.tables.append(Table("No change, state on PostgreSQL", list(found.values()), self.keys))

    def _loaded(self, part: Part, database: str, found: dict[str, Measured], *, most: float) -> None:
        part.tables.append(Table(f"First load, {database}", list(found.values()), self.keys))
        rows, whole, bare, *_ = found.values()
        part.targets += [
            Target(f"{database}: first sync's state load, times bare", rows.seconds / bare.seconds, most=most),
            Target(f"{database}: the same with the listing, times bare", whole.seconds / bare.seconds, most=most + 1.5),
        ]

    def _requests(self, compared: dict[str, Measured]) -> list[Target]:
        found = []
        for name, ranges in (("sync without a change", 1), (f"sync without a change, {RANGES} ranges", RANGES)):
            requests = compared[name].requests
            lists = requests.get("ListObjectsV2", 0)
            most = self.keys / 1000 + ranges
            found.append(Target(f"{name}: LIST calls", lists, most=most))
            found.append(Target(f"{name}: other S3 calls", float(sum(requests.values()) - lists), most=0))
        return found


def _against_peers(compared: dict[str, Measured], peers: list[Peer]) -> list[Target]:
    ours = compared[QUIET]
    return [
        Target(
            f"no-op: times as fast as {peer.name}{f' (the goal is {peer.goal:g})' if peer.goal else ''}",
            compared[peer.name].seconds / ours.seconds,
            least=peer.least,
        )
        for peer in peers
        if peer.least
    ]


def _peaks(compared: dict[str, Measured]) -> list[Target]:
    one, many = compared[QUIET], compared[f"sync without a change, {RANGES} ranges"]
    return [
        Target("no-op: peak memory with one range, MB", one.memory / 1e6, most=80),
        Target(f"no-op: peak memory with {RANGES} ranges, MB", many.memory / 1e6, most=120),
    ]


def _forget(state: Path) -> None:
    for name in (state, Path(f"{state}-wal"), Path(f"{state}-shm")):
        name.unlink(missing_ok=True)
