"""Jobs of the upload benchmark, each in its own process: ``python -m programs.benchmarks.upload_jobs NAME '{...}'``.

Prints one JSON object like ``jobs``. What is to be uploaded is listed, and queued in a state, before the clock starts.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from programs.benchmarks.jobs import BUCKET, client, peak_memory
from programs.benchmarks.jobs import Clock as _Clock

READ = 1 << 20  # bytes; the bare pass is fastest with it
THREADS = 8  # of the bare loop of GETs: as many as an upload loop reads with


class Clock(_Clock):
    """Seconds since the imports' end, and of the processor since then: another process's load is not in those."""

    def __init__(self, began: float) -> None:
        super().__init__(began)
        self.used = time.process_time()

    def result(self, **found: Any) -> dict[str, Any]:
        return super().result(cpu=time.process_time() - self.used, **found)


def ours(began: float, url: str, sink: str, loops: int = 1, largest: int = 20_000_000) -> dict[str, Any]:
    """The sync's upload step, from queued rows to rows that the service processes."""
    from cloudindex_provider.api.client import CloudIndexClient
    from cloudindex_provider.sync.detect.detection import detect
    from cloudindex_provider.sync.upload.loop import upload_side_by_side

    with tempfile.TemporaryDirectory() as home, CloudIndexClient(sink, "key", project_id="p") as api:
        ctx = _context(url, Path(home), api, largest)
        detect(ctx)
        clock = Clock(began)
        done = upload_side_by_side(ctx, loops)
        found = clock.result(
            documents=sum(one.documents for one in done), requests_sent=sum(one.requests for one in done)
        )
        ctx.db.close()
    return found


def _context(url: str, home: Path, api: Any, largest: int) -> Any:
    from cloudindex_provider.s3.source import S3Source
    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.records import Owner, RunName
    from cloudindex_provider.state.sources import open_source
    from cloudindex_provider.sync.context import SyncContext
    from cloudindex_provider.sync.settings import Limits, Selection, SyncSettings

    db = Database(f"sqlite:///{home}/state.db")
    settings = SyncSettings(
        project_id="p", bucket=BUCKET,
        selection=Selection(max_file_size=largest), limits=Limits(max_request_size=largest, max_run_time=None),
    ).validate()  # fmt: skip
    return SyncContext(
        settings=settings, db=db, source=open_source(db, project_id="p", bucket=BUCKET, prefix=""),
        s3=S3Source(client(url), BUCKET), client=api, name=RunName("dag", "run", "sync"), owner=Owner("dag/task", 1),
    )  # fmt: skip


def _keys(url: str) -> list[tuple[str, int]]:
    from cloudindex_provider.s3.source import S3Source

    return [(row.key, row.size) for page in S3Source(client(url), BUCKET).pages() for row in page]


def bare(began: float, url: str, sink: str) -> dict[str, Any]:
    """A socket to S3 and one to the sink: GET, SHA-256, POST, one object after another in one thread."""
    keys = _keys(url)
    clock = Clock(began)
    source, target = _connect(url), _connect(sink)
    buffer = memoryview(bytearray(READ))
    for key, size in keys:
        sha256 = hashlib.sha256()
        source.sendall(f"GET /{BUCKET}/{quote(key)} HTTP/1.1\r\nHost: s3\r\n\r\n".encode())
        target.sendall(f"POST /documents HTTP/1.1\r\nHost: sink\r\nContent-Length: {size}\r\n\r\n".encode())
        rest = _after_head(source)
        sha256.update(rest)
        target.sendall(rest)
        left = size - len(rest)
        while left:
            count = source.recv_into(buffer[: min(left, READ)])
            assert count, "the fake S3 broke off"
            sha256.update(buffer[:count])
            target.sendall(buffer[:count])
            left -= count
        sha256.hexdigest()
        assert _after_head(target)
    return clock.result(documents=len(keys))


def _connect(url: str) -> socket.socket:
    where = urlsplit(url)
    made = socket.create_connection((where.hostname, where.port or 80))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _after_head(connection: socket.socket) -> bytes:
    """What came after the head of a 200. A small answer is one write of the fakes, so it is there as a whole."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(READ)
    assert head.startswith(b"HTTP/1.1 200"), head
    return head.partition(b"\r\n\r\n")[2]


def threaded_gets(began: float, url: str) -> dict[str, Any]:
    """Stock boto3, several threads, every object read to its end; no hash, no state, nothing sent."""
    keys, s3 = _keys(url), client(url)

    def read(key: str) -> int:
        return len(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    clock = Clock(began)
    with ThreadPoolExecutor(THREADS) as pool:
        sizes = list(pool.map(read, (key for key, _ in keys)))
    return clock.result(documents=len(sizes))


def one_by_one(began: float, url: str, sink: str) -> dict[str, Any]:
    """The same requests of 20 files, their objects read one after another; no state."""
    from cloudindex_provider.api.client import CloudIndexClient
    from cloudindex_provider.api.models import FilePart

    keys, s3 = _keys(url), client(url)
    with CloudIndexClient(sink, "key", project_id="p") as api:
        clock = Clock(began)
        for start in range(0, len(keys), 20):
            parts = []
            for key, size in keys[start : start + 20]:
                data = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
                parts.append(FilePart(key, size, lambda data=data: [data]))  # type: ignore[misc]
            api.upload_documents(parts, metadata={"documents": {part.file_name: {} for part in parts}})
        return clock.result(documents=len(keys))


JOBS: dict[str, Callable[..., dict[str, Any]]] = {job.__name__: job for job in (ours, bare, threaded_gets, one_by_one)}


def main(name: str, arguments: str) -> None:
    began = time.perf_counter()
    found = JOBS[name](began, **json.loads(arguments))
    print(json.dumps({**found, "memory": peak_memory()}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
