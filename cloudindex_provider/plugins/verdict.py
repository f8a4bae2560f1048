"""The words for a sync's state, and what to do about a reason. Pure: facts in, words out.

What needs a person comes first: deletes that wait, failures, a run that ended red, silence. "In step" is said of
nothing else than a complete listing with no work left.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cloudindex_provider.state.conditions import Status
from cloudindex_provider.state.views.keys import KeyRow
from cloudindex_provider.sync.selection import SkipReason
from cloudindex_provider.words import count, duration

__all__ = ["UNDERWAY", "Facts", "Level", "Verdict", "difference", "judge", "remedy"]

Level = Literal["ok", "busy", "warning", "error", "unknown"]
UNDERWAY = (Status.PENDING, Status.UPLOADING, Status.PROCESSING, Status.DELETING)
_HOUR, _WEEK = 3600.0, 7 * 86400.0
_RUNNING = ("running", "queued")
_ORDER = ("held", "failing", "run_failed", "silent", "never", "working", "waiting", "in_step")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a sync. Times are seconds since 1970, ``run_starts`` newest first."""

    statuses: Mapping[str, int]
    held: int
    run_state: str | None  # Airflow's, of the DAG run of the last run
    run_ended: bool
    last_listing_at: float | None
    is_paused: bool | None
    run_starts: Sequence[float]
    now: float
    is_planned: bool = False  # by a dry run
    next_run_at: float | None = None  # as Airflow has planned it

    @property
    def underway(self) -> int:
        """Keys that are to be uploaded, are being processed, or whose document is being deleted."""
        return sum(self.statuses.get(one, 0) for one in UNDERWAY)

    @property
    def is_running(self) -> bool:
        """As Airflow says; where it has forgotten the run, as the state says of the last hour."""
        if self.run_state is not None:
            return self.run_state in _RUNNING
        return not self.run_ended and bool(self.run_starts) and self.now - self.run_starts[0] < _HOUR


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a sync is; ``rank``: the lower, the sooner a person should look."""

    name: str
    level: Level
    headline: str

    @property
    def rank(self) -> int:
        return _ORDER.index(self.name)

    @property
    def needs_person(self) -> bool:
        return self.level in ("error", "warning")


def judge(facts: Facts) -> Verdict:
    """The one thing to say of a sync."""
    failed, quarantined = (facts.statuses.get(one, 0) for one in (Status.FAILED, Status.QUARANTINED))
    if facts.held:
        return Verdict("held", "warning", f"{count(facts.held, 'delete')} held")
    if failed or quarantined:
        parts = [f"{number:,} {word}" for number, word in ((failed, "failed"), (quarantined, "quarantined")) if number]
        return Verdict("failing", "error" if failed else "warning", ", ".join(parts))
    if facts.run_state == "failed":
        return Verdict("run_failed", "error", "Last run failed")
    if not facts.is_running and (silence := _silence(facts)):
        return Verdict("silent", "warning", silence)
    return _busy(facts)


def _busy(facts: Facts) -> Verdict:
    if facts.is_running:
        left = f": {facts.underway:,} on their way" if facts.underway else ""
        return Verdict("working", "busy", f"Working{left}")
    if facts.last_listing_at is None:
        planned = facts.is_planned and not facts.run_starts
        return Verdict("never", "unknown", "Planned, and not run yet" if planned else "Not listed whole yet")
    if facts.underway:
        return Verdict("waiting", "busy", f"{facts.underway:,} wait for the next run")
    return Verdict("in_step", "ok", "In step")


def _silence(facts: Facts) -> str:
    """For how long nothing was listed, where that is far longer than usual."""
    if facts.last_listing_at is None or _on_schedule(facts, facts.last_listing_at):
        return ""
    silent = facts.now - facts.last_listing_at
    if silent <= _usual(facts):
        return ""
    return f"{'Paused, not' if facts.is_paused else 'Not'} run for {duration(silent)}"


def _on_schedule(facts: Facts, listed_at: float) -> bool:
    """Whether Airflow has its next run ahead, and none since has listed nothing: nights and weekends are no silence."""
    later = any(start > listed_at for start in facts.run_starts)
    return not later and facts.next_run_at is not None and facts.next_run_at > facts.now - _HOUR


def _usual(facts: Facts) -> float:
    """How long a sync may be silent. A DAG without a schedule is run when somebody likes, so its gaps say little."""
    gaps = [later - earlier for later, earlier in zip(facts.run_starts, facts.run_starts[1:], strict=False)]
    is_unscheduled = facts.is_paused is False and facts.next_run_at is None
    least = _WEEK if is_unscheduled or not gaps else _HOUR
    return max(3 * statistics.median(gaps or [0.0]), least)


# What to do

_SKIPS: dict[str, str] = {
    SkipReason.FOLDER_MARKER: "A folder marker holds nothing. There is nothing to do.",
    SkipReason.EMPTY: "An empty object can't be searched. There is nothing to do.",
    SkipReason.EXCLUDED: "The task's include and exclude leave it out. Change them to have it.",
    SkipReason.UNSUPPORTED_TYPE: "CloudIndex doesn't document this file type. Set file_types to have it all the same.",
    SkipReason.TOO_LARGE: "It is larger than max_file_size. Raise that where your CloudIndex plan allows it.",
    SkipReason.ARCHIVED: "It is in an archive. Restore it in S3, and the next run takes it.",
    SkipReason.INVALID_KEY: "Its key holds a character that can't be stored. Rename the object.",
    SkipReason.OWNED_BY_OTHER: "Another sync of this project has it. `airflow cloudindex sources adopt` hands it over.",
    SkipReason.OPTED_OUT: "Its own metadata says x-amz-meta-cloudindex: skip. Remove that to have it.",
    SkipReason.ENCODED: "Its Content-Encoding can't be decoded. Store it in another way.",
}
_STATUSES: dict[str, str] = {
    Status.PENDING: "The next run uploads it.",
    Status.UPLOADING: "It is being sent, or it isn't known whether it arrived, which is found out first.",
    Status.PROCESSING: "CloudIndex has it and processes it. There is nothing to do.",
    Status.INDEXED: "In step. There is nothing to do.",
    Status.FAILED: "The next run tries it again by itself. Retry it when the cause is mended.",
    Status.QUARANTINED: "Set aside until the object changes in S3. Mend the object, or release it to be tried again.",
    Status.DELETING: "Its document is being deleted. The next run ends that.",
}


def remedy(status: str, reason: str | None) -> str:
    """What a person can do about keys of this status and reason."""
    if status == Status.SKIPPED:
        return _SKIPS.get(reason or "", "The selection leaves it out.")
    return _STATUSES.get(status, "")


def difference(row: KeyRow | None) -> str:
    """Why S3 and CloudIndex differ on a key, in words."""
    if row is None:
        return "This sync knows nothing of this key: S3 doesn't list it, or another sync has it."
    has = row.document_id is not None
    match row.status:
        case Status.INDEXED:
            return "S3 and CloudIndex have the same."
        case Status.DELETING:
            return "S3 has it no more, and CloudIndex may still have it."
        case Status.SKIPPED:
            return "It is left out, and CloudIndex keeps the document it has." if has else "It is left out."
    if not has:
        return "S3 has it, and CloudIndex can't find it yet."
    older = bool(row.indexed_etag) and row.indexed_etag != row.etag
    return f"CloudIndex {'still serves the version before this one' if older else 'has it, and it is uploaded again'}."
