"""The comparison: two sequences in key order, what S3 lists and what the state holds, to what must be written. Pure.

Level-triggered: a verdict depends on the two rows alone, never on what an earlier run meant to do. Changed means
another ETag or size, never another time (which an object without an ETag has in its place: ``s3.facts.object_tag``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cloudindex_provider.s3.page import ListedObject, ListedPage
from cloudindex_provider.state.accounts import key_class
from cloudindex_provider.state.blocks import KnownLines
from cloudindex_provider.state.conditions import KeyClass, Status
from cloudindex_provider.state.counts import OWNER
from cloudindex_provider.state.records import ObjectRow, SweepWrites
from cloudindex_provider.sync.detect.lines import Difference, difference
from cloudindex_provider.sync.selection import BlockSelector, SkipReason

__all__ = ["Comparison"]

# Why an object was skipped when it was read, so that the listing alone wouldn't skip it.
_SEEN_BY_READING = (SkipReason.ARCHIVED, SkipReason.EMPTY, SkipReason.ENCODED, SkipReason.TOO_LARGE)
_IN_FLIGHT = (Status.UPLOADING, Status.PROCESSING)


def _one_by_one(keys: Sequence[str], sizes: Sequence[str], classes: Iterable[str]) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares blocks of one source.

    :param select: (key, size, storage class) -> reason for a skip, or ``None``
    :param select_all: whether ``select`` certainly skips none of a whole block
    :param now: the state's time; what reading has shown to be no document is read again after a while
    """

    source_id: int
    select: Callable[[str, int, str], SkipReason | None]
    select_all: BlockSelector = _one_by_one
    now: float = 0.0

    def settled(self, page: ListedPage, known: KnownLines) -> tuple[Counter[str], Difference] | None:
        """The counts of those keys of a range that need no work, and its other keys, which are ``block``'s.

        ``None`` where only ``block`` can tell.
        """
        skips = self._skips(page)
        found = difference(page, skips, known)
        if found is None:
            return None
        needy = found.archived.union(found.listed) if skips else ()
        counts: Counter[str] = Counter()
        for at, reason in skips.items():
            if at not in needy:
                counts.update(("skipped", f"skipped:{reason}"))
        same = len(page) - len(found.listed)
        unchanged = same - counts["skipped"]
        counts.update(listed=same, unchanged=unchanged, live=unchanged)
        return counts, found

    def _skips(self, page: ListedPage) -> dict[int, SkipReason]:
        """The reasons of those that the selection skips, by their place in the page."""
        if self.select_all(page.keys, page.sizes, page.classes):
            return {}
        columns = zip(page.keys, map(int, page.sizes), page.classes, strict=True)
        return {at: reason for at, item in enumerate(columns) if (reason := self.select(*item)) is not None}

    def first_seen(self, page: ListedPage) -> SweepWrites:
        """What to write for one range of keys of which the state has none."""
        if not self.select_all(page.keys, page.sizes, page.classes):
            return self.block(page, [])
        return SweepWrites(insert=list(page), counts={"listed": len(page), "new": len(page)})

    def block(self, listed: Iterable[ListedObject], rows: Sequence[ObjectRow]) -> SweepWrites:
        """What to write for some keys, given what S3 lists and the state holds of them, both in key order.

        Either side may lack a key that the other has: then it is new, or gone.
        """
        writes = SweepWrites()
        at, end = 0, len(rows)
        for item in listed:
            while at < end and rows[at].key < item.key:
                self._missing(rows[at], writes)
                at += 1
            row = None
            if at < end and rows[at].key == item.key:
                row = rows[at]
                at += 1
            self._listed(item, row, writes)
        for row in rows[at:]:
            self._missing(row, writes)
        return writes

    def _missing(self, row: ObjectRow, writes: SweepWrites) -> None:
        if row.source_id != self.source_id:
            return
        if row.document_id:
            writes.count("live")
        if row.has_document:
            writes.removed.append(row)
            writes.count("removed")
        else:
            writes.forget.append(row)

    def _listed(self, item: ListedObject, row: ObjectRow | None, writes: SweepWrites) -> None:
        writes.count("listed")
        if row is not None and row.source_id != self.source_id:
            self._of_another(item, row, writes)
            return
        if row is not None and row.document_id:
            writes.count("live")
        reason = self.select(item.key, item.size, item.storage_class)
        if row is None:
            self._first_seen(item, reason, writes)
        elif row.status in _IN_FLIGHT:
            _in_flight(item, row, reason, writes)
        elif _is_indexed(item, row) and reason in (None, SkipReason.ARCHIVED):
            # An archived object that is indexed already needs no reading.
            _unchanged(item, row, writes)
        elif reason is not None:
            self._unselected(item, row, reason, writes)
        else:
            self._wanted(item, row, writes)

    def _wanted(self, item: ListedObject, row: ObjectRow, writes: SweepWrites) -> None:
        same = _is_same(item, row)
        reason = self._skipped_when_read(row) if same else None
        if reason is not None:
            _skipped(writes, reason)
            return
        writes.count(key_class(row))
        if not same or row.status in (Status.INDEXED, Status.SKIPPED, Status.DELETING):
            writes.requeue.append((row, item))
        elif row.status == Status.QUARANTINED:
            writes.underway.append(row)
        else:
            writes.waiting.append((row, item))

    def _skipped_when_read(self, row: ObjectRow) -> SkipReason | None:
        """Why the object was skipped when it was read last, as long as that holds."""
        if row.status != Status.SKIPPED:
            return None
        if row.reason == SkipReason.OPTED_OUT:
            return SkipReason.OPTED_OUT  # the object said so itself; a new version is asked again
        waits = row.next_attempt_at is not None and row.next_attempt_at > self.now
        return SkipReason(row.reason) if waits and row.reason in _SEEN_BY_READING else None

    def _of_another(self, item: ListedObject, row: ObjectRow, writes: SweepWrites) -> None:
        """A key of another sync. That owns only what it has or works on: what it skips may be taken over."""
        reason = self.select(item.key, item.size, item.storage_class)
        if reason is not None:
            _skipped(writes, reason)
        elif row.status == Status.SKIPPED and not row.has_document:
            writes.take_over.append((row, item))
            writes.count(KeyClass.NEW)
        else:
            _skipped(writes, SkipReason.OWNED_BY_OTHER)
            writes.count(f"{OWNER}{row.source_id}")

    def _first_seen(self, item: ListedObject, reason: SkipReason | None, writes: SweepWrites) -> None:
        if reason is None:
            writes.insert.append(item)
            writes.count("new")
        elif reason == SkipReason.INVALID_KEY:
            _skipped(writes, reason)  # no database can be trusted to store such a key
        else:
            writes.insert_skipped.append((item, reason))
            _skipped(writes, reason)

    def _unselected(self, item: ListedObject, row: ObjectRow, reason: SkipReason, writes: SweepWrites) -> None:
        _skipped(writes, reason)
        if row.has_document:
            writes.count("excluded")  # was synced, is no longer selected: reported, never deleted by itself
        settled = (
            row.status == Status.SKIPPED and row.reason == reason and (row.etag, row.size) == (item.etag, item.size)
        )
        if not settled:
            writes.skip.append((row, item, reason))


