"""What the fake S3 answers: lists, heads and gets over a catalogue."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from programs.benchmarks.catalogue import OP, Bodies, Catalogue, Row, Shared, url_key

__all__ = ["Service", "header"]

Answer = tuple[bytes, Iterable[Any]]  # the head, and the body's pieces

_BUCKETS = (
    b"<ListAllMyBucketsResult><Owner><ID>x</ID></Owner><Buckets><Bucket><Name>bucket</Name>"
    b"<CreationDate>2025-01-01T00:00:00.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>"
)
_XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclass
class Listing:
    """One list request, and what has been found for it."""

    prefix: str
    delimiter: str
    limit: int
    url: bool
    end: int  # positions, in the catalogue
    pos: int
    body: list[bytes] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    count: int = 0
    last: str = ""

    @property
    def more(self) -> bool:
        return self.pos < self.end and self.count > 0

    def encode(self, text: str) -> str:
        return url_key(text) if self.url else escape(text)

    def fill(self, catalogue: Catalogue) -> None:
        """Find the page."""
        if self.delimiter:
            while self.pos < self.end and self.count < self.limit:
                self._step(catalogue)
            return
        stop = min(self.end, self.pos + self.limit)
        self.count = max(0, stop - self.pos)
        self.body = catalogue.render(self.pos, stop, self.url)
        if self.count:
            self.last, self.pos = catalogue.key(stop - 1), stop

    def _step(self, catalogue: Catalogue) -> None:
        """Take the next common prefix, or the next keys that are in none."""
        key, cut = catalogue.key(self.pos), -1
        cut = key.find(self.delimiter, len(self.prefix))
        self.count += 1
        if cut >= 0:
            self.last = key[: cut + len(self.delimiter)]
            self.groups.append(f"<CommonPrefixes><Prefix>{self.encode(self.last)}</Prefix></CommonPrefixes>")
            self.pos = catalogue.prefix_end(self.last)
            return
        stop = self.pos + 1
        while stop < self.end and self.count < self.limit:
            if self.delimiter in catalogue.key(stop)[len(self.prefix) :]:
                break
            stop, self.count = stop + 1, self.count + 1
        self.body += catalogue.render(self.pos, stop, self.url)
        self.last, self.pos = catalogue.key(stop - 1), stop


class Service:
    """What a worker knows; a connection asks it for a response."""

    def __init__(self, opts: Any, shared: Shared, worker: int) -> None:
        self.opts, self.shared, self.count = opts, shared, shared.counters(worker)
        self.bodies = Bodies()
        self.catalogues: dict[int, Catalogue] = {}
        self.failures = 0
        self.catalogue()

    def catalogue(self) -> Catalogue:
        gen = self.shared.get("gen")
        if gen not in self.catalogues:
            self.catalogues[gen] = Catalogue(self.opts, self.bodies, gen)
        return self.catalogues[gen]

    def respond(self, method: str, target: str, headers: bytes) -> Answer:
        """(head, pieces): the response's head and an iterable of its body's pieces."""
        path, _, query = target.partition("?")
        if path.startswith("/_fakes3/"):
            return self._admin(path, query)
        fail_every = self.shared.get("fail_every")
        if fail_every:
            self.failures += 1
            if self.failures % fail_every == 0:
                self.count[OP["Fault"]] += 1
                return self._error(503, "SlowDown", "Please reduce your request rate.")
        args = dict(parse_qsl(query, keep_blank_values=True))
        bucket, _, key = path[1:].partition("/")
        if key:
            return self._object(method, unquote(key), headers)
        return self._bucket(method, unquote(bucket), args)

    def _bucket(self, method: str, bucket: str, args: dict[str, str]) -> Answer:
        if method == "HEAD":
            return self._reply("HeadBucket", b"", extra="x-amz-bucket-region: us-east-1\r\n")
        if method != "GET" or args.keys() & {"versions", "uploads", "acl", "policy", "lifecycle", "tagging"}:
            self.count[OP["Other"]] += 1
            return self._error(501, "NotImplemented", "not faked")
        if not bucket:
            return self._reply("ListBuckets", _BUCKETS)
        if "location" in args:
            return self._reply("GetBucketLocation", f"<LocationConstraint {_XMLNS}/>".encode())
        if "versioning" in args:
            return self._reply("GetBucketVersioning", f"<VersioningConfiguration {_XMLNS}/>".encode())
        return self._list(bucket, args)

    def _list(self, bucket: str, args: dict[str, str]) -> Answer:
        v2 = args.get("list-type") == "2"
        token = args.get("continuation-token", "")
        after = base64.urlsafe_b64decode(token).decode() if token else args.get("start-after" if v2 else "marker", "")
        cat, prefix, delimiter = self.catalogue(), args.get("prefix", ""), args.get("delimiter", "")
        page = Listing(
            prefix=prefix, delimiter=delimiter, limit=min(int(args.get("max-keys", 1000)), 1000),
            url=args.get("encoding-type") == "url", end=cat.prefix_end(prefix) if prefix else cat.total,
            pos=cat.bisect(prefix, False) if prefix else 0,
        )  # fmt: skip
        if after:
            page.pos = max(page.pos, cat.bisect(after, True))
            if delimiter and after.endswith(delimiter) and after.startswith(prefix):
                page.pos = max(page.pos, cat.prefix_end(after))  # the token was a common prefix
        page.fill(cat)
        self.count[OP["keys_listed"]] += page.count
        head = [
            f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {_XMLNS}>',
            f"<Name>{escape(bucket)}</Name><Prefix>{page.encode(prefix)}</Prefix>",
            *(_v2(page, args) if v2 else _v1(page, args)),
            f"<MaxKeys>{page.limit}</MaxKeys>",
            f"<Delimiter>{page.encode(delimiter)}</Delimiter>" if delimiter else "",
            "<EncodingType>url</EncodingType>" if page.url else "",
            f"<IsTruncated>{'true' if page.more else 'false'}</IsTruncated>",
        ]
        tail = "".join(page.groups) + "</ListBucketResult>"
        name = "ListObjectsV2" if v2 else "ListObjects"
        return self._reply(name, "".join(head).encode(), *page.body, tail.encode())

    def _object(self, method: str, key: str, headers: bytes) -> Answer:
        if method not in ("GET", "HEAD"):
            self.count[OP["Other"]] += 1
            return self._error(501, "NotImplemented", method)
        only_head = method == "HEAD"
        self.count[OP["HeadObject" if only_head else "GetObject"]] += 1
        found = self.catalogue().find(key)
        if not found:
            return self._error(404, "NoSuchKey", "The specified key does not exist.", head_only=only_head)
        block, row = found
        etag = self.catalogue().etag(block, row)
        refusal = self._precondition(etag, headers.lower(), only_head)
        return refusal or self._content(block, row, etag, headers.lower(), only_head)

    def _precondition(self, etag: str, low: bytes, only_head: bool) -> Answer | None:
        match, none = header(low, b"if-match"), header(low, b"if-none-match")
        if match and match.strip('"') not in (etag, "*"):
            return self._error(412, "PreconditionFailed", "A precondition did not hold.", head_only=only_head)
        if none and none.strip('"') in (etag, "*"):
            return f'HTTP/1.1 304 Not Modified\r\nETag: "{etag}"\r\n\r\n'.encode(), ()
        return None

    def _content(self, block: int, row: Row, etag: str, low: bytes, only_head: bool) -> Answer:
        start, end, status, extra = 0, row.size, "200 OK", ""
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", header(low, b"range") or "")
        if wanted and row.size and (wanted[1] or wanted[2]):
            start, end = _span(wanted, row.size)
            if start >= row.size:
                return self._error(416, "InvalidRange", "The requested range is not satisfiable")
            status, extra = "206 Partial Content", f"Content-Range: bytes {start}-{end - 1}/{row.size}\r\n"
        head = (
            f'HTTP/1.1 {status}\r\nServer: AmazonS3\r\nx-amz-request-id: FAKES3\r\nETag: "{etag}"\r\n'
            f"Last-Modified: {formatdate(row.modified, usegmt=True)}\r\nAccept-Ranges: bytes\r\n{extra}"
            f"Content-Type: {self.opts.content_type}\r\nContent-Length: {end - start}\r\n\r\n"
        ).encode()
        if only_head:
            return head, ()
        self.count[OP["bytes_out"]] += end - start
        return head, self.bodies.pieces(self.catalogue().stamp(block, row), start, end)

    def _reply(self, op: str, *pieces: bytes, extra: str = "") -> Answer:
        self.count[OP[op]] += 1
        size = sum(map(len, pieces))
        self.count[OP["bytes_out"]] += size
        head = (
            "HTTP/1.1 200 OK\r\nServer: AmazonS3\r\nx-amz-request-id: FAKES3\r\nContent-Type: application/xml\r\n"
            f"{extra}Content-Length: {size}\r\n\r\n"
        )
        return head.encode(), pieces

    def _error(self, status: int, code: str, message: str, *, head_only: bool = False) -> Answer:
        text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>FAKES3</RequestId></Error>"
        body = b"" if head_only else f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
        head = (
            f"HTTP/1.1 {status} {code}\r\nServer: AmazonS3\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode(), (body,)

    def _admin(self, path: str, query: str) -> Answer:
        name, args = path.rsplit("/", 1)[1], dict(parse_qsl(query))
        if name == "reset":
            self.shared.reset()
        elif name == "set":
            if "latency_ms" in args:
                self.shared.set("latency_us", int(float(args["latency_ms"]) * 1000))
            for setting in ("gen", "fail_every"):
                if setting in args:
                    self.shared.set(setting, int(args[setting]))
        body = json.dumps(self.shared.stats() if name == "stats" else {"ok": True}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body), (body,)


def _v2(page: Listing, args: dict[str, str]) -> list[str]:
    after, token = args.get("start-after"), args.get("continuation-token")
    following = base64.urlsafe_b64encode(page.last.encode()).decode()
    return [
        f"<StartAfter>{page.encode(after)}</StartAfter>" if after else "",
        f"<ContinuationToken>{token}</ContinuationToken>" if token else "",
        f"<NextContinuationToken>{following}</NextContinuationToken>" if page.more else "",
        f"<KeyCount>{page.count}</KeyCount>",
    ]


def _v1(page: Listing, args: dict[str, str]) -> list[str]:
    following = f"<NextMarker>{page.encode(page.last)}</NextMarker>" if page.more and page.delimiter else ""
    return [f"<Marker>{page.encode(args.get('marker', ''))}</Marker>", following]


def _span(wanted: re.Match[str], size: int) -> tuple[int, int]:
    """The bytes [start, end) that a range asks for."""
    if not wanted[1]:
        return max(0, size - int(wanted[2])), size
    return int(wanted[1]), min(size, int(wanted[2]) + 1) if wanted[2] else size


def header(low: bytes, name: bytes) -> str | None:
    """A header's value in a lower-cased head (values we compare are hex, numbers and quotes)."""
    at = low.find(b"\r\n" + name + b":")
    if at < 0:
        return None
    at += len(name) + 3
    return low[at : low.find(b"\r\n", at)].strip().decode("latin-1")
