"""The rows that cross the state's boundary, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["ObjectRow", "Owner", "Run", "RunName", "Source", "WorkRow"]


@dataclass(frozen=True, slots=True)
class Source:
    """One (project, bucket, prefix, sync_id)."""

    id: int
    scope_id: int
    project_id: str
    bucket: str
    prefix: str
    sync_id: str
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class RunName:
    """What Airflow calls a run; ``task_id`` is the task group's id where several tasks share a run."""

    dag_id: str
    run_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a source, begun by its detection."""

    id: int
    source: Source
    name: RunName
    started_at: float
    detected_at: float | None
    wait_started_at: float | None
    complete: bool
    deletes_blocked: str | None
    mass_delete: bool


@dataclass(frozen=True, slots=True)
class Owner:
    """Who claims rows. A task's higher ``attempt`` takes over from its lower ones at once, whichever worker it is;
    everybody else waits for the lease's end."""

    name: str  # dag, run, task and map index, joined
    attempt: int
    worker: int | None = None  # a thread of the task

    @property
    def claim(self) -> str:
        """What a claimed row says."""
        return self.name if self.worker is None else f"{self.workers}{self.worker}"

    @property
    def workers(self) -> str:
        """What the claims of all workers of the task begin with."""
        return f"{self.name}#"


class ObjectRow(NamedTuple):
    """What the comparison needs of a row."""

    key: str
    source_id: int
    status: str
    reason: str | None
    etag: str
    size: int
    document_id: str | None
    indexed_etag: str | None
    indexed_size: int | None
    upload_document_id: str | None
    upload_etag: str | None
    doubtful: int
    claim_owner: str | None
    claim_until: float | None
    revision: int

    @property
    def has_document(self) -> bool:
        """Something of this key may be in the index."""
        return bool(self.document_id or self.upload_document_id or self.doubtful or self.status == "uploading")


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A claimed row, with what an upload or its check needs."""

    key: str
    status: str
    etag: str
    size: int
    last_modified: str
    document_id: str | None
    document_version: int | None
    file_name: str | None
    indexed_etag: str | None
    indexed_size: int | None
    indexed_sha256: str | None
    upload_etag: str | None
    upload_size: int | None
    upload_sha256: str | None
    upload_document_id: str | None
    intent_at: float | None
    doubtful: int  # 1: an upload of it had an unknown outcome
    attempts: int
    revision: int
