"""A process that dies at a chosen step: every call to the state, to S3 and to CloudIndex is one, before and after.

``Switch`` counts the steps. In the same process death is ``CrashError``, a ``BaseException`` that nothing may catch,
and afterwards no call passes any more, in no thread: what a dead process can't do. A child process really dies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.engine import Connection

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.state.db.database import Database

__all__ = ["CrashError", "CrashingClient", "CrashingDatabase", "CrashingS3", "Switch"]


class CrashError(BaseException):
    """The process is dead."""


def _raise() -> None:
    raise CrashError


@dataclass
class Switch:
    """Dies at step number ``at`` (from 0); ``None``: never."""

    at: int | None = None
    die: Callable[[], None] = _raise
    steps: int = 0
    dead: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def step(self) -> None:
        with self._lock:
            if self.dead:
                raise CrashError
            self.dead = self.at is not None and self.steps >= self.at
            self.steps += 1
            if self.dead:
                self.die()


class CrashingDatabase(Database):
    """A state whose transactions are steps: before, right before the commit, and after."""

    def __init__(self, url: Any, switch: Switch) -> None:
        self._switch = Switch()  # opening is no step
        super().__init__(url)
        self._switch = switch

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self._switch.step()
        with super().write() as connection:
            yield connection
            self._switch.step()
        self._switch.step()

    @contextmanager
    def read(self, *, snapshot: bool = True) -> Iterator[Connection]:
        if self._switch.dead:
            raise CrashError
        with super().read(snapshot=snapshot) as connection:
            yield connection


@dataclass
class CrashingS3:
    """A boto3 client whose calls are steps."""

    client: Any
    switch: Switch

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(**request: Any) -> Any:
            self.switch.step()
            answer = method(**request)
            self.switch.step()
            return answer

        return call


@dataclass
class CrashingClient:
    """A CloudIndex client whose calls are steps; an upload has one more in the middle of each file."""

    client: Any
    switch: Switch

    @property
    def base_url(self) -> str:
        return str(self.client.base_url)

    @property
    def request_count(self) -> int:
        return int(self.client.request_count)

    @property
    def spacing(self) -> float:
        return float(self.client.spacing)

    def upload_documents(
        self,
        files: Sequence[FilePart],
        *,
        metadata: Mapping[str, Any],
        options: Mapping[str, Any],
        at_turn: Callable[[], None],
    ) -> Any:
        def turn() -> None:
            self.switch.step()
            at_turn()
            self.switch.step()

        parts = [replace(part, open=self._halfway(part)) for part in files]
        answer = self.client.upload_documents(parts, metadata=metadata, options=options, at_turn=turn)
        self.switch.step()
        return answer

    def _halfway(self, part: FilePart) -> Callable[[], Iterator[bytes]]:
        def open_() -> Iterator[bytes]:
            for chunk in part.open():
                yield chunk[: len(chunk) // 2]
                self.switch.step()
                yield chunk[len(chunk) // 2 :]

        return open_

    def iter_documents(self) -> Any:
        self.switch.step()
        return self.client.iter_documents()

    def get_document(self, document_id: str) -> Any:
        self.switch.step()
        answer = self.client.get_document(document_id)
        self.switch.step()
        return answer

    def check(self) -> None:
        self.switch.step()
        self.client.check()

    def delete_document(self, document_id: str, *, at_turn: Callable[[], None]) -> bool:
        def turn() -> None:
            self.switch.step()
            at_turn()
            self.switch.step()

        answer = self.client.delete_document(document_id, at_turn=turn)
        self.switch.step()
        return bool(answer)
