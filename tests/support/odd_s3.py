"""S3 in memory as other stores are: without ETags, with its own idea of a listing, coded, archived, refused objects."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.memory_s3 import MemoryS3, client_error

__all__ = ["OddS3"]

_PAYER = {"RequestPayer"}


@dataclass
class OddS3(MemoryS3):
    """What differs from S3 is what is set. ``asked`` counts requests by operation, and ``payers`` those that pay."""

    no_etags: bool = False
    row: Callable[[dict[str, Any]], dict[str, Any]] = dict  # of a listing, as this store writes it
    decodes: bool = False  # what is stored as gzip is sent decoded, with neither length nor encoding
    no_head_length: bool = False
    refused: dict[tuple[str, str], Exception] = field(default_factory=dict)  # (operation, key) -> what is raised
    encodings: dict[str, str] = field(default_factory=dict)  # key -> Content-Encoding
    times: dict[str, datetime] = field(default_factory=dict)
    restored: set[str] = field(default_factory=set)
    archive_tier: set[str] = field(default_factory=set)  # listed like any other class, and 403 when they are read
    requester_pays: bool = False
    asked: Counter[str] = field(default_factory=Counter)

    def put_object(self, *, Bucket: str, Key: str, **more: Any) -> None:
        self.encodings.pop(Key, None)
        if encoding := more.pop("ContentEncoding", None):
            self.encodings[Key] = encoding
        if when := more.pop("LastModified", None):
            self.times[Key] = when
        super().put_object(Bucket=Bucket, Key=Key, **more)

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        answer = super().list_objects_v2(**self._begun("ListObjectsV2", "", request))
        return {**answer, "Contents": [self.row(self._as_told(item["Key"], item)) for item in answer["Contents"]]}

    def head_object(self, **request: Any) -> dict[str, Any]:
        key = request["Key"]
        answer = self._as_told(key, super().head_object(**self._begun("HeadObject", key, request)))
        if self.no_head_length:
            del answer["ContentLength"]
        if key in self.restored:
            answer["Restore"] = 'ongoing-request="false", expiry-date="Fri, 23 Dec 2033 00:00:00 GMT"'
        return answer

    def get_object(self, **request: Any) -> dict[str, Any]:
        key = request["Key"]
        request = self._begun("GetObject", key, request)
        archived = self._find("GetObject", request["Bucket"], key).storage_class in ("GLACIER", "DEEP_ARCHIVE")
        if key in self.archive_tier or (archived and key not in self.restored):
            raise client_error("GetObject", 403, "InvalidObjectState")
        answer = self._as_told(key, self._read(request))
        if self.decodes and key in self.encodings:
            answer["Body"] = io.BytesIO(gzip.decompress(answer["Body"].read()))
            del answer["ContentLength"], answer["ContentEncoding"]
            answer["ResponseMetadata"] = {"HTTPHeaders": {"x-goog-stored-content-encoding": "gzip"}}
        return answer

    def _read(self, request: dict[str, Any]) -> dict[str, Any]:
        found = self._find("GetObject", request["Bucket"], request["Key"])
        if request.get("IfMatch", found.etag).strip('"') != found.etag:
            raise client_error("GetObject", 412, "PreconditionFailed")
        return {**self._head(found), "Body": io.BytesIO(found.body)}

    def _begun(self, operation: str, key: str, request: dict[str, Any]) -> dict[str, Any]:
        self.asked[operation] += 1
        if self.requester_pays and request.get("RequestPayer") != "requester":
            raise client_error(operation, 403, "AccessDenied")
        if (operation, key) in self.refused:
            raise self.refused[operation, key]
        return {name: value for name, value in request.items() if name not in _PAYER}

    def _as_told(self, key: str, answer: dict[str, Any]) -> dict[str, Any]:
        told = dict(answer)
        if self.no_etags:
            del told["ETag"]
        if key in self.times:
            told["LastModified"] = self.times[key]
        if key in self.encodings and "Size" not in told:
            told["ContentEncoding"] = self.encodings[key]
        if key in self.restored and "Size" in told:
            told["RestoreStatus"] = {
                "IsRestoreInProgress": False,
                "RestoreExpiryDate": datetime(2033, 12, 23, tzinfo=UTC),
            }
        return told
