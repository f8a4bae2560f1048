"""``python -m tests.benchmarks``: measures, and writes BENCHMARKS.md. SIZE=quick (default) or full, by environment;
REPEAT=1 for a first look.

Everything runs on this machine against fakes on loopback, so ratios within one run say more than seconds.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Measured, interleaved, job
from tests.benchmarks.peers import Peers
from tests.benchmarks.report import Target, write
from tests.benchmarks.servers import ROOT, Fake, running

SIZES = {
    # keys of the comparison, repetitions, keys whose peak memory is compared
    "quick": (100_000, 3, (10_000, 100_000)),
    "full": (1_000_000, 3, (100_000, 1_000_000, 10_000_000)),
}
PACKAGES = ("apache-airflow", "apache-airflow-providers-amazon", "boto3", "sqlalchemy", "httpx")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Bench:
    """One run of the benchmark."""

    def __init__(self, size: str, home: Path) -> None:
        self.size, self.home = size, home
        self.keys, repeat, self.memory_keys = SIZES[size]
        self.repeat = int(os.environ.get("REPEAT", repeat))
        self.peers = Peers(Path(os.environ.get("BENCH_PEERS", ROOT / ".bench")))
        self.runs = 0

    def detect(self, fake: Fake, state: Path, *, fresh: bool = False) -> dict[str, Any]:
        """Ours, on a copy of the state where the run changes it."""
        self.runs += 1
        used = state
        if fresh:
            used = self.home / "copy.db"
            self._forget(used)
            if state.exists():
                shutil.copy(state, used)
        return job("sync_detect", url=fake.url, state=str(used), run=f"run{self.runs}")

    @staticmethod
    def _forget(state: Path) -> None:
        for name in (state, Path(f"{state}-wal"), Path(f"{state}-shm")):
            name.unlink(missing_ok=True)

    def settled(self, fake: Fake, name: str) -> Path:
        """A state in which every key is indexed."""
        state = self.home / f"{name}.db"
        self.detect(fake, state)
        job("settle", state=str(state))
        return state

    def no_op(self) -> tuple[dict[str, Measured], dict[str, Measured]]:
        """The no-op against the peers, and what changes and a first load cost."""
        with running("fakes3", "--keys", str(self.keys)) as fake:
            state = self.settled(fake, "state")
            jobs = {
                "sync without a change": lambda: self.detect(fake, state),
                "our listing alone": lambda: job("sync_list", url=fake.url),
                **self.peers.no_op(fake.url, state),
            }
            compared = interleaved(fake, jobs, self.repeat, say)
            empty = self.home / "none.db"
            more = {
                "sync without a change (again)": lambda: self.detect(fake, state, fresh=True),
                "sync with 1 % changed": lambda: self._changed(fake, state),
                "our listing alone": lambda: job("sync_list", url=fake.url),
                "first sync: list and queue": lambda: self.detect(fake, empty, fresh=True),
                "bare executemany of the same rows": lambda: self._bare(fake),
            }
            return compared, interleaved(fake, more, self.repeat, say)

    def _changed(self, fake: Fake, state: Path) -> dict[str, Any]:
        fake.ask("set?gen=1")
        try:
            return self.detect(fake, state, fresh=True)
        finally:
            fake.ask("set?gen=0")

    def _bare(self, fake: Fake) -> dict[str, Any]:
        state = self.home / "bare.db"
        self._forget(state)
        return job("bare_inserts", url=fake.url, state=str(state))

    def documents(self) -> Measured:
        """A list of all documents."""
        found = Measured("list of 500,000 documents")
        found.runs = [job("documents_list", documents=500_000) for _ in range(self.repeat)]
        say(f"{found.name}: {found.seconds:.1f} s, {found.memory / 1e6:.0f} MB")
        return found

    def memory(self) -> dict[int, Measured]:
        """The no-op at sizes far apart."""
        found = {}
        for keys in self.memory_keys:
            with running("fakes3", "--keys", str(keys)) as fake:
                state = self.settled(fake, f"memory{keys}")
                name = f"sync of {keys:,} keys"
                found[keys] = interleaved(fake, {name: lambda: self.detect(fake, state)}, 1, say)[name]  # noqa: B023
                self._forget(state)
        return found


def targets(bench: Bench, compared: dict[str, Measured], more: dict[str, Measured]) -> list[Target]:
    """What was promised, with what was measured."""
    ours = compared["sync without a change"]
    wanted = {
        "rclone size": 3.0, "aws s3 sync --dryrun": 15.0, "S3Hook.get_file_metadata and a dict": 15.0,
        "rclone sync --size-only": 2.0,
    }  # fmt: skip
    found = [
        Target(f"no-op: at least {least:g} times as fast as {name}", compared[name].seconds / ours.seconds, least=least)
        for name, least in wanted.items()
        if name in compared
    ]
    lists = ours.requests.get("ListObjectsV2", 0)
    found.append(Target("no-op: LIST calls for each 1,000 keys", lists * 1000 / bench.keys, most=1.001))
    found.append(Target("no-op: other S3 calls", float(sum(ours.requests.values()) - lists), most=0))
    found.append(Target("no-op: peak memory with one range, MB", ours.memory / 1e6, most=80))
    again = more["sync without a change (again)"]
    found.append(
        Target("1 % changed: times the no-op", more["sync with 1 % changed"].seconds / again.seconds, most=1.3)
    )
    first, bare = more["first sync: list and queue"], more["bare executemany of the same rows"]
    found.append(
        Target("first sync's state load, listing included: times bare", first.seconds / bare.seconds, most=2.5)
    )
    return found


def memory_targets(found: dict[int, Measured]) -> list[Target]:
    low, high = min(one.memory for one in found.values()), max(one.memory for one in found.values())
    sizes = ", ".join(f"{keys:,}" for keys in found)
    (few, short), (many, long) = min(found.items()), max(found.items())
    slope = (long.seconds / many) / (short.seconds / few)
    return [
        Target(f"peak memory at {sizes} keys: difference, %", (high / low - 1) * 100, most=15),
        Target(f"time a key, {many:,} keys against {few:,}", slope, most=1.2),
    ]


def machine() -> list[str]:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "?",
    )
    installed = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"{os.cpu_count()} x {cpu}, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        installed,
        f"load average at the end: {', '.join(f'{one:.1f}' for one in os.getloadavg())}",
    ]


def main() -> int:
    size = os.environ.get("SIZE", "quick")
    if size not in SIZES:
        print(f"SIZE is {size!r}; use one of {', '.join(SIZES)}.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="cloudindex-bench-") as home:
        bench = Bench(size, Path(home))
        compared, more = bench.no_op()
        documents = bench.documents()
        sizes = bench.memory()
    met = targets(bench, compared, more) + memory_targets(sizes)
    met.append(Target("a list of 500,000 documents: peak memory, MB", documents.memory / 1e6, most=100))
    facts = [*machine(), *(f"{name}: {said}" for name, said in bench.peers.versions.items())]
    facts += [f"{name}: not to be had here" for name in bench.peers.missing]
    write(ROOT / "BENCHMARKS.md", size=size, keys=bench.keys, facts=facts, targets=met,
          tables={"No change": compared, "Changes and first load": more,
                  "Memory": {one.name: one for one in (*sizes.values(), documents)}})  # fmt: skip
    for one in met:
        say(one.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
