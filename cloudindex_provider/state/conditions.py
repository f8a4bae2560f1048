"""The words and conditions of object rows that more than one statement uses: SQL text, and the values that it binds.

A rule about rows (what may be claimed, whose a row is) stands here once. Nothing here reads or writes.
"""

from __future__ import annotations

from enum import StrEnum

from cloudindex_provider.state.records import Owner, Run

__all__ = [
    "ADOPTED", "ANSWERED", "CLAIMED", "FOUND", "FREE", "IDLE", "IDLE_OBJECT", "MAY_CLAIM", "MINE",
    "NO_UPLOAD", "READY", "UNTRIED", "WORK", "KeyClass", "Outcome", "Status", "claim_values", "row_values",
]  # fmt: skip


class Status(StrEnum):
    """What an object row is in. ``uploading`` is the intent, written before the request."""

    PENDING = "pending"
    UPLOADING = "uploading"
    PROCESSING = "processing"
    INDEXED = "indexed"
    FAILED = "failed"  # tried again by every run, until its strikes are used up
    QUARANTINED = "quarantined"  # looked at again after next_attempt_at, or when its ETag changes or a person says so
    SKIPPED = "skipped"
    DELETING = "deleting"


class KeyClass(StrEnum):
    """What a run found a key to be, where it is no unchanged or skipped one."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"


class Outcome(StrEnum):
    """What became of a key in a run."""

    INDEXED = "indexed"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    SET_ASIDE = "set_aside"  # quarantined before this run, which looked at it again in vain
    SKIPPED = "skipped"  # the object itself says so
    GONE = "gone"  # S3 has it no more, or another version of it
    ELSEWHERE = "elsewhere"  # another sync has it now
    # of removed keys
    DELETED = "deleted"
    HELD = "held"
    KEPT = "kept"


# The partial index of everything that isn't settled: SQLite uses it only for queries that repeat this very term.
WORK = f"status <> '{Status.INDEXED}'"
# Somebody works on the row, by a claim whose lease hasn't ended; and the opposite. The first term leads to an index.
CLAIMED = "(claim_owner IS NOT NULL AND claim_until >= :now)"
IDLE = f"(NOT {CLAIMED})"
IDLE_OBJECT = IDLE.replace("claim_", "object.claim_")  # where another table has such columns, too
# Free to take: nobody's, or an earlier try of the same task.
FREE = f"({IDLE} OR (claim_try < :try AND (claim_owner = :task OR substr(claim_owner, 1, :workers_length) = :workers)))"
MINE = "claim_owner = :owner AND claim_try = :try"
READY = f"status IN ('{Status.PENDING}', '{Status.FAILED}')"
_OF_RUN = "SELECT 1 FROM run_key WHERE run_id = :run AND run_key.key = object.key"
FOUND = f"(queued_run = :run OR EXISTS ({_OF_RUN}))"  # by the run
# Ready, found by a run, and neither tried nor found removed by it; and what it may claim of that.
UNTRIED = (
    f"source_id = :source AND {WORK} AND {READY}"
    f" AND NOT EXISTS ({_OF_RUN} AND (outcome IS NOT NULL OR class = '{KeyClass.REMOVED}'))"
    f" AND {FOUND}"
)
MAY_CLAIM = f"{UNTRIED} AND {FREE}"
# The reason of an outcome that cost no upload: the project had the document.
ADOPTED = "adopted"
# Set: nothing of the key is on its way to CloudIndex.
NO_UPLOAD = "upload_etag = NULL, upload_size = NULL, upload_sha256 = NULL, upload_document_id = NULL"

# Set: CloudIndex has given an answer about the key, or there are other bytes of it.
ANSWERED = "unanswered = 0, unanswered_at = NULL"


def claim_values(owner: Owner, **more: object) -> dict[str, object]:
    """The bound values of ``FREE`` and ``MINE``."""
    task = {"task": owner.name, "workers": owner.workers, "workers_length": len(owner.workers)}
    return {"owner": owner.claim, "try": owner.attempt, **task, **more}


def row_values(run: Run, owner: Owner, key: str, **more: object) -> dict[str, object]:
    """``claim_values`` with those that name one row: ``:scope`` and ``:key``."""
    return claim_values(owner, scope=run.source.scope_id, key=key, **more)
