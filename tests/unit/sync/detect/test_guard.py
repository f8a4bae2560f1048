"""What one request holds, how many tasks a backlog is worth, and when removals are held."""

from __future__ import annotations

import pytest

from cloudindex_provider.api.limits import fit_request, request_estimate
from cloudindex_provider.sync.detect.guard import delete_guard
from cloudindex_provider.sync.settings import Limits
from cloudindex_provider.sync.upload.task_count import upload_task_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ([], 0),
        ([1], 1),
        ([100], 1),
        ([101], 1),  # alone in a request, whatever its size
        ([101, 1], 1),
        ([50, 50], 2),
        ([50, 51], 1),
        ([99, 1, 1], 2),
        ([0] * 25, 20),
        ([1] * 19, 19),
        ([1] * 20, 20),
        ([1] * 21, 20),
        ([5] * 21, 20),
        ([6] * 21, 16),
        ([60, 60, 10], 1),  # in order: a smaller one behind isn't pulled forward
    ],
)
def test_a_request_holds_at_most_20_files_and_its_bytes(sizes: list[int], count: int) -> None:
    """At least one file, at most 20, within the bytes."""
    assert fit_request(iter(sizes), 100) == count


@pytest.mark.parametrize(
    ("documents", "size", "requests"), [(0, 0, 0), (1, 1, 1), (20, 1, 1), (21, 1, 2), (2, 100, 1), (2, 101, 2)]
)
def test_a_backlog_is_estimated_in_requests(documents: int, size: int, requests: int) -> None:
    """By files or by bytes, whichever needs more."""
    assert request_estimate(documents, size, 100) == requests


@pytest.mark.parametrize(
    ("requests", "tasks", "expected"), [(0, 4, 0), (1, 4, 1), (4, 4, 4), (9, 4, 4), (999, 999, 64)]
)
def test_no_more_tasks_than_requests(requests: int, tasks: int, expected: int) -> None:
    """A task for each request, up to the setting, never more than 64."""
    assert upload_task_count(requests, tasks) == expected


LIMITS = Limits(max_delete_documents=10, max_delete_percent=20.0, max_delete_absolute=1000)


@pytest.mark.parametrize(
    ("removed", "live", "listed", "held"),
    [
        (0, 0, 0, False),
        (0, 50, 0, False),  # nothing to delete needs no guard
        (10, 10, 1, False),  # all of them, but few
        (10, 10, 0, True),  # an empty listing
        (10, 0, 0, False),  # nothing live: only leftovers of uploads
        (11, 55, 1, False),  # 20 % exactly
        (11, 54, 1, True),
        (11, 0, 1, True),  # no share can be told
        (1000, 1_000_000, 1, False),
        (1001, 1_000_000, 1, True),  # above the ceiling whatever the share
    ],
)
def test_mass_deletes_are_held(removed: int, live: int, listed: int, held: bool) -> None:
    """Both sides of every limit of the guard."""
    hold = delete_guard(removed=removed, live=live, listed=listed, limits=LIMITS)
    assert (hold is not None) == held
    assert hold is None or (hold.mass and hold.reason)


@pytest.mark.parametrize(
    ("removed", "live", "listed", "named"),
    [(2000, 9000, 1, "max_delete_absolute"), (11, 12, 1, "max_delete_percent"), (11, 12, 0, "S3 lists nothing")],
)
def test_the_hold_names_its_limit(removed: int, live: int, listed: int, named: str) -> None:
    """The reason says which setting would have to change."""
    hold = delete_guard(removed=removed, live=live, listed=listed, limits=LIMITS)
    assert hold is not None
    assert named in hold.reason
