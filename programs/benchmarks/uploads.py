"""``python -m programs.benchmarks.uploads [--quick]``: what an upload costs beside the bare work, on loopback.

Jobs take turns, each in a process of its own, so ratios within one run say more than seconds; on a busy machine the
processor's seconds say more than either. The ETags of large objects are those of multipart uploads, as every tool
writes them from 8 or 16 MB on; with one that is an MD5, hashing it costs more than all the rest, and is shown beside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from programs.benchmarks.measure import Measured, interleaved
from programs.benchmarks.report import Target
from programs.benchmarks.servers import ROOT, Fake, running

__all__ = ["measure"]

GIB = 1 << 30
BIG = 20_000_000  # bytes; CloudIndex's limit of a file
TASKS = 4  # upload loops of a sync by default

Tables = dict[str, dict[str, Measured]]


def run(name: str, **arguments: Any) -> dict[str, Any]:
    """Run a job of ``upload_jobs`` in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "programs.benchmarks.upload_jobs", name, json.dumps(arguments)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def servers(keys: int, size: str, etag: str, latency_ms: int = 0) -> Iterator[tuple[Fake, Fake]]:
    """A fake S3 with such objects, and a receiver of uploads."""
    options = ("--keys", str(keys), "--size", size, "--etag", etag, "--latency-ms", str(latency_ms))
    with running("fakes3", *options) as s3, running("receiver") as receiver:
        yield s3, receiver


def large(keys: int, size: int, etag: str, loops: int, repeat: int, say: Callable[[str], None]) -> dict[str, Measured]:
    """Streamed uploads, beside the bare pass over the same bytes."""
    with servers(keys, str(size), etag) as (s3, receiver):
        jobs = {
            "ours": partial(run, "ours", url=s3.url, sink=receiver.url, largest=max(size, BIG)),
            "bare sockets": partial(run, "bare", url=s3.url, sink=receiver.url),
        }
        if loops > 1:
            jobs[f"ours, {loops} loops"] = partial(jobs["ours"], loops=loops)
        return interleaved(s3, jobs, repeat, say)


def small(keys: int, repeat: int, say: Callable[[str], None]) -> dict[str, Measured]:
    """20 files a request, beside a bare loop of threaded GETs that sends and stores nothing."""
    with servers(keys, "10k", "md5") as (s3, receiver):
        jobs = {
            "ours": partial(run, "ours", url=s3.url, sink=receiver.url),
            "threaded GETs alone": partial(run, "threaded_gets", url=s3.url),
        }
        return interleaved(s3, jobs, repeat, say)


def slow(keys: int, repeat: int, say: Callable[[str], None]) -> dict[str, Measured]:
    """20 files a request where a GET takes 20 ms, beside GETs one after another."""
    with servers(keys, "10k", "md5", latency_ms=20) as (s3, receiver):
        jobs = {
            "ours": partial(run, "ours", url=s3.url, sink=receiver.url),
            "one by one": partial(run, "one_by_one", url=s3.url, sink=receiver.url),
        }
        return interleaved(s3, jobs, repeat, say)


def measure(*, quick: bool, repeat: int, say: Callable[[str], None]) -> tuple[list[Target], Tables]:
    """The promises with what was measured for them, and the runs by title."""
    tables = {
        "50 files of 20 MB": large(50, BIG, "parts", TASKS, repeat, say),
        "50 files of 20 MB whose ETag is an MD5": large(50, BIG, "md5", TASKS, repeat, say),
        "One object of 1 GiB": large(1, GIB, "parts", 1, repeat, say),
        "Files of 10 KB": small(1000 if quick else 5000, repeat, say),
        "Files of 10 KB, 20 ms a GET": slow(200 if quick else 400, repeat, say),
    }
    return targets(tables), tables


def targets(tables: Tables) -> list[Target]:
    big, one, few, late = (
        tables["50 files of 20 MB"], tables["One object of 1 GiB"],
        tables["Files of 10 KB"], tables["Files of 10 KB, 20 ms a GET"],
    )  # fmt: skip
    peak, usual = max(big["ours"].memory, one["ours"].memory), few["ours"].memory
    files, gets = few["ours"].runs[-1]["documents"], few["ours"].requests["GetObject"]
    posts = few["ours"].runs[-1]["requests_sent"]
    return [
        Target("50 files of 20 MB: share of bare sockets' speed", _ratio(big, "bare sockets"), least=0.6),
        Target("one object of 1 GiB: share of bare sockets' speed", _ratio(one, "bare sockets"), least=0.75),
        Target("large files: peak memory, MB", peak / 1e6, most=110),
        Target("large files: peak memory over that with small files, %", (peak / usual - 1) * 100, most=10),
        Target("files of 10 KB: share of threaded GETs' speed", _ratio(few, "threaded GETs alone"), least=0.7),
        Target("files of 10 KB: GETs a file", gets / files, most=1),
        Target("files of 10 KB: upload requests a file", posts / files, most=0.05),
        Target("files of 10 KB, 20 ms a GET: times as fast as one by one", _ratio(late, "one by one"), least=3),
    ]


def _ratio(table: dict[str, Measured], than: str) -> float:
    return table[than].seconds / table["ours"].seconds


def lines(tables: Tables) -> Iterator[str]:
    """Every job's medians."""
    for title, table in tables.items():
        yield f"{title}:"
        for name, one in table.items():
            yield (
                f"  {name}: {one.seconds:.2f} s, {one.cpu:.2f} s of processor, {one.memory / 1e6:.0f} MB, "
                f"{one.requests.get('GetObject', 0)} GETs, {one.runs[-1].get('requests_sent', 0)} requests"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 repetitions instead of 5, and fewer small files")
    options = parser.parse_args()

    def say(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    met, tables = measure(quick=options.quick, repeat=3 if options.quick else 5, say=say)
    print(*lines(tables), f"load average: {os.getloadavg()[0]:.1f}", *(one.line() for one in met), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
