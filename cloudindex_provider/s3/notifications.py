"""A bucket's notification configuration: what it tells whom, and with one more entry or without ours. Pure.

S3 has one document for all of a bucket's notifications, and writing replaces the whole of it (PutBucketNotification-
Configuration). So it is read, changed in our entry alone, and written only where that makes a difference; an entry of
ours is known by its Id. Two entries may not send the same event of the same key: S3 refuses it, and so does this, with
the other entry's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.s3.aws_policies import bucket_arn

__all__ = [
    "EVENTS",
    "Entry",
    "Target",
    "covers",
    "entries",
    "filter_value",
    "queue_statement",
    "with_target",
    "without_ours",
]

EVENTS = (
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:ObjectRestore:Completed",
)  # fmt: skip
_OURS = "cloudindex-"
# kind of target -> (list of the document, name of the ARN in its entries)
_LISTS = {
    "sqs": ("QueueConfigurations", "QueueArn"),
    "sns": ("TopicConfigurations", "TopicArn"),
    "lambda": ("LambdaFunctionConfigurations", "LambdaFunctionArn"),
}
_EVENTBRIDGE = "EventBridgeConfiguration"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom the bucket shall tell. ``arn`` of a queue, a topic or a function; EventBridge has none.

    :param kind: ``sqs``, ``sns``, ``lambda`` or ``eventbridge``
    :param prefix: only keys that begin so, as the document writes it: see ``filter_value``
    :param suffix: only keys that end so, likewise
    """

    kind: str
    arn: str = ""
    prefix: str = ""
    suffix: str = ""
    events: tuple[str, ...] = EVENTS

    @property
    def id(self) -> str:
        """The same for the same target and keys, so that it is applied once."""
        text = json.dumps([self.kind, self.arn, self.prefix, self.suffix])
        return _OURS + hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the document, whoever has made it."""

    kind: str
    id: str
    arn: str
    events: tuple[str, ...]
    prefix: str
    suffix: str

    @property
    def is_ours(self) -> bool:
        return self.id.startswith(_OURS)


def entries(document: Mapping[str, Any]) -> list[Entry]:
    """What the document has, EventBridge included, which gets every event of the bucket."""
    found = [_entry(kind, row) for kind, (name, _) in _LISTS.items() for row in document.get(name, ())]
    if _EVENTBRIDGE in document:
        found.append(Entry("eventbridge", "", "", EVENTS, "", ""))
    return found


def with_target(document: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """The document with an entry for the target; as it is where it has one. Nobody else's entry is touched.

    :raises SettingsError: where another entry sends the same events of the same keys, which S3 refuses
    """
    plain = _plain(document)
    if target.kind == "eventbridge":
        return plain if _EVENTBRIDGE in plain else {**plain, _EVENTBRIDGE: {}}
    for entry in entries(plain):
        if _says_the_same(entry, target):
            return plain
    for entry in entries(plain):
        if entry.kind != "eventbridge" and _overlaps(entry, target):
            raise SettingsError(
                f"The bucket tells {entry.arn} of the same events already, by its notification {entry.id!r}"
                f" (prefix {entry.prefix!r}, suffix {entry.suffix!r}), and S3 tells each event to one alone.",
                field="target",
                hint="Let that go to an SNS topic or to EventBridge that serves both, or narrow one of the prefixes.",
            )
    name, _ = _LISTS[target.kind]
    return {**plain, name: [*plain.get(name, ()), _row(target)]}


def without_ours(document: Mapping[str, Any], target: Target | None = None) -> dict[str, Any]:
    """The document without our entries, or without that of one target. EventBridge stays on: others may listen."""
    plain = _plain(document)
    for name, _ in _LISTS.values():
        if name in plain:
            plain[name] = [row for row in plain[name] if not _is_to_go(str(row.get("Id", "")), target)]
            if not plain[name]:
                del plain[name]
    return plain


def queue_statement(queue_arn: str, bucket: str, account: str | None) -> dict[str, Any]:
    """The statement of a queue's policy that lets S3 send this bucket's events to it.

    :param account: that the bucket belongs to, so that nobody else's bucket of the name may; ``None``: not said
    """
    condition: dict[str, Any] = {"ArnLike": {"aws:SourceArn": bucket_arn(bucket, queue_arn)}}
    if account:
        condition["StringEquals"] = {"aws:SourceAccount": account}
    return {
        "Sid": f"{_OURS}{hashlib.sha256(bucket.encode()).hexdigest()[:16]}",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": condition,
    }


def filter_value(text: str, *, of_aws: bool) -> str:
    """A prefix or suffix as a filter writes it.

    AWS compares it with the key as events spell that: a space is ``+``, and what isn't a "safe character" is
    percent-encoded ("Configuring event notifications using object key name filtering"), so that ``year=2026/`` as it
    stands would never match. Other stores compare it with the key itself.
    """
    return quote_plus(text, safe="/!-_.*'()").replace("~", "%7E") if of_aws else text


def covers(events: tuple[str, ...], wanted: str) -> bool:
    """Whether one of these event names stands for the wanted one too."""
    return any(_stands_for(event, wanted) for event in events)


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "ResponseMetadata"}


def _entry(kind: str, row: Mapping[str, Any]) -> Entry:
    rules = {
        str(rule.get("Name", "")).lower(): str(rule.get("Value", "")) for rule in _rules(row)
    }  # S3 gives the names back as Prefix and Suffix
    return Entry(
        kind,
        str(row.get("Id", "")),
        str(row.get(_LISTS[kind][1], "")),
        tuple(map(str, row.get("Events", ()))),
        rules.get("prefix", ""),
        rules.get("suffix", ""),
    )


def _rules(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from row.get("Filter", {}).get("Key", {}).get("FilterRules", ())


def _row(target: Target) -> dict[str, Any]:
    pairs = (("prefix", target.prefix), ("suffix", target.suffix))
    rules = [{"Name": name, "Value": value} for name, value in pairs if value]
    return {
        "Id": target.id,
        _LISTS[target.kind][1]: target.arn,
        "Events": list(target.events),
        **({"Filter": {"Key": {"FilterRules": rules}}} if rules else {}),
    }


def _says_the_same(entry: Entry, target: Target) -> bool:
    """Somebody's entry that tells the target all of this is as good as ours."""
    return (
        (entry.kind, entry.arn) == (target.kind, target.arn)
        and target.prefix.startswith(entry.prefix)
        and target.suffix.endswith(entry.suffix)
        and all(covers(entry.events, event) for event in target.events)
    )


def _overlaps(entry: Entry, target: Target) -> bool:
    prefixes = entry.prefix.startswith(target.prefix) or target.prefix.startswith(entry.prefix)
    suffixes = entry.suffix.endswith(target.suffix) or target.suffix.endswith(entry.suffix)
    events = any(_stands_for(one, other) or _stands_for(other, one) for one in entry.events for other in target.events)
    return prefixes and suffixes and events


def _stands_for(one: str, other: str) -> bool:
    """Whether ``one`` is ``other``, or a wildcard for it."""
    return one == other or (one.endswith(":*") and other.startswith(one[:-1]))


def _is_to_go(entry_id: str, target: Target | None) -> bool:
    return entry_id == target.id if target else entry_id.startswith(_OURS)
