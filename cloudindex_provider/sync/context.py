"""What every step of a sync is given: settings, state, S3, CloudIndex, and who is running."""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Protocol

from cloudindex_provider.api.models import Document, DocumentDetails, FilePart, UploadResult
from cloudindex_provider.errors import StoppedError, SyncError
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.pauses import Pauses
from cloudindex_provider.state.records import Owner, Run, RunName, Source
from cloudindex_provider.state.runs import find_run
from cloudindex_provider.sync.log_pace import FirstLines
from cloudindex_provider.sync.metrics import Metrics
from cloudindex_provider.sync.polling import POLL_INTERVAL
from cloudindex_provider.sync.settings import SyncSettings
from cloudindex_provider.words import quoted, shortened

__all__ = ["DocumentListing", "DocumentsApi", "SyncContext", "sleep_until_stopped"]

_NAP = 0.25  # seconds between two looks at whether the task is being stopped


def sleep_until_stopped(stop: threading.Event, seconds: float) -> None:
    """Sleep; a task that is being stopped is told so within a moment.

    In naps, not by ``stop.wait``: Airflow sets the event in the main thread's signal handler, and would wait there for
    ever when the signal comes while that very thread has the event's lock.

    :raises StoppedError: when the task is being stopped
    """
    end = time.monotonic() + seconds
    while not stop.is_set():
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _NAP))
    raise StoppedError("The task is being stopped.")


class DocumentListing(Protocol):
    """All documents of a project, one at a time. ``complete`` is true only after an end that can be believed."""

    @property
    def complete(self) -> bool | None: ...
    def __iter__(self) -> Iterator[Document]: ...
    def __enter__(self) -> DocumentListing: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class DocumentsApi(Protocol):
    """What the sync needs of a CloudIndex client."""

    @property
    def base_url(self) -> str: ...
    @property
    def request_count(self) -> int: ...
    @property
    def spacing(self) -> float: ...
    def upload_documents(
        self,
        files: Sequence[FilePart],
        *,
        metadata: Mapping[str, Any],
        options: Mapping[str, Any],
        at_turn: Callable[[], None],
    ) -> UploadResult: ...
    def iter_documents(self) -> DocumentListing: ...
    def get_document(self, document_id: str) -> DocumentDetails: ...
    def delete_document(self, document_id: str, *, at_turn: Callable[[], None]) -> bool: ...
    def check(self) -> None: ...


@dataclass(slots=True)
class SyncContext:
    """One task's view of a run. ``owner.name`` is unique to the task; its threads are workers of it."""

    settings: SyncSettings
    db: Database
    source: Source
    s3: S3Source
    client: DocumentsApi
    name: RunName
    owner: Owner
    request_timeout: float = 120.0  # seconds a request may take, after which its outcome is unknown
    lease: float = 120.0  # seconds a claim is valid without renewal
    doubt_grace: float = 30.0  # seconds past the request timeout after which a cut request commits no more
    poll_interval: float = POLL_INTERVAL  # seconds between two looks at what is processing, at first
    history_days: float = 90.0  # how long what happened to a key is kept
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("cloudindex_provider.sync"))
    sleep: Callable[[float], None] = time.sleep  # as it is given here, it ends with ``stop``
    stop: threading.Event = field(default_factory=threading.Event)  # set: begin no further request
    requests_per_minute: Callable[[], float | None] | None = None  # the service's quota as it is known now
    budgets: Database | None = (
        None  # where requests are booked and a plan is kept, when ``db`` is open for reading alone
    )
    requests_within: Callable[[float], float | None] | None = None  # seconds -> requests that the quota gives in them
    answered: Callable[[], int] = lambda: 0  # requests of this task that the service didn't refuse for its rate limit
    pauses: Pauses | None = None  # of the task's try, where it may give its worker's slot back and go on later
    metrics: Metrics | None = None  # where Airflow sends some
    requests_left: Callable[[], int | None] | None = None  # of the quota, as the last answer said
    lines: FirstLines = field(default_factory=FirstLines)  # about single keys, of all threads of the task
    begun: float = field(default_factory=time.monotonic)  # when the try began, whatever pauses it has had
    hears_again: bool = False  # of named keys that S3 can't answer for now somebody tells once more

    def __post_init__(self) -> None:
        if self.sleep is time.sleep:
            self.sleep = partial(sleep_until_stopped, self.stop)

    def log_failure(self, key: str, outcome: str, reason: str) -> None:
        """One of the first documents that have failed in this task; the others are in the report and on the page."""
        self.lines.tell(self.log.error, outcome, "%s %s: %s", quoted(key), outcome, shortened(reason))

    def log_kept(self, key: str, why: str) -> None:
        """One of the first keys whose documents stay although they were to go."""
        self.lines.tell(self.log.warning, "kept", "%s keeps its document: %s", quoted(key), shortened(why))

    @property
    def books(self) -> Database:
        """Where requests to the service are booked, by everybody who makes some, and where a dry run's plan is kept."""
        return self.budgets or self.db

    @property
    def grace(self) -> float:
        """Seconds after the beginning of a request from which on it commits no more."""
        return self.request_timeout + self.doubt_grace

    @property
    def keys_hash(self) -> str | None:
        """What tells a run of named keys from one of others; ``None``: it is about the whole prefix."""
        keys = self.settings.keys
        return None if keys is None else hashlib.sha256("\0".join(sorted(set(keys))).encode()).hexdigest()[:32]

    @property
    def resumed(self) -> bool:
        """Whether the task comes back from a pause."""
        return self.pauses is not None and self.pauses.elapsed is not None

    @property
    def worked(self) -> float:
        """Seconds since the task's try began."""
        return time.monotonic() - self.begun

    @property
    def time_left(self) -> float:
        """Seconds of ``max_run_time`` that this try has left; negative when it is over."""
        limit = self.settings.limits.max_run_time
        return math.inf if limit is None else limit - self.worked

    def run(self) -> Run:
        """The run that the detection began.

        :raises SyncError: when there is none, so that nothing may be done in its name
        """
        found = find_run(self.db, self.source, self.name)
        if found is None:
            raise SyncError(
                f"No detection has run for s3://{self.source.bucket}/{self.source.prefix} in this run.",
                hint="Clear the run from its detection task on.",
            )
        return found
