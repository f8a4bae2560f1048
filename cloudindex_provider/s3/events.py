"""S3 event messages, in every shape in which they reach a queue, to keys that should be looked at. Pure.

A message is a hint and never the truth: servers send it twice, late, in another order, or with "removed" for an object
that is there. So nothing is taken from it but which key to look at; S3 itself says what the key is now.

Shapes: S3 direct, wrapped by SNS, SNS's raw delivery, EventBridge, and EventBridge through SNS. Sources: AWS's "Event
message structure" and "Using EventBridge"; what LocalStack, moto and Ceph really send is in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote_plus

__all__ = ["KeyEvent", "Message", "Worth", "parse_message", "unwrapped"]

_WRAPPERS = 4  # SNS around EventBridge is two; a message that wraps itself for ever is none
# What may change what S3 has of a key. Everything else about an object doesn't: tags, ACLs, replication. And MinIO's
# ObjectAccessed must not be looked at, because our own look makes the next one.
_WORTH_A_LOOK = ("ObjectCreated", "ObjectRemoved", "LifecycleExpiration", "LifecycleTransition", "IntelligentTiering")
_RESTORED = "ObjectRestore:Completed"
_OF_EVENTBRIDGE = {  # detail-type -> the name that S3 itself uses
    "Object Created": "ObjectCreated",
    "Object Deleted": "ObjectRemoved",
    "Object Restore Completed": _RESTORED,
    "Object Storage Class Changed": "LifecycleTransition",
    "Object Access Tier Changed": "IntelligentTiering",
}
# What SNS sends of its own, to queues of other accounts: a person's matter.
_OF_SNS_ITSELF = {
    "SubscriptionConfirmation": "SNS asks in it to confirm the queue's subscription, and sends no event before that",
    "UnsubscribeConfirmation": "SNS says in it that the queue's subscription has ended, and sends no more events",
}


class Worth(Enum):
    """What is to be done about an event."""

    LOOK = "look"  # at its key
    NOTHING = "nothing"  # it is about something else than what the object is


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One event about one object. ``keys`` are the names that it may mean, of which S3 has one or none.

    S3 encodes keys as a form does, EventBridge doesn't; Ceph and LocalStack each do the other. ``version_id``,
    ``etag``, ``size`` and ``sequencer`` are what the sender says, for logs alone.
    """

    bucket: str
    keys: tuple[str, ...]
    name: str
    worth: Worth
    version_id: str | None = None
    etag: str | None = None
    size: int | None = None
    sequencer: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a message says. ``problem`` is why it, or a part of it, can't be read; ``events`` are the other parts."""

    events: tuple[KeyEvent, ...] = ()
    problem: str | None = None
    is_test: bool = False  # S3's own, when a notification is set up


def parse_message(body: str) -> Message:
    """The events of one message. Never raises: what can't be read is told in ``problem``."""
    try:
        content = json.loads(body)
        said = _of_sns_itself(content)
        content = content if said else unwrapped(content)
    except (ValueError, RecursionError) as error:
        return Message(problem=f"it is no JSON: {error}"[:200])
    if said or not isinstance(content, Mapping):
        return Message(problem=said or "it is no S3 event: it isn't a JSON object")
    if content.get("Event") == "s3:TestEvent":
        return Message(is_test=True)
    if isinstance(content.get("detail"), Mapping):
        return _collected([_of_eventbridge(content)])
    if isinstance(content.get("Records"), list):
        return _collected(map(_of_s3, content["Records"]))
    return Message(problem="it is no S3 event: it has neither Records nor detail")


def _of_sns_itself(content: Any) -> str | None:
    """What SNS has to say of its own, if that is what it is."""
    kind = content.get("Type") if isinstance(content, Mapping) else None
    return _OF_SNS_ITSELF.get(kind) if isinstance(kind, str) else None


def unwrapped(content: Any) -> Any:
    """What SNS has wrapped. Its ``Message`` is a text, whatever is in it."""
    for _ in range(_WRAPPERS):
        if not isinstance(content, Mapping) or "Records" in content or not isinstance(content.get("Message"), str):
            return content
        content = json.loads(content["Message"])
    return content


def _collected(found: Iterator[KeyEvent | str] | list[KeyEvent | str]) -> Message:
    events: list[KeyEvent] = []
    problem: str | None = None
    for one in found:
        if isinstance(one, str):
            problem = problem or one
        else:
            events.append(one)
    return Message(tuple(events), problem)


def _of_s3(record: Any) -> KeyEvent | str:
    """An event, or why it can't be read."""
    s3 = record.get("s3") if isinstance(record, Mapping) else None
    name = record.get("eventName") if isinstance(record, Mapping) else None
    if not isinstance(s3, Mapping) or not isinstance(name, str):
        return "a record of it isn't S3's: it has no eventName or no s3"
    return _event(s3.get("bucket"), s3.get("object"), name.removeprefix("s3:"))


def _of_eventbridge(content: Mapping[str, Any]) -> KeyEvent | str:
    detail, kind = content["detail"], content.get("detail-type")
    if not isinstance(kind, str):
        return "it has a detail, but no detail-type"
    return _event(detail.get("bucket"), detail.get("object"), _OF_EVENTBRIDGE.get(kind, kind))


def _event(bucket: Any, object_: Any, name: str) -> KeyEvent | str:
    where = bucket.get("name") if isinstance(bucket, Mapping) else None
    key = object_.get("key") if isinstance(object_, Mapping) else None
    if not isinstance(where, str) or not where or not isinstance(key, str) or not key:
        return f"its event {name[:80]!r} names no bucket or no key"
    size = object_.get("size")
    return KeyEvent(
        bucket=where,
        keys=_candidates(key),
        name=name,
        worth=Worth.LOOK if _is_worth_a_look(name) else Worth.NOTHING,
        version_id=_text(object_, "versionId", "version-id"),
        etag=_text(object_, "eTag", "etag"),
        size=size if isinstance(size, int) and not isinstance(size, bool) else None,
        sequencer=_text(object_, "sequencer"),
    )


def _is_worth_a_look(name: str) -> bool:
    return name == _RESTORED or name.partition(":")[0] in _WORTH_A_LOOK


def _candidates(key: str) -> tuple[str, ...]:
    """The key decoded as S3 encodes it, and as it stands. Of bytes that are no UTF-8 only the latter can be meant."""
    try:
        decoded = unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        return (key,)
    return (key,) if decoded == key else (decoded, key)


def _text(values: Mapping[str, Any], *names: str) -> str | None:
    return next((str(values[name]) for name in names if isinstance(values.get(name), str)), None)
