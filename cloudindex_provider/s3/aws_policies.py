"""Policies of AWS: the least that each part needs, and whether one lets a service in. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from cloudindex_provider.s3.ranges import is_directory_bucket

__all__ = ["PARTS", "allows_service", "bucket_arn", "iam_policy", "state_policy", "with_statement"]

PARTS = ("sync", "events", "notifications")
_VERSION = "2012-10-17"
_PARTITION = "aws"
_CONSUMED = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")
_SOURCES = ("ArnLike", "ArnEquals", "StringLike", "StringEquals")  # operators of conditions


def iam_policy(
    part: str, *, bucket: str, prefix: str = "", queue_arn: str = "", key_arn: str = "", partition: str = ""
) -> dict[str, Any]:
    """The least-privilege policy of an identity that runs one part of the package.

    :param part: ``sync`` (S3 is listed and read), ``events`` (a queue is consumed; S3 is the sync's), or
        ``notifications`` (the bucket is told whom to tell, the queue to take it, and the way between is looked at)
    :param bucket: its name, or the ARN of an access point
    :param queue_arn: of ``events`` and ``notifications``
    :param key_arn: of KMS, where a key of one's own encrypts the bucket (``sync``) or the queue
    :param partition: ``aws``, ``aws-cn``, ``aws-us-gov``, where no ARN tells it
    """
    beside = queue_arn or key_arn or f"arn:{partition or _PARTITION}:"
    if part == "sync":
        statements = _of_sync(bucket, prefix, beside)
    elif part == "events":
        statements = [_on_queue(queue_arn, [*_CONSUMED, "GetQueueAttributes"])]
    else:
        statements = _of_notifications(bucket_arn(bucket, beside), queue_arn)
    if key_arn:
        looked_at = ["kms:DescribeKey", "kms:GetKeyPolicy"] if part == "notifications" else []
        statements.append(_allow(["kms:Decrypt", *looked_at], key_arn))
    return {"Version": _VERSION, "Statement": statements}


def _of_sync(bucket: str, prefix: str, beside: str) -> list[dict[str, Any]]:
    """Two rights, on the bucket and on its objects; HEAD is GetObject's, and a 404 ListBucket's."""
    if is_directory_bucket(bucket):  # whose rights are those of a session, which boto3 makes by itself
        kind = "accesspoint" if bucket.endswith("--xa-s3") else "bucket"
        session = _allow("s3express:CreateSession", f"arn:{_partition(beside)}:s3express:*:*:{kind}/{bucket}")
        return [session | {"Condition": {"StringEquals": {"s3express:SessionMode": "ReadOnly"}}}]
    arn = bucket_arn(bucket, beside)
    listing = _allow("s3:ListBucket", arn)
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [f"{_literal(prefix)}*"]}}
    objects = f"{arn}/object" if bucket.startswith("arn:") else arn  # of an access point
    return [listing, _allow("s3:GetObject", f"{objects}/{_literal(prefix)}*")]


def _of_notifications(bucket: str, queue: str) -> list[dict[str, Any]]:
    """``apply`` and ``remove`` write; ``test`` takes its message out of the queue; the last two are ``check``'s, for
    topics and rules, which are those of the queue's region and may be another account's than the queue.
    """
    partition, region = _partition(queue), (queue.split(":") + [""] * 4)[3]
    topics, rules = f"arn:{partition}:sns:{region}:*:*", f"arn:{partition}:events:{region}:*:rule/*"
    return [
        _allow(["s3:GetBucketNotification", "s3:PutBucketNotification"], bucket),
        _on_queue(queue, ["GetQueueUrl", "GetQueueAttributes", "SetQueueAttributes", *_CONSUMED]),
        _allow(["sns:ListSubscriptionsByTopic", "sns:GetTopicAttributes"], topics),
        _allow(["events:DescribeRule", "events:ListTargetsByRule"], rules),
        # AWS gives these two for every resource or for none.
        _allow(["sns:GetSubscriptionAttributes", "events:ListRuleNamesByTarget"], "*"),
    ]


def _literal(prefix: str) -> str:
    """The prefix as a policy takes it for the characters that it has."""
    return "".join(f"${{{one}}}" if one in "*?$" else one for one in prefix)


def bucket_arn(bucket: str, beside: str = "") -> str:
    """A bucket's ARN, in the partition (``aws``, ``aws-cn``, ``aws-us-gov``) of another one. An ARN is itself."""
    return bucket if bucket.startswith("arn:") else f"arn:{_partition(beside)}:s3:::{bucket}"


def _partition(arn: str) -> str:
    return arn.split(":")[1] if arn.startswith("arn:") else _PARTITION


def state_policy(*, partition: str, region: str, account: str, resource_id: str, user: str) -> dict[str, Any]:
    """The least-privilege policy of an identity that logs in to the state on Amazon RDS or Aurora by IAM.

    :param partition: such as ``aws``
    :param account: of the database; ``*`` is any, as for the next
    :param resource_id: of the instance (``db-…``), the cluster (``cluster-…``) or the proxy (``prx-…``)
    :param user: of the database
    """
    arn = f"arn:{partition}:rds-db:{region}:{account}:dbuser:{resource_id}/{user}"
    return {
        "Version": _VERSION,
        "Statement": [_allow("rds-db:connect", arn)],
    }


def _on_queue(arn: str, actions: Sequence[str]) -> dict[str, Any]:
    return _allow([f"sqs:{action}" for action in actions], arn)


def _allow(actions: str | Sequence[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def with_statement(policy: str | None, statement: Mapping[str, Any]) -> str:
    """A resource's policy with one more statement, in place of one of the same Sid; others stay as they are."""
    document: dict[str, Any] = json.loads(policy) if policy else {"Version": _VERSION, "Statement": []}
    others = [one for one in _list(document.get("Statement")) if one.get("Sid") != statement["Sid"]]
    return json.dumps({**document, "Statement": [*others, statement]})


def allows_service(policy: str | None, *, service: str, action: str, source_arn: str) -> bool:
    """Whether a resource's policy lets an AWS service act for a source. Statements that deny it count, too, unless they
    have a condition that isn't judged, such as the common ``aws:SecureTransport``: services send by TLS.

    :param service: such as ``s3.amazonaws.com``
    :param action: such as ``sqs:SendMessage``
    :param source_arn: of the bucket, topic or rule that the service acts for
    """
    effects = {
        str(one.get("Effect"))
        for one in _statements(policy)
        if _matches(_principals(one), service)
        and any(fnmatchcase(action.lower(), str(given).lower()) for given in _list(one.get("Action")))
        and _is_for(one.get("Condition") or {}, source_arn)
        and (one.get("Effect") != "Deny" or _is_about_sources(one.get("Condition") or {}))
    }
    return effects == {"Allow"}


def _statements(policy: str | None) -> Iterator[Mapping[str, Any]]:
    try:
        found = json.loads(policy or "{}").get("Statement", [])
    except (ValueError, AttributeError):
        return
    yield from (one for one in _list(found) if isinstance(one, Mapping))


def _principals(statement: Mapping[str, Any]) -> list[Any]:
    principal = statement.get("Principal")
    return ["*"] if principal == "*" else _list((principal or {}).get("Service")) + _list((principal or {}).get("AWS"))


def _matches(principals: Sequence[Any], service: str) -> bool:
    return any(one in ("*", service) for one in principals)


def _is_about_sources(condition: Mapping[str, Any]) -> bool:
    """Whether the condition says nothing but which sources it is for."""
    return all(
        operator in _SOURCES and name.lower() == "aws:sourcearn"
        for operator, pairs in condition.items()
        for name in pairs
    )


def _is_for(condition: Mapping[str, Any], source_arn: str) -> bool:
    """Whether the condition's source is ours; other conditions, such as the account, aren't judged."""
    wanted = [
        str(arn)
        for operator, pairs in condition.items()
        if operator.removesuffix("IfExists") in _SOURCES
        for name, values in pairs.items()
        if name.lower() == "aws:sourcearn"
        for arn in _list(values)
    ]
    return not wanted or any(fnmatchcase(source_arn, arn) for arn in wanted)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
