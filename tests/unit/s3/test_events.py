"""S3 event messages to keys: what real servers have sent, and what anybody may send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudindex_provider.s3.events import Worth, parse_message

REPORT = "documents/2026/report a b+é&ü.txt"
# Captured from LocalStack 4.14, moto 5.2.5 and Ceph RGW 16.2.15: a line is [what was done where, the message].
LINES = (Path(__file__).parent / "data" / "event_messages.jsonl").read_text(encoding="utf-8").splitlines()
CAPTURED: dict[str, Any] = dict(json.loads(line) for line in LINES)
# what was done -> the key that was meant
MEANT = {
    "http-delete-missing": "documents/never.txt", "http-versioned-delete-missing": "documents/never.txt",
    "put-overwrite": REPORT, "put-folder-marker": "documents/folder/", "put-zero": "documents/zero.txt",
    "put-plain-key": "documents/plain.txt", "put-glacier": "documents/cold.txt", "copy": "documents/copy.txt",
    "multipart": "documents/multi.pdf", "post": "documents/posted.txt", "tagging": "documents/plain.txt",
    "delete-missing": "documents/never-there.txt", "delete-version": REPORT, "delete-the-marker": "documents/copy.txt",
    "put": REPORT, "delete": "documents/copy.txt",
}  # fmt: skip


def test_every_captured_message_names_the_key_that_was_meant() -> None:
    assert len(CAPTURED) > 150
    for name, content in CAPTURED.items():
        message = parse_message(json.dumps(content))
        assert message.problem is None, name
        if "test-event" in name:
            assert (message.is_test, message.events) == (True, ()), name
        elif "delete-objects" in name:
            assert {key for event in message.events for key in event.keys} & {
                "documents/zero.txt",
                "documents/posted.txt",
            }, name
        else:
            meant = next(key for what, key in MEANT.items() if f"-{what}" in name)
            assert all(meant in event.keys for event in message.events), name
            assert message.events, name


def test_what_cannot_change_an_object_is_not_looked_at() -> None:
    """Tags and requested restores say nothing new of the bytes; everything else that was captured does."""
    nothing = {
        event.name
        for content in CAPTURED.values()
        for event in parse_message(json.dumps(content)).events
        if event.worth is Worth.NOTHING
    }
    assert nothing == {"ObjectTagging:Put", "ObjectRestore:Post", "Object Tags Added", "Object Restore Initiated"}


@pytest.mark.parametrize(
    ("name", "worth"),
    [
        ("ObjectCreated:Put", Worth.LOOK),
        ("s3:ObjectCreated:Put", Worth.LOOK),
        ("ObjectCreated:Post", Worth.LOOK),
        ("ObjectCreated:Copy", Worth.LOOK),
        ("ObjectCreated:CompleteMultipartUpload", Worth.LOOK),
        ("s3:ObjectCreated:PutRetention", Worth.LOOK),  # MinIO's; a look at what is unchanged does no harm
        ("ObjectRemoved:Delete", Worth.LOOK),
        ("ObjectRemoved:DeleteMarkerCreated", Worth.LOOK),
        ("s3:ObjectRemoved:NoOP", Worth.LOOK),
        ("LifecycleExpiration:Delete", Worth.LOOK),
        ("s3:LifecycleExpiration:DeleteMarkerCreated", Worth.LOOK),
        ("LifecycleTransition", Worth.LOOK),
        ("s3:LifecycleTransition", Worth.LOOK),
        ("IntelligentTiering", Worth.LOOK),
        ("ObjectRestore:Completed", Worth.LOOK),
        ("s3:ObjectRestore:Completed", Worth.LOOK),
        ("ObjectRestore:Post", Worth.NOTHING),
        ("ObjectRestore:Delete", Worth.NOTHING),
        ("ObjectTagging:Put", Worth.NOTHING),
        ("ObjectTagging:Delete", Worth.NOTHING),
        ("ObjectAcl:Put", Worth.NOTHING),
        ("s3:Replication:OperationReplicatedAfterThreshold", Worth.NOTHING),
        ("s3:ReducedRedundancyLostObject", Worth.NOTHING),
        ("s3:ObjectAccessed:Get", Worth.NOTHING),  # our own reading makes these on MinIO
        ("s3:ObjectAccessed:Head", Worth.NOTHING),
        ("s3:BucketCreated:*", Worth.NOTHING),
        ("ObjectCreatedLater:Put", Worth.NOTHING),
        ("", Worth.NOTHING),
    ],
)
def test_the_name_of_an_event_says_whether_its_key_is_looked_at(name: str, worth: Worth) -> None:
    (event,) = parse_message(s3(record("a.txt", name=name))).events
    assert (event.worth, event.name) == (worth, name.removeprefix("s3:"))


@pytest.mark.parametrize(
    ("detail_type", "worth"),
    [
        ("Object Created", Worth.LOOK),
        ("Object Deleted", Worth.LOOK),
        ("Object Restore Completed", Worth.LOOK),
        ("Object Storage Class Changed", Worth.LOOK),
        ("Object Access Tier Changed", Worth.LOOK),
        ("Object Restore Initiated", Worth.NOTHING),
        ("Object Restore Expired", Worth.NOTHING),
        ("Object Tags Added", Worth.NOTHING),
        ("Object Tags Deleted", Worth.NOTHING),
        ("Object ACL Updated", Worth.NOTHING),
    ],
)
def test_eventbridge_says_the_same_in_other_words(detail_type: str, worth: Worth) -> None:
    (event,) = parse_message(bridge("a.txt", detail_type)).events
    assert (event.worth, event.bucket, event.keys) == (worth, "b", ("a.txt",))


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("plain.txt", ("plain.txt",)),
        ("a+b.txt", ("a b.txt", "a+b.txt")),  # AWS means the first, Ceph the second
        ("a%2Bb.txt", ("a+b.txt", "a%2Bb.txt")),
        ("100%25.txt", ("100%.txt", "100%25.txt")),
        ("100%.txt", ("100%.txt",)),
        ("%zz.txt", ("%zz.txt",)),
        ("documents%2Fa.txt", ("documents/a.txt", "documents%2Fa.txt")),
        ("%C3%BC.txt", ("ü.txt", "%C3%BC.txt")),
        ("u%CC%88.txt", ("u\u0308.txt", "u%CC%88.txt")),  # NFD stays NFD
        ("%F0%9F%98%80.txt", ("\U0001f600.txt", "%F0%9F%98%80.txt")),
        ("%FF.txt", ("%FF.txt",)),  # no UTF-8: only the text itself can be meant
        ("a%00b", ("a\0b", "a%00b")),
        ("a%0Ab", ("a\nb", "a%0Ab")),
        (" a ", (" a ",)),
        ("+", (" ", "+")),
        ("%25252B", ("%252B", "%25252B")),  # decoded once
    ],
)
def test_a_key_is_taken_decoded_and_as_it_stands(sent: str, meant: tuple[str, ...]) -> None:
    for body in (s3(record(sent)), sns(s3(record(sent))), bridge(sent, "Object Created")):
        (event,) = parse_message(body).events
        assert event.keys == meant


@pytest.mark.parametrize("wrappings", [0, 1, 2, 3])
def test_what_sns_has_wrapped_is_unwrapped(wrappings: int) -> None:
    for body in (s3(record("a.txt")), bridge("a.txt", "Object Created"), json.dumps({"Event": "s3:TestEvent"})):
        wrapped = body
        for _ in range(wrappings):
            wrapped = sns(wrapped)
        assert parse_message(wrapped) == parse_message(body)
        assert parse_message(wrapped).problem is None


def test_all_records_of_a_message_count() -> None:
    message = parse_message(s3(record("a.txt"), record("b.txt", name="ObjectRemoved:Delete"), record("a.txt")))
    assert [event.keys[0] for event in message.events] == ["a.txt", "b.txt", "a.txt"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[]",
        "null",
        '"text"',
        "17",
        "{}",
        '{"Records": {}}',
        '{"Records": "x"}',
        '{"Records": [null]}',
        '{"Records": [{}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
        '{"Records": [{"eventName": 1, "s3": {}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": "b", "object": "k"}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": ""}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}, "object": {"key": "k"}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": 5}}}]}',
        '{"detail": {}}',
        '{"detail": {}, "detail-type": "Object Created"}',
        '{"detail": [], "detail-type": "Object Created"}',
        '{"Type": "Notification", "Message": "hello"}',
        '{"Type": "Notification", "Message": ""}',
        '{"Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe"}',
        "[" * 100_000,
        '{"Records": [' + "[" * 5_000 + "]" * 5_000 + "]}",
    ],
)
def test_what_cannot_be_read_is_told_and_raises_nothing(body: str) -> None:
    message = parse_message(body)
    assert message.problem
    assert message.events == ()
    assert len(message.problem) <= 200


def test_an_unreadable_record_does_not_cost_its_neighbours() -> None:
    message = parse_message(
        json.dumps({"Records": [json.loads(record("a.txt")), {"x": 1}, json.loads(record("c.txt"))]})
    )
    assert [event.keys[0] for event in message.events] == ["a.txt", "c.txt"]
    assert message.problem is not None


def test_an_empty_list_of_records_is_read_and_says_nothing() -> None:
    assert parse_message('{"Records": []}').problem is None


def test_hints_are_kept_as_they_are_sent() -> None:
    sent: dict[str, Any] = {"versionId": "v", "eTag": "e", "size": 5, "sequencer": "0055"}
    (event,) = parse_message(s3(record("a.txt", **sent))).events
    assert (event.version_id, event.etag, event.size, event.sequencer) == ("v", "e", 5, "0055")
    odd: dict[str, Any] = {"versionId": None, "eTag": 3, "size": "5", "sequencer": []}
    (event,) = parse_message(s3(record("a.txt", **odd))).events
    assert (event.version_id, event.etag, event.size, event.sequencer) == (None, None, None, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Records", "Message", "detail", "detail-type", "s3", "bucket", "object", "key", "name", "eventName"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.one_of(st.text(max_size=40), json_values.map(json.dumps)))
def test_no_text_makes_it_raise(body: str) -> None:
    message = parse_message(body)
    assert all(event.bucket and all(event.keys) for event in message.events)


def record(key: str, name: str = "ObjectCreated:Put", **more: Any) -> str:
    content = {"eventName": name, "s3": {"bucket": {"name": "b"}, "object": {"key": key, **more}}}
    return json.dumps(content)


def s3(*records: str) -> str:
    return json.dumps({"Records": [json.loads(one) for one in records]})


def sns(body: str) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:r:1:t", "Message": body})


def bridge(key: str, detail_type: str) -> str:
    detail = {"bucket": {"name": "b"}, "object": {"key": key}}
    return json.dumps({"version": "0", "source": "aws.s3", "detail-type": detail_type, "detail": detail})


@pytest.mark.parametrize(
    ("kind", "says"), [("SubscriptionConfirmation", "asks in it to confirm"), ("UnsubscribeConfirmation", "has ended")]
)
def test_what_sns_says_of_its_own_is_a_persons_matter(kind: str, says: str) -> None:
    """It comes where queue and topic belong to different accounts; its token, which confirms, is told nobody."""
    body = {
        "Type": kind,
        "Token": "t0ken",
        "Message": "You have chosen ...",
        "SubscribeURL": "https://sns/?Token=t0ken",
    }
    problem = parse_message(json.dumps(body)).problem
    assert says in (problem or "")
    assert "t0ken" not in (problem or "")


def test_a_type_that_is_no_text_is_no_type() -> None:
    assert parse_message('{"Type": ["a"], "Records": []}').problem is None
