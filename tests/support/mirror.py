"""A sync under test with everything around it, and the one question that matters: do S3, state and index agree?"""

from __future__ import annotations

import hashlib
import itertools
import ssl
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import httpx
import sqlalchemy as sa
from botocore.config import Config

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.errors import CloudIndexError, SyncError
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.local.service import Request
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state import sources
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.selection import selector
from cloudindex_provider.sync.settings import Limits, SyncSettings

__all__ = ["DisagreementError", "Mirror", "s3_client", "sqs_client"]

_BUCKETS = itertools.count(1)
_TLS = ssl.create_default_context()  # one for all clients: loading the certificates takes 30 ms, and none is needed
_REAL_WAIT = 0.08  # seconds; longer than what comes late in these tests


def s3_client(url: str, **config: Any) -> Any:
    """A boto3 client for a test server, without retries of its own."""
    return _client("s3", url, **config)


def sqs_client(url: str) -> Any:
    """The same for the server's queues."""
    return _client("sqs", url)


def _client(service: str, url: str, **config: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            retries={"total_max_attempts": 1}, max_pool_connections=64, connect_timeout=10, read_timeout=10, **config
        ),
    )


class DisagreementError(AssertionError):
    """S3, state and index differ; every difference in one line."""


@dataclass
class Mirror:
    """One bucket, one project, one state. ``s3`` writes past every fault; ``reader`` is what the sync reads with."""

    folder: Path
    cloud: LocalCloudIndex
    s3: Any
    reader: Any
    bucket: str = field(default_factory=lambda: f"bucket-{next(_BUCKETS)}")
    prefix: str = "docs/"
    project_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    defaults: dict[str, Any] = field(default_factory=dict)  # settings of every run
    request_timeout: float = 0.3
    doubt_grace: float = 0.2
    lease: float = 5.0
    db: Any = None
    client: Any = None
    runs: int = 0
    attempts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.project_id not in self.cloud.settings.projects:
            self.cloud.settings.projects.append(self.project_id)
        self.s3.create_bucket(Bucket=self.bucket)
        self.db = self.db or Database(f"sqlite:///{self.folder}/{self.bucket}.db")
        self.client = self.client or self.new_client()

    def close(self) -> None:
        self.client.close()
        self.db.close()

    def new_client(self, **options: Any) -> CloudIndexClient:
        options = {"read_timeout": max(self.request_timeout, 2.0), "max_wait": 0.0, **options}
        options.setdefault("transport", httpx.HTTPTransport(verify=_TLS))
        return CloudIndexClient(self.cloud.url, self.cloud.api_key, project_id=self.project_id, **options)

    # What S3 has

    def put(self, key: str, body: bytes | str = b"text", **more: Any) -> str:
        """Write an object under the prefix; gives its whole key."""
        data = body.encode() if isinstance(body, str) else body
        self.s3.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data, **more)
        return self.prefix + key

    def put_in_parts(self, key: str, body: bytes, size: int = 5 << 20) -> str:
        """Write an object by a multipart upload, whose ETag is no MD5."""
        where = {"Bucket": self.bucket, "Key": self.prefix + key}
        upload = self.s3.create_multipart_upload(**where)["UploadId"]
        parts = []
        for number, start in enumerate(range(0, len(body), size), 1):
            answer = self.s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=body[start : start + size])
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
        return self.prefix + key

    def put_many(self, number: int, *, start: int = 0) -> list[str]:
        return [self.put(f"{i:04d}.txt", f"document number {i}") for i in range(start, start + number)]

    def remove(self, *keys: str) -> None:
        for key in keys:
            self.s3.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def objects(self, prefix: str | None = None) -> dict[str, tuple[str, int, str]]:
        """key -> (ETag, size, storage class) of everything under the prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix if prefix is None else prefix
        )
        return {
            item["Key"]: (item["ETag"].strip('"'), item["Size"], item.get("StorageClass", "STANDARD"))
            for page in pages
            for item in page.get("Contents", ())
        }

    def body(self, key: str) -> bytes:
        data: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

    # Runs

    def settings(self, **changes: Any) -> SyncSettings:
        values = {**self.defaults, **changes}
        limits = {name: values.pop(name) for name in list(values) if name in Limits.__dataclass_fields__}
        values.setdefault("limits", replace(values.get("limits", Limits(upload_tasks=1)), **limits))
        return SyncSettings(
            **{"project_id": self.project_id, "bucket": self.bucket, "prefix": self.prefix, **values}
        ).validate()

    def context(
        self, name: str | None = None, *, dag: str = "dag", client: Any = None, db: Any = None, **changes: Any
    ) -> SyncContext:
        """A context of a new run, or of the next try of the named one."""
        if name is None:
            self.runs += 1
            name = f"run{self.runs}"
        self.attempts[name] += 1
        settings = self.settings(**changes)
        db = db or self.db
        source = sources.open_source(
            db,
            project_id=settings.project_id,
            bucket=settings.bucket,
            prefix=settings.prefix,
            sync_id=settings.sync_id,
        )
        return SyncContext(
            settings,
            db,
            source,
            S3Source(
                self.reader,
                self.bucket,
                request_payer=settings.request_payer,
                max_decoded=settings.selection.max_file_size,
                first_wait=0.005,
            ),
            client or self.client,
            RunName(dag, name, "sync"),
            Owner(f"{dag}|{name}|sync|-1", self.attempts[name]),
            request_timeout=self.request_timeout,
            doubt_grace=self.doubt_grace,
            lease=self.lease,
            poll_interval=0.02,
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        """Short waits are real; of long ones a moment is, and the rest passes for the state alone."""
        time.sleep(min(seconds, _REAL_WAIT))
        if seconds > _REAL_WAIT:
            self.time_passes(seconds)

    def run(self, name: str | None = None, **changes: Any) -> SyncReport:
        """One whole sync. Its counts must balance."""
        ctx = self.context(name, **changes)
        report = synchronize(ctx)
        assert report.imbalance is None, report.imbalance
        return report

    def run_to_the_end(self, name: str | None = None, *, tries: int = 12, **changes: Any) -> SyncReport:
        """A run as Airflow would: what says that it may be retried is tried again, after the time it asks for."""
        if name is None:
            self.runs += 1
            name = f"run{self.runs}"
        for _ in range(tries):
            ctx = self.context(name, **changes)
            try:
                report = synchronize(ctx)
            except (SyncError, CloudIndexError) as error:
                if not error.retryable:
                    raise
                ctx.sleep(error.retry_after or 0.01)
                continue
            assert report.imbalance is None, report.imbalance
            return report
        raise AssertionError(f"{tries} tries weren't enough")

    # What there is

    @property
    def uploads(self) -> int:
        """Files that the service has read in whole requests."""
        return sum(request.files for request in self.log if request.operation == "upload")

    @property
    def log(self) -> list[Request]:
        """The requests about this project, oldest first."""
        return [request for request in self.cloud.requests if self.project_id in request.path]

    def requests(self, operation: str) -> int:
        return sum(1 for request in self.log if request.operation == operation)

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        """file name -> live documents."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for document in self.cloud.documents(self.project_id):
            found[document["fileName"]].append(document)
        return found

    def of(self, key: str) -> list[dict[str, Any]]:
        """The live documents of a key (whole key)."""
        return self.documents().get(file_name(self.bucket, key), [])

    def bytes_of(self, key: str) -> bytes:
        (document,) = self.of(key)
        return self.cloud.content(document["id"])

    def rows(self) -> dict[str, Any]:
        """key -> row of the state."""
        with self.db.read() as connection:
            return {row.key: row for row in connection.execute(sa.text("SELECT * FROM object ORDER BY key"))}

    def execute(self, sql: str, **values: Any) -> list[Any]:
        """Straight into the state; for what a test must pretend, such as that time has passed."""
        with self.db.write() as connection:
            result = connection.execute(sa.text(sql), values)
            return list(result) if result.returns_rows else []

    def time_passes(self, seconds: float) -> None:
        """Everything that the state knows happened that much earlier."""
        for column in ("next_attempt_at", "claim_until", "intent_at", "doubt_until", "unanswered_at"):
            self.execute(f"UPDATE object SET {column} = {column} - :s WHERE {column} IS NOT NULL", s=seconds)
        for column in ("last_sweep_at", "looked_at", "audited_at"):
            self.execute(f"UPDATE source SET {column} = {column} - :s WHERE {column} IS NOT NULL", s=seconds)
        self.execute("UPDATE lease SET until = until - :s", s=seconds)

    # Agreement

    def expected(self, *, but: Collection[str] = (), **changes: Any) -> dict[str, tuple[str, int, str]]:
        decide = selector(self.settings(**changes).selection)
        return {
            key: item
            for key, item in self.objects().items()
            if decide(key, item[1], item[2]) is None and key not in but
        }

    def assert_agreement(
        self, *, but: Collection[str] = (), foreign: Collection[str] = (), rows: bool = True, **changes: Any
    ) -> None:
        """Every selected key has exactly one live document with its bytes, and there is no other document.

        :param but: keys that are selected and have no document
        :param foreign: file names that aren't this sync's business
        """
        expected = self.expected(but=but, **changes)
        wrong = _index_differences(self, expected, foreign)
        if rows:
            wrong += _state_differences(self, expected)
        if wrong:
            raise DisagreementError("\n".join(wrong))


