"""The counts of a run's report: each declared once, with the group that it belongs to and what it means.

From this follow what a repeated detection counts anew (``state.runs``), what must add up and the order in which logs
name them (``sync.report``), the documentation of the operator and the table in docs/how-it-works.md.

listed                = unchanged + new + changed + skipped
new + changed         = indexed + failed + quarantined + deferred + gone + elsewhere
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "CHANGES",
    "COUNTS",
    "CUMULATIVE",
    "DETECTED",
    "FATES",
    "OWNER",
    "PARTS_OF_LISTED",
    "QUANTITIES",
    "REPORTED",
    "STEPS",
    "WORK_FOUND",
    "Count",
    "Group",
    "is_detected",
]


class Group(StrEnum):
    """What a count is part of."""

    LISTING = "listing"  # the parts of ``listed``, which a detection counts
    SWEEP = "sweep"  # what a detection counts beside them
    FATE = "fate"  # what became of the keys that were new or changed
    STEP = "step"  # what the steps did, added up over the run's tries
    STATE = "state"  # what is so at the end of the run


@dataclass(frozen=True, slots=True)
class Count:
    """One number of the report.

    :param reported: whether it is in the report; the others are of use on the way there
    """

    name: str
    group: Group
    meaning: str
    reported: bool = True


COUNTS = (
    Count("listed", Group.SWEEP, "objects that S3 lists under the prefix"),
    Count("unchanged", Group.LISTING, "indexed with the ETag and size that S3 has"),
    Count("new", Group.LISTING, "not indexed yet, in whatever version"),
    Count("changed", Group.LISTING, "indexed in another version"),
    Count("removed", Group.SWEEP, "keys with a document that S3 lists no more"),
    Count("skipped", Group.LISTING, "not selected, or not for this sync; by reason in `skipped_by_reason`"),
    Count("uploaded", Group.STEP, "files that CloudIndex has taken"),
    Count("adopted", Group.STEP, "documents with a key's bytes that were there already: nothing was uploaded for them"),
    Count("drifted", Group.STEP, "documents that somebody else has deleted or changed; uploaded again"),
    Count("same_bytes", Group.STEP, "another ETag, but the indexed bytes: nothing was uploaded", reported=False),
    Count("indexed", Group.FATE, "now in step, by this run or another one meanwhile"),
    Count("failed", Group.FATE, "tried in vain; the next run tries again"),
    Count("quarantined", Group.FATE, "set aside after too many strikes, now or before"),
    Count("deferred", Group.FATE, "left to the next run"),
    Count("gone", Group.FATE, "deleted or replaced in S3 since it was listed"),
    Count("elsewhere", Group.FATE, "being worked on by another run, or another sync's by now"),
    Count("held", Group.SWEEP, "removed keys whose documents wait for a person or the next run"),
    Count("kept", Group.STATE, "removed keys whose documents stay, because S3 doesn't prove that they are gone"),
    Count("excluded", Group.SWEEP, "keys with a document that the selection leaves out; kept"),
    Count("live", Group.SWEEP, "documents of this sync before the run", reported=False),
    Count("stale", Group.STATE, "documents that serve an older version than S3 has"),
    Count("deleted", Group.STEP, "keys whose documents were deleted because S3 has them no more"),
    Count("deleted_documents", Group.STEP, "the documents of those keys", reported=False),
    Count("removed_by_name", Group.STEP, "those of them that a run of named keys has deleted", reported=False),
    Count("superseded", Group.STEP, "documents deleted because a newer one has taken their place", reported=False),
    Count("bytes", Group.STEP, "bytes uploaded"),
    Count("requests", Group.STEP, "requests to CloudIndex"),
)

REPORTED = tuple(one.name for one in COUNTS if one.reported)
# Counted anew by a repeated detection; beside them the skips by reason (``skipped:``) and by owner (``OWNER``).
DETECTED = tuple(one.name for one in COUNTS if one.group in (Group.LISTING, Group.SWEEP))


OWNER = "owner:"  # with the number of a source: keys that are skipped because that one has them


def is_detected(name: str) -> bool:
    """Whether a detection counts this."""
    return name in DETECTED or name.startswith(("skipped:", OWNER))


PARTS_OF_LISTED = tuple(one.name for one in COUNTS if one.group is Group.LISTING)
FATES = tuple(one.name for one in COUNTS if one.group is Group.FATE)
WORK_FOUND = ("new", "changed")
QUANTITIES = ("bytes", "requests")  # reported, and no number of keys
CHANGES = ("indexed", "deleted")  # by which the index is another one than before
STEPS = tuple(one.name for one in COUNTS if one.group is Group.STEP)
# What adds up over runs; all others say what was so at a run's end.
CUMULATIVE = tuple(name for name in REPORTED if name in STEPS or name in ("indexed", "failed"))
