"""S3 in memory with boto3's calling convention: fast, and it holds every key that S3 can (moto's server can't)."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

__all__ = ["MemoryS3", "client_error"]

_WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def client_error(operation: str, status: int, code: str) -> ClientError:
    """The exception that boto3 raises for such an answer."""
    return ClientError(
        {"Error": {"Code": code, "Message": "asked for"}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )


@dataclass
class _Object:
    body: bytes
    etag: str
    metadata: dict[str, str]
    storage_class: str


@dataclass
class MemoryS3:
    """Buckets of objects. Safe to use from any thread."""

    buckets: dict[str, dict[str, _Object]] = field(default_factory=dict)
    page_size: int = 1000  # keys of a listing's page, at most
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def create_bucket(self, *, Bucket: str) -> None:
        self.buckets.setdefault(Bucket, {})

    def put_object(
        self, *, Bucket: str, Key: str, Body: bytes, Metadata: Mapping[str, str] | None = None,
        StorageClass: str = "STANDARD", ETag: str | None = None,
    ) -> None:  # fmt: skip
        etag = ETag or hashlib.md5(Body, usedforsecurity=False).hexdigest()
        with self._lock:
            self.buckets[Bucket][Key] = _Object(Body, etag, dict(Metadata or {}), StorageClass)

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        with self._lock:
            self.buckets[Bucket].pop(Key, None)

    def list_objects_v2(
        self,
        *,
        Bucket: str,
        Prefix: str = "",
        MaxKeys: int = 1000,
        StartAfter: str = "",
        ContinuationToken: str = "",
        OptionalObjectAttributes: Sequence[str] = (),  # of which no object here has any
    ) -> dict[str, Any]:
        after = ContinuationToken or StartAfter
        with self._lock:
            objects = dict(self._bucket("ListObjectsV2", Bucket))
        keys = sorted((key for key in objects if key.startswith(Prefix) and key > after), key=str.encode)
        page = keys[: min(MaxKeys, self.page_size)]
        answer: dict[str, Any] = {
            "Name": Bucket,
            "KeyCount": len(page),
            "IsTruncated": len(keys) > len(page),
            "Contents": [
                {
                    "Key": key, "ETag": f'"{objects[key].etag}"', "Size": len(objects[key].body),
                    "LastModified": _WHEN, "StorageClass": objects[key].storage_class,
                }
                for key in page
            ],
        }  # fmt: skip
        if answer["IsTruncated"]:
            answer["NextContinuationToken"] = page[-1]
        return answer

    def get_paginator(self, operation: str) -> _Paginator:
        assert operation == "list_objects_v2"
        return _Paginator(self)

    def get_object(self, *, Bucket: str, Key: str, IfMatch: str | None = None) -> dict[str, Any]:
        found = self._find("GetObject", Bucket, Key)
        if IfMatch is not None and IfMatch.strip('"') != found.etag:
            raise client_error("GetObject", 412, "PreconditionFailed")
        if found.storage_class == "GLACIER":
            raise client_error("GetObject", 403, "InvalidObjectState")
        return {**self._head(found), "Body": io.BytesIO(found.body)}

    def head_object(self, *, Bucket: str, Key: str, ChecksumMode: str = "") -> dict[str, Any]:
        return self._head(self._find("HeadObject", Bucket, Key))

    def _bucket(self, operation: str, name: str) -> dict[str, _Object]:
        if name not in self.buckets:
            raise client_error(operation, 404, "NoSuchBucket")
        return self.buckets[name]

    def _find(self, operation: str, bucket: str, key: str) -> _Object:
        with self._lock:
            found = self._bucket(operation, bucket).get(key)
        if found is None:
            raise client_error(operation, 404, "404" if operation == "HeadObject" else "NoSuchKey")
        return found

    @staticmethod
    def _head(found: _Object) -> dict[str, Any]:
        return {
            "ETag": f'"{found.etag}"', "ContentLength": len(found.body), "Metadata": dict(found.metadata),
            "LastModified": _WHEN, "ContentType": "binary/octet-stream", "StorageClass": found.storage_class,
        }  # fmt: skip


@dataclass
class _Paginator:
    s3: MemoryS3

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self.s3.list_objects_v2(**request)
            yield page
            if not page["IsTruncated"]:
                return
            request["ContinuationToken"] = page["NextContinuationToken"]
