"""How much of a rate limit real upload traffic uses: ``python -m programs.benchmarks.pacing --minutes 5``.

Processes build a context over one state, as tasks do, and run the sync's upload step: objects of the fake S3, 20 to a
request, to a sink that allows 100 requests a minute. Measured are one task, and eight processes of two syncs at once.
Each result is one line of JSON; nothing is measured while objects are listed and queued.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from programs.benchmarks.jobs import BUCKET, client, peak_memory
from programs.benchmarks.servers import ROOT, running

__all__ = ["measure", "overhead"]

ALLOWED = 100  # requests a minute
KEYS = 20_000  # more than is uploaded in any measurement, for each sync


def measure(
    minutes: float, tasks: int, *, syncs: int = 1, mode: str = "fixed", latency_ms: int = 300
) -> dict[str, Any]:
    """What ``tasks`` processes of each of ``syncs`` syncs get through in so many minutes.

    :param mode: of the service's window, ``fixed`` or ``sliding``
    :param latency_ms: until the service answers an upload
    """
    sink_options = ("--rate", str(ALLOWED), "--mode", mode, "--latency-ms", str(latency_ms))
    with (
        tempfile.TemporaryDirectory() as home,
        running("fakes3", "--keys", str(KEYS), "--size", "2k", "--etag", "md5") as s3,
        running("sink", *sink_options) as sink,
    ):
        state = str(Path(home) / "state.db")
        for sync in range(syncs):
            _process("queue", url=s3.url, state=state, sync=sync).communicate()
        jobs = [
            _process("work", url=s3.url, sink=sink.url, state=state, sync=sync, task=task)
            for sync in range(syncs) for task in range(tasks)
        ]  # fmt: skip
        while sink.ask("stats")["requests"] < 2 * len(jobs):  # until about all of them are at work
            time.sleep(0.1)
        before = sink.ask("stats")
        time.sleep(minutes * 60)
        after = sink.ask("stats")
        found = [json.loads(job.communicate()[0].splitlines()[-1]) for job in jobs]  # ends its input, and so the job
    return _result(minutes, tasks * syncs, mode, {name: after[name] - before[name] for name in after}, found)


def _result(
    minutes: float, processes: int, mode: str, stats: dict[str, int], found: list[dict[str, Any]]
) -> dict[str, Any]:
    accepted = stats["requests"] - stats["refused"]
    return {
        "processes": processes,
        "window": mode,
        "minutes": minutes,
        "accepted_per_minute": round(accepted / minutes, 1),
        "documents_per_minute": round(stats["documents"] / minutes),
        "share_of_allowed": round(accepted / minutes / ALLOWED, 4),
        "share_refused": round(stats["refused"] / max(1, stats["requests"]), 4),
        "files_per_request": round(stats["documents"] / max(1, accepted), 2),
        "cpu_seconds": round(sum(one["cpu"] for one in found), 1),
        "errors": sorted({one["error"] for one in found if one["error"]}),
    }


def _process(name: str, **arguments: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "programs.benchmarks.pacing", "--job", name, json.dumps(arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def _context(url: str, state: str, sync: int, task: int, api: Any, largest: int = 20_000_000) -> Any:
    from cloudindex_provider.s3.source import S3Source
    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.records import Owner, RunName
    from cloudindex_provider.state.sources import open_source
    from cloudindex_provider.sync.context import SyncContext
    from cloudindex_provider.sync.settings import Limits, SyncSettings

    db, project = Database(f"sqlite:///{state}"), f"p{sync}"
    return SyncContext(
        settings=SyncSettings(
            project_id=project, bucket=BUCKET, limits=Limits(max_request_size=largest, max_run_time=None)
        ).validate(),
        db=db, source=open_source(db, project_id=project, bucket=BUCKET, prefix=""),
        s3=S3Source(client(url), BUCKET), client=api, name=RunName(f"dag{sync}", "run", "sync"),
        owner=Owner(f"dag{sync}|run|sync|{task}", 1),
    )  # fmt: skip


def queue(url: str, state: str, sync: int) -> dict[str, Any]:
    """List the bucket and queue all of it in the state."""
    from cloudindex_provider.sync.detect.detection import detect

    ctx = _context(url, state, sync, 0, None)
    detect(ctx)
    ctx.db.close()
    return {}


def work(url: str, sink: str, state: str, sync: int, task: int) -> dict[str, Any]:
    """One task's uploads, until the input ends."""
    from cloudindex_provider.api.client import CloudIndexClient
    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.pacer import SharedPacer, budget_name
    from cloudindex_provider.sync.upload.loop import upload

    db = Database(f"sqlite:///{state}")
    pacer = SharedPacer(db, budget_name(sink, "cloudindex_default"))
    with CloudIndexClient(sink, "key", project_id=f"p{sync}", pacer=pacer) as api:
        ctx = _context(url, state, sync, task, api)
        threading.Thread(target=_stop_at_end, args=(ctx,), daemon=True).start()
        error = None
        try:
            done = upload(ctx)
        except Exception as caught:  # noqa: BLE001 - whatever it is, it belongs into the result
            error = f"{type(caught).__name__}: {caught}"
        documents = 0 if error else done.documents
        ctx.db.close()
    db.close()
    return {"error": error, "documents": documents}


def _stop_at_end(ctx: Any) -> None:
    sys.stdin.read()
    ctx.stop.set()


def overhead(requests: int = 2000) -> dict[str, Any]:
    """Milliseconds that pacing adds to a request on SQLite, without limits and with them, in one process."""
    from cloudindex_provider.api.pace import RateLimit
    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.pacer import SharedPacer

    found: dict[str, Any] = {}
    limits = {"no limit": None, "a limit": RateLimit(10**9, 10**9 - 1, 60.0)}
    for name, limit in limits.items():
        with tempfile.TemporaryDirectory() as home:
            db = Database(f"sqlite:///{home}/state.db")
            pacer = SharedPacer(db, "b")
            began = time.perf_counter()
            for _ in range(requests):
                pacer.before("x")
                pacer.after(limit, status=200, retry_after=None)
            found[f"ms per request, {name}"] = round((time.perf_counter() - began) / requests * 1000, 2)
            db.close()
    return found


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"queue": queue, "work": work}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=5)
    p.add_argument("--mode", choices=("fixed", "sliding"), action="append")
    p.add_argument("--only", choices=("one", "eight", "overhead"))
    p.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    opts = p.parse_args()
    if opts.job:
        found = JOBS[opts.job[0]](**json.loads(opts.job[1]))
        print(json.dumps({**found, "memory": peak_memory(), "cpu": time.process_time()}))
        return
    if opts.only in (None, "overhead"):
        print(json.dumps(overhead()), flush=True)
    for mode in opts.mode or ("fixed", "sliding"):
        for only, tasks, syncs in (("one", 1, 1), ("eight", 4, 2)):
            if opts.only in (None, only):
                print(json.dumps(measure(opts.minutes, tasks, syncs=syncs, mode=mode)), flush=True)


if __name__ == "__main__":
    main()
