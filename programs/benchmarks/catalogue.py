"""The keys that the fake S3 lists: one template of a thousand rows stands for every block of a bucket of any size."""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import hashlib
import mmap
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

__all__ = ["CHUNK", "OP", "OPS", "SETTINGS", "Bodies", "Catalogue", "Row", "Shared", "parse_size", "url_key"]

ROWS = 1000  # base rows in a block
MARK = b"\x00BLOCK\x00"  # seven bytes: where a block's number goes
CHUNK = 256 * 1024  # one write of a body
OPS = [
    "ListObjectsV2",
    "ListObjects",
    "ListBuckets",
    "HeadBucket",
    "GetBucketLocation",
    "GetBucketVersioning",
    "HeadObject",
    "GetObject",
    "Other",
    "Fault",
    "bytes_out",
    "keys_listed",
    "connections",
]
OP = {name: i for i, name in enumerate(OPS)}
SETTINGS = ("gen", "latency_us", "fail_every")


def parse_size(text: str) -> int:
    """'20', '10k', '1m', '1.5M' -> bytes (powers of 1024)."""
    m = re.fullmatch(r"([\d.]+)\s*([kKmMgG]?)[iI]?[bB]?", text.strip())
    if not m:
        raise argparse.ArgumentTypeError(f"not a size: {text!r}")
    return int(float(m[1]) * {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[m[2].lower()])


def url_key(key: str) -> str:
    """A key under encoding-type=url."""
    return quote(key, safe="/-_.~")


class Shared:
    """Counters (a row for each worker, so no lock) and settings, in memory that forked workers share."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        n = len(SETTINGS) + len(OPS) * workers
        self.cells = memoryview(mmap.mmap(-1, max(4096, n * 8))).cast("Q")

    def get(self, name: str) -> int:
        return self.cells[SETTINGS.index(name)]

    def set(self, name: str, value: int) -> None:
        self.cells[SETTINGS.index(name)] = value

    def counters(self, worker: int) -> memoryview:
        at = len(SETTINGS) + worker * len(OPS)
        return self.cells[at : at + len(OPS)]

    def stats(self) -> dict[str, int]:
        rows = [self.counters(w) for w in range(self.workers)]
        out = {name: sum(r[i] for r in rows) for i, name in enumerate(OPS)}
        out["requests"] = sum(out[name] for name in OPS[: OP["Other"] + 1])
        return {k: v for k, v in out.items() if v}

    def reset(self) -> None:
        for i in range(len(SETTINGS), len(SETTINGS) + len(OPS) * self.workers):
            self.cells[i] = 0


class Bodies:
    """Printable bodies: a stamp of 20 bytes naming key and generation (shorter ones may coincide), then a pattern."""

    STAMP = 20

    def __init__(self) -> None:
        self.pattern = memoryview(base64.b64encode(random.Random(0).randbytes(786432))).toreadonly()

    def stamp(self, block: int, row: int, gen: int) -> bytes:
        return b"%07d/%04d g%05d\n " % (block, row, gen)

    def pieces(self, stamp: bytes, start: int, end: int) -> Iterator[Any]:
        """The body's bytes [start, end) as views no longer than CHUNK."""
        if start < len(stamp) and start < end:
            stop = min(end, len(stamp))
            yield stamp[start:stop]
            start = stop
        period = len(self.pattern)
        while start < end:
            at = start % period
            n = min(CHUNK, end - start, period - at)
            yield self.pattern[at : at + n]
            start += n

    def md5(self, stamp: bytes, size: int) -> str:
        h = hashlib.md5(usedforsecurity=False)
        for piece in self.pieces(stamp, 0, size):
            h.update(piece)
        return h.hexdigest()


@dataclass(slots=True)
class Row:
    """A row of the template."""

    name: str
    row: int
    gen: int
    size: int
    etag: str
    modified: int


class Catalogue:
    """The keys of one generation: a thousand-row template standing for every block."""

    def __init__(self, opts: Any, bodies: Bodies, gen: int) -> None:
        self.root, self.gen, self.bodies = opts.root, gen, bodies
        self.unique = opts.etag != "md5"
        self.parts = "-3" if opts.etag == "parts" else ""
        self.rows = list(self._rows(opts, bodies, gen))
        self.rows.sort(key=lambda r: r.name.encode())
        self.names = [r.name for r in self.rows]
        self.index = {r.name: i for i, r in enumerate(self.rows)}
        blocks, rest = divmod(opts.keys, ROWS)
        self.total = blocks * len(self.rows) + sum(1 for r in self.rows if r.row < rest)
        self.plain = self._template(url=False)
        self.url = self._template(url=True)

    def _rows(self, opts: Any, bodies: Bodies, gen: int) -> Iterator[Row]:
        sizes = [parse_size(s) for s in opts.size.split(",")]
        self.variants = max(1, min(ROWS, (64 << 20) // max(1, max(sizes))))
        md5s: dict[tuple[bytes, int], str] = {}
        for j in range(ROWS):
            changed = gen and opts.change_every and j % opts.change_every == 0
            if gen and opts.delete_every and j % opts.delete_every == 1:
                continue
            added = gen and opts.add_every and j % opts.add_every == 2
            for suffix, g in [(opts.suffix, gen if changed else 0)] + ([(opts.suffix + ".new", gen)] if added else []):
                name, size = f"{j:03d}{suffix}", sizes[j % len(sizes)]
                if self.unique:
                    digits = hashlib.md5(f"{name} {g}".encode(), usedforsecurity=False).hexdigest()
                    etag = digits[:12] + MARK.decode() + digits[19:] + self.parts
                else:
                    stamp = bodies.stamp(0, j % self.variants, g)
                    if (stamp, size) not in md5s:
                        md5s[stamp, size] = bodies.md5(stamp, size)
                    etag = md5s[stamp, size]
                yield Row(name, j, g, size, etag, 1735689600 + j * 61 + g * 86400)  # 2025-01-01 and on

    def _template(self, url: bool) -> tuple[bytes, list[int]]:
        mark, parts, offsets = MARK.decode(), [], [0]
        for r in self.rows:
            enc = url_key if url else escape
            key = f"{enc(self.root)}{mark}/{enc(r.name)}"
            when = dt.datetime.fromtimestamp(r.modified, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            parts.append(
                f"<Contents><Key>{key}</Key><LastModified>{when}</LastModified><ETag>&quot;{r.etag}&quot;</ETag>"
                f"<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
                f"<Size>{r.size}</Size><StorageClass>STANDARD</StorageClass></Contents>".encode()
            )
            offsets.append(offsets[-1] + len(parts[-1]))
        return b"".join(parts), offsets

    def key(self, pos: int) -> str:
        block, row = divmod(pos, len(self.rows))
        return f"{self.root}{block:07d}/{self.names[row]}"

    def bisect(self, text: str, after: bool) -> int:
        """The first position whose key is >= text (> text when ``after``)."""
        want, lo, hi = text.encode(), 0, self.total
        while lo < hi:
            mid = (lo + hi) // 2
            got = self.key(mid).encode()
            if got < want or (after and got == want):
                lo = mid + 1
            else:
                hi = mid
        return lo

    def prefix_end(self, prefix: str) -> int:
        """The first position after every key that starts with ``prefix``."""
        want, lo, hi = prefix.encode(), 0, self.total
        while lo < hi:
            mid = (lo + hi) // 2
            if self.key(mid).encode()[: len(want)] <= want:
                lo = mid + 1
            else:
                hi = mid
        return lo

    def render(self, start: int, end: int, url: bool) -> list[bytes]:
        template, offsets = self.url if url else self.plain
        out, n = [], len(self.rows)
        while start < end:
            block, first = divmod(start, n)
            last = min(n, first + end - start)
            out.append(template[offsets[first] : offsets[last]].replace(MARK, b"%07d" % block))
            start += last - first
        return out

    def etag(self, block: int, row: Row) -> str:
        return row.etag.replace(MARK.decode(), f"{block:07d}") if self.unique else row.etag

    def stamp(self, block: int, row: Row) -> bytes:
        """What a body begins with."""
        if self.unique:
            return self.bodies.stamp(block, row.row, row.gen)
        return self.bodies.stamp(0, row.row % self.variants, row.gen)

    def find(self, key: str) -> tuple[int, Row] | None:
        """(block, Row) of a key, or None."""
        rest = key[len(self.root) :] if key.startswith(self.root) else ""
        if len(rest) < 8 or rest[7] != "/" or not rest[:7].isdigit():
            return None
        block, i = int(rest[:7]), self.index.get(rest[8:])
        if i is None or block * len(self.rows) + i >= self.total:
            return None
        return block, self.rows[i]
