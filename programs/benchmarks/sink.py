"""A fast HTTP sink for upload benchmarks: reads a POST's body, drops it, answers a small JSON.

    python -m programs.benchmarks.sink --port 9100 --latency-ms 0 --rate 0 --mode sliding --workers 1 [--verify]

A body may have a Content-Length or be chunked. A CloudIndex upload, whose file names stand in the metadata at its
beginning, is answered with their documents. --rate N answers 429 with Retry-After past N requests in a 60 s window (for
each worker), which slides, or (--mode fixed) begins with a request; every answer then has the rate limit headers and a
Date. --verify also counts a multipart body's parts and checks that it ends with its closing boundary.

    GET  /_sink/stats   requests, bytes, parts, refused, malformed, documents
    POST /_sink/reset
    POST /_sink/set?latency_ms=50&rate=100&fixed=1
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import mmap
import os
import re
import signal
import time
from collections import deque
from email.utils import formatdate
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from programs.benchmarks.fakes3 import event_loop, listening

NAMES = ("requests", "bytes", "parts", "refused", "malformed", "connections", "chunked", "documents")
SETTINGS = ("latency_us", "rate", "fixed")
READ = 1 << 20
KEPT = 1 << 16  # bytes of a body's beginning, in which the metadata of 20 files has room
WINDOW = 60.0
METADATA = b'name="metadata"\r\n\r\n'


class Shared:
    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.cells = memoryview(mmap.mmap(-1, 4096 * (1 + workers // 32))).cast("Q")

    def row(self, worker: int) -> memoryview:
        at = len(SETTINGS) + worker * len(NAMES)
        return self.cells[at : at + len(NAMES)]

    def stats(self) -> dict[str, int]:
        return {n: sum(self.row(w)[i] for w in range(self.workers)) for i, n in enumerate(NAMES)}

    def reset(self) -> None:
        for i in range(len(SETTINGS), len(SETTINGS) + len(NAMES) * self.workers):
            self.cells[i] = 0


class Sink(asyncio.BufferedProtocol):
    """One buffer a process: what is read is looked at at once and dropped."""

    buffer = memoryview(bytearray(READ))
    window: ClassVar[deque[float]] = deque()  # when requests were allowed
    ids = itertools.count(1)

    def __init__(self, shared: Shared, worker: int, verify: bool, loop: asyncio.AbstractEventLoop) -> None:
        self.shared, self.count, self.verify, self.loop = shared, shared.row(worker), verify, loop
        self.head, self.pending, self.kept = b"", b"", bytearray()
        self.left: int | None = None  # bytes to come of a body with a length
        self.chunk: int | None = None  # the same of a chunk and its CRLF; 0 waits for a size line

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.count[5] += 1

    def connection_lost(self, exc: object) -> None:
        self.transport = None

    def get_buffer(self, hint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, n: int) -> None:
        data: memoryview | bytes = self.buffer[:n]
        while len(data):
            if self.left is not None:
                take = min(self.left, len(data))
                self._body(data[:take])
                self.left -= take
                data = data[take:]
            elif self.chunk is not None:
                data = self._chunked(data, self.chunk)
            else:
                data = self._head(data)
            if self.left == 0:
                self._answer()

    def _head(self, data: memoryview | bytes) -> memoryview | bytes:
        self.head += bytes(data)
        cut = self.head.find(b"\r\n\r\n")
        if cut < 0:
            return b""
        rest = self.head[cut + 4 :]
        head, self.head = self.head[: cut + 2], b""
        low = head.lower()
        self.line = head.split(b"\r\n", 1)[0].decode("latin-1")
        self.seen = 0
        self.kept.clear()
        self.tail, self.found = b"\r\n", 0
        m = re.search(rb"boundary=\"?([^\s;\"]+)", head)
        self.boundary = b"\r\n--" + m[1] if m else None
        if b"\r\nexpect: 100-continue" in low:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.close = b"\r\nconnection: close" in low
        if b"\r\ntransfer-encoding: chunked" in low:
            self.count[6] += 1
            self.chunk, self.pending = 0, b""
        else:
            m = re.search(rb"\r\ncontent-length:\s*(\d+)", low)
            self.left = int(m[1]) if m else 0
        return memoryview(rest) if rest or self.left != 0 else rest

    def _chunked(self, data: memoryview | bytes, chunk: int) -> memoryview | bytes:
        if chunk == 0:
            line = self.pending + bytes(data[:64])
            cut = line.find(b"\r\n")
            if cut < 0:
                self.pending = line
                return data[64:]
            used = cut + 2 - len(self.pending)
            self.pending = b""
            size = int(line[:cut].split(b";")[0], 16)
            self.chunk = size + 2
            self.last = size == 0
            return data[used:]
        take = min(chunk, len(data))
        body = min(take, max(0, chunk - 2))
        if body and not self.last:
            self._body(data[:body])
        self.chunk = chunk - take
        if self.chunk == 0 and self.last:
            self.chunk, self.left = None, 0
        return data[take:]

    def _body(self, view: memoryview | bytes) -> None:
        self.seen += len(view)
        if self.boundary and len(self.kept) < KEPT:
            self.kept += view[: KEPT - len(self.kept)]
        if self.verify and self.boundary:
            text = self.tail + bytes(view)
            self.found += text.count(self.boundary)
            keep = len(self.boundary) - 1
            # a boundary wholly inside the kept tail was counted already: the tail is one byte too short for it
            self.tail = text[-keep:] if len(text) >= keep else text
            self.ended = text[-8:].rstrip(b"\r\n").endswith(b"--")

    def _answer(self) -> None:
        self.left = None
        if "/_sink/" in self.line:
            self._admin(*self.line.split(" ")[1].partition("?")[::2])
            return
        c = self.count
        c[0] += 1
        c[1] += self.seen
        if self.verify and self.boundary:
            c[2] += max(0, self.found - 1)
            c[4] += not self.ended
        refused, headers = self._limit()
        if refused:
            c[3] += 1
            self._send(429, b'{"error":"rate limit","code":"rate_limit/exceeded"}', headers)
            return
        answer: dict[str, Any] = {"ok": True, "bytes": self.seen}
        names = file_names(bytes(self.kept))
        if names:
            c[7] += len(names)
            answer["documents"] = [
                {"id": f"{os.getpid():x}-{next(self.ids)}", "fileName": name, "status": "pending"} for name in names
            ]
        body = json.dumps(answer).encode()
        latency = self.shared.cells[0]
        if latency:
            self.loop.call_later(latency / 1e6, self._send, 200, body, headers)
        else:
            self._send(200, body, headers)

    def _limit(self) -> tuple[bool, str]:
        """Whether the rate refuses this request, which else is counted; and the headers that say so."""
        rate, fixed, now, window = self.shared.cells[1], self.shared.cells[2], time.time(), self.window
        if not rate:
            return False, ""
        if fixed and window and window[0] <= now - WINDOW:
            window.clear()
        while window and window[0] <= now - WINDOW:
            window.popleft()
        refused = len(window) >= rate
        if not refused:
            window.append(now)
        reset = window[0] + WINDOW
        headers = (
            f"Date: {formatdate(now, usegmt=True)}\r\nX-RateLimit-Limit: {rate}\r\n"
            f"X-RateLimit-Remaining: {rate - len(window)}\r\nX-RateLimit-Reset: {math.ceil(reset)}\r\n"
        )
        return refused, headers + (f"Retry-After: {math.ceil(reset - now)}\r\n" if refused else "")

    def _admin(self, path: str, query: str) -> None:
        if path.endswith("reset"):
            self.shared.reset()
        elif path.endswith("set"):
            args = dict(parse_qsl(query))
            if "latency_ms" in args:
                self.shared.cells[0] = int(float(args["latency_ms"]) * 1000)
            if "rate" in args:
                self.shared.cells[1] = int(args["rate"])
            if "fixed" in args:
                self.shared.cells[2] = int(args["fixed"])
        self._send(200, json.dumps(self.shared.stats()).encode())

    def _send(self, status: int, body: bytes, extra: str = "") -> None:
        if self.transport is None:
            return
        reason = {200: "OK", 429: "Too Many Requests"}[status]
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(body)}"
        self.transport.write(f"{head}\r\n\r\n".encode() + body)
        if getattr(self, "close", False):
            self.transport.close()


def file_names(beginning: bytes) -> list[str]:
    """The file names that an upload's metadata lists."""
    at = beginning.find(METADATA)
    if at < 0:
        return []
    metadata, _ = json.JSONDecoder().raw_decode(beginning[at + len(METADATA) :].decode("utf-8", "replace"))
    return list(metadata.get("documents", ()))


