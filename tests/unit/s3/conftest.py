"""A client of boto3 whose S3 is one prepared answer, and a page of a listing as servers write it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config

Entry = tuple[str, str, int]  # key, ETag without quotes, size


class _Raw(io.BytesIO):
    def stream(self) -> Any:
        yield self.read()


@dataclass
class Answers:
    """What the client's next requests are answered with."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, self.status, self.headers, _Raw(self.body))


@pytest.fixture(scope="session")
def make_client() -> Callable[[], tuple[Any, Answers]]:
    """A new client and its answers; nothing goes to a network."""

    def make() -> tuple[Any, Answers]:
        once = Config(retries={"total_max_attempts": 1})
        client = boto3.client(
            "s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y", config=once
        )
        answers = Answers()
        client.meta.events.register("before-send.s3.*", answers)
        return client, answers

    return make


@dataclass(frozen=True)
class Server:
    """How a server writes a page."""

    url: bool = True  # honours encoding-type=url
    quote: str = "&quot;"  # around ETags
    fraction: str = ".000"
    space: str = ""  # between elements
    before: str = ""  # of a row, before its size: checksums
    after: str = ""  # the size
    storage_class: str | None = "STANDARD"
    last: str = ""  # elements of a row
    generation: str = ""
    key_count: bool = True
    declaration: str = '<?xml version="1.0" encoding="UTF-8"?>\n'
    namespace: str = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

    def page(self, entries: list[Entry], *, token: str = "") -> bytes:
        """The page's XML."""
        leaves = [("Name", "docs"), ("Prefix", ""), ("MaxKeys", "1000")]
        leaves += [("KeyCount", str(len(entries)))] if self.key_count else []
        leaves += [("EncodingType", "url")] if self.url else []
        leaves += [("IsTruncated", "true"), ("NextContinuationToken", token)] if token else [("IsTruncated", "false")]
        head = self.space.join(f"<{name}>{value}</{name}>" for name, value in leaves)
        rows = self.space.join(self._row(entry) for entry in entries)
        text = f"<ListBucketResult{self.namespace}>{self.space}{head}{self.space}{rows}{self.space}</ListBucketResult>"
        return (self.declaration + text).encode("utf-8", "surrogatepass")

    def _row(self, entry: Entry) -> str:
        key, etag, size = entry
        name = quote_plus(key, safe="/") if self.url else escape(key)
        parts = [
            f"<Key>{name}</Key>", self.generation, f"<LastModified>2026-01-02T03:04:05{self.fraction}Z</LastModified>",
            f"<ETag>{self.quote}{etag}{self.quote}</ETag>", self.before, f"<Size>{size}</Size>", self.after,
            f"<StorageClass>{self.storage_class}</StorageClass>" if self.storage_class is not None else "", self.last,
        ]  # fmt: skip
        return f"<Contents>{self.space}{self.space.join(part for part in parts if part)}{self.space}</Contents>"


_OWNER = "<Owner><ID>x</ID><DisplayName>An Owner</DisplayName></Owner>"
SERVERS = {
    "s3": Server(before="<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"),
    "s3 without checksums": Server(),
    "s3 with two checksums, owner and restore": Server(
        before="<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumAlgorithm>SHA256</ChecksumAlgorithm>",
        after=_OWNER + "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>"
        "<RestoreExpiryDate>2026-02-03T00:00:00.000Z</RestoreExpiryDate></RestoreStatus>",
        storage_class="GLACIER",
    ),
    "minio": Server(fraction=".123", after=_OWNER, declaration='<?xml version="1.0" encoding="UTF-8"?>'),
    "ceph": Server(last=_OWNER + "<Type>Normal</Type>"),
    "r2": Server(quote='"', fraction=".45"),
    "gcs": Server(
        quote='"', storage_class=None, key_count=False, space="\n",
        generation="<Generation>1</Generation><MetaGeneration>1</MetaGeneration>", declaration="<?xml version='1.0'?>",
    ),
    "moto": Server(space="\n    ", fraction="", namespace=""),
    "unquoted etags, no url": Server(url=False, quote="", fraction=""),
    "numbered quotes": Server(url=False, quote="&#34;"),
}  # fmt: skip


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the servers that the fast path knows."""
    return SERVERS[request.param]
