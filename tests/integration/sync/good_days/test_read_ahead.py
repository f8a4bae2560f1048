"""The next request is read while one is under way, and whatever then happens, nothing is lost, kept or hidden."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import (
    ClaimLostError,
    CloudIndexError,
    CredentialsError,
    RateLimitedError,
    StateError,
    SyncError,
)
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state import claims
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.upload import loop as upload_module
from cloudindex_provider.sync.upload.loop import upload
from cloudindex_provider.sync.upload.readers import AHEAD, Readers
from tests.support.memory_s3 import MemoryS3, client_error
from tests.support.mirror import Mirror

PATIENCE = 20.0  # seconds after which what should have happened is taken not to
MIB = 1 << 20


@dataclass
class Watched:
    """S3 in memory whose GETs are seen, and may be met by something first."""

    s3: MemoryS3
    before: Callable[[str], None] = lambda key: None
    got: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def get_object(self, **request: Any) -> dict[str, Any]:
        with self._changed:
            self.got.append(request["Key"])
            self._changed.notify_all()
        self.before(request["Key"])
        answer = self.s3.get_object(**request)
        self.bodies.append(answer["Body"])
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.s3, name)

    def wait_for(self, number: int) -> None:
        """Return when there have been so many GETs."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= number, PATIENCE), f"{len(self.got)} GETs"


