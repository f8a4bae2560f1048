"""A single step's session: the client, paced by the budget that all tasks of the connection share, and the state.

The budget and what a step remembers are in the state that ``[cloudindex]`` names. Where none can be (an executor over
several machines without ``state_conn_id``) or where one that only reads finds none, the step paces itself alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.ratelimit import LocalPacer
from cloudindex_provider.errors import StateError
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.session import LONGEST_WAIT, shared_pacer
from cloudindex_provider.hooks.state import open_state, resolve_state
from cloudindex_provider.state.db.database import Database, has_state
from cloudindex_provider.sync.context import sleep_until_stopped

__all__ = ["StepSession", "step_session"]

log = logging.getLogger("cloudindex_provider.steps")


@dataclass(frozen=True, slots=True)
class StepSession:
    """What a step works with. ``db`` is ``None`` where there is no state."""

    client: CloudIndexClient
    db: Database | None


@contextmanager
def step_session(
    hook: CloudIndexHook, *, reads_state: bool = False, stop: threading.Event | None = None
) -> Iterator[StepSession]:
    """The session for a ``with`` block; every CloudIndex error of it names the connection.

    :param reads_state: a state that isn't there isn't made
    :param stop: set by whoever stops the task: no further request is begun then
    :raises StateError: there is a state, or should be one, and it can't be used
    """
    stop = stop or threading.Event()
    _ = hook.settings  # a wrong connection is told before the state is opened
    db = _open(reads_state=reads_state)
    try:
        pacer = (
            LocalPacer(max_wait=LONGEST_WAIT, sleep=partial(sleep_until_stopped, stop))
            if db is None
            else shared_pacer(db, hook, stop)
        )
        with hook.session(pacer=pacer) as client:
            yield StepSession(client, db)
    finally:
        if db is not None:
            db.close()


def _open(*, reads_state: bool) -> Database | None:
    try:
        address = resolve_state()
    except StateError as error:
        log.info("This task paces its requests alone, and remembers nothing for its next try: %s", error.message)
        return None
    if reads_state and not has_state(address):
        log.debug("There is no state, so this task paces its requests alone.")
        return None
    return open_state(must_exist=reads_state)
