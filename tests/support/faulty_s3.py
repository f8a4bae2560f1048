"""S3 in memory that fails on purpose: the reading half of ``MemoryS3`` with a list of things that go wrong next."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from tests.support.memory_s3 import MemoryS3, client_error

__all__ = ["FaultyS3"]


@dataclass
class FaultyS3:
    """``faults`` is taken from the front: (operation, what), each meeting the next request of its operation.

    What: a status and code such as ``503 SlowDown``, ``short``, ``corrupt``, ``cut`` (of a GET), ``empty`` (a listing).
    """

    s3: MemoryS3
    faults: list[tuple[str, str]] = field(default_factory=list)
    _corrupted: int = 0

    def _take(self, operation: str) -> str:
        for at, (name, what) in enumerate(self.faults):
            if name == operation:
                del self.faults[at]
                return what
        return ""

    def _refuse(self, operation: str) -> str:
        what = self._take(operation)
        status, _, code = what.partition(" ")
        if code:
            raise client_error(operation, int(status), code)
        return what

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        what = self._refuse("ListObjectsV2")
        answer = self.s3.list_objects_v2(**request)
        if what == "empty":
            answer = {**answer, "Contents": [], "KeyCount": 0, "IsTruncated": False}
        return answer

    def head_object(self, **request: Any) -> dict[str, Any]:
        self._refuse("HeadObject")
        return self.s3.head_object(**request)

    def get_object(self, **request: Any) -> dict[str, Any]:
        what = self._refuse("GetObject")
        answer = self.s3.get_object(**request)
        data = answer["Body"].read()
        if what == "short":
            data = data[:-1]
        elif what == "corrupt":
            self._corrupted += 1  # each time in another way: twice the same would be what the storage has
            data = bytes([data[0] ^ (self._corrupted % 255 + 1)]) + data[1:]
        answer["Body"] = io.BytesIO(data)
        return answer
