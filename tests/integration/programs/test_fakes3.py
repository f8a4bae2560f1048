"""fakes3 against plain Python's idea of the same listing, through boto3."""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from programs.benchmarks.servers import Fake, running

N = 2345
SUFFIX = " résumé & <co>+1%.txt"
ALL = sorted(f"docs/{i // 1000:07d}/{i % 1000:03d}{SUFFIX}" for i in range(N))


def client(url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="y",
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 0, "mode": "standard"}),
    )


@pytest.fixture(
    scope="module",
    params=[["--etag", "unique"], ["--etag", "md5", "--workers", "2", "--no-uvloop"]],
    ids=["unique", "md5"],
)
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    options = [
        "--keys",
        str(N),
        "--suffix",
        SUFFIX,
        "--size",
        "20,100,30k",
        "--delete-every",
        "50",
        "--add-every",
        "70",
    ]
    with running("fakes3", *options, *request.param) as started:
        yield started


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return "md5" if "md5" in request.node.callspec.id else "unique"


@pytest.fixture(scope="module")
def s3(fake: Fake) -> Any:
    return client(fake.url)


def keys(c: Any, op: str = "list_objects_v2", **kw: Any) -> tuple[list[str], list[str]]:
    pages = list(c.get_paginator(op).paginate(Bucket="b", **kw))
    return [o["Key"] for p in pages for o in p.get("Contents", [])], [
        x["Prefix"] for p in pages for x in p.get("CommonPrefixes", []) or []
    ]


@pytest.mark.parametrize("size", [7, 999, 1000])
def test_all(s3: Any, size: int) -> None:
    """A listing gives every key in order, whatever the size of its pages."""
    assert keys(s3, PaginationConfig={"PageSize": size})[0] == ALL


def test_v1(s3: Any) -> None:
    """The old list operation gives the same."""
    assert keys(s3, "list_objects", PaginationConfig={"PageSize": 600})[0] == ALL


@pytest.mark.parametrize(
    "prefix", ["docs/0000001/", "docs/0000001/12", "d", "x", "docs/0000002/344" + SUFFIX, "docs/00000"]
)
def test_prefix(s3: Any, prefix: str) -> None:
    """A prefix is a range of the keys."""
    assert keys(s3, Prefix=prefix)[0] == [k for k in ALL if k.startswith(prefix)]


@pytest.mark.parametrize("after", ["", "docs/", "docs/0000000/999" + SUFFIX, "docs/0000001/5", "zzz", ALL[-1], ALL[-2]])
def test_start_after(s3: Any, after: str) -> None:
    """A listing begins after any text."""
    assert keys(s3, StartAfter=after)[0] == [k for k in ALL if k > after]


@pytest.mark.parametrize("op", ["list_objects_v2", "list_objects"])
@pytest.mark.parametrize(
    ("prefix", "size"), [("", 1000), ("docs/", 1000), ("docs/", 2), ("docs/0000001/", 300), ("docs/0000001", 5)]
)
def test_delimiter(s3: Any, op: str, prefix: str, size: int) -> None:
    """Common prefixes and single keys are told apart, as S3 does."""
    got, groups = keys(s3, op, Prefix=prefix, Delimiter="/", PaginationConfig={"PageSize": size})
    rest = [(k, k[len(prefix) :].partition("/")) for k in ALL if k.startswith(prefix)]
    assert got == [k for k, (_, slash, _) in rest if not slash]
    assert groups == sorted({prefix + a + "/" for _, (a, slash, _) in rest if slash})


def etags(s3: Any) -> dict[str, str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="b")
    return {one["Key"]: one["ETag"] for page in pages for one in page["Contents"]}


def row(key: str) -> int:
    return int(key.split("/")[2][:3])


