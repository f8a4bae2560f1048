"""Reading S3 over an injected boto3 client: pages in key order, objects pinned to their ETag, and proofs of absence.

Never writes to S3. A page is trusted only in order; an object's bytes only when length, ETag and (where it is one) MD5
are what S3 announced, and the reader learns of a mismatch before it has passed on the object's end. Every request is
sent from here, and ``S3Source._retried`` alone decides whether one is sent again.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from cloudindex_provider.errors import (
    NoSuchKeyError,
    SourceChangedError,
    SourceIntegrityError,
    SourceUnavailableError,
)
from cloudindex_provider.s3.botocore_shortcuts import fast_get, fast_list
from cloudindex_provider.s3.error_mapping import s3_errors
from cloudindex_provider.s3.listing import Listing
from cloudindex_provider.s3.object import S3Object
from cloudindex_provider.s3.page import ListedObject, ListedPage
from cloudindex_provider.s3.page import iso_time as _iso

__all__ = ["S3Client", "S3Source"]

# CloudIndex's S3 guide, "Retry Strategy": maxAttempts, delay and backoff.
ATTEMPTS = 3
FIRST_WAIT = 1.0  # seconds before the second attempt
BACK_OFF = 2  # times as long before each further one
_HICCUPS = (SourceUnavailableError, SourceIntegrityError)  # the same request may get another answer
_PLAIN_MD5 = re.compile(r"[0-9a-f]{32}\Z")
_T = TypeVar("_T")


class S3Client(Protocol):
    """What is used of a boto3 S3 client."""

    def list_objects_v2(self, **kwargs: Any) -> Mapping[str, Any]: ...
    def get_object(self, **kwargs: Any) -> Mapping[str, Any]: ...
    def head_object(self, **kwargs: Any) -> Mapping[str, Any]: ...


@dataclass(slots=True)
class S3Source:
    """One bucket seen through one client. Thread-safe as boto3's clients are; ``calls`` counts requests."""

    client: S3Client
    bucket: str
    calls: Counter[str] = field(default_factory=Counter)
    first_wait: float = FIRST_WAIT
    sleep: Callable[[float], None] = time.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _get: Callable[..., Mapping[str, Any]] | None = None

    def _retried(self, attempt: Callable[[], _T]) -> _T:
        """What ``attempt`` gives, which is made again after a hiccup of S3. Not to be nested: attempts would multiply.

        :raises S3IntegrationError: of the last attempt, or at once where no further one would help
        """
        for made in range(1, ATTEMPTS):
            try:
                return attempt()
            except _HICCUPS:
                self.sleep(self.first_wait * BACK_OFF ** (made - 1))
        return attempt()

    def _ask(self, operation: str, key: str | None, send: Callable[..., Mapping[str, Any]], **request: Any) -> Any:
        """The answer to one request, which is sent again after a hiccup."""
        return self._retried(lambda: self._ask_once(operation, key, send, **request))

    def _ask_once(self, operation: str, key: str | None, send: Callable[..., Mapping[str, Any]], **request: Any) -> Any:
        with self._lock:
            self.calls[operation] += 1
        with s3_errors(operation, self.bucket, key):
            return send(Bucket=self.bucket, **request)

    def _get_object(self) -> Callable[..., Mapping[str, Any]]:
        if self._get is None:
            self._get = fast_get(self.client)
        return self._get

    def take_calls(self) -> dict[str, int]:
        """The requests since the last take, by operation."""
        with self._lock:
            taken = dict(self.calls)
            self.calls.clear()
        return taken

    def pages(
        self, prefix: str = "", *, start_after: str = "", page_size: int = 1000, ordered: bool = True
    ) -> Iterator[ListedPage]:
        """The objects under ``prefix``, a page at a time: see ``listing.Listing.pages``."""
        ask = partial(self._ask, "ListObjectsV2", None, fast_list(self.client))
        return Listing(self.bucket, ask).pages(prefix, start_after=start_after, page_size=page_size, ordered=ordered)

    def open(self, key: str, *, etag: str, size: int) -> S3Object:
        """The object's bytes as of ``etag``.

        :raises SourceChangedError: when it is no longer that object (also where the server ignores If-Match)
        :raises NoSuchKeyError: when it is gone
        """
        return self._retried(lambda: self._open_once(key, etag, size))

    def read(self, key: str, use: Callable[[S3Object], _T], *, etag: str, size: int) -> _T:
        """What ``use`` makes of the opened object; where its bytes break off or are wrong, it is opened and used anew.

        :raises S3IntegrationError: as ``open`` and ``S3Object.chunks`` do
        """
        return self._retried(lambda: use(self._open_once(key, etag, size)))

    def sha256(self, key: str, *, etag: str, size: int) -> str:
        """The SHA-256 of the object's bytes as of ``etag``, which are read to their end for it.

        :raises S3IntegrationError: as ``open`` and ``S3Object.chunks`` do
        """
        return self.read(key, S3Object.read_sha256, etag=etag, size=size)

    def _open_once(self, key: str, etag: str, size: int) -> S3Object:
        answer = self._ask_once("GetObject", key, self._get_object(), Key=key, IfMatch=f'"{etag}"')
        got = str(answer.get("ETag", "")).strip('"')
        length = int(answer.get("ContentLength", -1))
        if got != etag or length != size:
            answer["Body"].close()
            raise SourceChangedError(
                f"s3://{self.bucket}/{key} has changed since it was listed (ETag {got}, {length} bytes).",
                code="ETagMismatch",
                key=key,
            )
        return S3Object(
            key=key,
            etag=etag,
            size=size,
            version_id=answer.get("VersionId"),
            metadata=answer.get("Metadata") or {},
            _body=answer["Body"],
            _md5=_md5_of(etag, answer),
            bucket=self.bucket,
            last_modified=_iso(answer.get("LastModified")),
            content_type=str(answer.get("ContentType") or ""),
        )

    def head(self, key: str) -> ListedObject | None:
        """The object as it is now; ``None`` is S3's 404, the only proof that it is gone.

        :raises S3IntegrationError: for every other refusal or failure, which proves nothing
        """
        try:
            answer = self._ask("HeadObject", key, self.client.head_object, Key=key)
        except NoSuchKeyError as error:
            if error.details.get("status") == 404:
                return None
            raise
        return ListedObject(
            key,
            str(answer.get("ETag", "")).strip('"'),
            int(answer["ContentLength"]),
            _iso(answer.get("LastModified")),
            str(answer.get("StorageClass") or "STANDARD"),
        )

    def stored_sha256(self, key: str, *, etag: str, size: int) -> str | None:
        """The SHA-256 that S3 itself stores of the whole object as of ``etag``; ``None`` where it stores none.

        :raises SourceChangedError: when it is no longer that object
        :raises NoSuchKeyError: when it is gone
        """
        answer = self._ask("HeadObject", key, self.client.head_object, Key=key, ChecksumMode="ENABLED")
        if (str(answer.get("ETag", "")).strip('"'), answer.get("ContentLength")) != (etag, size):
            raise SourceChangedError(f"s3://{self.bucket}/{key} has changed since it was listed.", key=key)
        return _full_object_sha256(answer)


def _full_object_sha256(answer: Mapping[str, Any]) -> str | None:
    # A COMPOSITE checksum is a hash of the parts' hashes.
    if answer.get("ChecksumType") != "FULL_OBJECT":
        return None
    try:
        digest = base64.b64decode(str(answer.get("ChecksumSHA256") or ""), validate=True)
    except (ValueError, binascii.Error):
        return None
    return digest.hex() if len(digest) == 32 else None


def _md5_of(etag: str, answer: Mapping[str, Any]) -> str | None:
    """The MD5 that the ETag is, or ``None``: ETags under SSE-KMS, DSSE and SSE-C look like one and aren't."""
    encrypted = answer.get("ServerSideEncryption") not in (None, "AES256") or answer.get("SSECustomerAlgorithm")
    return etag if _PLAIN_MD5.match(etag) and not encrypted else None
