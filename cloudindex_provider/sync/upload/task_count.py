"""How many upload tasks a backlog is worth: no more than the rate limit feeds, since the others would only wait."""

from __future__ import annotations

import math

from cloudindex_provider import words
from cloudindex_provider.state import runs
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.settings import MAX_UPLOAD_TASKS

__all__ = ["upload_task_count", "upload_tasks_for"]

_USUAL = 2.4  # seconds that a request keeps one task busy, where no run has shown it: four tasks fill 100 a minute
_LEAST = 1.0  # a run that was quicker may have been lucky
_SPARE = 1.5  # some take longer than the mean
_LONGEST_VIEW = 3600.0  # seconds ahead that the rate limit is looked at


def upload_tasks_for(ctx: SyncContext, requests: int) -> int:
    """The tasks, or threads, for about so many upload requests; 0 for none."""
    seconds = min(max(ctx.time_left, 60.0), _LONGEST_VIEW)
    fed = ctx.requests_within(seconds) if ctx.requests_within else None
    busy = runs.upload_seconds(ctx.db, ctx.source)
    wanted = ctx.settings.limits.upload_tasks
    count = upload_task_count(requests, wanted, rate=None if fed is None else fed / seconds, busy=busy)
    if fed is not None and count < upload_task_count(requests, wanted):
        ctx.log.info(
            "The rate limit gives about %s a minute, which %s of %s up.",
            words.count(round(fed * 60 / seconds), "request"), f"{count:,}",
            words.count(wanted, "upload task uses", "upload tasks use"),
        )  # fmt: skip
    return count


def upload_task_count(requests: int, upload_tasks: int, *, rate: float | None = None, busy: float | None = None) -> int:
    """No more tasks than requests, than the setting, and than the rate limit feeds.

    :param rate: requests a second that the rate limit gives; ``None``: none is known
    :param busy: seconds that a request keeps a task busy, its wait for the rate limit not counted, where that is known
    """
    most = min(upload_tasks, requests, MAX_UPLOAD_TASKS)
    if rate is None:
        return most
    needed = rate * (_USUAL if busy is None else max(busy, _LEAST) * _SPARE)
    # A whole number that comes out of rounding a little too large is that number.
    return min(most, max(1, math.ceil(needed - 1e-6)))