def test_objects(s3: Any) -> None:
    """List, head and get agree, by range and under conditions, too."""
    for one in s3.list_objects_v2(Bucket="b", MaxKeys=7, StartAfter="docs/0000001/")["Contents"]:
        key = one["Key"]
        got, head = s3.get_object(Bucket="b", Key=key), s3.head_object(Bucket="b", Key=key)
        body = got["Body"].read()
        listed = (one["Size"], one["ETag"], one["LastModified"])
        assert (len(body), got["ETag"], got["LastModified"]) == listed
        assert (head["ContentLength"], head["ETag"], head["LastModified"]) == listed
        if len(body) > 20:
            assert s3.get_object(Bucket="b", Key=key, Range="bytes=5-24")["Body"].read() == body[5:25]
        assert s3.get_object(Bucket="b", Key=key, IfMatch=one["ETag"])["ETag"] == one["ETag"]
        for condition, status in (({"IfMatch": '"0"'}, 412), ({"IfNoneMatch": one["ETag"]}, 304)):
            with pytest.raises(ClientError) as caught:
                s3.get_object(Bucket="b", Key=key, **condition)
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    with pytest.raises(ClientError, match=r"404|NoSuchKey"):
        s3.get_object(Bucket="b", Key="docs/0000009/000" + SUFFIX)


def test_true_md5s(s3: Any, kind: str) -> None:
    """Where asked for, ETags are the MD5s of the bodies."""
    for one in s3.list_objects_v2(Bucket="b", MaxKeys=3)["Contents"] if kind == "md5" else ():
        body = s3.get_object(Bucket="b", Key=one["Key"])["Body"].read()
        assert hashlib.md5(body, usedforsecurity=False).hexdigest() == one["ETag"].strip('"')


def test_a_generation_changes_adds_and_removes(fake: Fake, s3: Any) -> None:
    """The bucket changes where its options say."""
    old = etags(s3)
    fake.ask("set?gen=1")
    new = etags(s3)
    fake.ask("set?gen=0")
    assert sorted(new) == list(new)
    assert old.keys() - new.keys() == {key for key in old if row(key) % 50 == 1}
    assert {key.removesuffix(".new") for key in new.keys() - old.keys()} == {key for key in old if row(key) % 70 == 2}
    assert {key for key in old.keys() & new.keys() if old[key] != new[key]} == {
        key for key in old if row(key) % 100 == 0
    }


def test_faults_latency_and_counters(fake: Fake, s3: Any) -> None:
    """What is set applies from the next request on, and everything is counted."""
    fake.ask("set?fail_every=1")
    with pytest.raises(ClientError, match=r"503|SlowDown"):
        s3.list_objects_v2(Bucket="b")
    fake.ask("set?fail_every=0&latency_ms=80")
    fake.ask("reset")
    start = time.monotonic()
    s3.head_bucket(Bucket="b")
    assert time.monotonic() - start > 0.08
    fake.ask("set?latency_ms=0")
    s3.list_objects_v2(Bucket="b", MaxKeys=5)
    stats = fake.ask("stats")
    assert [stats[name] for name in ("HeadBucket", "ListObjectsV2", "keys_listed", "requests")] == [1, 1, 5, 2]


def test_what_is_not_faked_is_refused(s3: Any) -> None:
    """Writing is a 501, and the connection goes on."""
    assert s3.get_bucket_location(Bucket="b")["LocationConstraint"] is None
    with pytest.raises(ClientError, match=r"501|NotImplemented"):
        s3.put_object(Bucket="b", Key="k", Body=b"x" * 100000)
    assert s3.list_objects_v2(Bucket="b", MaxKeys=1)["KeyCount"] == 1


def test_the_sink_counts_and_drops() -> None:
    """A POST's bytes are counted, and past the rate it is a 429 with a time."""
    with running("sink") as sink:
        assert httpx.post(sink.url, content=b"x" * 3_000_000).json() == {"ok": True, "bytes": 3_000_000}
        assert httpx.post(sink.url, content=iter([b"ab", b"c"])).json()["bytes"] == 3
        sink.ask("set?rate=1")
        assert httpx.post(sink.url, content=b"x").status_code == 200
        refused = httpx.post(sink.url, content=b"x")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 61
        assert sink.ask("stats")["requests"] == 4
