"""Uploads that commit after they were given up, and what S3 does meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import UnsettledUploadsError
from cloudindex_provider.sync.detect.detection import detect
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.remove import remove
from tests.support.mirror import Mirror
from tests.support.service_faults import BEHAVIOURS, upload


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("same", [True, False], ids=["same bytes", "older bytes"])
def test_an_upload_that_commits_after_it_was_given_up_is_put_right(
    in_memory: Mirror, behaviour: Any, same: bool
) -> None:
    """Later than the grace allows for: the late copy is removed, and where it replaced the live document, that is made
    again."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    key = mirror.put("a.txt", "first")
    mirror.put("b.txt", "b")
    mirror.cloud.faults.add(upload("cut_before"))
    if not same:
        mirror.put("a.txt", "second")
    mirror.run_to_the_end(wait_for_processing=False)
    _late(mirror, key, b"first")
    for _ in range(3):
        mirror.run()
        mirror.time_passes(1000)
    mirror.assert_agreement()


def _late(mirror: Mirror, key: str, body: bytes) -> None:
    """What the cut request would have committed."""
    mirror.client.upload_documents([FilePart(file_name(mirror.bucket, key), len(body), lambda: [body])])


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_an_object_that_changes_while_its_upload_is_in_doubt(in_memory: Mirror, behaviour: Any) -> None:
    """The upload in doubt is adopted as what it was, and the newer bytes follow."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    key = mirror.put("a.txt", "first")
    mirror.cloud.faults.add(upload("cut_after", times=1))
    with pytest.raises(Exception, match="unknown"):
        mirror.run(max_run_time=None) if _long_grace(mirror) else None
    mirror.put("a.txt", "second")
    mirror.time_passes(1000)
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()
    assert mirror.bytes_of(key) == b"second"
    assert mirror.uploads == 2


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
@pytest.mark.parametrize("hashes", [True, False])
def test_an_object_that_goes_back_while_its_upload_is_in_doubt(
    in_memory: Mirror, behaviour: Any, kind: Any, hashes: bool
) -> None:
    """S3 has the indexed bytes again, but the service may have others by now: that is not taken for unchanged."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.cloud.settings.list_content_hash = hashes
    mirror.put("a.txt", "first")
    mirror.run()
    mirror.put("a.txt", "other")
    mirror.cloud.faults.add(upload(kind, times=1))
    _long_grace(mirror)
    with pytest.raises(Exception, match="unknown"):
        mirror.run()
    mirror.put("a.txt", "first")
    mirror.time_passes(1000)
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
def test_an_object_that_vanishes_while_its_upload_is_in_doubt(in_memory: Mirror, behaviour: Any, kind: Any) -> None:
    """Nothing of it is left, neither in the state nor in the index, and nothing is deleted before the grace is over."""
    mirror = in_memory
    mirror.cloud.settings.same_name = behaviour
    mirror.put("anchor.txt")
    mirror.run()
    mirror.put("a.txt", "first")
    mirror.cloud.faults.add(upload(kind, times=1))
    _long_grace(mirror)
    with pytest.raises(Exception, match="unknown"):
        mirror.run("first")
    mirror.remove("a.txt")
    with pytest.raises(Exception, match="unknown"):
        mirror.run("first")
    assert mirror.requests("delete") == 0
    mirror.time_passes(1000)
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()


def test_a_key_whose_upload_may_still_arrive_is_not_forgotten(in_memory: Mirror) -> None:
    """Deleting waits for the grace, also as a task of its own: what commits until then is found and deleted."""
    mirror = in_memory
    mirror.put("anchor.txt")
    mirror.run()
    key = mirror.put("a.txt", "first")
    mirror.cloud.faults.add(upload("cut_before", times=1))
    _long_grace(mirror)
    with pytest.raises(UnsettledUploadsError):
        mirror.run("run")
    mirror.remove("a.txt")
    ctx = mirror.context("run")
    detect(ctx)
    assert remove(ctx).deleted == 0
    _late(mirror, key, b"first")
    mirror.time_passes(1000)
    mirror.run_to_the_end()
    mirror.run_to_the_end()
    mirror.assert_agreement()


def _long_grace(mirror: Mirror) -> bool:
    """A grace that no task sleeps through; the state is told that it has passed."""
    mirror.doubt_grace = 100
    return True
