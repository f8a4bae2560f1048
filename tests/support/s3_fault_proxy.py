"""A proxy between boto3 and an S3 server that fails on purpose: scriptable, seeded, and it writes down what passed.

It speaks the reading half of S3 only (listing, GET, HEAD); tests write to the server behind it directly. A request
meets at most one fault, the first whose turn it is.
"""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["S3Fault", "S3FaultProxy"]

_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>asked for</Message></Error>'
_EMPTY_LIST = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Name>{bucket}</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>"
    "<IsTruncated>false</IsTruncated></ListBucketResult>"
)
_PAGE = b"<html><head><title>Gateway</title></head><body>no S3 here</body></html>"


@dataclass
class S3Fault:
    """One thing that goes wrong. It lets ``skip`` matching requests pass and meets the next ``times`` (None: all).

    ``kind``: error (``status``, ``code``), truncate (the connection ends in the body), short (a whole answer with fewer
    bytes), corrupt (other bytes, same length), slow (``delay`` seconds), reset_before, reset_after, etag (another ETag
    in the answer), ignore_if_match, empty_list, half_list (as if the listing ended in this page's middle),
    cut_list (the same, and the page's KeyCount tells), html (a web page with status 200).
    """

    kind: str
    operation: str = "GetObject"  # ListObjectsV2, GetObject, HeadObject or *
    key: str = ""  # part of the key, or of a listing's prefix
    times: int | None = 1
    skip: int = 0
    status: int = 503
    code: str = "SlowDown"
    delay: float = 0.0
    seen: int = 0
    fired: int = 0

    def meets(self, operation: str, key: str) -> bool:
        if self.operation not in ("*", operation) or self.key not in key:
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.seen += 1
        if self.seen <= self.skip:
            return False
        self.fired += 1
        return True


@dataclass
class S3FaultProxy:
    """Listens on a port of its own while it is entered. ``requests`` is (operation, key) in order of arrival."""

    upstream: str  # http://host:port
    seed: int = 0
    faults: list[S3Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def __enter__(self) -> S3FaultProxy:
        self._lock = threading.Lock()
        self._random = random.Random(self.seed)
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reset(self, seed: int = 0) -> None:
        """Forget faults and requests."""
        with self._lock:
            self.faults.clear()
            self.requests.clear()
            self._random.seed(seed)

    def add(self, *faults: S3Fault) -> None:
        with self._lock:
            self.faults.extend(faults)

    @contextmanager
    def failing(self, *faults: S3Fault) -> Iterator[None]:
        """The faults hold for the block."""
        self.add(*faults)
        try:
            yield
        finally:
            with self._lock:
                self.faults = [fault for fault in self.faults if fault not in faults]

    def count(self, operation: str, key: str = "") -> int:
        return sum(1 for what, which in self.requests if what == operation and key in which)

    def plan(self, operation: str, key: str) -> S3Fault | None:
        with self._lock:
            self.requests.append((operation, key))
            return next((fault for fault in self.faults if fault.meets(operation, key)), None)

    def corrupted(self, body: bytes) -> bytes:
        if not body:
            return body
        with self._lock:
            at = self._random.randrange(len(body))
        return body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    owner: S3FaultProxy
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    _connection: http.client.HTTPConnection | None = None

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def _serve(self) -> None:
        operation, key = _meaning(self.command, self.path)
        fault = self.owner.plan(operation, key)
        kind = fault.kind if fault else ""
        if fault is not None and fault.delay:
            time.sleep(fault.delay)
        if fault is not None and kind == "error":
            body = _ERROR.format(code=fault.code).encode()
            self._answer(fault.status, {"Content-Type": "application/xml"}, body)
            return
        if kind == "reset_before":
            self._reset()
            return
        status, headers, body = self._forward(drop_if_match=kind == "ignore_if_match")
        if kind == "reset_after":
            self._reset()
            return
        headers, body = self._changed(kind, headers, body)
        if kind == "truncate":
            self._answer(status, {**headers, "Content-Length": str(len(body))}, body[: len(body) // 2], cut=True)
            return
        self._answer(status, headers, body)

    def _changed(self, kind: str, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
        if kind == "corrupt":
            body = self.owner.corrupted(body)
        elif kind == "short":
            body = body[:-1]
        elif kind == "etag":
            headers = {**headers, "ETag": '"00000000000000000000000000000000"'}
        elif kind == "empty_list":
            body = _EMPTY_LIST.format(bucket=urlsplit(self.path).path.strip("/")).encode()
        elif kind in ("half_list", "cut_list"):
            body = _half(body, fix_count=kind == "half_list")
        elif kind == "html":
            headers, body = {"Content-Type": "text/html"}, _PAGE
        return headers, body

    def _forward(self, *, drop_if_match: bool) -> tuple[int, dict[str, str], bytes]:
        if self._connection is None:
            parts = urlsplit(self.owner.upstream)
            self._connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
        headers = {
            name: value
            for name, value in self.headers.items()
            if not (drop_if_match and name.lower() == "if-match") and name.lower() != "accept-encoding"
        }
        self._connection.request(self.command, self.path, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        kept = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "date", "server", "content-length")
        }
        if self.command == "HEAD":
            kept["Content-Length"] = answer.getheader("Content-Length", "0")
        return answer.status, kept, body

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
        if cut:
            self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


def _meaning(method: str, path: str) -> tuple[str, str]:
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    if "list-type" in query:
        return "ListObjectsV2", query.get("prefix", [""])[0]
    key = unquote(parts.path.lstrip("/").partition("/")[2])
    return ("HeadObject" if method == "HEAD" else "GetObject"), key


def _half(body: bytes, *, fix_count: bool) -> bytes:
    """A listing without its second half, said to be the end."""
    entries = re.findall(rb"<Contents>.*?</Contents>", body, re.DOTALL)
    kept = len(entries) // 2
    for entry in entries[kept:]:
        body = body.replace(entry, b"", 1)
    if fix_count:
        body = re.sub(rb"<KeyCount>\d+</KeyCount>", b"<KeyCount>%d</KeyCount>" % kept, body)
    body = re.sub(rb"<IsTruncated>true</IsTruncated>", b"<IsTruncated>false</IsTruncated>", body)
    return re.sub(rb"<NextContinuationToken>.*?</NextContinuationToken>", b"", body)
