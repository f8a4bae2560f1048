"""The sync against a model: random changes in S3, faults on both sides, crashes at any step, runs, retries, a second
sync of the same prefix, documents that fail, get stuck or are changed by somebody else, and a state that is lost.

Whatever happened, a document that S3 had all along is never missing; and once nothing fails any more, a few runs make
S3, state and index agree.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import CloudIndexError, SyncError
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.repair.index_copy import index_copy
from cloudindex_provider.sync.repair.rebuild import rebuild, survey
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.settings import Selection
from tests.support.crashing import CrashError, CrashingClient, CrashingDatabase, CrashingS3, Switch
from tests.support.faulty_s3 import FaultyS3
from tests.support.memory_s3 import MemoryS3
from tests.support.mirror import Mirror

__all__ = ["SyncMachine", "shared_server"]

_KEYS = st.sampled_from([f"{letter}.txt" for letter in "abcdef"])
_BODIES = st.one_of(st.sampled_from(["one", "two", "three"]), st.integers(0, 999).map(lambda n: f"text {n}"))
_UPLOAD_FAULTS = [
    "cut_before", "cut_after", "cut_body", "garbage", "late_commit", "html", "status", "429", "partial_errors",
    "missing_entries",
]  # fmt: skip
_S3_FAULTS = [
    ("GetObject", "503 SlowDown"), ("GetObject", "403 AccessDenied"), ("GetObject", "403 InvalidObjectState"),
    ("GetObject", "404 NoSuchKey"), ("GetObject", "412 PreconditionFailed"), ("GetObject", "400 ExpiredToken"),
    ("GetObject", "short"), ("GetObject", "corrupt"), ("HeadObject", "403 Forbidden"), ("HeadObject", "500 Oops"),
    ("ListObjectsV2", "500 InternalError"), ("ListObjectsV2", "403 AccessDenied"), ("ListObjectsV2", "empty"),
]  # fmt: skip

_NEVER = 1e9  # seconds of processing
_PATIENCE = 0.3  # seconds that a run waits for processing, in which most documents are processed
_DAYS = 90_000.0  # seconds, after which what is stuck is given up and the state compared with the project
_SECOND: dict[str, Any] = {"sync_id": "second", "selection": Selection(include=("*/c.txt", "*/d.txt"))}

_server: LocalCloudIndex | None = None
_numbers = itertools.count(1)


def shared_server() -> LocalCloudIndex:
    """One index for all examples, each of which has a project of its own."""
    global _server
    if _server is None:
        _server = LocalCloudIndex(tempfile.mkdtemp(prefix="cloudindex-machine-"))
    return _server


class SyncMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud = shared_server()
        self.cloud.faults.clear()
        self.folder = tempfile.TemporaryDirectory(prefix="cloudindex-machine-")
        project = str(uuid.uuid4())
        self.cloud.settings.projects.append(project)
        self.s3 = MemoryS3(page_size=2)  # so that a handful of keys has ranges
        self.faulty = FaultyS3(self.s3)
        self.mirror = Mirror(
            Path(self.folder.name), self.cloud, self.s3, self.faulty, project_id=project,
            defaults={"max_attempts": 1000, "on_mass_delete": "skip", "processing_timeout": 2.0},
        )  # fmt: skip
        self.kept: set[str] = set()  # keys that S3 and index have had since the last agreement
        self.pending: str | None = None  # the name of a run that crashed
        self.has_second = False  # another sync of the same prefix, whose keys either may have
        self.states = 1

    def teardown(self) -> None:
        try:
            self.heal_and_compare()
        finally:
            self.mirror.close()
            self.folder.cleanup()

    @initialize(
        same_name=st.sampled_from(["duplicate", "version", "replace"]),
        hashes=st.sampled_from([True, True, True, False]),
    )
    def begin(self, same_name: Literal["duplicate", "version", "replace"], hashes: bool) -> None:
        self.cloud.settings.same_name = same_name
        self.cloud.settings.list_content_hash = hashes
        self._calm()
        self.mirror.put("anchor.txt", "never removed, so that a listing is never rightly empty")

    # What happens in S3

    @rule(key=_KEYS, body=_BODIES)
    def put(self, key: str, body: str) -> None:
        self.mirror.put(key, body)

    @rule(key=_KEYS)
    def rewrite_as_multipart(self, key: str) -> None:
        body = self.s3.buckets[self.mirror.bucket].get(self.mirror.prefix + key)
        if body is not None:
            self.mirror.put(key, body.body, ETag=f"{next(_numbers):032x}-2")

    @rule(key=_KEYS)
    def remove(self, key: str) -> None:
        self.mirror.remove(key)
        self.kept.discard(self.mirror.prefix + key)

    # What goes wrong

    @rule(kind=st.sampled_from(_UPLOAD_FAULTS), times=st.integers(1, 2), status=st.sampled_from([500, 503, 409]))
    def fail_uploads(self, kind: Any, times: int, status: int) -> None:
        delay = 0.02 if kind == "late_commit" else 0.0
        retry_after = 0.0 if kind == "429" else None
        self.cloud.faults.add(
            Fault(operation="upload", kind=kind, times=times, status=status, delay=delay, retry_after=retry_after)
        )

    @rule(
        operation=st.sampled_from(["list", "get", "delete"]),
        kind=st.sampled_from(["cut_before", "cut_after", "cut_body", "status", "html"]),
    )
    def fail_others(self, operation: Any, kind: Any) -> None:
        self.cloud.faults.add(Fault(operation=operation, kind=kind))

    @rule(fault=st.sampled_from(_S3_FAULTS), times=st.integers(1, 4))
    def fail_s3(self, fault: tuple[str, str], times: int) -> None:
        self.faulty.faults += [fault] * times

    @rule(delay=st.sampled_from([0.0, 0.0, 0.03, _NEVER]))
    def process_slowly(self, delay: float) -> None:
        """What is uploaded now is processed then, or never."""
        self.cloud.settings.processing_delay = delay

    @rule(parts=st.lists(st.sampled_from(["-a-", "-c-", "-d-"]), max_size=2, unique=True))
    def fail_processing(self, parts: list[str]) -> None:
        """Of documents with this in their names; none: it works again."""
        self.cloud.settings.fail_processing = parts

    @rule(key=_KEYS, body=st.one_of(st.none(), _BODIES))
    def drift(self, key: str, body: str | None) -> None:
        """Somebody else deletes a key's documents, or uploads one under its name."""
        self.kept.discard(self.mirror.prefix + key)
        self.cloud.faults.clear()
        name = file_name(self.mirror.bucket, self.mirror.prefix + key)
        documents = self.mirror.documents().get(name, [])
        if body is None:
            for document in documents:
                self.mirror.client.delete_document(document["id"])
        elif documents and self.cloud.settings.list_content_hash:  # nobody can see it without
            content = body.encode()
            self.mirror.client.upload_documents([FilePart(name, len(content), lambda: iter((content,)))])

    # What the sync does

    @rule(tasks=st.sampled_from([1, 1, 2]))
    def run(self, tasks: int) -> None:
        self._try(None, Switch(), tasks)

    @rule(key=_KEYS)
    def run_named(self, key: str) -> None:
        self._try(None, Switch(), 1, keys=(self.mirror.prefix + key,))

    @rule(crash_at=st.one_of(st.none(), st.integers(0, 60)))
    def run_second(self, crash_at: int | None) -> None:
        """Another sync of the same prefix, with a selection of its own."""
        self.has_second = True
        self._try(None, Switch(crash_at), 1, dag="second", **_SECOND)

    @rule(at=st.integers(0, 60), tasks=st.sampled_from([1, 1, 2]))
    def crash(self, at: int, tasks: int) -> None:
        self._try(None, Switch(at), tasks)

    @precondition(lambda self: self.pending)
    @rule(at=st.one_of(st.none(), st.integers(0, 60)))
    def try_again(self, at: int | None) -> None:
        self._try(self.pending, Switch(at), 1)

    @rule(seconds=st.sampled_from([0.5, 10.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self._sleep(seconds)

    @rule(rebuilds=st.booleans())
    def lose_the_state(self, rebuilds: bool) -> None:
        """The state is gone; whether a person makes it again or nobody does, nothing is uploaded that is there."""
        self._calm()
        self._sleep(8000.0)
        expected = self.mirror.expected()
        names = {file_name(self.mirror.bucket, key): key for key in expected}
        documents = self.mirror.documents()
        if set(documents) - set(names):
            return  # documents of keys that S3 has no more: without a state nobody knows whose they are
        self.mirror.db.close()
        self.states += 1
        self.mirror.db = Database(f"sqlite:///{self.folder.name}/state{self.states}.db")
        self.pending, self.has_second = None, False
        if rebuilds:
            ctx = self.mirror.context("rebuild")
            with index_copy() as copy:
                survey(ctx, copy)
                rebuild(ctx, copy)
        there = {name for name, some in documents.items() if any(self._serves(names[name], one) for one in some)}
        before = self.mirror.uploads
        self._to_the_end()
        if self.cloud.settings.list_content_hash:
            assert self.mirror.uploads - before <= len(set(names) - there)

    def _serves(self, key: str, document: dict[str, Any]) -> bool:
        digest = hashlib.sha256(self.mirror.body(key)).hexdigest()
        return bool(document["status"] == "processed" and document["sha256"] == digest)

    @rule()
    def heal_and_compare(self) -> None:
        self._calm()
        for _ in range(3):
            self._sleep(_DAYS)
            self._to_the_end()
            if self.has_second:
                self._to_the_end(dag="second", **_SECOND)
        self.mirror.assert_agreement()
        self.kept = set(self.mirror.expected())

    @invariant()
    def nothing_is_lost(self) -> None:
        documents = self.mirror.documents()
        lost = [key for key in self.kept if not documents.get(file_name(self.mirror.bucket, key))]
        assert not lost, f"{lost} had a document, are in S3, and have none now"

    def _calm(self) -> None:
        """Nothing fails any more."""
        self.cloud.faults.clear()
        self.faulty.faults.clear()
        self.cloud.settings.processing_delay, self.cloud.settings.fail_processing = 0.0, []

    def _sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.05))  # a late commit comes within what the sync is told to wait
        self.mirror.time_passes(seconds)

    def _try(self, name: str | None, switch: Switch, tasks: int, **settings: Any) -> None:
        client = CrashingClient(self.mirror.client, switch)
        ctx = self.mirror.context(name, client=client, upload_tasks=tasks, processing_timeout=_PATIENCE, **settings)
        ctx.db = db = CrashingDatabase(self.mirror.db.url, switch)
        ctx.s3.client = CrashingS3(self.faulty, switch)
        ctx.sleep = self._sleep
        ctx.s3.sleep = lambda _: None
        self.pending = ctx.name.run_id if not settings else None
        try:
            report = synchronize(ctx)
            assert report.imbalance is None, report.imbalance
            self.pending = None
        except (CrashError, SyncError, CloudIndexError):
            pass
        finally:
            switch.dead = True
            db.close()

    def _to_the_end(self, **settings: Any) -> None:
        for _ in range(8):
            ctx = self.mirror.context("healing", **settings)
            ctx.sleep = self._sleep
            try:
                report = synchronize(ctx)
            except (SyncError, CloudIndexError) as error:
                if not error.retryable:
                    raise
                self._sleep(error.retry_after or 0.1)
                continue
            assert report.imbalance is None, report.imbalance
            return
        raise AssertionError("the sync doesn't come to its end though nothing fails")
