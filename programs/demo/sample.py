"""The sample bucket: the documents of a made-up bicycle shop, under keys as odd as S3 allows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["OVERSIZED", "Question", "Sample"]

FOLDER = Path(__file__).parent / "sample_bucket"
OVERSIZED = "docs/archive/security camera.txt"  # made at run time: a 21 MB file has no place in a repository
_OVERSIZED_BYTES = 21_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the key whose document answers it, and a text of that answer."""

    question: str
    key: str
    answer: str
    after_changes: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """Puts the sample into a bucket, and its changes."""

    manifest: dict[str, Any]

    @classmethod
    def load(cls) -> Sample:
        return cls(json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8")))

    @property
    def bucket(self) -> str:
        return str(self.manifest["bucket"])

    @property
    def prefix(self) -> str:
        return str(self.manifest["prefix"])

    @property
    def questions(self) -> Iterable[Question]:
        return [Question(**item) for item in self.manifest["questions"]]

    def fill(self, s3: Any) -> None:
        """The first state of the bucket."""
        s3.create_bucket(Bucket=self.bucket)
        self._put(s3, self.manifest["objects"])
        for key in self.manifest["folder_markers"]:
            s3.put_object(Bucket=self.bucket, Key=key, Body=b"")
        s3.put_object(Bucket=self.bucket, Key=OVERSIZED, Body=b"0" * _OVERSIZED_BYTES)

    def change(self, s3: Any) -> None:
        """One changed, one new and one deleted object."""
        changes = self.manifest["changes"]
        self._put(s3, changes["changed"])
        self._put(s3, changes["added"])
        for key in changes["deleted"]:
            s3.delete_object(Bucket=self.bucket, Key=key)

    def _put(self, s3: Any, files: dict[str, str]) -> None:
        for key, name in files.items():
            s3.put_object(Bucket=self.bucket, Key=key, Body=(FOLDER / name).read_bytes())
