"""What CloudIndex answers, as frozen values; and the one file part that a request is made of.

Parsing is tolerant (null is absent, both spellings of a field are read, unknown fields are ignored), because the
service's own documents contradict each other. Parsing functions take decoded JSON and raise ``ValueError`` naming the
field where an answer can't mean anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = [
    "Batch",
    "Document",
    "DocumentDetails",
    "FileError",
    "FilePart",
    "Phase",
    "QueryResult",
    "ScoredChunk",
    "UploadResult",
]


class Phase(Enum):
    """What a processing status means to a sync."""

    WAITING = "waiting"  # pending, processing, and every word that nobody documented
    DONE = "done"
    FAILED = "failed"
    GONE = "gone"

    @classmethod
    def of(cls, status: str) -> Phase:
        """The phase of a status word; an unknown word is not finished (wait for it, with a bound)."""
        return _PHASES.get(status.lower(), cls.WAITING)


_PHASES = {"processed": Phase.DONE, "completed": Phase.DONE, "failed": Phase.FAILED, "deleted": Phase.GONE}


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file of an upload.

    ``open`` returns a fresh iterator over exactly ``size`` bytes at every call, so that a request can be sent again.
    It may raise at its end to withdraw the whole request: the request's last bytes are sent only after that.
    """

    file_name: str
    size: int  # bytes
    open: Callable[[], Iterable[bytes]]
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Document:
    """A document as a list, a get or an upload shows it; ``None`` where the answer didn't say."""

    id: str
    file_name: str
    status: str = ""  # the service's word, see ``phase``
    version: int | None = None
    content_hash: str | None = None  # SHA-256 of the bytes, lower-case hex
    size: int | None = None  # bytes
    error_message: str | None = None
    chunk_count: int | None = None
    file_type: str | None = None
    uploaded_at: str | None = None  # ISO 8601, as the service wrote it
    project_id: str | None = None

    @property
    def phase(self) -> Phase:
        return Phase.of(self.status)


@dataclass(frozen=True, slots=True)
class FileError:
    """Why one file of an upload was not taken. ``file_name`` is the only thing that names it."""

    file_name: str
    message: str
    code: str | None = None
    category: str | None = None
    retryable: bool | None = None  # None: the answer didn't say
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """The batch of an upload; its id has no documented GET."""

    id: str
    status: str | None = None
    total_files: int | None = None
    progress: int | None = None  # 0 to 100


@dataclass(frozen=True, slots=True)
class UploadResult:
    """A 200 of an upload. What became of a file that is in neither ``documents`` nor ``errors`` is unknown."""

    documents: tuple[Document, ...]
    errors: tuple[FileError, ...] = ()
    batch: Batch | None = None
    request_id: str | None = None
    refused: bool = False  # a 400 or 422 that says in ``errors`` which files it is about: nothing was taken


@dataclass(frozen=True, slots=True)
class DocumentDetails:
    """A document with its processing jobs (as the service wrote them)."""

    document: Document
    jobs: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """One hit of a query; ``score`` is 0 to 1."""

    id: str
    text: str
    score: float
    document_id: str
    document_name: str
    document_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer to a query, best hit first."""

    chunks: tuple[ScoredChunk, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
