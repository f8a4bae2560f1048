"""When to look again at what CloudIndex is processing: one poller for the single task, the operator and the trigger.

Every number of that waiting stands here. Pure: it is told how long has been waited and says what to do; it never looks,
sleeps, logs or reads a clock. A pause never ends after the time that is left, but for Airflow's shortest trigger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "EVENTS_OUTAGE_PAUSE",
    "EVENTS_POLL_INTERVAL",
    "FIRST_EVENT_LOOK",
    "LONGEST_EVENT_LOOK",
    "MAX_POLL_INTERVAL",
    "POLL_INTERVAL",
    "QUICK_LOOKS",
    "SENSOR_POLL_INTERVAL",
    "SHORTEST_EVENTS_POLL",
    "SHORTEST_TRIGGER",
    "Pause",
    "Poller",
]

POLL_INTERVAL = 10.0  # seconds between two looks of a sync, which are a few requests for all its documents
SENSOR_POLL_INTERVAL = 30.0  # seconds between two looks of a sensor, which are a request for each document
EVENTS_POLL_INTERVAL = 2.0  # seconds between two looks at a queue of events, which are a cheap request each
SHORTEST_EVENTS_POLL = 0.1  # seconds that somebody may make of them
EVENTS_OUTAGE_PAUSE = 5.0  # seconds until a queue that fails is asked again
FIRST_EVENT_LOOK = 1.0  # seconds from an event's upload to the first look: who follows events wants it soon
LONGEST_EVENT_LOOK = 30.0  # seconds that the pause between such looks grows to
MAX_POLL_INTERVAL = 120.0  # seconds that an interval grows to
_GROWTH = 0.5  # of the time waited so far: a look comes late by at most half of what the processing took
QUICK_LOOKS = 3  # before the first deferral, after 1, 2 and 3 seconds, because most documents take seconds
TRIGGER_MARGIN = 300.0  # seconds that a trigger may come late, where the triggerer is busy or starts anew
LONGEST_TRIGGER = 86400.0  # seconds that a triggerer may be missing before the task says so
SHORTEST_TRIGGER = 5.0  # seconds; Airflow 3.3 can fail a task whose trigger fires sooner (apache/airflow#67287)


@dataclass(frozen=True, slots=True)
class Pause:
    """What to do before the next look: wait ``seconds``, and where ``defer`` is set give the worker's slot back."""

    seconds: float
    defer: bool = False


@dataclass(frozen=True, slots=True)
class Poller:
    """Decides after each look whether there is another, and when.

    :param interval: seconds until the next look, at first
    :param longest: seconds that it grows to; a longer interval stays as it is
    :param timeout: seconds after which nothing is waited for; 0 is a single look
    :param deferrable: whether a pause gives the worker's slot back
    :param quick_looks: looks of a task after which it waits a few seconds in its slot all the same
    """

    interval: float = POLL_INTERVAL
    longest: float = MAX_POLL_INTERVAL
    timeout: float = math.inf
    deferrable: bool = False
    quick_looks: int = 0

    @classmethod
    def in_trigger(cls, interval: float, longest: float) -> Poller:
        """For a trigger, which has no slot to give back, and whose timeout is Airflow's."""
        return cls(max(interval, SHORTEST_TRIGGER), longest)

    @property
    def head_start(self) -> float:
        """Seconds waited from which on pauses grow: who begins here has each half as long again as the one before."""
        return self.interval / _GROWTH

    def after(self, *, waiting: int, waited: float, look: int = 1) -> Pause | None:
        """What comes after a look; ``None`` when it was the last.

        :param waiting: documents that are still processing
        :param waited: seconds since the first look
        :param look: the number of the look, of those that this task has made
        """
        left = self.timeout - waited
        if not waiting or left <= 0:
            return None
        if self.deferrable and look <= self.quick_looks:
            return Pause(min(float(look), left))
        seconds = min(self._grown(waited), left)
        return Pause(max(seconds, SHORTEST_TRIGGER), defer=True) if self.deferrable else Pause(seconds)

    def trigger_timeout(self, pause: Pause, *, waited: float) -> float:
        """Seconds after which a pause that has given the slot back is no pause any more: nobody will end it."""
        return max(pause.seconds, min(self.timeout - waited, LONGEST_TRIGGER)) + TRIGGER_MARGIN

    def _grown(self, waited: float) -> float:
        return min(max(self.interval, waited * _GROWTH), max(self.interval, self.longest))
