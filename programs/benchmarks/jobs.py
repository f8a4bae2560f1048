"""What is measured, each job in a process of its own: ``python -m programs.benchmarks.jobs NAME '{"arguments": ...}'``.

Prints one JSON object: seconds of the job, seconds of its imports, the process's peak memory, and what it found.
Imports are inside of the jobs, so that each process has only its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

JOBS: dict[str, Callable[..., dict[str, Any]]] = {}
BUCKET = "bucket"
IDS = "document_id = 'd' || substr(etag, 1, 20), document_version = 1, indexed_etag = etag, indexed_size = size"


def job(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    JOBS[function.__name__] = function
    return function


class Clock:
    """Seconds since the imports' end."""

    def __init__(self, began: float) -> None:
        self.ready = time.perf_counter()
        self.imports = self.ready - began

    def result(self, **found: Any) -> dict[str, Any]:
        return {"seconds": time.perf_counter() - self.ready, "imports": self.imports, **found}


def client(url: str) -> Any:
    """A client as Airflow's S3Hook makes it."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y",
        config=Config(max_pool_connections=50, s3={"addressing_style": "path"}),
    )  # fmt: skip


def context(url: str, state: str, run: str, ranges: int = 1) -> Any:
    """A run's context over a state on SQLite or at a URL; it has no CloudIndex, since nothing here needs one."""
    from cloudindex_provider.s3.source import S3Source
    from cloudindex_provider.state.db.database import Database
    from cloudindex_provider.state.records import Owner, RunName
    from cloudindex_provider.state.sources import open_source
    from cloudindex_provider.sync.context import SyncContext
    from cloudindex_provider.sync.settings import Limits, SyncSettings

    db = Database(state if "://" in state else f"sqlite:///{state}")
    source = open_source(db, project_id="p", bucket=BUCKET, prefix="")
    return SyncContext(
        settings=SyncSettings(project_id="p", bucket=BUCKET, limits=Limits(listing_ranges=ranges)).validate(),
        db=db, source=source,
        s3=S3Source(client(url), BUCKET), client=None,  # type: ignore[arg-type] # nothing is sent
        name=RunName("dag", run, "sync"), owner=Owner("dag/task", 1),
    )  # fmt: skip


@job
def sync_detect(began: float, url: str, state: str, run: str, ranges: int = 1) -> dict[str, Any]:
    """Ours: list, compare with the state, write what differs, report."""
    from cloudindex_provider.sync.detect.detection import detect
    from cloudindex_provider.sync.report.report import make_report

    import_all(client, context)
    clock = Clock(began)
    ctx = context(url, state, run, ranges)
    found = detect(ctx)
    report = make_report(ctx)
    del report
    return clock.result(counts=found.counts)


def import_all(*_: object) -> None:
    """Import what a context needs before the clock starts."""
    import boto3  # noqa: F401


@job
def settle(began: float, state: str) -> dict[str, Any]:
    """Make every row of a state indexed, as after a sync of everything."""
    import sqlite3

    clock = Clock(began)
    with sqlite3.connect(state) as connection:
        connection.execute(f"UPDATE object SET status = 'indexed', {IDS}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("ANALYZE")
    connection.close()
    return clock.result()


@job
def settle_postgres(began: float, state: str) -> dict[str, Any]:
    """The same on Postgres."""
    import sqlalchemy as sa

    clock = Clock(began)
    engine = sa.create_engine(state, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"UPDATE object SET status = 'indexed', {IDS}"))
        connection.execute(sa.text("VACUUM ANALYZE object"))
    return clock.result()


@job
def sync_list(began: float, url: str, state: str = "", ranges: int = 1) -> dict[str, Any]:
    """Ours: the listing alone; in several ranges, by the bounds that a state knows."""
    from cloudindex_provider.s3.ranges import key_ranges, list_ranges
    from cloudindex_provider.s3.source import S3Source
    from cloudindex_provider.state.listings import read_bounds
    from cloudindex_provider.sync.detect.collector import rare_collections

    s3, bounds = S3Source(client(url), BUCKET), []
    if state:
        ctx = context(url, state, "list")
        bounds = read_bounds(ctx.db, ctx.source)
    clock = Clock(began)
    pages = list_ranges(s3, "", key_ranges(bounds, ranges))
    with rare_collections():
        return clock.result(keys=sum(len(page or ()) for _, page in pages))


@job
def hook_dict(began: float, url: str, state: str) -> dict[str, Any]:
    """The same comparison as it is usually written: S3Hook.get_file_metadata, and the state in a dictionary."""
    import os
    import sqlite3

    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(
        {
            "conn_type": "aws", "login": "x", "password": "y",
            "extra": {
                "endpoint_url": url, "region_name": "us-east-1",
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            },
        }
    )  # fmt: skip
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    import_all()
    clock = Clock(began)
    listed = {one["Key"]: one for one in S3Hook("bench").get_file_metadata("", BUCKET)}
    with sqlite3.connect(state) as connection:
        rows = {
            key: (etag, size)
            for key, etag, size in connection.execute("SELECT key, indexed_etag, indexed_size FROM object")
        }
    changed = [key for key, one in listed.items() if rows.get(key) != (one["ETag"].strip('"'), one["Size"])]
    removed = rows.keys() - listed.keys()
    return clock.result(keys=len(listed), changed=len(changed), removed=len(removed))