def serve(opts: argparse.Namespace, shared: Shared, worker: int) -> None:
    loop = event_loop()
    asyncio.set_event_loop(loop)
    sock = listening(opts)
    loop.run_until_complete(loop.create_server(lambda: Sink(shared, worker, opts.verify, loop), sock=sock, backlog=512))
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, loop.stop)
    if worker == 0:
        print(f"sink ready on {opts.host}:{opts.port}", flush=True)
    loop.run_forever()


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=9100)
    p.add_argument("--latency-ms", type=float, default=0)
    p.add_argument("--rate", type=int, default=0)
    p.add_argument("--mode", choices=("sliding", "fixed"), default="sliding")
    p.add_argument("--verify", action="store_true")
    p.add_argument("--workers", type=int, default=1)
    opts = p.parse_args()
    shared = Shared(opts.workers)
    shared.cells[0], shared.cells[1], shared.cells[2] = int(opts.latency_ms * 1000), opts.rate, opts.mode == "fixed"
    kept = listening(opts)
    kids = []
    for w in range(1, opts.workers):
        pid = os.fork()
        if not pid:
            serve(opts, shared, w)
            os._exit(0)
        kids.append(pid)
    try:
        serve(opts, shared, 0)
    finally:
        kept.close()
        for pid in kids:
            os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    main()