def _is_same(item: ListedObject, row: ObjectRow) -> bool:
    """Whether the listing means the version that the row does; see ``_is_listed_so``."""
    return (row.etag, row.size) == (item.etag, item.size) or _is_listed_so(item, row)


def _is_listed_so(item: ListedObject, row: ObjectRow) -> bool:
    """Whether the listing gives what it gave when HEAD and GET gave the row's ETag and size. The time is compared,
    too: old bytes that are put back have their old ETag, and a new time."""
    then = (row.listed_etag, row.listed_size, row.last_modified)
    return row.listed_etag is not None and then == (item.etag, item.size, item.last_modified)


def _is_indexed(item: ListedObject, row: ObjectRow) -> bool:
    indexed = (row.indexed_etag, row.indexed_size)
    if row.document_id is None or indexed == (item.etag, item.size):
        return row.document_id is not None
    return indexed == (row.etag, row.size) and _is_listed_so(item, row)


def _unchanged(item: ListedObject, row: ObjectRow, writes: SweepWrites) -> None:
    if row.status == Status.DELETING:
        # A delete had begun: the document may be gone, so it is made again.
        writes.requeue.append((row, item))
        writes.count("new")
        return
    writes.count("unchanged")
    if row.status != Status.INDEXED:
        writes.restore.append((row, item))


def _in_flight(item: ListedObject, row: ObjectRow, reason: SkipReason | None, writes: SweepWrites) -> None:
    """An upload that has begun goes on and is this run's work, whatever S3 has or the selection says by now."""
    writes.count(key_class(row))
    if reason is None and not _is_same(item, row):
        writes.replace_wanted.append((row, item))
    else:
        writes.underway.append(row)


def _skipped(writes: SweepWrites, reason: SkipReason) -> None:
    writes.count("skipped")
    writes.count(f"skipped:{reason}")
