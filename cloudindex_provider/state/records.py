"""The rows that cross the state's boundary, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from operator import itemgetter
from typing import NamedTuple

from cloudindex_provider.s3.page import ListedObject

__all__ = [
    "WORK_COLUMNS",
    "Finding",
    "ObjectRow",
    "Owner",
    "Run",
    "RunName",
    "Source",
    "SweepWrites",
    "Tracked",
    "WorkRow",
]


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
    endpoint: str | None = None  # the store that its documents were made from


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
    plan_hash: str | None = None
    approval_id: int | None = None


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
    last_modified: str = ""
    next_attempt_at: float | None = None
    listed_etag: str | None = None
    listed_size: int | None = None

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
    reason: str | None
    next_attempt_at: float | None  # where it is or was quarantined: when it is looked at again
    revision: int
    unanswered: int = 0  # requests with this file alone that got no answer, since the last that got one
    unanswered_at: float | None = None  # the first of them
    listed_etag: str | None = None  # where the listing gives another ETag or size than HEAD and GET: what it gives
    listed_size: int | None = None

    @property
    def on_probation(self) -> bool:
        """It was quarantined, and is looked at again."""
        return self.next_attempt_at is not None

    def revised(self) -> WorkRow:
        """The row after one more change of ours."""
        return replace(self, revision=self.revision + 1)


WORK_COLUMNS = ", ".join(item.name for item in fields(WorkRow))


@dataclass(slots=True)
class SweepWrites:
    """What one block of the comparison found out. Rows come with the revision that was seen."""

    insert: list[ListedObject] = field(default_factory=list)  # new and selected
    insert_skipped: list[tuple[ListedObject, str]] = field(default_factory=list)
    requeue: list[tuple[ObjectRow, ListedObject]] = field(default_factory=list)  # another ETag: strikes forgotten
    replace_wanted: list[tuple[ObjectRow, ListedObject]] = field(default_factory=list)  # in flight with an older ETag
    take_over: list[tuple[ObjectRow, ListedObject]] = field(default_factory=list)  # another sync skips it
    restore: list[tuple[ObjectRow, ListedObject]] = field(default_factory=list)  # what is indexed is what S3 has again
    skip: list[tuple[ObjectRow, ListedObject, str]] = field(default_factory=list)
    forget: list[ObjectRow] = field(default_factory=list)  # gone, and nothing of it was ever sent
    removed: list[ObjectRow] = field(default_factory=list)  # gone, documents to delete
    waiting: list[tuple[ObjectRow, ListedObject]] = field(default_factory=list)  # queued already
    underway: list[ObjectRow] = field(default_factory=list)  # in flight, or set aside: this run answers for it, too
    counts: dict[str, int] = field(default_factory=dict)

    def rows(self) -> int:
        """How many rows a transaction would touch."""
        return sum(len(getattr(self, name)) for name in _LISTS)

    def sort(self) -> None:
        """Bring the rows of each list into key order."""
        self.insert.sort(key=itemgetter(0))
        self.insert_skipped.sort(key=lambda pair: pair[0].key)
        self.skip.sort(key=lambda triple: triple[0].key)
        for pairs in (self.requeue, self.replace_wanted, self.take_over, self.restore, self.waiting):
            pairs.sort(key=lambda pair: pair[0].key)
        for rows in (self.forget, self.removed, self.underway):
            rows.sort(key=lambda row: row.key)

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def add(self, more: SweepWrites) -> None:
        """Take over the writes and counts of the block that follows."""
        for name in _LISTS:
            getattr(self, name).extend(getattr(more, name))
        for name, number in more.counts.items():
            self.count(name, number)


_LISTS = (
    "insert", "insert_skipped", "requeue", "replace_wanted", "take_over", "restore", "skip", "forget", "removed",
    "waiting", "underway",
)  # fmt: skip


class Tracked(NamedTuple):
    """A row of the state, as an audit needs it."""

    key: str
    mine: bool  # of the audited source
    quiet: bool  # nobody works on it, and none of its uploads is in doubt
    stuck: bool
    revision: int
    status: str
    document_id: str | None
    sha256: str | None
    name: str | None  # only where an upload was ever begun


class Finding(NamedTuple):
    """One difference; ``revision`` is the row's that was seen."""

    key: str
    revision: int
    document_id: str
