"""A storage may list as it likes: a sweep that ends knows every key that one plain listing shows, or it refuses."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from hypothesis import event, given, settings
from hypothesis import strategies as st

from cloudindex_provider.errors import S3IntegrationError
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state import sources
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.settings import Limits, Selection, SyncSettings
from tests.support.lying_s3 import LyingS3

QUIET = logging.getLogger("tests.lying")
QUIET.setLevel(logging.CRITICAL)
# Names beside folders that continue them, and what stands behind a range's cut.
names = st.text("ab/ !~\uffee\U0001f600", min_size=1, max_size=4).map(lambda name: f"docs/{name}.txt")
# Those that no listing can be right by.
HOPELESS = ("missing", "same", "round", "cycle")
SETTLED = "status = 'indexed', document_id = 'd', indexed_etag = etag, indexed_size = size"

lies = st.fixed_dictionaries(
    {
        "order": st.sampled_from(["bytes", "bytes", "tree", "utf16", "hashed"]),
        "start_after": st.sampled_from(["honest", "honest", "ignored", "inclusive", "stale", "skips", "refused"]),
        "tokens": st.sampled_from(["honest"] * 6 + ["always", "odd", *HOPELESS]),
        "key_count": st.sampled_from([0] * 8 + [1, -1]),
        "duplicates": st.sampled_from([0, 0, 1, 2, 3]),
        "pages": st.sampled_from(["full", "full", "short", "empty"]),
        "page_size": st.integers(1, 5),
    }
)


@contextmanager
def world(s3: LyingS3) -> Iterator[Any]:
    """Makes contexts of runs over one state."""
    limits = Limits(max_delete_percent=100.0, listing_ranges=8)
    what = SyncSettings("p", "bucket", "docs/", selection=Selection(file_types=("*",)), limits=limits).validate()
    with tempfile.TemporaryDirectory() as folder:
        db = Database(f"sqlite:///{folder}/state.db")
        source = sources.open_source(db, project_id="p", bucket="bucket", prefix="docs/")

        def context(name: str) -> SyncContext:
            client: Any = None  # a detection needs none
            return SyncContext(
                what, db, source, S3Source(s3, "bucket", sleep=lambda _: None), client, RunName("d", name, "t"),
                Owner(name, 1), log=QUIET,
            )  # fmt: skip

        yield context
        db.close()


def settle(ctx: SyncContext) -> dict[str, str]:
    """Upload and delete all that the run has found; gives what the state knows then, key -> ETag."""
    with ctx.db.write() as connection:
        connection.execute(
            sa.text(
                "DELETE FROM object WHERE key IN"
                " (SELECT key FROM run_key WHERE run_id = :run AND class = 'removed' AND outcome IS NULL)"
            ),
            {"run": ctx.run().id},
        )
        connection.execute(sa.text(f"UPDATE object SET {SETTLED} WHERE status <> 'skipped'"))
        return {row.key: row.etag for row in connection.execute(sa.text("SELECT key, etag FROM object"))}


@given(first=st.sets(names, min_size=12, max_size=40), later=st.lists(st.sets(names, max_size=6), max_size=4), lie=lies)
@settings(max_examples=100, deadline=None)
def test_a_sweep_that_ends_knows_what_one_plain_listing_shows(
    first: set[str], later: list[set[str]], lie: dict[str, Any]
) -> None:
    """Whatever a listing lies about, run after run: the same keys and ETags, each counted once; or an error."""
    s3 = LyingS3(**lie)
    s3.create_bucket(Bucket="bucket")
    with world(s3) as context:
        for number, changed in enumerate([first, *later]):
            for key in changed:
                if key in s3.buckets["bucket"] and len(key) % 2:
                    s3.delete_object(Bucket="bucket", Key=key)
                else:
                    s3.put_object(Bucket="bucket", Key=key, Body=f"{number}".encode())
            ctx = context(f"run{number}")
            there = s3.plain("bucket", "docs/")
            try:
                found = detect(ctx)
            except S3IntegrationError as error:
                if lie["tokens"] not in HOPELESS and not lie["key_count"]:
                    raise
                event(f"refused: {error.code}")
                return
            assert found.counts["listed"] == len(there)
            assert settle(ctx) == there
    event(f"right: {lie['order']}, {lie['start_after']}")
