"""CloudIndex as far as an upload benchmark needs it: takes multipart uploads, drops the bytes, answers with documents.

    python -m programs.benchmarks.receiver --port 9200 --latency-ms 0

File names are taken from the request's ``metadata`` field, which comes first, so the bytes of the files are never
searched. A body without that field (the bare comparison's) gets an answer without documents. Bodies have a
Content-Length.

    GET  /_receiver/stats   requests, bytes, documents
    POST /_receiver/reset
    POST /_receiver/set?latency_ms=50
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import signal
import sys
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from programs.benchmarks.fakes3 import event_loop, listening

READ = 1 << 20
KEPT = 1 << 16  # bytes of a body's beginning, in which the metadata of 20 files has room
_METADATA = b'name="metadata"\r\n\r\n'


class Receiver(asyncio.BufferedProtocol):
    """One buffer a process: what is read is dropped at once, but for a body's beginning."""

    buffer = memoryview(bytearray(READ))
    stats: ClassVar[dict[str, int]] = {"requests": 0, "bytes": 0, "documents": 0}
    ids = itertools.count(1)
    latency = 0.0  # seconds before an answer

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.head, self.kept = b"", bytearray()
        self.left: int | None = None  # bytes of the body that are still to come; None: in a head
        self.length = 0
        self.line = ""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, _exc: object) -> None:
        self.transport = None

    def get_buffer(self, _hint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        data = self.buffer[:count]
        if self.left is None:
            self.head += bytes(data)
            cut = self.head.find(b"\r\n\r\n")
            if cut < 0:
                return
            data, head = memoryview(self.head)[cut + 4 :], self.head[:cut]
            self.head = b""
            self.line = head.split(b"\r\n", 1)[0].decode("latin-1")
            found = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
            self.left = self.length = int(found[1]) if found else 0
            self.kept.clear()
        if len(self.kept) < KEPT:
            self.kept += data[: KEPT - len(self.kept)]
        self.left -= len(data)
        if self.left <= 0:
            self.left = None
            self._answer()

    def _answer(self) -> None:
        target = self.line.split(" ")[1]
        if target.startswith("/_receiver/"):
            self._send(self._admin(target))
            return
        names = _names(bytes(self.kept))
        self.stats["requests"] += 1
        self.stats["bytes"] += self.length
        self.stats["documents"] += len(names)
        documents = [{"id": f"{next(self.ids):032x}", "fileName": name, "status": "pending"} for name in names]
        answer = {"success": True, "documents": documents}
        if self.latency:
            self.loop.call_later(self.latency, self._send, answer)
        else:
            self._send(answer)

    def _admin(self, target: str) -> dict[str, int]:
        path, _, query = target.partition("?")
        if path.endswith("/reset"):
            self.stats.update(dict.fromkeys(self.stats, 0))
        for name, value in parse_qsl(query):
            if name == "latency_ms":
                type(self).latency = float(value) / 1000
        return self.stats

    def _send(self, answer: dict[str, Any]) -> None:
        if self.transport is None:
            return
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


def _names(beginning: bytes) -> list[str]:
    """The file names that a request's metadata lists."""
    at = beginning.find(_METADATA)
    if at < 0:
        return []
    metadata, _ = json.JSONDecoder().raw_decode(beginning[at + len(_METADATA) :].decode("utf-8", "replace"))
    return list(metadata["documents"])


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=9200)
    p.add_argument("--latency-ms", type=float, default=0)
    opts = p.parse_args()
    Receiver.latency = opts.latency_ms / 1000
    loop = event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(loop.create_server(lambda: Receiver(loop), sock=listening(opts), backlog=512))
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, loop.stop)
    print(f"receiver ready on {opts.host}:{opts.port}", flush=True)
    loop.run_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
