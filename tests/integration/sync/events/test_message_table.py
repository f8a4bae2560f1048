"""A table of messages, and what is indexed after them. What servers have really sent is at its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from cloudindex_provider.s3.events import Worth, parse_message
from cloudindex_provider.sync.settings import Limits
from tests.integration.sync.events.conftest import Followed
from tests.unit.s3.test_events import CAPTURED, MEANT

BUCKET = "BUCKET"  # stands for the mirror's
A, B = "docs/a.txt", "docs/b.txt"
PDF = Path(__file__).parents[4] / "programs" / "demo" / "sample_bucket" / "staff-handbook.pdf"


def record(key: str, name: str = "ObjectCreated:Put", bucket: str = BUCKET, **more: Any) -> dict[str, Any]:
    """As S3 writes one, its key encoded."""
    return raw(quote_plus(key, safe="/"), name, bucket, **more)


def raw(key: str, name: str = "ObjectCreated:Put", bucket: str = BUCKET, **more: Any) -> dict[str, Any]:
    """With the key as it stands, as Ceph writes it."""
    return {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key, **more}}}


def s3(*records: Any) -> str:
    return json.dumps({"Records": records})


def put(key: str, **more: Any) -> str:
    return s3(record(key, **more))


def gone(key: str, **more: Any) -> str:
    return s3(record(key, "ObjectRemoved:Delete", **more))


def sns(body: str) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:r:1:t", "Message": body})


def bridge(key: str, kind: str = "Object Created", bucket: str = BUCKET, **more: Any) -> str:
    detail = {"version": "0", "bucket": {"name": bucket}, "object": {"key": key, **more}}
    return json.dumps({"version": "0", "source": "aws.s3", "detail-type": kind, "detail": detail})


@dataclass(frozen=True)
class Case:
    """Messages, and what S3 has when they are read. ``before`` is indexed already and may have gone since."""

    name: str
    messages: Sequence[str]
    now: Mapping[str, str] = field(default_factory=lambda: {A: "one"})
    before: Mapping[str, str] = field(default_factory=dict)
    indexed: Sequence[str] | None = None  # keys with a document afterwards; default: all that S3 has
    uploads: int | None = None  # default: one for each key of ``now`` that isn't indexed so
    left: int = 0  # messages
    counts: Mapping[str, int] = field(default_factory=dict)


def after(*older_and_newer: tuple[str, str | None]) -> list[str]:
    """Events of one key, whose sequencers aren't in the order of their coming; ``None``: no sequencer."""
    return [
        s3(record(A, name, **({} if sequencer is None else {"sequencer": sequencer})))
        for name, sequencer in older_and_newer
    ]