@dataclass
class Gate:
    """The mirror's client, with something that happens when an upload comes, before it is sent on."""

    client: Any
    on_upload: Callable[[int], None] = lambda number: None
    uploads: list[list[str]] = field(default_factory=list)

    def upload_documents(self, files: Sequence[FilePart], *, at_turn: Callable[[], None], **more: Any) -> Any:
        at_turn()
        self.uploads.append([part.file_name for part in files])
        self.on_upload(len(self.uploads))
        return self.client.upload_documents(files, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@dataclass
class Setting:
    """A mirror whose S3 and CloudIndex are watched, and a run that has detected what there is."""

    mirror: Mirror
    s3: Watched
    gate: Gate
    ctx: SyncContext

    def claimed(self) -> int:
        return sum(row.claim_owner is not None for row in self.mirror.rows().values())

    def statuses(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for row in self.mirror.rows().values():
            found[row.status] = found.get(row.status, 0) + 1
        return found


@pytest.fixture
def prepared(in_memory: Mirror) -> Callable[..., Setting]:
    """A run over so many small files, in requests of 20, with settings."""

    def make(number: int, **changes: Any) -> Setting:
        in_memory.lease = 1000.0
        in_memory.put_many(number)
        return detected(in_memory, **changes)

    return make


def detected(mirror: Mirror, **changes: Any) -> Setting:
    mirror.reader = Watched(mirror.s3)
    gate = Gate(mirror.client)
    ctx = mirror.context(client=gate, **changes)
    detect(ctx)
    return Setting(mirror, mirror.reader, gate, ctx)


# What is read, and when


def test_the_next_request_is_read_while_one_is_under_way(prepared: Callable[..., Setting]) -> None:
    """Before a request is answered, the next one's objects have been read; each is read once."""
    it = prepared(45)
    it.gate.on_upload = lambda number: it.s3.wait_for(min(45, 20 * (number + 1)))
    assert upload(it.ctx).documents == 45
    assert [len(names) for names in it.gate.uploads] == [20, 20, 5]
    assert sorted(it.s3.got) == sorted(it.mirror.rows())
    it.mirror.run_to_the_end("run1")
    it.mirror.assert_agreement()
    assert it.mirror.uploads == 45


def test_one_request_is_read_ahead_and_no_more(prepared: Callable[..., Setting]) -> None:
    """Two requests' rows at most are claimed, and so read, at a time."""
    it = prepared(100)
    claimed: list[int] = []
    read: list[int] = []

    def on_upload(number: int) -> None:
        it.s3.wait_for(min(100, 20 * (number + 1)))
        claimed.append(it.claimed())
        read.append(len(it.s3.got))

    it.gate.on_upload = on_upload
    upload(it.ctx)
    assert claimed == [40, 40, 40, 40, 20]
    assert read == [40, 60, 80, 100, 100]


@pytest.mark.parametrize(("order", "claimed"), [("key", [1, 1]), ("smallest", [2, 1])])
def test_nothing_is_read_ahead_beside_a_large_request(in_memory: Mirror, order: str, claimed: list[int]) -> None:
    """While a large request streams, the next is left to whichever loop is free; a large next one isn't opened yet."""
    in_memory.put("a.txt", b"a" * (AHEAD + 1))
    in_memory.put("b.txt", b"b" * 100)
    it = detected(in_memory, max_request_size=AHEAD + 1, upload_order=order)
    seen: list[tuple[int, int]] = []
    it.gate.on_upload = lambda number: seen.append((it.claimed(), len(it.s3.got)))
    upload(it.ctx)
    assert seen == [(claimed[0], 1), (claimed[1], 2)]


def test_what_is_read_ahead_is_bounded_in_bytes(in_memory: Mirror) -> None:
    """No more than ``AHEAD`` bytes are held for the next request, and no body is left open; its turn reads the rest."""
    for number in range(12):
        in_memory.put(f"{number:02d}.txt", bytes([65 + number]) * MIB)
    in_memory.put("99.txt", b"large" * MIB)
    it = detected(in_memory, max_request_size=64 * MIB)
    rows = _claim_all(it)
    readers = Readers(it.ctx)
    readers.begin(rows)
    readers._pool.shutdown(wait=True)  # all that was begun has ended
    assert len(it.s3.got) * MIB == AHEAD
    assert "docs/99.txt" not in it.s3.got
    assert all(body.closed for body in it.s3.bodies)
    readers = Readers(it.ctx)
    found = readers.begin(rows).result()
    assert [item.row.key for item in found] == [row.key for row in rows]
    assert not it.s3.bodies[-1].closed or not it.s3.bodies[-2].closed  # the large one, to be streamed
    readers.close()


def _claim_all(it: Setting) -> list[Any]:
    ctx = it.ctx
    return claims.claim_request(
        ctx.db, ctx.run(), ctx.owner, lease=1000, max_request_size=1 << 30, max_documents=None
    )  # fmt: skip


@pytest.mark.parametrize("loops", [1, 3])
def test_reading_ahead_takes_no_more_documents_than_a_run_may(prepared: Callable[..., Setting], loops: int) -> None:
    """``max_documents_per_run`` is exact: no object more is claimed, read or uploaded."""
    it = prepared(70)
    report = it.mirror.run(max_documents_per_run=25, upload_tasks=loops)
    assert (it.mirror.uploads, len(it.s3.got), report.counts["deferred"]) == (25, 25, 45)


# Ways to end


def limited(number: int) -> None:
    raise RateLimitedError("Too many requests.", status=429, retry_after=600.0)


def test_a_long_rate_limit_gives_back_what_was_read_ahead(prepared: Callable[..., Setting]) -> None:
    """The task goes, for ten minutes; no row stays claimed meanwhile."""
    it = prepared(45)
    it.gate.on_upload = limited
    with pytest.raises(RateLimitedError):
        upload(it.ctx)
    assert (it.claimed(), it.statuses()) == (0, {"pending": 45})


def test_a_killed_task_leaves_claimed_only_what_is_in_doubt(prepared: Callable[..., Setting]) -> None:
    """The request under way must be looked up; the one read ahead is anybody's."""
    it = prepared(45)

    def killed(number: int) -> None:
        raise SystemExit

    it.gate.on_upload = killed
    with pytest.raises(SystemExit):
        upload(it.ctx)
    assert {row.status for row in it.mirror.rows().values() if row.claim_owner is not None} == {"uploading"}
    assert it.statuses() == {"uploading": 20, "pending": 25}


def test_a_stopped_task_ends_after_its_request(prepared: Callable[..., Setting]) -> None:
    """What was under way is written, what was read ahead is given back."""
    it = prepared(45)
    it.gate.on_upload = lambda number: it.ctx.stop.set()
    assert upload(it.ctx).documents == 20
    assert (it.claimed(), it.statuses()) == (0, {"processing": 20, "pending": 25})


def test_a_task_that_is_stopped_while_it_reads_sends_nothing(prepared: Callable[..., Setting]) -> None:
    """Between the claim and the request, too, a stop is heeded."""
    it = prepared(25)
    it.s3.before = lambda key: it.ctx.stop.set()
    upload(it.ctx)
    assert (it.gate.uploads, it.claimed(), it.statuses()) == ([], 0, {"pending": 25})


def test_the_end_of_max_run_time_gives_back_what_was_read_ahead(
    prepared: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request under way is finished, the next is deferred."""
    it = prepared(45, max_run_time=1000)
    now = [0.0]
    monkeypatch.setattr(upload_module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def late(number: int) -> None:
        it.s3.wait_for(40)
        now[0] = 2000.0

    it.gate.on_upload = late
    assert upload(it.ctx).documents == 20
    assert (it.claimed(), it.statuses()) == (0, {"processing": 20, "pending": 25})


def test_a_request_that_lost_its_claim_costs_not_the_next(
    prepared: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read ahead is sent all the same, once."""
    it = prepared(25)
    intent = claims.record_intent
    lost: list[int] = []

    def record(db: Any, run: Any, owner: Any, rows: Any, *, lease: float) -> None:
        if not lost:
            lost.append(len(rows))
            raise ClaimLostError("taken", key=rows[0][0].key)
        intent(db, run, owner, rows, lease=lease)

    monkeypatch.setattr(claims, "record_intent", record)
    assert upload(it.ctx).documents == 25
    assert lost == [20]
    assert [len(names) for names in it.gate.uploads] == [5, 20]
    assert it.claimed() == 0


# Errors


def no_credentials(key: str) -> None:
    raise client_error("GetObject", 400, "ExpiredToken")


def refuse_after(it: Setting, number: int) -> None:
    """Let S3's credentials end with the second request's objects."""
    it.s3.before = lambda key: no_credentials(key) if len(it.s3.got) > number else None


def test_an_error_of_what_is_read_ahead_comes_after_the_request(prepared: Callable[..., Setting]) -> None:
    """Credentials that end meanwhile are said when the answer to the request under way has been written."""
    it = prepared(45)
    refuse_after(it, 20)
    it.gate.on_upload = lambda number: it.s3.wait_for(21)
    with pytest.raises(CredentialsError):
        upload(it.ctx)
    assert (it.claimed(), it.statuses()) == (0, {"processing": 20, "pending": 25})


def test_an_error_of_what_is_read_ahead_hides_none_of_the_request(prepared: Callable[..., Setting]) -> None:
    """Where both fail, the request's error is the one that is said."""
    it = prepared(45)
    refuse_after(it, 20)

    def both(number: int) -> None:
        it.s3.wait_for(21)
        limited(number)

    it.gate.on_upload = both
    with pytest.raises((CloudIndexError, SyncError)) as caught:
        upload(it.ctx)
    assert caught.type is RateLimitedError
    assert (it.claimed(), it.statuses()) == (0, {"pending": 45})


def test_claims_that_cannot_be_given_back_hide_no_error(
    prepared: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that fails while an error is on its way doesn't take its place."""
    it = prepared(25)

    def broken(*_: Any) -> None:
        raise StateError("The state can't be used.")

    it.gate.on_upload = limited
    monkeypatch.setattr(claims, "give_back", broken)
    with pytest.raises(RateLimitedError):
        upload(it.ctx)


def test_a_state_that_fails_at_the_claim_ahead_leaves_no_upload_in_doubt(
    prepared: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next request is claimed before this one's intent is written."""
    it = prepared(45)
    claim, asked = upload_module._UploadLoop._claim, []

    def failing(self: Any) -> Any:
        asked.append(1)
        if len(asked) == 2:
            raise StateError("The state can't be used.")
        return claim(self)

    monkeypatch.setattr(upload_module._UploadLoop, "_claim", failing)
    with pytest.raises(StateError):
        upload(it.ctx)
    assert (it.gate.uploads, it.claimed(), it.statuses()) == ([], 0, {"pending": 45})


def test_a_reading_that_fails_leaves_no_body_open(in_memory: Mirror) -> None:
    """What was opened for the same request is closed, whenever its opening ends."""
    for number in range(8):
        in_memory.put(f"{number}.txt", b"x" * (MIB + 1))
    it = detected(in_memory)
    rows = _claim_all(it)
    failed = threading.Event()

    def last_first(key: str) -> None:
        if key == rows[0].key:
            it.s3.wait_for(8)
            failed.set()
            no_credentials(key)
        assert failed.wait(PATIENCE)

    it.s3.before = last_first
    readers = Readers(it.ctx)
    with pytest.raises(CredentialsError):
        readers.begin(rows).result()
    readers._pool.shutdown(wait=True)
    assert len(it.s3.bodies) == 7
    assert all(body.closed for body in it.s3.bodies)


def test_reading_is_watched_through_the_usual_source(in_memory: Mirror) -> None:
    """The tests' S3 is read by the sync's own source, so what they see is what is asked of S3."""
    in_memory.put("a.txt", b"a")
    it = detected(in_memory)
    assert isinstance(it.ctx.s3, S3Source)
    upload(it.ctx)
    assert it.s3.got == ["docs/a.txt"]
