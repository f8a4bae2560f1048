"""In which order the backlog is claimed: by key off an index, or newest or smallest first from keys kept in memory.

There is no index on dates or sizes, because it would slow every first load. One scan of what is ready sorts out the
next 10,000 keys, and each request is claimed from the first of them that are still free; so a backlog of a million
costs a scan for every 10,000 documents and none for a request. The keys are only a hint of what to look at: whether a
row may be claimed is decided by ``claims.claim_request`` alone, in every order.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudindex_provider.api.limits import MAX_FILES_PER_REQUEST
from cloudindex_provider.state.claims import Finder, claim_request, ready_rows
from cloudindex_provider.state.conditions import MAY_CLAIM, Status, claim_values
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner, Run, WorkRow

__all__ = ["UploadQueue"]

_QUEUE = 10_000  # keys of one scan
_LOOK = 100  # keys whose rows are looked at together; 20 are taken of them, 60 by three other loops
# What got no answer when it was sent alone comes last in every order.
_LAST = "CASE WHEN unanswered > 0 THEN 1 ELSE 0 END"


@dataclass(slots=True)
class UploadQueue:
    """The keys that one upload loop claims next. For one thread at a time; other loops have queues of their own.

    :param few: the run has found few of the keys that wait, so an index on what waits doesn't lead to them

    :param length: keys of one scan
    :param look: keys whose rows are looked at together
    """

    few: bool = False
    length: int = _QUEUE
    look: int = _LOOK
    _keys: list[str] = field(default_factory=list)

    def claim(
        self,
        db: Database,
        run: Run,
        owner: Owner,
        *,
        order: str,
        lease: float,
        max_request_size: int,
        max_documents: int | None,
    ) -> list[WorkRow]:
        """The next rows for one upload request, claimed; empty when there is nothing to do. See ``claim_request``.

        :param order: ``key``, ``newest`` or ``smallest``
        """

        def request(find: Finder | None) -> list[WorkRow]:
            return claim_request(
                db, run, owner, lease=lease, max_request_size=max_request_size, max_documents=max_documents, find=find
            )

        if order == "key" and not self.few:
            return request(None)
        by = _order_by(order, db)
        while True:
            fresh = not self._keys
            if fresh:
                self._keys = _scan(db, run, owner, by, self.length)
            rows = request(partial(self._find, by))
            self._forget({row.key for row in rows})
            # Keys that are left mean that the run may claim no more; none of a fresh scan, that others were faster.
            if rows or fresh or self._keys:
                return rows

    def _find(
        self, by: str, db: Database, connection: Connection, values: Mapping[str, object], room: int
    ) -> list[WorkRow]:
        """The rows of the first keys that may be claimed; keys that others have taken are dropped on the way."""
        one_of = "key IN (SELECT value FROM json_each(:keys))" if db.is_sqlite else "key = ANY(:keys)"
        rows: list[WorkRow] = []
        at = 0
        while len(rows) < room and at < len(self._keys):
            some = self._keys[at : at + self.look]
            bound = {**values, "keys": json.dumps(some) if db.is_sqlite else some, "room": room - len(rows)}
            more = ready_rows(db, connection, bound, f"scope_id = :scope AND {one_of}", by)
            rows += more
            found = {row.key for row in more}
            # Where more may be free than fit, what comes after the last that was found stays.
            seen = len(some) if len(rows) < room else 1 + max(n for n, key in enumerate(some) if key in found)
            self._keys[at : at + seen] = [key for key in some[:seen] if key in found]
            at += len(found)
        return rows

    def _forget(self, taken: Collection[str]) -> None:
        self._keys[:MAX_FILES_PER_REQUEST] = [key for key in self._keys[:MAX_FILES_PER_REQUEST] if key not in taken]


def _order_by(order: str, db: Database) -> str:
    # Times are ISO 8601 in UTC: their order is that of their bytes, and Postgres sorts bytes faster than words.
    as_bytes = "" if db.is_sqlite else ' COLLATE "C"'
    first = {"key": "", "newest": f"last_modified{as_bytes} DESC, ", "smallest": "size, "}[order]
    return f"{_LAST}, {first}key"


def _scan(db: Database, run: Run, owner: Owner, by: str, length: int) -> list[str]:
    """The keys that come next. Reads every row that is ready; not in the claim's transaction, whose lock is short."""
    with db.read() as connection:
        values = claim_values(owner, source=run.source.id, run=run.id, now=db.now(connection), length=length)
        statement = (
            f"SELECT key FROM object WHERE status IN ('{Status.FAILED}', '{Status.PENDING}')"
            f" AND {MAY_CLAIM} ORDER BY {by} LIMIT :length"
        )
        return list(connection.execute(sa.text(statement), values).scalars())
