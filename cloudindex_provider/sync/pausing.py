"""Giving a worker's slot back: a task that has nothing to do for more than a minute ends, and goes on later in the same
try, where it was. That is no failure, and uses up none of its retries.

The time of a try goes on meanwhile, so ``max_run_time`` bounds all pauses together. A try that has paused and gets
nothing but refusals again isn't waiting for its turn: that is an error, and Airflow's retries bound it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cloudindex_provider.errors import RateLimitedError, StateError
from cloudindex_provider.state.pauses import Pauses
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.words import duration

__all__ = ["PATIENCE", "PauseError", "pausing", "rest"]

PATIENCE = 60.0  # seconds that a task waits in its slot
_REFUSED = 429


class PauseError(Exception):
    """Not a failure: the task's slot is given back for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The task goes on in {duration(seconds)}.")
        self.seconds = seconds


@contextmanager
def pausing(ctx: SyncContext) -> Iterator[None]:
    """Around what a task does: a long wait for the rate limit becomes a pause, where there is time for it.

    :raises PauseError: then, when all that was claimed is given back
    """
    try:
        yield
    except PauseError:
        raise
    except RateLimitedError as error:
        wait = error.retry_after
        if ctx.pauses is not None and wait is not None and _is_worth_a_pause(ctx, error, wait):
            ctx.log.info("%s The worker's slot is given back for %s.", error, duration(wait))
            _pause(ctx.pauses, ctx, wait)
        _forget(ctx)
        raise
    except BaseException:
        _forget(ctx)
        raise
    _forget(ctx)


def rest(ctx: SyncContext, seconds: float) -> None:
    """Sleep, or give the slot back for as long.

    :raises PauseError: where that is more than a minute and the task can come back
    """
    if ctx.pauses is not None and seconds > PATIENCE:
        _pause(ctx.pauses, ctx, seconds)
    ctx.sleep(seconds)


def _pause(pauses: Pauses, ctx: SyncContext, seconds: float) -> None:
    pauses.begin(ctx.worked)
    raise PauseError(seconds)


def _is_worth_a_pause(ctx: SyncContext, error: RateLimitedError, wait: float) -> bool:
    in_vain = ctx.resumed and error.status == _REFUSED and not ctx.answered()
    return wait <= ctx.time_left and not in_vain


def _forget(ctx: SyncContext) -> None:
    if ctx.pauses is None or not ctx.resumed:
        return
    try:
        ctx.pauses.end()
    except StateError as error:  # what the task has done, or its own error, matters more
        ctx.log.warning("The end of a pause couldn't be noted: %s", error)