@job
def obstore_list(began: float, url: str) -> dict[str, Any]:
    """The listing by obstore, which is written in Rust."""
    import obstore  # type: ignore[import-not-found]
    from obstore.store import S3Store  # type: ignore[import-not-found]

    clock = Clock(began)
    store = S3Store(
        BUCKET, endpoint=url, region="us-east-1", access_key_id="x", secret_access_key="y",
        client_options={"allow_http": True},
    )  # fmt: skip
    return clock.result(keys=sum(len(batch) for batch in obstore.list(store, chunk_size=1000)))


@job
def bare_inserts(began: float, url: str, state: str) -> dict[str, Any]:
    """The rows of a first sync by sqlite3's executemany into the same table, and nothing else."""
    import sqlite3
    from itertools import islice

    from cloudindex_provider.s3.source import S3Source
    from cloudindex_provider.state.db.database import Database

    Database(f"sqlite:///{state}").close()
    rows: Iterator[Any] = (
        (1, *item, 1, 1, "pending") for page in S3Source(client(url), BUCKET).pages() for item in page
    )
    connection = sqlite3.connect(state)
    connection.execute("PRAGMA synchronous=NORMAL")
    spent = imports = 0.0
    while block := list(islice(rows, 5000)):
        start = time.perf_counter()
        with connection:
            connection.executemany(
                "INSERT INTO object (scope_id, key, etag, size, last_modified, storage_class, source_id, queued_run,"
                " status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                block,
            )
        spent += time.perf_counter() - start
    return {"seconds": spent, "imports": imports}


@job
def bare_copy(began: float, url: str, state: str) -> dict[str, Any]:
    """The rows of a first sync by one COPY into the same table on Postgres, and nothing else."""
    import io

    import sqlalchemy as sa

    from cloudindex_provider.s3.source import S3Source
    from cloudindex_provider.state.db.database import Database

    Database(state).close()
    rows = (item for page in S3Source(client(url), BUCKET).pages() for item in page)
    text = "".join(f"1\t{key}\t{etag}\t{size}\t{at}\t{cls}\t1\t1\tpending\n" for key, etag, size, at, cls in rows)
    engine = sa.create_engine(state)
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        clock = Clock(began)
        cursor.copy_expert(
            "COPY object (scope_id, key, etag, size, last_modified, storage_class, source_id, queued_run, status)"
            " FROM STDIN",
            io.StringIO(text),
        )
        connection.connection.commit()
        return clock.result()


class Listed:
    """A source whose pages are there already; all else is the source's."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._pages = list(source.pages())

    def pages(self, *_: Any, **__: Any) -> Iterator[Any]:
        return iter(self._pages)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


@job
def load_only(began: float, url: str, state: str) -> dict[str, Any]:
    """Ours: a first sync's detection over pages that were listed before the clock starts."""
    from cloudindex_provider.sync.detect.detection import detect

    ctx = context(url, state, "load")
    ctx.s3 = Listed(ctx.s3)
    clock = Clock(began)
    return clock.result(counts=detect(ctx).counts)


@job
def documents_list(began: float, documents: int) -> dict[str, Any]:
    """The one unpaged list of all documents, from a stream made as it is read."""
    import httpx

    from cloudindex_provider.api.client import CloudIndexClient

    clock = Clock(began)
    asked = 0

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b'{"documents": ['
            for start in range(0, documents, 500):
                block = (_document(number) for number in range(start, min(documents, start + 500)))
                yield ("," if start else "").encode() + ",".join(block).encode()
            yield b"]}"

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return httpx.Response(200, headers={"Content-Type": "application/json"}, stream=Body())

    with CloudIndexClient("http://127.0.0.1", "key", project_id="p", transport=httpx.MockTransport(answer)) as client:
        stream = client.iter_documents()
        found = sum(1 for _ in stream)
    assert (found, stream.complete, asked) == (documents, True, 1)
    return clock.result(keys=found)


def _document(number: int) -> str:
    return json.dumps(
        {
            "id": f"00000000-0000-4000-8000-{number:012d}", "fileName": f"docs-{number}-{number:024x}.txt",
            "mimeType": "text/plain", "fileSize": 10240, "processingStatus": "processed", "version": 1,
            "contentHash": f"{number:064x}", "createdAt": "2026-01-02T03:04:05Z",
            "metadata": {"key": f"docs/{number}.txt", "etag": f"{number:032x}"}, "tags": ["a", "b"],
        }
    )  # fmt: skip


def peak_memory() -> int:
    """The process's highest resident memory, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main(name: str, arguments: str) -> None:
    began = time.perf_counter()
    found = JOBS[name](began, **json.loads(arguments))
    print(json.dumps({**found, "memory": peak_memory(), "cpu": time.process_time()}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
