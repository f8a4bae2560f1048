"""Reading S3 over an injected boto3 client: pages in key order, objects pinned to their ETag, and proofs of absence.

Never writes to S3. A page is trusted only in order; an object's bytes only when length, ETag and (where it is one) MD5
are what S3 announced, and the reader learns of a mismatch before it has passed on the object's end. Every request is
sent from here, and ``S3Source._retried`` alone decides whether one is sent again.
"""

from __future__ import annotations

import base64
import binascii
import bisect
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from cloudindex_provider.errors import (
    NoSuchKeyError,
    S3IntegrationError,
    SourceChangedError,
    SourceIntegrityError,
    SourceOrderError,
    SourceUnavailableError,
)
from cloudindex_provider.s3.botocore_shortcuts import ROWS, fast_get, fast_list
from cloudindex_provider.s3.error_mapping import s3_errors
from cloudindex_provider.s3.object import S3Object
from cloudindex_provider.s3.page import ListedObject, ListedPage

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
        self, prefix: str = "", *, start_after: str = "", upto: str | None = None, page_size: int = 1000
    ) -> Iterator[ListedPage]:
        """The objects under ``prefix`` after ``start_after`` up to ``upto``, in key order, a page at a time.

        :raises SourceOrderError: when two keys are out of order
        :raises S3IntegrationError: when a page can't be had; nothing after it is known then
        """
        request: dict[str, Any] = {"Prefix": prefix, "MaxKeys": page_size}
        if start_after:
            request["StartAfter"] = start_after
        last = start_after  # of a page, the key before it
        ask = fast_list(self.client)
        while True:
            answer, page = self._page(ask, request, prefix)
            in_order = page.in_order
            self._check_whole(page, answer, prefix, in_order)
            if page and "ContinuationToken" not in request and page.keys[0] <= start_after:
                raise SourceOrderError(
                    f"bucket {self.bucket} was asked for keys after {start_after!r} and listed {page.keys[0]!r}.",
                    code="ListingStart",
                    hint="This storage ignores StartAfter: set listing_ranges to 1.",
                    previous=start_after,
                    key=page.keys[0],
                )
            last = self._check_order(page, last, in_order)
            beyond = upto is not None and last >= upto
            if upto is not None and last > upto:
                page = page[: bisect.bisect_right(page.keys, upto)]
            if page:
                yield page
            if beyond or not answer.get("IsTruncated"):
                return
            token = answer.get("NextContinuationToken")
            if not token or token == request.get("ContinuationToken"):
                raise S3IntegrationError(
                    f"bucket {self.bucket}: a listing says that it goes on, but not where.",
                    code="ListingTokenMissing",
                    hint="This storage's ListObjectsV2 is not S3's; nothing was deleted.",
                )
            request["ContinuationToken"] = token

    def _page(
        self, ask: Callable[..., Mapping[str, Any]], request: Mapping[str, Any], prefix: str
    ) -> tuple[Mapping[str, Any], ListedPage]:
        try:
            answer = self._ask("ListObjectsV2", None, ask, **request)
            return answer, _rows(answer)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # botocore trips over XML that isn't S3's, such as two KeyCounts, with whatever its parser raises.
            raise self._unreadable(prefix, f"a page that can't be read ({type(error).__name__})") from None

    def _unreadable(self, prefix: str, what: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"bucket {self.bucket}: a listing of {prefix!r} gave {what}.",
            code="ListingUnreadable",
            hint="Nothing was deleted. Check that the endpoint of the AWS connection is S3 and not a proxy's page.",
        )

    def _check_whole(self, page: ListedPage, answer: Mapping[str, Any], prefix: str, in_order: bool) -> None:
        """A page that doesn't say whether it is the last, or holds other rows than it says, is no end of a listing."""
        keys = page.keys
        whole = in_order and keys[0].startswith(prefix) and keys[-1].startswith(prefix)
        stray = None if whole else next((key for key in keys if not key.startswith(prefix)), None)
        if "IsTruncated" in answer and answer.get("KeyCount", len(page)) == len(page) and stray is None:
            return
        what = f"a key outside of the prefix, {stray!r}" if stray is not None else "a page that isn't whole"
        raise self._unreadable(prefix, what)

    def _check_order(self, page: ListedPage, last: str, in_order: bool) -> str:
        if in_order and (page.keys[0] > last or not last):
            return page.keys[-1]
        for key in page.keys:
            if key <= last and last:
                raise SourceOrderError(
                    f"bucket {self.bucket} listed {key!r} after {last!r}.",
                    code="ListingOrder",
                    previous=last,
                    key=key,
                )
            last = key
        return last

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


def _rows(answer: Mapping[str, Any]) -> ListedPage:
    page: ListedPage | None = answer.get(ROWS)
    return ListedPage.of(map(_row, answer.get("Contents") or ())) if page is None else page


def _row(item: Mapping[str, Any]) -> ListedObject:
    return ListedObject(
        item["Key"],
        str(item.get("ETag", "")).strip('"'),
        int(item["Size"]),
        _iso(item.get("LastModified")),
        str(item.get("StorageClass") or "STANDARD"),
    )


def _iso(value: Any) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(value, "strftime") else str(value or "")


def _md5_of(etag: str, answer: Mapping[str, Any]) -> str | None:
    """The MD5 that the ETag is, or ``None``: ETags under SSE-KMS, DSSE and SSE-C look like one and aren't."""
    encrypted = answer.get("ServerSideEncryption") not in (None, "AES256") or answer.get("SSECustomerAlgorithm")
    return etag if _PLAIN_MD5.match(etag) and not encrypted else None
