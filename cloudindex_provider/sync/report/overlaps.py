"""Keys that a run has skipped because another sync has them: which sync that is, who runs it, and what can be done.

A sync that was widened, or given another prefix, meets its own former self here: then its keys are handed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cloudindex_provider.state.counts import OWNER
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.first_keys import OtherOwner, read_former_sources, read_other_owner
from cloudindex_provider.state.records import Run, Source
from cloudindex_provider.words import plain

__all__ = ["Overlap", "name_of", "owners_of", "read_former", "read_overlaps", "remedy"]

_SHOWN = 3  # keys
_MOST = 10  # syncs


@dataclass(frozen=True, slots=True)
class Overlap:
    """One other sync. ``first``: the first of the keys that it has."""

    source: int
    prefix: str
    sync_id: str
    dag_ids: tuple[str, ...]
    keys: int
    first: tuple[str, ...]
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "dag_ids": list(self.dag_ids), "first": list(self.first)}


def owners_of(counts: Mapping[str, int]) -> dict[int, int]:
    """Of a run's counters: source -> how many of the listed keys it has, the one with the most first."""
    found = {int(name.removeprefix(OWNER)): keys for name, keys in counts.items() if name.startswith(OWNER) and keys}
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0]))[:_MOST])


def read_overlaps(db: Database, run: Run, counts: Mapping[str, int]) -> list[Overlap]:
    """The other syncs that have keys of this run's listing.

    :param counts: the run's counters
    """
    found = []
    for source_id, keys in owners_of(counts).items():
        owner = read_other_owner(db, run.source, source_id, limit=_SHOWN)
        if owner is not None:
            names = (owner.source_id, owner.prefix, owner.sync_id, owner.dag_ids)
            found.append(Overlap(*names, keys, owner.keys, remedy(run.source, owner)))
    return found


def read_former(db: Database, run: Run) -> list[str]:
    """Of the first run of a source: what its task has mirrored until now, a sentence each. A task that was given
    another prefix leaves the documents of the old one behind, and no sync looks after them."""
    return [_left_behind(run.source, *one) for one in read_former_sources(db, run)]


def _left_behind(mine: Source, source_id: int, prefix: str, sync_id: str) -> str:
    where = name_of(mine.bucket, prefix, sync_id)
    text = f"This task has mirrored {where} (source {source_id}) until now, whose documents stay as they are."
    if prefix.startswith(mine.prefix) or mine.prefix.startswith(prefix):
        text += (
            " If its prefix was changed, hand over what lies under the new one:"
            f" `airflow cloudindex sources adopt --source {mine.id} --from {source_id}`."
        )
    return f"{text} To have the rest deleted, sync the old prefix once more when its objects are gone from S3."


def remedy(mine: Source, owner: OtherOwner) -> str:
    """What a person can do so that a key is one sync's alone."""
    command = f"airflow cloudindex sources adopt --source {mine.id} --from {owner.source_id}"
    who = f"{name_of(mine.bucket, owner.prefix, owner.sync_id)} (source {owner.source_id}, {_dags(owner)})"
    if not mine.prefix.startswith(owner.prefix) or mine.prefix == owner.prefix:
        # Wider than the other, or as wide: it may have taken the other's place.
        instead = (
            f"If this sync takes its place, pause that DAG and hand its keys over, with their documents: `{command}`."
        )
    else:
        instead = f"To have them here, hand them over, with their documents: `{command}`, and exclude them there."
    return f"They belong to {who}. {instead} If both are to stay, leave these keys out here with exclude."


def name_of(bucket: str, prefix: str, sync_id: str) -> str:
    """A sync as people know it."""
    return plain(f"s3://{bucket}/{prefix}{f', sync_id {sync_id!r}' if sync_id else ''}")


def _dags(owner: OtherOwner) -> str:
    if not owner.dag_ids:
        return "of no DAG"
    return f"DAG{'' if len(owner.dag_ids) == 1 else 's'} {', '.join(map(repr, owner.dag_ids))}"
