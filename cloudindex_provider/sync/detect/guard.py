"""What a run may do at once: how many requests, and whether removals may be acted on. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cloudindex_provider.sync.settings import MAX_FILES_PER_REQUEST, Limits

__all__ = ["Hold", "delete_guard", "fit_request", "request_estimate", "upload_task_count"]

MAX_TASKS = 64  # a task costs about 0.3 CPU-seconds of Airflow, and each pulls the whole XCom


def fit_request(sizes: Iterable[int], max_request_size: int) -> int:
    """How many of the next files go into one request: at least one, at most 20, within the request's bytes."""
    count, total = 0, 0
    for size in sizes:
        total += size
        if count == MAX_FILES_PER_REQUEST or (count and total > max_request_size):
            break
        count += 1
    return count


def request_estimate(documents: int, total_bytes: int, max_request_size: int) -> int:
    """About how many upload requests a backlog needs."""
    return max(math.ceil(documents / MAX_FILES_PER_REQUEST), math.ceil(total_bytes / max_request_size))


def upload_task_count(requests: int, upload_tasks: int) -> int:
    """How many mapped tasks a backlog is worth; 0 for none."""
    return min(upload_tasks, requests, MAX_TASKS)


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a run's removals aren't acted on; ``mass``: because they are too many, which a person should look at."""

    reason: str
    mass: bool = True


def delete_guard(*, removed: int, live: int, listed: int, limits: Limits) -> Hold | None:
    """Why removals must be held, or ``None``. A mass delete is more often a mistake than a wish.

    :param removed: keys of the state that S3 lists no more
    :param live: documents of this sync before the run
    """
    if not removed:
        return None
    if not listed and live:
        return Hold(f"S3 lists nothing, and {live} documents are live")
    if removed > limits.max_delete_absolute:
        return Hold(f"{removed} removals are more than max_delete_absolute ({limits.max_delete_absolute})")
    percent = 100.0 * removed / live if live else 100.0
    if removed > limits.max_delete_documents and percent > limits.max_delete_percent:
        share = (
            f"{percent:.1f} % of {live} live documents is over max_delete_percent ({limits.max_delete_percent:g})"
            if live
            else "none of this sync's documents is processed yet"
        )
        return Hold(
            f"{removed} removals are more than max_delete_documents ({limits.max_delete_documents}) and {share}"
        )
    return None
