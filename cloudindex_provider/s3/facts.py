"""What S3's answers say of one object, each fact in one spelling. Pure.

Servers write ETags quoted, unquoted and weak, leave out ETags, lengths and times, and say an object's class in several
places. What is compared anywhere is what this module makes of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cloudindex_provider.s3.decoding import coding_of
from cloudindex_provider.s3.page import ListedObject

__all__ = [
    "RESTORED", "full_object_sha256", "has_etag", "is_decoded_there", "length_of", "listed", "md5_of", "object_tag",
    "plain_etag", "storage_class", "time_of", "with_stand_ins",
]  # fmt: skip

RESTORED = ",RESTORED"  # after the storage class of an archived object that can be read for a while
_STAND_IN = "@"  # and LastModified: what stands for the ETag of an object that has none
_PLAIN_MD5 = re.compile(r"[0-9a-f]{32}\Z")
_NUMBER = re.compile(r"\s*([0-9]+)\s*(?:,\s*\1\s*)*\Z")  # also where a proxy has doubled the header


def plain_etag(value: Any) -> str:
    """An ETag without quotes and without the mark of weakness."""
    return str(value or "").strip().removeprefix("W/").strip('"')


def object_tag(etag: Any, last_modified: str) -> str:
    """What tells the versions of an object apart: its ETag or, where the storage gives none, its time."""
    return plain_etag(etag) or _STAND_IN + last_modified


def has_etag(tag: str) -> bool:
    """Whether an ``object_tag`` is an ETag, which the storage can be asked for."""
    return not tag.startswith(_STAND_IN)


def with_stand_ins(etags: Sequence[str], modified: Sequence[str]) -> Sequence[str]:
    """Plain ETags as ``object_tag`` gives them; itself where none is missing."""
    if "" not in etags:
        return etags
    return [object_tag(*pair) for pair in zip(etags, modified, strict=True)]


def time_of(value: Any) -> str:
    """ISO 8601 UTC in whole seconds; empty where there is none."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(value, "strftime") else str(value or "")


def length_of(answer: Mapping[str, Any]) -> int | None:
    """``Content-Length``; ``None`` where the answer has none that can be read."""
    found = _NUMBER.match(str(answer.get("ContentLength", "")))
    return int(found[1]) if found else None


def storage_class(answer: Mapping[str, Any]) -> str:
    """The class, of a row of a listing or an answer to HEAD; marked where an archived object can be read for now."""
    name = str(answer.get("StorageClass") or "STANDARD")
    status = answer.get("RestoreStatus") or {}
    in_listing = status.get("IsRestoreInProgress") is False and status.get("RestoreExpiryDate")
    in_head = 'ongoing-request="false"' in str(answer.get("Restore") or "")
    return name + RESTORED if in_listing or in_head else name


def listed(key: str, answer: Mapping[str, Any], size: int) -> ListedObject:
    """The object of a row of a listing or of an answer to HEAD."""
    modified = time_of(answer.get("LastModified"))
    return ListedObject(key, object_tag(answer.get("ETag"), modified), size, modified, storage_class(answer))


def md5_of(tag: str, answer: Mapping[str, Any]) -> str | None:
    """The MD5 that the ETag is, or ``None``: ETags under SSE-KMS, DSSE and SSE-C look like one and aren't."""
    encrypted = answer.get("ServerSideEncryption") not in (None, "AES256") or answer.get("SSECustomerAlgorithm")
    return tag if _PLAIN_MD5.match(tag) and not encrypted else None


def is_decoded_there(answer: Mapping[str, Any]) -> bool:
    """Whether the storage says that it decodes while it sends, as Google's does with gzip."""
    headers = (answer.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
    stored = coding_of(headers.get("x-goog-stored-content-encoding"))
    return bool(stored) and stored != coding_of(answer.get("ContentEncoding"))


def full_object_sha256(answer: Mapping[str, Any]) -> str | None:
    """The SHA-256 that S3 stores of the whole object, as lower-case hex."""
    # A COMPOSITE checksum is a hash of the parts' hashes.
    if answer.get("ChecksumType") != "FULL_OBJECT":
        return None
    try:
        digest = base64.b64decode(str(answer.get("ChecksumSHA256") or ""), validate=True)
    except (ValueError, binascii.Error):
        return None
    return digest.hex() if len(digest) == 32 else None
