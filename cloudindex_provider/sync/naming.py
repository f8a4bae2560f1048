"""S3 key to CloudIndex file name. Pure; the same key always gets the same name.

The service strips directories, reads names as latin-1 and drops or refuses some, so a name is ``[A-Za-z0-9._-]`` only:
a readable slug of the key, a hash of bucket and whole key, and the key's own extension. Two keys that look alike (NFC
and NFD, ``a/b`` and ``a-b``) differ in the hash.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["MAX_NAME_BYTES", "extension", "file_name", "is_of_other_key", "our_name"]

MAX_NAME_BYTES = 150
_HASH_DIGITS = 24  # 96 bits: no collision among 2**40 keys to speak of
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,10})\Z")
_OTHER = re.compile(r"[^A-Za-z0-9]+")
# What ``file_name`` makes.
_OURS = re.compile(rf"[A-Za-z0-9-]+-([0-9a-f]{{{_HASH_DIGITS}}})(\.[A-Za-z0-9]{{1,10}})?\Z")


def extension(key: str) -> str:
    """The key's extension in lower case, without its dot; ``""`` where it has none.

    >>> extension("docs/Report.PDF"), extension("docs/.env"), extension("a.b/c")
    ('pdf', 'env', '')
    """
    match = _EXTENSION.search(key.rpartition("/")[2])
    return match[1].lower() if match else ""


def file_name(bucket: str, key: str) -> str:
    """The name under which an object's bytes are uploaded, at most 150 bytes.

    >>> file_name("b", "docs/Prices + fees.csv")
    'docs-Prices-fees-438be2a10e26b1863182b4d6.csv'
    """
    digest = hashlib.sha256(f"{bucket}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    match = _EXTENSION.search(key.rpartition("/")[2])
    suffix = f".{match[1]}" if match else ""
    slug = _OTHER.sub("-", key.removesuffix(suffix)).strip("-")
    room = MAX_NAME_BYTES - len(digest) - len(suffix) - 1
    slug = slug[-room:].lstrip("-") or "object"  # the end of a key says more than its folders
    return f"{slug}-{digest}{suffix}"


def our_name(name: str) -> str | None:
    """The name, where it is of the kind that a sync gives.

    >>> our_name("docs-Prices-fees-438be2a10e26b1863182b4d6.csv"), our_name("notes.txt")
    ('docs-Prices-fees-438be2a10e26b1863182b4d6.csv', None)
    """
    return name if _OURS.match(name) else None


def is_of_other_key(name: str, ours: str) -> bool:
    """Whether ``name`` is what a sync calls another key's document than that called ``ours``."""
    match = _OURS.match(name)
    return match is not None and match[1] not in ours
