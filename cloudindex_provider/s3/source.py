"""Reading S3 over an injected boto3 client: pages in key order, objects pinned to their ETag, and proofs of absence.

Never writes to S3. A page is trusted only in order; an object's bytes only when length, ETag and (where it is one) MD5
are what S3 announced, and the reader learns of a mismatch before it has passed on the object's end. Every request is
sent from here, and ``S3Source._retried`` alone decides whether one is sent again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from cloudindex_provider.errors import (
    NoSuchKeyError,
    S3IntegrationError,
    SourceChangedError,
    SourceIntegrityError,
    SourceUnavailableError,
)
from cloudindex_provider.s3 import facts
from cloudindex_provider.s3.botocore_shortcuts import fast_get, fast_head, fast_list
from cloudindex_provider.s3.decoding import coding_of
from cloudindex_provider.s3.error_mapping import s3_errors
from cloudindex_provider.s3.listing import Listing, page_of
from cloudindex_provider.s3.object import Proofs, S3Object
from cloudindex_provider.s3.opening import Opener
from cloudindex_provider.s3.page import ListedObject, ListedPage

__all__ = ["S3Client", "S3Source"]

# CloudIndex's S3 guide, "Retry Strategy": maxAttempts, delay and backoff.
ATTEMPTS = 3
FIRST_WAIT = 1.0  # seconds before the second attempt
BACK_OFF = 2  # times as long before each further one
_HICCUPS = (SourceUnavailableError, SourceIntegrityError)  # the same request may get another answer
# How storages refuse a question that they don't know, and an old botocore does.
_NO_SUCH_OPTION = ("NotImplemented", "InvalidArgument", "InvalidRequest", "BadRequest", "ParamValidationError")
_T = TypeVar("_T")


class S3Client(Protocol):
    """What is used of a boto3 S3 client. ``*args, **kwargs`` are any signature, as boto3 makes its own."""

    def list_objects_v2(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]: ...
    def get_object(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]: ...
    def head_object(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]: ...


@dataclass(slots=True)
class S3Source:
    """One bucket seen through one client. Thread-safe as boto3's clients are; ``calls`` counts requests.

    :param request_payer: whoever asks agrees to pay, in a bucket that is Requester Pays
    :param max_decoded: bytes of a document, where S3 stores it coded; ``None``: any number
    """

    client: S3Client
    bucket: str
    request_payer: bool = False
    max_decoded: int | None = None
    calls: Counter[str] = field(default_factory=Counter)
    first_wait: float = FIRST_WAIT
    sleep: Callable[[float], None] = time.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock)
    has_no_etags: bool = False  # it has listed objects without an ETag
    unreadable_keys: dict[str, None] = field(default_factory=dict)  # listed since the last take, and no UTF-8
    proofs: Proofs = field(default_factory=Proofs)
    _opener: Opener | None = None
    _head: Callable[..., Mapping[str, Any]] | None = None
    _asks_for_restores: bool = True

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
        if self.request_payer:
            request["RequestPayer"] = "requester"
        with s3_errors(operation, self.bucket, key, request_payer=self.request_payer):
            return send(Bucket=self.bucket, **request)

    def take_calls(self) -> dict[str, int]:
        """The requests since the last take, by operation."""
        with self._lock:
            taken = dict(self.calls)
            self.calls.clear()
        return taken

    def take_unreadable_keys(self) -> list[str]:
        """The keys since the last take that were listed and are no UTF-8, as Python writes their bytes; each once."""
        with self._lock:
            taken, self.unreadable_keys = self.unreadable_keys, {}
        return list(taken)

    def pages(
        self, prefix: str = "", *, start_after: str = "", page_size: int = 1000, ordered: bool = True
    ) -> Iterator[ListedPage]:
        """The objects under ``prefix``, a page at a time: see ``listing.Listing.pages``."""
        listing = Listing(self.bucket, partial(self._listing, fast_list(self.client)), self._note)
        return listing.pages(prefix, start_after=start_after, page_size=page_size, ordered=ordered)

    def _note(self, page: ListedPage) -> None:
        if page.unreadable:
            with self._lock:
                self.unreadable_keys.update(dict.fromkeys(page.unreadable))
        self.has_no_etags = self.has_no_etags or page.has_stand_ins

    def _listing(self, ask: Callable[..., Mapping[str, Any]], **request: Any) -> Mapping[str, Any]:
        """A page that says which archived objects can be read, where the storage knows that question."""
        # A stand-in for a client has no archive to be asked about.
        if self._asks_for_restores and hasattr(self.client, "meta"):
            try:
                more = {"OptionalObjectAttributes": ["RestoreStatus"]}
                answer: Mapping[str, Any] = self._ask("ListObjectsV2", None, ask, **request, **more)
                return answer
            except S3IntegrationError as error:
                if error.code not in _NO_SUCH_OPTION and error.details.get("status") != 501:
                    raise
                self._asks_for_restores = False
        plain: Mapping[str, Any] = self._ask("ListObjectsV2", None, ask, **request)
        return plain

    def open(self, key: str, *, etag: str, size: int) -> S3Object:
        """The object's bytes as of ``etag``.

        :raises SourceChangedError: when it is no longer that object (also where the server ignores If-Match)
        :raises NoSuchKeyError: when it is gone
        """
        return self._retried(lambda: self._objects().open(key, etag, size))

    def read(self, key: str, use: Callable[[S3Object], _T], *, etag: str, size: int) -> _T:
        """What ``use`` makes of the opened object; where its bytes break off or are wrong, it is opened and used anew.

        :raises S3IntegrationError: as ``open`` and ``S3Object.chunks`` do
        """
        return self._retried(lambda: use(self._objects().open(key, etag, size)))

    def sha256(self, key: str, *, etag: str, size: int) -> str:
        """The SHA-256 of the object's document as of ``etag``, which is read to its end for it.

        :raises S3IntegrationError: as ``open`` and ``S3Object.chunks`` do
        """
        return self.read(key, S3Object.read_sha256, etag=etag, size=size)

    def _objects(self) -> Opener:
        if self._opener is None:
            send = fast_get(self.client)

            def get(key: str, **request: Any) -> Mapping[str, Any]:
                answer: Mapping[str, Any] = self._ask_once("GetObject", key, send, Key=key, **request)
                return answer

            self._opener = Opener(self.bucket, get, self._head_once, self.max_decoded, self.proofs)
        return self._opener

    def head(self, key: str) -> ListedObject | None:
        """The object as it is now; ``None`` is S3's 404, the only proof that it is gone.

        :raises S3IntegrationError: for every other refusal or failure, which proves nothing
        """
        return self._retried(lambda: self._head_once(key))

    def _head_object(self) -> Callable[..., Mapping[str, Any]]:
        if self._head is None:
            self._head = fast_head(self.client)
        return self._head

    def _head_once(self, key: str) -> ListedObject | None:
        try:
            answer = self._ask_once("HeadObject", key, self._head_object(), Key=key)
        except NoSuchKeyError as error:
            if error.details.get("status") == 404:
                return None
            raise
        size = facts.length_of(answer)
        return self._listed_alone(key) if size is None else facts.listed(key, answer, size)

    def _listed_alone(self, key: str) -> ListedObject:
        """The object by a listing of one key, where HEAD doesn't say its length."""
        request = {"Prefix": key, "MaxKeys": 1}
        for item in page_of(self._ask_once("ListObjectsV2", None, self.client.list_objects_v2, **request)):
            if item.key == key:
                return item
        raise S3IntegrationError(
            f"S3's HEAD doesn't say how long s3://{self.bucket}/{key} is, and a listing doesn't show it.",
            code="LengthUnknown",
            key=key,
            hint="Look at the object with another client, or leave it out with exclude.",
        )

    def stored_sha256(self, key: str, *, etag: str, size: int) -> str | None:
        """The SHA-256 that S3 itself stores of the whole object as of ``etag``; ``None`` where it stores none, or
        where the document is another than the stored bytes.

        :raises SourceChangedError: when it is no longer that object
        :raises NoSuchKeyError: when it is gone
        """
        answer = self._ask("HeadObject", key, self._head_object(), Key=key, ChecksumMode="ENABLED")
        now = facts.object_tag(answer.get("ETag"), facts.time_of(answer.get("LastModified")))
        if now != etag or facts.length_of(answer) not in (size, None):
            raise SourceChangedError(f"s3://{self.bucket}/{key} has changed since it was listed.", key=key)
        return None if coding_of(answer.get("ContentEncoding")) else facts.full_object_sha256(answer)