def _index_differences(mirror: Mirror, expected: dict[str, Any], foreign: Collection[str]) -> list[str]:
    found, wrong = mirror.documents(), []
    for key in expected:
        documents = found.pop(file_name(mirror.bucket, key), [])
        if len(documents) != 1:
            wrong.append(f"{key!r} has {len(documents)} documents")
            continue
        document, body = documents[0], mirror.body(key)
        if document["sha256"] != hashlib.sha256(body).hexdigest() or mirror.cloud.content(document["id"]) != body:
            wrong.append(f"{key!r} has a document with other bytes")
        if document["status"] != "processed":
            wrong.append(f"{key!r} has a document that is {document['status']}")
    wrong += [f"{len(some)} documents {name!r} of no key" for name, some in found.items() if name not in foreign]
    return wrong


def _state_differences(mirror: Mirror, expected: dict[str, Any]) -> list[str]:
    rows, found, wrong = mirror.rows(), mirror.documents(), []
    for key, (etag, size, _) in expected.items():
        row = rows.pop(key, None)
        documents = found.get(file_name(mirror.bucket, key), [])
        if row is None:
            wrong.append(f"{key!r} has no row")
        elif (row.status, row.indexed_etag, row.indexed_size) != ("indexed", etag, size):
            wrong.append(f"{key!r} is {row.status} ({row.reason}) at {row.indexed_etag}, S3 has {etag}")
        elif [document["id"] for document in documents] != [row.document_id]:
            wrong.append(f"{key!r} names another document than the index has")
        elif row.claim_owner is not None:
            wrong.append(f"{key!r} is still claimed by {row.claim_owner}")
    wrong += [f"{key!r} has a row that is {row.status}" for key, row in rows.items() if row.status != "skipped"]
    wrong += [
        f"document {row.document_id} is still to be deleted" for row in mirror.execute("SELECT * FROM superseded")
    ]
    return wrong


def waiting(condition: Callable[[], bool], *, seconds: float = 5.0, sleeps: Sequence[float] = ()) -> None:
    """Return as soon as the condition holds; fail if it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
