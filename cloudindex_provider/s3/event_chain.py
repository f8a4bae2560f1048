"""Whether S3's events reach a queue: each link of the chain looked at, and what mends it. Changes nothing.

Three ways lead from a bucket to a queue: directly, by an SNS topic, and by an EventBridge rule. A link that may not be
looked at is unknown, which is neither whole nor broken.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cloudindex_provider.s3.aws_policies import allows_service, bucket_arn
from cloudindex_provider.s3.error_mapping import redacted
from cloudindex_provider.s3.event_patterns import lets_pass, sample_event
from cloudindex_provider.s3.notifications import Entry, covers, entries, filter_value
from cloudindex_provider.s3.place import is_of_aws

__all__ = ["BROKEN", "OK", "UNKNOWN", "WARNING", "Chain", "Link"]

OK, BROKEN, WARNING, UNKNOWN = "ok", "broken", "warning", "unknown"
_WANTED = {"ObjectCreated": "s3:ObjectCreated:Put", "ObjectRemoved": "s3:ObjectRemoved:Delete"}
_OF_RULES = ("Object Created", "Object Deleted")  # their names at EventBridge
_REWRITES = ("Input", "InputPath", "InputTransformer")  # of a rule's target
_AWS_OWN_KEY = "alias/aws/sqs"
_SECOND_LOOK = 3.0  # seconds after which a queue that somebody consumes has changed
_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


@dataclass(frozen=True, slots=True)
class Link:
    """One link: its name, ``ok``, ``broken``, ``warning`` or ``unknown``, what was seen, and what to do."""

    name: str
    state: str
    seen: str
    remedy: str = ""


@dataclass(slots=True)
class Chain:
    """From a bucket's prefix to a queue.

    :param client: gives a boto3 client of a service: ``s3``, ``sqs``, ``sns``, ``events``
    """

    client: Callable[[str], Any]
    bucket: str
    prefix: str
    queue_url: str
    sleep: Callable[[float], None] = time.sleep
    _queue: Mapping[str, str] = field(default_factory=dict)

    def links(self) -> list[Link]:
        """Every link, from the queue to the consumer; after a missing queue or notification there is nothing to see."""
        found: list[Link] = []
        for look in (self._look_at_queue, self._look_at_ways, self._look_at_redrive, self._look_at_consumer):
            name = look.__name__.removeprefix("_look_at_")
            try:
                found += look()
            except (ClientError, BotoCoreError) as error:
                if name == "queue":
                    why = "The queue can't be asked: check queue_url, the connection's region and its rights."
                    return [Link("queue", BROKEN, redacted(error), why)]
                found.append(Link(name, UNKNOWN, redacted(error), "Give the identity the right to look at it."))
        return found

    @property
    def _queue_arn(self) -> str:
        return str(self._queue.get("QueueArn", ""))

    @property
    def _key_id(self) -> str:
        return str(self._queue.get("KmsMasterKeyId") or "")

    @property
    def _bucket_arn(self) -> str:
        return bucket_arn(self.bucket, self._queue_arn)

    def _look_at_queue(self) -> list[Link]:
        answer = self.client("sqs").get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["All"])
        self._queue = answer.get("Attributes", {})
        links = [Link("queue", OK, self._queue_arn)]
        if self._key_id == _AWS_OWN_KEY:
            seen = f"the queue is encrypted by {_AWS_OWN_KEY}, which S3, SNS and EventBridge may not use"
            remedy = "Use SSE-SQS, or a key of your own whose policy lets the sending service use it."
            links.append(Link("KMS key", BROKEN, seen, remedy))
        return links

    # The ways

    def _look_at_ways(self) -> list[Link]:
        document = self.client("s3").get_bucket_notification_configuration(Bucket=self.bucket)
        ways = [(entry, list(self._way(entry))) for entry in entries(document)]
        ways = [(entry, links) for entry, links in ways if links]
        if not ways:
            told = ", ".join(sorted({entry.arn or entry.kind for entry in entries(document)})) or "nobody"
            seen = f"the bucket tells {told}, and nothing of that leads to the queue"
            return [Link("notification", BROKEN, seen, "Run `airflow cloudindex notifications apply`.")]
        # The way that is whole, or the one that has least to be mended.
        entry, links = min(ways, key=lambda way: sum(link.state == BROKEN for link in way[1]))
        return [Link("notification", OK, f"{entry.kind} {entry.arn}".strip()), *links]

    def _way(self, entry: Entry) -> Iterator[Link]:
        """The links that one entry of the notification leads to; none where it doesn't lead to the queue."""
        if entry.kind == "sqs" and entry.arn == self._queue_arn:
            yield from self._selected(entry)
            yield from self._let_in("s3.amazonaws.com", self._bucket_arn)
        elif entry.kind == "sns":
            yield from self._by_topic(entry)
        elif entry.kind == "eventbridge":
            yield from self._by_rules()

    def _selected(self, entry: Entry) -> Iterator[Link]:
        missing = [name for name, event in _WANTED.items() if not covers(entry.events, event)]
        if missing:
            seen, remedy = f"{', '.join(missing)} isn't told", "Add it to the notification's events."
            yield Link("events", BROKEN, seen, remedy)
        prefix = filter_value(self.prefix, of_aws=is_of_aws(self.client("s3")))
        if not prefix.startswith(entry.prefix) or entry.suffix:
            seen = f"only keys with the prefix {entry.prefix!r} and the suffix {entry.suffix!r} are told"
            yield Link("filter", BROKEN, seen, f"Let the notification's prefix begin {prefix!r}, without a suffix.")

    def _let_in(self, service: str, source: str) -> Iterator[Link]:
        """By the queue's policy, and by that of the key which encrypts it."""
        name = "queue policy"
        if allows_service(self._queue.get("Policy"), service=service, action="sqs:SendMessage", source_arn=source):
            yield Link(name, OK, f"{service} may send for {source}")
        else:
            seen = f"the queue's policy doesn't let {service} send for {source}"
            remedy = "`airflow cloudindex notifications apply --queue-policy` adds the statement."
            yield Link(name, BROKEN, seen, remedy)
        if self._key_id not in ("", _AWS_OWN_KEY):
            yield self._key_lets_in(service, source)

    def _key_lets_in(self, service: str, source: str) -> Link:
        kms = self.client("kms")
        try:
            key = kms.describe_key(KeyId=self._key_id)["KeyMetadata"]["KeyId"]
            policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
        except (ClientError, BotoCoreError) as error:
            return Link("KMS key", UNKNOWN, redacted(error), "Give the identity kms:DescribeKey and kms:GetKeyPolicy.")
        actions = ("kms:GenerateDataKey", "kms:Decrypt")
        missing = [one for one in actions if not allows_service(policy, service=service, action=one, source_arn=source)]
        if not missing:
            return Link("KMS key", OK, f"{service} may use {self._key_id}")
        seen = f"the policy of {self._key_id} doesn't let {service} do {' and '.join(missing)}"
        return Link(
            "KMS key", BROKEN, seen, f"Allow {service} kms:GenerateDataKey* and kms:Decrypt in the key's policy."
        )

    def _by_topic(self, entry: Entry) -> Iterator[Link]:
        sns = self.client("sns")
        try:
            subscriptions = self._subscriptions(sns, entry.arn)
        except ClientError as error:
            if not str(error.response.get("Error", {}).get("Code", "")).startswith("NotFound"):
                raise
            yield Link("topic", BROKEN, f"{entry.arn} doesn't exist", "Make it, or apply the notification anew.")
            return
        if not subscriptions:
            if entry.arn:
                yield Link(
                    "subscription", BROKEN, f"{entry.arn} has no subscription of the queue", "Subscribe the queue."
                )
            return
        yield from self._selected(entry)
        attributes = sns.get_topic_attributes(TopicArn=entry.arn).get("Attributes", {})
        if not allows_service(
            attributes.get("Policy"), service="s3.amazonaws.com", action="sns:Publish", source_arn=self._bucket_arn
        ):
            seen = f"the topic's policy doesn't let s3.amazonaws.com publish for {self._bucket_arn}"
            yield Link("topic policy", BROKEN, seen, "Add a statement that allows sns:Publish for the bucket.")
        yield from self._subscription(sns, str(subscriptions[0].get("SubscriptionArn")))
        yield from self._let_in("sns.amazonaws.com", entry.arn)

    def _subscriptions(self, sns: Any, arn: str) -> list[Mapping[str, Any]]:
        """Of the queue to a topic."""
        pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
        found = [one for page in pages for one in page.get("Subscriptions", ())]
        return [one for one in found if one.get("Endpoint") == self._queue_arn]

    @staticmethod
    def _subscription(sns: Any, arn: str) -> Iterator[Link]:
        if not arn.startswith("arn:"):
            yield Link("subscription", BROKEN, f"the subscription is {arn}", "Confirm it.")
            return
        found = sns.get_subscription_attributes(SubscriptionArn=arn).get("Attributes", {})
        if json.loads(found.get("FilterPolicy") or "{}"):
            seen = "the subscription has a filter policy, which lets only some messages pass"
            yield Link("subscription", WARNING, seen, "See that it lets every event of the prefix pass.")
        else:
            yield Link("subscription", OK, arn)

    def _by_rules(self) -> Iterator[Link]:
        events = self.client("events")
        names = events.list_rule_names_by_target(TargetArn=self._queue_arn).get("RuleNames", [])
        if not names:
            return
        rules = [events.describe_rule(Name=name) for name in names]
        passed = {str(rule["Name"]): self._passed(rule.get("EventPattern")) for rule in rules}
        missing = set(_OF_RULES).difference(*passed.values())
        if missing:
            seen = f"no rule with the queue as its target lets {', '.join(sorted(missing))} under {self.prefix!r} pass"
            remedy = "Match source aws.s3 and the bucket's name, for both detail-types and every key of the prefix."
            name = "events" if any(passed.values()) else "rule"
            yield Link(name, BROKEN, f"{seen}: {', '.join(names)}", remedy)
        for rule in rules:
            if not passed[str(rule["Name"])]:
                continue
            if rule.get("State") != "ENABLED":
                yield Link("rule", BROKEN, f"the rule {rule['Name']} is disabled", "Enable it.")
            else:
                yield Link("rule", OK, str(rule["Arn"]))
            yield from self._rewritten(events, str(rule["Name"]))
            yield from self._let_in("events.amazonaws.com", str(rule["Arn"]))

    def _passed(self, pattern: str | None) -> set[str]:
        """The detail-types of the prefix's events that a rule's pattern lets pass."""
        try:
            wanted = json.loads(pattern or "null")
        except ValueError:
            return set()
        key = f"{self.prefix}cloudindex"
        return {kind for kind in _OF_RULES if lets_pass(wanted, sample_event(kind, self.bucket, key))}

    def _rewritten(self, events: Any, rule: str) -> Iterator[Link]:
        """Whether the rule sends the queue something else than the event."""
        try:
            targets = events.list_targets_by_rule(Rule=rule).get("Targets", [])
        except (ClientError, BotoCoreError) as error:
            yield Link("rule target", UNKNOWN, redacted(error), "Give the identity events:ListTargetsByRule.")
            return
        changes = [name for one in targets if one.get("Arn") == self._queue_arn for name in _REWRITES if one.get(name)]
        if changes:
            seen = f"the rule {rule} sends the queue another text than the event ({', '.join(changes)})"
            yield Link("rule target", BROKEN, seen, "Send the matched event as it is.")

    # What comes after the queue

    def _look_at_redrive(self) -> list[Link]:
        if self._queue.get("RedrivePolicy"):
            return [Link("redrive", OK, "messages that nobody can read go to another queue")]
        seen = "the queue has no redrive policy: a message that nobody can read comes again until it expires"
        return [Link("redrive", WARNING, seen, "Give the queue a dead-letter queue.")]

    def _look_at_consumer(self) -> list[Link]:
        first = self._waiting()
        if first[0] == 0:
            return [Link("consumer", OK, "no message waits")]
        self.sleep(_SECOND_LOOK)
        if self._waiting() != first or first[1]:
            return [Link("consumer", OK, f"about {first[0]} messages wait, and somebody takes them")]
        seen = f"about {first[0]} messages wait, and nobody takes them"
        return [
            Link("consumer", BROKEN, seen, "Unpause the DAG of CloudIndexSyncS3EventsOperator, and look at its log.")
        ]

    def _waiting(self) -> tuple[int, ...]:
        answer = self.client("sqs").get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=list(_COUNTS))
        return tuple(int(answer.get("Attributes", {}).get(name, 0)) for name in _COUNTS)