PUT, DELETE = "ObjectCreated:Put", "ObjectRemoved:Delete"
SHAPES = [
    Case("S3 itself", [put(A)]),
    Case("through SNS", [sns(put(A))]),
    Case("through SNS twice", [sns(sns(put(A)))]),
    Case("EventBridge", [bridge(A)]),
    Case("EventBridge through SNS", [sns(bridge(A))]),
    Case("two records", [s3(record(A), record(B))], {A: "one", B: "two"}),
    Case("put and delete in one message", [s3(record(A), record(B, DELETE))], {A: "one"}, {B: "two"}),
    Case("each shape of one event", [put(A), sns(put(A)), bridge(A), sns(bridge(A))]),
    Case("a bad record beside a good one", [s3({"x": 1}, record(A))], left=1, counts={"unreadable": 1}),
    Case("a record of another source", [s3({"eventSource": "aws:dynamodb"}, record(A))], left=1),
    Case("S3's test", ['{"Event": "s3:TestEvent", "Bucket": "BUCKET"}'], indexed=[], counts={"test_messages": 1}),
    Case("a test through SNS", [sns('{"Event": "s3:TestEvent"}')], indexed=[], counts={"test_messages": 1}),
    Case("no records", ['{"Records": []}'], indexed=[], counts={"messages": 1, "events": 0}),
]
ENCODINGS = [
    Case(f"encoded {key!r}", [put(key)], {key: "one"})
    for key in ("docs/a b+c.txt", "docs/100%.txt", "docs/%41.txt", "docs/ü.txt", "docs/u\u0308.txt",
                "docs/\U0001f600.txt", "docs/a\nb.txt", "docs/x/y/z.txt", "docs/a&b=c;d.txt", 'docs/"q".txt')
] + [
    Case("raw +", [s3(raw("docs/a+b.txt"))], {"docs/a+b.txt": "one"}),
    Case("raw %", [s3(raw("docs/50%25.txt"))], {"docs/50%25.txt": "one"}),
    Case("encoded slashes", [s3(raw("docs%2Fa.txt"))]),
    Case("EventBridge raw", [bridge("docs/a b+c%.txt")], {"docs/a b+c%.txt": "one"}),
    Case("EventBridge encoded, as LocalStack does", [bridge("docs/a%20b.txt")], {"docs/a b.txt": "one"}),
    Case("both readings are there", [s3(raw("docs/a+b.txt"))], {"docs/a+b.txt": "one", "docs/a b.txt": "two"}),
    Case("no UTF-8 by either", [s3(raw("docs/%FF.txt"))], {A: "one"}, indexed=[]),
]  # fmt: skip
NAMES = [
    Case(f"present, {name}", [s3(record(A, name))])
    for name in ("ObjectCreated:Put", "s3:ObjectCreated:Post", "ObjectCreated:Copy",
                 "ObjectCreated:CompleteMultipartUpload", DELETE, "ObjectRemoved:DeleteMarkerCreated",
                 "s3:LifecycleExpiration:Delete", "LifecycleTransition", "ObjectRestore:Completed")
] + [
    Case(f"gone, {name}", [s3(record(A, name))], {}, {A: "one"}, counts={"deleted": 1})
    for name in (DELETE, "ObjectRemoved:DeleteMarkerCreated", "s3:LifecycleExpiration:DeleteMarkerCreated", PUT)
] + [
    Case(f"not looked at, {name}", [s3(record(A, name))], indexed=[], counts={"ignored": 1})
    for name in ("ObjectTagging:Put", "ObjectAcl:Put", "ObjectRestore:Post", "s3:ObjectAccessed:Get", "Nonsense:Put")
] + [
    Case("gone, EventBridge", [bridge(A, "Object Deleted")], {}, {A: "one"}, counts={"deleted": 1}),
    Case("restored, EventBridge", [bridge(A, "Object Restore Completed")]),
    Case("tagged, EventBridge", [bridge(A, "Object Tags Added")], indexed=[], counts={"ignored": 1}),
]  # fmt: skip
POISON = [
    Case(f"poison {body[:30]!r}", [body, put(A)], left=1, counts={"unreadable": 1})
    for body in ("", "no JSON", "[]", "null", "{}", '{"Records": "x"}', '{"Records": [null]}', '{"detail": {}}',
                 s3({"eventName": PUT, "s3": {"bucket": {"name": BUCKET}, "object": {}}}), sns("hello"), "[" * 50_000)
]  # fmt: skip
FOREIGN = [
    Case("another bucket", [put(A, bucket="another")], indexed=[], counts={"foreign": 1}),
    Case("another prefix", [put("elsewhere/a.txt")], indexed=[], counts={"foreign": 1}),
    Case("a prefix that begins alike", [put("docs2/a.txt")], indexed=[], counts={"foreign": 1}),
    Case("a key that no database holds", [bridge("docs/a\0b.txt")], indexed=[], counts={"foreign": 1}),
    Case("foreign beside ours", [s3(record("x.txt"), record(A))], counts={"foreign": 1}),
]
STORMS = [
    Case("a hundred events of one key", [put(A)] * 100, uploads=1, counts={"events": 100}),
    Case("put and delete by turns, present", [put(A), gone(A)] * 40, uploads=1),
    Case("put and delete by turns, gone", [gone(A), put(A)] * 40, {}, {A: "one"}, uploads=0),
    Case("thirty records in one message", [s3(*[record(A)] * 30)], uploads=1, counts={"messages": 1}),
    Case("the same message twice", [put(A), put(A)], uploads=1),
    Case("known already", [put(A)], before={A: "one"}, uploads=0, counts={"unchanged": 1}),
    Case("of nothing that ever was", [gone(A)], {}, uploads=0, counts={"deleted": 0}),
]
# Sequencers are hex numbers of unequal length, which neither text nor arrival orders: S3 does.
ORDERS = [
    Case("newer first, shorter", after((PUT, "FF"), (DELETE, "00FE")), {A: "two"}, {A: "one"}),
    Case("newer first, longer", after((DELETE, "0100"), (PUT, "FF")), {}, {A: "one"}),
    Case("older first", after((DELETE, "0055AED6DCD90281E5"), (PUT, "0055AED6DCD90281E6")), {A: "two"}, {A: "one"}),
    Case("a delete that comes late", after((PUT, "0A"), (DELETE, "9")), {A: "two"}, {A: "one"}),
    Case("a put that comes late", after((DELETE, "0A"), (PUT, "9")), {}, {A: "one"}),
    Case("equal", after((PUT, "1"), (DELETE, "1")), {A: "two"}, {A: "one"}),
    Case("leading zeros", after((DELETE, "0000000010"), (PUT, "11")), {A: "two"}, {A: "one"}),
    Case("one without", after((PUT, "FF"), (DELETE, None)), {A: "two"}, {A: "one"}),
    Case("no hex", after((PUT, "zz"), (DELETE, "")), {A: "two"}, {A: "one"}),
    Case("three of three lengths", after((PUT, "1"), (DELETE, "22"), (PUT, "333")), {}, {A: "one"}),
]
HINTS = [
    Case("another ETag", [put(A, eTag="0" * 32)]),
    Case("another size", [put(A, size=99999)]),
    Case("a size of nothing", [put(A, size=0)]),
    Case("a version that isn't there", [put(A, versionId="none")]),
    Case("hints of odd types", [s3(record(A, eTag=5, size="x", versionId=[], sequencer={}))]),
    Case("a folder", [put("docs/folder/")], {"docs/folder/": ""}, indexed=[], counts={"skipped": 1}),
    Case("an empty object", [put(A)], {A: ""}, indexed=[], counts={"skipped": 1}),
    Case("another type", [put("docs/a.xyz")], {"docs/a.xyz": "x"}, indexed=[], counts={"skipped": 1}),
]
CASES = [*SHAPES, *ENCODINGS, *NAMES, *POISON, *FOREIGN, *STORMS, *ORDERS, *HINTS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_indexed_after_messages(followed: Followed, case: Case) -> None:
    """And after the same messages again, which change nothing."""
    mirror, send = followed.mirror, sender(followed)
    set_objects(followed, case.before)
    send(*map(put, case.before))
    followed.follow()
    uploads = mirror.uploads
    set_objects(followed, case.now)
    send(*case.messages)
    consumer = followed.follow()
    wanted = {key: case.now[key].encode() for key in (case.now if case.indexed is None else case.indexed)}
    assert documents(followed, [*case.before, *case.now]) == wanted
    new = [key for key in wanted if case.before.get(key) != case.now[key]]
    assert mirror.uploads - uploads == (len(new) if case.uploads is None else case.uploads)
    assert {name: consumer.counts[name] for name in case.counts} == case.counts
    assert len(followed.sqs.left) == case.left
    send(*case.messages)
    followed.sqs.make_visible()
    followed.follow()
    assert documents(followed, [*case.before, *case.now]) == wanted


def sender(followed: Followed) -> Callable[..., None]:
    """Sends messages about the mirror's own bucket."""
    return lambda *bodies: followed.sqs.send(*(body.replace(BUCKET, followed.mirror.bucket) for body in bodies))


def set_objects(followed: Followed, objects: Mapping[str, str]) -> None:
    """Let S3 have these and no others."""
    mirror = followed.mirror
    for key in mirror.objects(prefix=""):
        mirror.s3.delete_object(Bucket=mirror.bucket, Key=key)
    for key, body in objects.items():
        mirror.s3.put_object(Bucket=mirror.bucket, Key=key, Body=body.encode())


def documents(followed: Followed, keys: Sequence[str]) -> dict[str, bytes]:
    """The bytes of each of these keys that has a document."""
    mirror = followed.mirror
    return {key: mirror.bytes_of(key) for key in dict.fromkeys(keys) if mirror.of(key)}


def test_the_table_is_as_long_as_it_says() -> None:
    assert len(CASES) >= 80
    assert len({case.name for case in CASES}) == len(CASES)


def test_what_servers_have_really_sent_leads_to_their_present_objects(followed: Followed) -> None:
    """All captured messages at once, of all three servers: each key that they mean is indexed as S3 has it, and goes
    when S3 has it no more, whatever the messages say of it."""
    mirror = followed.mirror
    meant = sorted(set(MEANT.values()) | {"documents/zero.txt", "documents/posted.txt"})
    set_objects(followed, {key: f"the text of {key}" for key in meant})
    mirror.s3.put_object(Bucket=mirror.bucket, Key="documents/multi.pdf", Body=PDF.read_bytes())
    bodies = [in_bucket(content, mirror.bucket) for content in CAPTURED.values()]
    looked_at = {
        key
        for body in bodies
        for event in parse_message(body).events
        if event.worth is Worth.LOOK
        for key in event.keys
        if key in meant
    }
    follow: dict[str, Any] = {"prefix": "documents/", "limits": Limits(max_delete_documents=100, upload_tasks=1)}
    followed.sqs.send(*bodies)
    consumer = followed.follow(**follow)
    assert (consumer.counts["messages"], consumer.counts["unreadable"]) == (len(CAPTURED), 0)
    assert consumer.counts["foreign"] == 0
    selected = {key for key in looked_at if not key.endswith("/")}
    assert set(documents(followed, meant)) == selected
    assert len(selected) > 8
    set_objects(followed, {})
    followed.sqs.send(*bodies)
    assert followed.follow(**follow).held is None
    assert documents(followed, meant) == {}
    assert followed.sqs.left == []


def in_bucket(content: Any, bucket: str) -> str:
    """The message as if of this bucket, wherever it names one."""
    return json.dumps(_renamed(content, bucket))


def _renamed(content: Any, bucket: str) -> Any:
    if isinstance(content, dict):
        found = {name: _renamed(value, bucket) for name, value in content.items()}
        if isinstance(content.get("bucket"), dict):
            found["bucket"] = {**found["bucket"], "name": bucket}
        if isinstance(content.get("Message"), str):
            found["Message"] = json.dumps(_renamed(json.loads(content["Message"]), bucket))
        return found
    return [_renamed(one, bucket) for one in content] if isinstance(content, list) else content
