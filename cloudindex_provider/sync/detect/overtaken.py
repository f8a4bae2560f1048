"""Keys that others have looked at since a listing began: S3 is asked about them again, after the state was read.

A listing is older than the state that it is compared with, by as long as its pages take. Who follows events looks at a
key meanwhile and writes what it is; by an older page that would be taken back, and no event tells of it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloudindex_provider.errors import S3IntegrationError
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.accounts import found_later, has_later_runs
from cloudindex_provider.state.records import ObjectRow, Run
from cloudindex_provider.state.runs import find_run
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.present import present

__all__ = ["Overtaken"]


@dataclass(slots=True)
class Overtaken:
    """Corrects what was listed.

    :param since: when the listing began, by the state's clock
    """

    ctx: SyncContext
    since: float
    _run: Run | None = None

    def corrected(
        self, listed: Sequence[ListedObject], rows: Sequence[ObjectRow]
    ) -> tuple[Sequence[ListedObject], Sequence[ObjectRow]]:
        """Both in key order, with what S3 has now of the keys that are overtaken. Where S3 doesn't say it of one, that
        is in neither: whoever has looked at it knows better.

        :param rows: read after the listing, and before S3 is asked here
        """
        others = self._others(listed, rows)
        if not others:
            return listed, rows
        found = present(self.ctx, sorted(others))
        unknown = {key for key, item in found.items() if isinstance(item, S3IntegrationError)}
        now = [item for item in found.values() if isinstance(item, ListedObject)]
        rest = [item for item in listed if item.key not in others]
        return sorted([*rest, *now]), [row for row in rows if row.key not in unknown]

    def _others(self, listed: Iterable[ListedObject], rows: Sequence[ObjectRow]) -> set[str]:
        """Keys of which listing and state say something else, and that another run has found meanwhile."""
        db, source = self.ctx.db, self.ctx.source
        self._run = self._run or find_run(db, source, self.ctx.name)
        if not has_later_runs(db, source, self._run, since=self.since):
            return set()  # mostly; then a page of new keys is never looked at one by one
        keys = _different(listed, rows)
        return found_later(db, source, self._run, keys, since=self.since) if keys else set()


def _different(listed: Iterable[ListedObject], rows: Sequence[ObjectRow]) -> list[str]:
    known = {row.key: (row.etag, row.size) for row in rows}
    keys = [item.key for item in listed if known.pop(item.key, None) != (item.etag, item.size)]
    return [*keys, *known]
