"""``python -m programs.benchmarks``: measures, and writes BENCHMARKS.md. By environment: SIZE=quick (default) or full,
REPEAT=1 for a first look, PARTS=no_op,age to measure some parts anew, BEFORE=v1.0 to compare with another commit than
the one that BENCHMARKS.md was last written in. Every part is measured in one go and kept until it is measured again;
the file is written when there is one of each.

Everything runs on this machine against fakes on loopback, so ratios within one run say more than seconds.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from programs.benchmarks import age, airflow_share, pacing, page, uploads
from programs.benchmarks.age import Age
from programs.benchmarks.before import find_before
from programs.benchmarks.comparison import Comparisons
from programs.benchmarks.measure import Measured, job
from programs.benchmarks.peers import Peers
from programs.benchmarks.report import Part, Table, Target, write
from programs.benchmarks.servers import ROOT

PACKAGES = ("apache-airflow", "apache-airflow-providers-amazon", "boto3", "sqlalchemy", "httpx")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    keys: int  # of the comparison
    memory_keys: tuple[int, ...]  # whose peak memory is compared
    minutes: float  # of paced uploads, each time
    age: Age
    repeat: int = 3


SIZES = {
    "quick": Size(100_000, (10_000, 100_000), 1, Age(30_000, 500_000, 50_000)),
    "full": Size(1_000_000, (100_000, 1_000_000, 10_000_000), 5, Age(30_000, 5_000_000, 500_000)),
}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def documents(repeat: int) -> Part:
    """A list of all documents."""
    found = Measured("list of 500,000 documents")
    found.runs = [job("documents_list", documents=500_000) for _ in range(repeat)]
    say(f"{found.name}: {found.seconds:.1f} s, {found.memory / 1e6:.0f} MB")
    return Part(
        [Table("The list of all documents", [found], 500_000, "documents")],
        [Target("a list of 500,000 documents: peak memory, MB", found.memory / 1e6, most=100)],
    )


def uploaded(size: str, repeat: int) -> Part:
    """Uploads beside the bare work."""
    targets, tables = uploads.measure(quick=size == "quick", repeat=repeat, say=say)
    return Part([Table(title, list(rows.values())) for title, rows in tables.items()], targets)


def paced(minutes: float) -> Part:
    """How much of 100 requests a minute is used, by one task and by eight of two syncs."""
    part = Part()
    ways = [(tasks, syncs, mode) for mode in ("fixed", "sliding") for tasks, syncs in ((1, 1), (4, 2))]
    with ThreadPoolExecutor(len(ways)) as pool:  # all at once, each with servers of its own: they mostly wait
        for found in pool.map(lambda way: pacing.measure(minutes, way[0], syncs=way[1], mode=way[2]), ways):
            say(str(found))
            if found["errors"]:
                raise RuntimeError(f"uploads failed: {found['errors']}")
            part.targets += _pace(found)
    return part


def _pace(found: dict[str, Any]) -> list[Target]:
    who = f"100 requests a minute, {found['window']} window, {found['processes']} tasks, {found['minutes']:g} minutes"
    return [
        Target(f"{who}: documents a minute", found["documents_per_minute"], least=0.95 * 2000),
        Target(f"{who}: requests answered 429, %", found["share_refused"] * 100, most=1),
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
    ]


def main() -> int:
    name = os.environ.get("SIZE", "quick")
    if name not in SIZES:
        print(f"SIZE is {name!r}; use one of {', '.join(SIZES)}.", file=sys.stderr)
        return 2
    size = SIZES[name]
    repeat = int(os.environ.get("REPEAT", size.repeat))
    peers = Peers(Path(os.environ.get("BENCH_PEERS", ROOT / ".bench")))
    results = ROOT / ".bench" / name
    with tempfile.TemporaryDirectory(prefix="cloudindex-bench-") as home:
        keys = Comparisons(size.keys, repeat, Path(home), peers, say, before=find_before(peers.home))
        parts: dict[str, Callable[[], Part]] = {
            "no_op": keys.no_op,
            "latency": keys.latency,
            "first_load": keys.first_load,
            "memory": lambda: keys.memory(size.memory_keys),
            "age": lambda: age.measure(size.age, repeat, Path(home), say),
            "documents": lambda: documents(repeat),
            "uploads": lambda: uploaded(name, repeat),
            "airflow": lambda: Part(targets=airflow_share.targets()),
            "pacing": lambda: paced(size.minutes),
            "page": lambda: page.measure(1_000_000, Path(home), say),
        }
        return _run(parts, name, results, peers)


def _run(parts: dict[str, Callable[[], Part]], size: str, results: Path, peers: Peers) -> int:
    chosen = [part for part in os.environ.get("PARTS", "").split(",") if part]
    if unknown := sorted(set(chosen) - set(parts)):
        print(f"PARTS names {', '.join(unknown)}; there are {', '.join(parts)}.", file=sys.stderr)
        return 2
    for one in chosen or parts:
        when, load = time.strftime("%Y-%m-%d %H:%M"), os.getloadavg()[0]
        found = parts[one]()
        found.facts = [
            f"{one}: measured {when}, load average before it {load:.1f}",
            *(f"compared with {name}" for name in peers.versions.values()),
            *(f"{name}: not to be had here" for name in peers.missing),
            *found.facts,
        ]
        found.save(results / f"{one}.json")
        for line in (target.line() for target in found.targets):
            say(line)
    missing = [one for one in parts if not (results / f"{one}.json").exists()]
    if missing:
        say(f"BENCHMARKS.md is written when there are also: {', '.join(missing)}")
        return 0
    whole = Part()
    for one in parts:
        whole.add(Part.load(results / f"{one}.json"))
    whole.facts = [*machine(), *dict.fromkeys(whole.facts)]
    write(ROOT / "BENCHMARKS.md", command=f"make bench SIZE={size}", part=whole)
    return 0


if __name__ == "__main__":
    sys.exit(main())
