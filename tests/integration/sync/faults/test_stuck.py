"""Documents that CloudIndex doesn't finish processing: named, given up after a while, and never in the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cloudindex_provider.api.models import Document
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.state import repairs
from cloudindex_provider.sync.repair.audit import audit
from cloudindex_provider.sync.run import synchronize
from cloudindex_provider.sync.wait import wait
from tests.support.mirror import Mirror
from tests.support.service_faults import BEHAVIOURS

DAY = 86_400.0


class Stuck:
    """A client of a service that never finishes processing some documents."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.documents: set[tuple[str, int | None]] = set()  # (id, version)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def see(self, document: Document) -> Document:
        stuck = (document.id, document.version) in self.documents
        return replace(document, status="processing") if stuck else document

    def get_document(self, document_id: str) -> Any:
        found = self.client.get_document(document_id)
        return replace(found, document=self.see(found.document))

    def iter_documents(self) -> Any:
        return Seen(self.client.iter_documents(), self.see)


class Seen:
    """A list whose documents are seen differently."""

    def __init__(self, documents: Any, see: Callable[[Document], Document]) -> None:
        self.documents, self.see = documents, see

    @property
    def complete(self) -> bool | None:
        return bool(self.documents.complete)

    def __iter__(self) -> Iterator[Document]:
        return map(self.see, self.documents)

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *_: object) -> None:
        self.documents.close()


def stuck_upload(mirror: Mirror, name: str = "a.txt", body: str = "one") -> str:
    """An object whose document is processing for ever."""
    key = mirror.put(name, body)
    mirror.cloud.settings.processing_delay = 1e9
    mirror.run(processing_timeout=0)
    mirror.client = Stuck(mirror.client)
    mirror.client.documents = {(one["id"], one["version"]) for one in mirror.of(key)}
    mirror.cloud.settings.processing_delay = 0.0
    return key


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_document_that_is_stuck_for_a_day_is_uploaded_anew(in_memory: Mirror, behaviour: Any) -> None:
    """It is a strike, named with the time since when it processes; the next run uploads it, and one is left."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    key = stuck_upload(mirror)
    mirror.time_passes(DAY - 3600)
    assert mirror.run().counts["deferred"] == 1
    mirror.time_passes(3700)
    (row,) = mirror.run().failures
    assert "doesn't finish processing it, since 20" in str(row["reason"])
    assert mirror.rows()[key].attempts == 1
    mirror.run()
    mirror.assert_agreement()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_newer_bytes_in_s3_end_the_wait_for_a_stuck_document(in_memory: Mirror, behaviour: Any) -> None:
    """Once processing_timeout is over: what is stuck are bytes that nobody wants any more."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    key = stuck_upload(mirror)
    mirror.put("a.txt", "two, changed")
    mirror.time_passes(3700)
    mirror.run()
    assert mirror.rows()[key].attempts == 0
    mirror.run()
    mirror.assert_agreement()
    assert mirror.bytes_of(key) == b"two, changed"


def test_stuck_after_none_waits_for_ever(in_memory: Mirror) -> None:
    """Who wants to wait may."""
    stuck_upload(in_memory)
    in_memory.time_passes(100 * DAY)
    assert in_memory.run(stuck_after=None).counts["deferred"] == 1


def test_the_report_says_since_when_a_deferred_document_processes(in_memory: Mirror) -> None:
    """Who reads it sees a stuck document before it is given up."""
    stuck_upload(in_memory)
    in_memory.time_passes(7200)
    (row,) = in_memory.run().deferred
    since = time.strftime("%Y-%m-%d %H", time.gmtime(time.time() - 7200))
    assert f"still processes it, since {since}" in str(row["reason"])


def test_a_run_doesn_t_wait_for_what_was_stuck_before_it_began(in_memory: Mirror) -> None:
    """Its wait is for what may still be processed; a stuck document costs no run an hour."""
    mirror = in_memory
    stuck_upload(mirror)
    mirror.time_passes(7200)
    mirror.put("b.txt", "b")
    waits: list[float] = []
    ctx = mirror.context("run")
    ctx.sleep = lambda seconds: waits.append(seconds) or mirror.sleep(seconds)  # type: ignore[func-returns-value]
    report = synchronize(ctx)
    assert (report.counts["indexed"], report.counts["deferred"]) == (1, 1)
    assert sum(waits) < 5


def test_retry_gives_a_stuck_document_up_at_once(in_memory: Mirror) -> None:
    """A person needn't wait for stuck_after."""
    mirror = in_memory
    key = stuck_upload(mirror)
    source = mirror.context("x").source
    assert repairs.retry_keys(mirror.db, source, [key], "me") == 1
    mirror.run()
    mirror.assert_agreement()
    with pytest.raises(SettingsError, match="nothing to try again"):
        repairs.retry_keys(mirror.db, source, [key], "me")


def test_a_run_that_doesn_t_wait_follows_what_earlier_runs_have_sent(in_memory: Mirror) -> None:
    """One look a run: what was processed meanwhile is indexed, and a changed object is uploaded again."""
    mirror = in_memory
    mirror.defaults = {"wait_for_processing": False}
    mirror.cloud.settings.processing_delay = 0.2
    key = mirror.put("a.txt", "one")
    assert mirror.run().counts["deferred"] == 1
    mirror.put("a.txt", "two, changed")
    for _ in range(4):
        time.sleep(0.3)
        mirror.run()
    assert mirror.bytes_of(key) == b"two, changed"
    mirror.assert_agreement()


def test_a_single_look_never_sleeps(in_memory: Mirror) -> None:
    """wait_for_processing off means that nobody waits."""
    mirror = in_memory
    stuck_upload(mirror)
    ctx = mirror.context("run1", wait_for_processing=False)
    ctx.sleep = lambda _: pytest.fail("it waits")
    assert wait(ctx).waiting == 1


def test_an_audit_s_repair_gives_a_stuck_document_up(in_memory: Mirror) -> None:
    """It says that it is stuck, and the next run uploads it anew, also where stuck_after isn't over."""
    mirror = in_memory
    stuck_upload(mirror)
    mirror.time_passes(7200)
    done = audit(mirror.context("audit"), repair=True, user="me", stuck_hours=1)
    assert (done.found["stuck"], done.repaired["stuck"]) == (1, 1)
    mirror.run()
    mirror.assert_agreement()
