"""How many keys of a sync are in which status, and for which reason.

What isn't indexed is counted by its own index. What is indexed is all the rest, and counting the rest of a million rows
takes a quarter of a second: whoever asks often keeps the answer for a while (``Numbers.at``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cloudindex_provider.state.conditions import WORK, Status
from cloudindex_provider.state.db.database import Database

__all__ = ["MOST_REASONS", "Numbers", "ReasonCount", "read_numbers", "read_reasons"]

MOST_REASONS = 2_000  # rows of a status whose reasons are counted: each must be read
_ROWS = "SELECT source_id, count(*) FROM object GROUP BY source_id"
_WORK = f"SELECT source_id, status, count(*) FROM object WHERE {WORK} GROUP BY source_id, status"
_REASONS = f"SELECT key, reason FROM object WHERE source_id = :source AND {WORK} AND status = :status LIMIT :most"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Keys by status, of each sync; all of one moment ``at``, in seconds since 1970."""

    at: float
    by_source: Mapping[int, Mapping[str, int]]

    def of(self, source_id: int) -> Mapping[str, int]:
        """Those of one sync."""
        return self.by_source.get(source_id, {})


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Keys of one status whose reasons have one name; ``example`` is one of these reasons."""

    status: str
    name: str
    example: str
    keys: int


def read_numbers(db: Database) -> Numbers:
    """The keys of every sync by status, in one snapshot."""
    found: dict[int, dict[str, int]] = {}
    with db.read() as connection:
        for source_id, status, keys in connection.execute(sa.text(_WORK)):
            found.setdefault(source_id, {})[status] = int(keys)
        for source_id, rows in connection.execute(sa.text(_ROWS)):
            statuses = found.setdefault(source_id, {})
            statuses[str(Status.INDEXED)] = int(rows) - sum(statuses.values())
        return Numbers(db.now(connection), found)


def read_reasons(
    db: Database,
    source_id: int,
    statuses: Sequence[str],
    name: Callable[[str, str | None], str],
    *,
    most: int = MOST_REASONS,
) -> list[ReasonCount]:
    """Why the first ``most`` keys of each of these statuses are in it, the most frequent reason first.

    :param name: of (a key, its reason): what is the same in the reasons that are counted together
    """
    keys: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    with db.read() as connection:
        for status in statuses:
            values = {"source": source_id, "status": status, "most": most}
            for key, reason in connection.execute(sa.text(_REASONS), values):
                group = (status, name(key, reason))
                keys[group] += 1
                examples.setdefault(group, reason or "")
    found = [ReasonCount(*group, examples[group], number) for group, number in keys.items()]
    return sorted(found, key=lambda one: (-one.keys, one.status, one.name))
