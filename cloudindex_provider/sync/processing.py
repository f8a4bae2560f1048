"""What a look at a document says about the upload that it came of. Pure: it takes rows and times, and reads nothing.

Only the word ``processed`` for the bytes that were sent is a success. A failure is the file's only where others fare
better: where most of what was sent fails alike, it is the service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from cloudindex_provider.api.models import Document, Phase
from cloudindex_provider.state.records import WorkRow
from cloudindex_provider.sync.naming import is_of_other_key

__all__ = ["ALIKE", "SEVERAL", "Look", "Patience", "Verdict", "cause", "is_outage", "look_at"]

SEVERAL = 3  # that fail alike; fewer may well be bad files
ALIKE = " Most of what was sent fails alike, so it counts as CloudIndex's fault, and as no strike of the file."
_ANOTHERS = (
    "CloudIndex took it for {}, another key's document: it keeps one document for the same bytes, which can be found"
    " there. Leave one of the keys out with exclude."
)
_SHOWN_LATE = 60.0  # seconds after an upload in which a service may still show the version before
_NAMES = re.compile(r"[A-Za-z0-9-]+-[0-9a-f]{24}(\.[A-Za-z0-9]+)?")  # as ``naming`` makes them
_NUMBERS = re.compile(r"[0-9a-fA-F]{6,}|\d+")


class Look(Enum):
    """What a look has found."""

    WAITING = "waiting"
    LATE = "late"  # still processing, as it was before the run began: nobody waits for it
    INDEXED = "indexed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` and the rest are of failures."""

    look: Look
    reason: str = ""
    strike: bool = True
    ours: bool = True  # the document is this key's


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds; moments are by the state's clock."""

    now: float
    began: float  # the run
    timeout: float  # of one run's wait
    stuck_after: float | None


def look_at(row: WorkRow, document: Document | None, patience: Patience) -> Verdict:
    """The verdict on a row that is processing.

    :param document: ``None`` where it is proven to be gone
    """
    if document is None or document.phase is Phase.GONE:
        return _failed("The document vanished from CloudIndex while it was processed. It is uploaded again.")
    if document.phase is Phase.WAITING or _is_older(row, document, patience):
        return _waiting(row, patience)
    if row.file_name and is_of_other_key(document.file_name, row.file_name):
        return Verdict(Look.FAILED, _ANOTHERS.format(document.file_name), ours=False)
    if document.phase is Phase.FAILED:
        return _failed(
            f"CloudIndex couldn't process it: {document.error_message or 'no reason given'}."
            " Change the object or leave it out with exclude."
        )
    if _other_bytes(row, document):
        return _failed("CloudIndex indexed other bytes than were sent. It is uploaded again.")
    return Verdict(Look.INDEXED)


def is_outage(alike: int, indexed: int) -> bool:
    """Whether failures of one cause are the service's, by how many uploads of the run were indexed."""
    return alike >= SEVERAL and alike > indexed


def cause(reason: str) -> str:
    """What is the same in the reasons of failures that are alike: names of files and numbers aren't."""
    return _NUMBERS.sub("#", _NAMES.sub("#", reason.removesuffix(ALIKE)))


def _failed(reason: str) -> Verdict:
    return Verdict(Look.FAILED, reason)


def _waiting(row: WorkRow, patience: Patience) -> Verdict:
    since = row.intent_at if row.intent_at is not None else patience.now
    age = patience.now - since
    newer = (row.etag, row.size) != (row.upload_etag, row.upload_size)
    stuck = patience.stuck_after is not None and age >= patience.stuck_after
    if stuck or (newer and age > patience.timeout):
        when = datetime.fromtimestamp(since, UTC)
        # Of bytes that S3 has no more, it says nothing about those that follow.
        return Verdict(
            Look.FAILED,
            f"CloudIndex doesn't finish processing it, since {when:%Y-%m-%d %H:%M} UTC. It is uploaded anew.",
            strike=not newer,
        )
    return Verdict(Look.LATE if since + patience.timeout < patience.began else Look.WAITING)


def _other_bytes(row: WorkRow, document: Document) -> bool:
    digest = document.content_hash
    return bool(digest and row.upload_sha256 and digest != row.upload_sha256)


def _is_older(row: WorkRow, document: Document, patience: Patience) -> bool:
    """The service still shows the version before the upload, whose processing says nothing about the new one."""
    if row.document_id not in (None, document.id):
        return False
    both = document.version is not None and row.document_version is not None
    if both and document.version != row.document_version:
        return int(document.version or 0) < int(row.document_version or 0)
    if row.document_id is None or not _other_bytes(row, document):
        return False
    return document.content_hash == row.indexed_sha256 or patience.now - (row.intent_at or 0.0) < _SHOWN_LATE
