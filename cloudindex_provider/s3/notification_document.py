"""A bucket's notification document as S3 has it: read and written whole, over an injected boto3 client.

Writing replaces the whole document, and boto3 reads of it only what its version knows: Ceph filters by tags and
metadata, and AWS adds kinds of targets. So what would be dropped by writing is found in the answer itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cloudindex_provider.errors import S3IntegrationError
from cloudindex_provider.s3.error_mapping import s3_errors

__all__ = ["read_document", "write_document"]

_READ = "GetBucketNotificationConfiguration"
_WRITE = "PutBucketNotificationConfiguration"
_ELEMENT = re.compile(rb"<([A-Za-z][\w.-]*)[\s/>]")


def read_document(client: Any, bucket: str, *, to_write: bool = False) -> dict[str, Any]:
    """The document, without what boto3 adds to an answer.

    :param to_write: it is to be written again, so nothing of it may be unknown
    :raises S3IntegrationError: where S3 refuses, or something of it would be dropped by writing it
    """
    with s3_errors(_READ, bucket), _answers(client) as answers:
        found: Mapping[str, Any] = client.get_bucket_notification_configuration(Bucket=bucket)
    unknown = sorted({name for body in answers for name in _names(body)} - _known(client)) if answers else []
    if to_write and unknown:
        raise S3IntegrationError(
            f"The notifications of bucket {bucket} have {', '.join(unknown)}, which this boto3 doesn't know and would"
            " drop by writing them.",
            code="NotificationsUnknown",
            details={"bucket": bucket, "operation": _WRITE},
            hint="Upgrade boto3, or change them with the storage's own tool.",
        )
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


def write_document(client: Any, bucket: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write it in place of the one that is there; gives S3's answer.

    :raises S3IntegrationError: where S3 refuses, which it does where any destination can't be sent to
    """
    with s3_errors(_WRITE, bucket):
        answer: Mapping[str, Any] = client.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration=document
        )
    return answer


@contextmanager
def _answers(client: Any) -> Iterator[list[bytes]]:
    """The bodies of the block's answers."""
    bodies: list[bytes] = []

    def keep(response_dict: Mapping[str, Any], **_: Any) -> None:
        if response_dict.get("status_code") == 200 and isinstance(response_dict.get("body"), bytes):
            bodies.append(response_dict["body"])

    event = f"before-parse.s3.{_READ}"
    client.meta.events.register(event, keep)
    try:
        yield bodies
    finally:
        client.meta.events.unregister(event, keep)


def _names(body: bytes) -> set[str]:
    """Of its elements, but for the one around them all, which stores name differently."""
    return {name.decode() for name in _ELEMENT.findall(body)[1:]}


def _known(client: Any) -> set[str]:
    """The names of elements that boto3 reads."""
    shape = client.meta.service_model.operation_model(_READ).output_shape
    return set(_of_shape(shape))


def _of_shape(shape: Any) -> Iterator[str]:
    members = shape.members if shape.type_name == "structure" else {}
    for name, member in members.items():
        yield str(member.serialization.get("name", name))
        inner = member.member if member.type_name == "list" else member
        yield str(inner.serialization.get("name", name))
        yield from _of_shape(inner)
