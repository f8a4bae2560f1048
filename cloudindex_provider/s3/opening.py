"""GET of one object as of its ETag, whatever its storage makes of conditions, ETags, lengths and encodings.

What is opened is the listed object or an error: the answer's own ETag (or time) and length are compared, and the bytes
when they have been read. What one storage was seen to do is remembered for as long as the source is open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudindex_provider.errors import SourceChangedError
from cloudindex_provider.s3 import facts
from cloudindex_provider.s3.decoding import coding_of
from cloudindex_provider.s3.error_mapping import s3_errors
from cloudindex_provider.s3.object import Proofs, S3Object
from cloudindex_provider.s3.page import ListedObject

__all__ = ["Opener"]

# How a GET can be pinned to an ETag. A storage that answers 412 to the first although HEAD gives that very ETag is
# asked in the next way; the last asks for nothing, and the answer alone is compared.
_CONDITIONS: tuple[Callable[[str], dict[str, str]], ...] = (
    lambda etag: {"IfMatch": f'"{etag}"'},
    lambda etag: {"IfMatch": etag},
    lambda _: {},
)


@dataclass(slots=True)
class Opener:
    """Opens the objects of one bucket. Thread-safe: what it learns is one number and one dict.

    :param get: (key, further arguments of the request) -> answer; raises our errors
    :param head: the object as it is now
    """

    bucket: str
    get: Callable[..., Mapping[str, Any]]
    head: Callable[[str], ListedObject | None]
    max_decoded: int | None = None  # bytes that a decoded object may have
    proofs: Proofs = field(default_factory=Proofs)
    _condition: int = 0

    def open(self, key: str, etag: str, size: int) -> S3Object:
        """The object as of that ETag.

        :raises SourceChangedError: when it is no longer that object (also where the server ignores conditions)
        """
        answer = self._matching(key, etag, size)
        with s3_errors("GetObject", self.bucket, key):  # what can't be read of the answer is about this key
            modified = facts.time_of(answer.get("LastModified"))
            got, length = facts.object_tag(answer.get("ETag"), modified), facts.length_of(answer)
            # More bytes than S3 stores, under its ETag: a storage that decodes while it sends. The bytes must prove it.
            there = facts.is_decoded_there(answer)
            if got != etag or (length is not None and length < size and not there):
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
                _md5=facts.md5_of(etag, answer) if self.proofs.etags_are_md5 else None,
                bucket=self.bucket,
                last_modified=modified,
                content_type=str(answer.get("ContentType") or ""),
                coding=coding_of(answer.get("ContentEncoding")),
                length=length,
                decoded_there=there,
                max_decoded=self.max_decoded,
                proofs=self.proofs,
            )

    def _matching(self, key: str, etag: str, size: int) -> Mapping[str, Any]:
        if not facts.has_etag(etag):
            return self.get(key)
        way = self._condition
        try:
            return self.get(key, **_CONDITIONS[way](etag))
        except SourceChangedError:
            if way + 1 == len(_CONDITIONS):
                raise
            now = self.head(key)
            if now is None or (now.etag, now.size) != (etag, size):
                raise
        return self._otherwise(key, etag, way + 1)

    def _otherwise(self, key: str, etag: str, way: int) -> Mapping[str, Any]:
        """HEAD gives the very ETag that a GET has just been refused for: it is this way of asking."""
        while True:
            try:
                answer = self.get(key, **_CONDITIONS[way](etag))
            except SourceChangedError:
                way += 1
                if way == len(_CONDITIONS):
                    raise
            else:
                self._condition = way
                return answer
