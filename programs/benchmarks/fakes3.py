"""A fast, lazy, read-only fake of S3's list and get operations, for benchmarks.

    python -m programs.benchmarks.fakes3 --port 9000 --keys 1000000 --size 10k --latency-ms 50 --workers 2

serves one bucket of any name holding N synthetic keys in byte order

    <root><block:07d>/<row:03d><suffix>          1000 rows to a block

Nothing is held per key: a page of XML is one template of a thousand <Contents>, sliced, with the block's number
written over a seven-byte marker (one ``bytes.replace``). 10M keys cost what 1000 do.

What it answers: ListObjectsV2 (prefix, delimiter, start-after, continuation-token, max-keys, encoding-type=url),
ListObjects (v1), ListBuckets, HeadBucket, GetBucketLocation, GetBucketVersioning, HeadObject, GetObject (Range,
If-Match, If-None-Match). Path-style addresses; signatures aren't checked. Everything else is a 501.

How a bucket changes: in generation G > 0 every row j of a block with ``j % change_every == 0`` has a new ETag, body and
LastModified, ``j % delete_every == 1`` is gone and ``j % add_every == 2`` has a new neighbour. All of it is settable
while it runs, so one server serves a whole benchmark:

    GET  /_fakes3/stats                               requests by operation, bytes out, keys listed (all workers)
    POST /_fakes3/reset                               counters to zero
    POST /_fakes3/set?gen=1&latency_ms=50&fail_every=100

Only the standard library is needed; uvloop is used when it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from programs.benchmarks.catalogue import CHUNK, OP, Shared
from programs.benchmarks.service import Service, header


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; requests of a connection are answered one after another."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self.service, self.loop = service, loop
        self.buffer, self.skip = b"", 0
        self.pieces: Iterator[Any] | None = None
        self.paused = self.busy = self.close_after = False
        self.waiting: deque[tuple[bytes, bytes]] = deque()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=2 * CHUNK)
        self.service.count[OP["connections"]] += 1

    def connection_lost(self, _exc: object) -> None:
        self.transport = self.pieces = None

    def data_received(self, data: bytes) -> None:
        if self.skip:  # a request's body: read and dropped
            n = min(self.skip, len(data))
            self.skip -= n
            data = data[n:]
        self.buffer = self.buffer + data if self.buffer else data
        while not self.skip:
            cut = self.buffer.find(b"\r\n\r\n")
            if cut < 0:
                return
            head, self.buffer = self.buffer[: cut + 2], self.buffer[cut + 4 :]
            low = head.lower()
            length = int(header(low, b"content-length") or 0)
            if length and header(low, b"expect"):
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            n = min(length, len(self.buffer))
            self.skip, self.buffer = length - n, self.buffer[n:]
            self.waiting.append((head, low))
            if not self.busy:
                self._next()

    def _next(self) -> None:
        if not self.waiting or self.transport is None:
            self.busy = False
            return
        self.busy = True
        head, low = self.waiting.popleft()
        latency = self.service.shared.get("latency_us")
        if latency and b" /_fakes3/" not in head[:32]:
            self.loop.call_later(latency / 1e6, self._answer, head, low)
        else:
            self._answer(head, low)

    def _answer(self, head: bytes, low: bytes) -> None:
        if self.transport is None:
            return
        line, _, _ = head.partition(b"\r\n")
        method, target, _ = line.decode("latin-1").split(" ", 2)
        if target.startswith("http"):
            target = "/" + target.split("/", 3)[3]
        try:
            first, pieces = self.service.respond(method, target, head)
        except Exception as exc:  # noqa: BLE001 - a benchmark server must say what it did not understand
            print("fakes3:", line, repr(exc), file=sys.stderr, flush=True)
            first, pieces = self.service._error(500, "InternalError", repr(exc))
        self.close_after = header(low, b"connection") == "close"
        if isinstance(pieces, tuple):
            self.transport.writelines([first, *pieces])
            self._done()
        else:
            self.transport.write(first)
            self.pieces = iter(pieces)
            self._pump()

    def _pump(self) -> None:
        while self.pieces is not None and not self.paused:
            piece = next(self.pieces, None)
            if piece is None:
                self.pieces = None
                self._done()
                return
            self.transport.write(piece)

    def _done(self) -> None:
        if self.close_after:
            self.transport.close()
        elif self.waiting:
            self.loop.call_soon(self._next)
        else:
            self.busy = False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.pieces is not None:
            self._pump()


def event_loop(*, with_uvloop: bool = True) -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, else the standard library's."""
    if with_uvloop:
        with suppress(ImportError):
            import uvloop

            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            return loop
    return asyncio.new_event_loop()


def listening(opts: argparse.Namespace) -> socket.socket:
    """A socket on the port; a free one where it is 0, which is then every worker's."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((opts.host, opts.port))
    opts.port = sock.getsockname()[1]
    return sock


def serve(opts: argparse.Namespace, shared: Shared, worker: int) -> None:
    loop = event_loop(with_uvloop=not opts.no_uvloop)
    asyncio.set_event_loop(loop)
    service = Service(opts, shared, worker)
    sock = listening(opts)
    server = loop.run_until_complete(loop.create_server(lambda: Connection(service, loop), sock=sock, backlog=1024))
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, loop.stop)
    if worker == 0:
        print(
            f"fakes3 ready on {opts.host}:{opts.port}, {opts.keys} keys, {opts.workers} worker(s)",
            flush=True,
        )
    loop.run_forever()
    server.close()


def options() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=9000, help="0: any that is free")
    p.add_argument("--keys", type=int, default=100_000)
    p.add_argument("--size", default="10k", help="a body's size, or several to cycle through: 1k,10k,1m")
    p.add_argument("--root", default="docs/", help="what every key starts with")
    p.add_argument("--suffix", default="-document.txt", help="what every key ends with")
    p.add_argument(
        "--etag",
        choices=("unique", "md5", "parts"),
        default="unique",
        help="md5: the body's true MD5, so keys share a thousand ETags; parts: as of a multipart upload, which is none",
    )
    p.add_argument("--content-type", default="text/plain")
    p.add_argument("--latency-ms", type=float, default=0, help="wait before each response")
    p.add_argument("--fail-every", type=int, default=0, help="every Nth request is a 503 SlowDown (for each worker)")
    p.add_argument("--gen", type=int, default=0)
    p.add_argument("--change-every", type=int, default=100)
    p.add_argument("--delete-every", type=int, default=0)
    p.add_argument("--add-every", type=int, default=0)
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--no-uvloop", action="store_true")
    return p


def main(argv: list[str] | None = None) -> int:
    opts = options().parse_args(argv)
    shared = Shared(opts.workers)
    shared.set("gen", opts.gen)
    shared.set("latency_us", int(opts.latency_ms * 1000))
    shared.set("fail_every", opts.fail_every)
    kept = listening(opts)  # so that the number stays ours until the workers have it
    children = []
    for worker in range(1, opts.workers):
        pid = os.fork()
        if not pid:
            serve(opts, shared, worker)
            os._exit(0)
        children.append(pid)
    try:
        serve(opts, shared, 0)
    finally:
        kept.close()
        for pid in children:
            os.kill(pid, signal.SIGTERM)
        for pid in children:
            os.waitpid(pid, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
