"""Before a source's first upload: what the project has of its keys already is adopted, not uploaded a second time.

A lost state, a new machine and a second sync of a filled project are all the same to it: a source of which nothing is
known. The project is listed once, and looked at again only where a try was cut off. Deletes and uploads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum

from cloudindex_provider.errors import IncompleteListError
from cloudindex_provider.state import rebuilt, repairs, runs
from cloudindex_provider.state.db.leases import lease
from cloudindex_provider.state.looks import mark_looked, read_looks
from cloudindex_provider.state.rebuilt import RebuiltRow
from cloudindex_provider.state.records import Run
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.detection import Detection, preview
from cloudindex_provider.sync.detect.plan import PlanItem
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.repair.index_copy import IndexCopy, Listed, index_copy, stage_index
from cloudindex_provider.sync.repair.rebuild import READERS, Digest, choose, listed_digest, reading_seconds
from cloudindex_provider.words import count, duration, plain, size, verb

__all__ = ["Looked", "look_first", "preview_first_look"]

_BLOCK = 256  # keys whose objects are read before what was found is written
_PATIENCE = 600.0  # seconds that another run's look is waited for
_EXAMPLES = 10


class Looked(Enum):
    """Whether what may be uploaded has been looked for."""

    BEFORE = "before"
    NOW = "now"
    IN_PART = "in part"  # the task's time was over: nothing may be uploaded


def look_first(ctx: SyncContext, run: Run, backlog: int) -> Looked:
    """Adopt what the project has, if nobody has looked yet and there is something to upload.

    :raises IncompleteListError: when the project's list isn't whole: nothing may be uploaded then
    :raises ProviderError: when the list can't be read, or S3 fails in a way that isn't about one object
    """
    if not backlog or read_looks(ctx.db, ctx.source).looked:
        return Looked.BEFORE
    owner = f"{ctx.owner.claim}#{ctx.owner.attempt}"
    name = f"first look:{ctx.source.id}"
    with lease(ctx.db, name, owner, seconds=ctx.lease, patience=_PATIENCE, sleep=ctx.sleep) as keep:
        if not read_looks(ctx.db, ctx.source).looked:  # another run may have, while it was waited for
            with index_copy() as copy:
                try:
                    return Looked.NOW if _FirstLook(ctx, run, copy, keep).look() else Looked.IN_PART
                except IncompleteListError as error:
                    what = "Nothing is uploaded before it is known what the project has already."
                    raise error.saying(f"{error.message} {what}") from None
    return Looked.NOW


def preview_first_look(ctx: SyncContext, show: Callable[[PlanItem], None] | None = None) -> Detection:
    """What a run would find and do, and what it might adopt. Reads no object and writes nothing.

    :param show: is given every item of the plan, in key order
    :raises IncompleteListError: when the project's list isn't whole: a run wouldn't do anything either
    """
    if read_looks(ctx.db, ctx.source).looked:
        return preview(ctx, show)
    with index_copy() as copy:
        _stage(ctx, copy)
        there = _There(ctx.settings.bucket, copy, show)
        found = preview(ctx, there.see)
    if there.number:
        what = count(there.number, "key has", "keys have")
        ctx.log.info("%s a document already, which is adopted if its bytes are the same.", what)
        found.counts["adopted"] = there.number
        found.examples["adopt"] = there.examples
    return found


@dataclass(slots=True)
class _There:
    """Counts the items of a plan whose name the project has."""

    bucket: str
    copy: IndexCopy
    show: Callable[[PlanItem], None] | None
    number: int = 0
    examples: list[str] = field(default_factory=list)

    def see(self, item: PlanItem) -> None:
        if item.action == "upload" and self.copy.has_unknown(file_name(self.bucket, item.key)):
            self.number += 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append(item.key)
        if self.show is not None:
            self.show(item)


def _stage(ctx: SyncContext, copy: IndexCopy, at_block: Callable[[], None] = lambda: None) -> None:
    stage_index(ctx, copy, at_block)
    if copy.has_ours():
        # After the list: what it shows and the state knows by now is somebody's.
        for ids in repairs.known_documents(ctx.db, ctx.settings.project_id):
            copy.add_known(ids)


@dataclass(slots=True)
class _FirstLook:
    """One look, which holds the source's lease."""

    ctx: SyncContext
    run: Run
    copy: IndexCopy
    keep: Callable[[], None]
    adopted: int = 0

    def look(self) -> bool:
        """List, read what may be there already, and bind it; false where it is cut off, and what was bound stays so."""
        ctx = self.ctx
        where = f"s3://{ctx.settings.bucket}/{ctx.settings.prefix}"
        ctx.log.info("This state doesn't know yet what CloudIndex has of %s: its documents are listed once.", where)
        _stage(ctx, self.copy, self.keep)
        self._stage_listed()
        keys, read = self.copy.selected()
        if keys:
            ctx.log.warning(
                "%s of %s %s documents in the project that this state doesn't know, as after the loss of a"
                " state. Their bytes are compared before anything is uploaded: up to %s and %s of S3,"
                " about %s. Objects with a SHA-256 of S3's own aren't read.",
                count(keys, "key"), where, verb(keys, "has", "have"), count(keys, "object"), size(read),
                duration(max(1.0, reading_seconds(keys, read))),
            )  # fmt: skip
        try:
            whole = self._adopt_all()
        finally:
            runs.add_s3_calls(ctx.db, self.run, ctx.s3.take_calls())
        self._end(whole, keys)
        return whole

    def _stage_listed(self) -> None:
        """Of the keys without a document, those whose name the project has."""
        if not self.copy.has_ours():
            return
        bucket = self.ctx.settings.bucket
        for rows in rebuilt.adoptable_rows(self.ctx.db, self.ctx.source):
            listed = (Listed(*row[:5], file_name(bucket, row.key), row.reason) for row in rows)
            self.copy.add_listed(one for one in listed if self.copy.has_unknown(one.name))
            self.keep()
        self.copy.index_listed()

    def _adopt_all(self) -> bool:
        """True when every key was looked at."""
        after: str | None = None
        with ThreadPoolExecutor(max_workers=READERS) as pool:
            while block := self.copy.listed_after(after, _BLOCK):
                if self._must_stop():
                    return False
                rows = list(self._rows(pool, block))
                unselected = {one.key for one in block if one.reason is not None}
                self.adopted += rebuilt.record_adopted(self.ctx.db, self.run, rows, unselected)
                after = block[-1].key
        return True

    def _must_stop(self) -> bool:
        return self.ctx.stop.is_set() or self.ctx.time_left <= 0

    def _rows(self, pool: ThreadPoolExecutor, block: Sequence[Listed]) -> Iterator[RebuiltRow]:
        named = [self.copy.named(one.name, unknown=True) for one in block]
        # Without a hash in the list nothing can be proven: the document stays until its successor is processed.
        pairs = [(one, any(document.content_hash for document in some)) for one, some in zip(block, named, strict=True)]
        digests = pool.map(lambda pair: listed_digest(self.ctx, pair[0]) if pair[1] else Digest(None), pairs)
        for item, some, digest in zip(block, named, digests, strict=True):
            yield choose(item, digest.sha256, some)
            self.keep()

    def _end(self, whole: bool, keys: int) -> None:
        ctx = self.ctx
        if keys:
            ctx.log.info("Adopted the documents of %s; they aren't uploaded again.", count(self.adopted, "key"))
        if not whole:
            ctx.log.warning("Not all of them could be looked at in this run's time; the next run goes on there.")
            return
        orphans, names = self.copy.orphans(_EXAMPLES)
        if orphans:
            ctx.log.info(
                "%s named like a sync's, but not after a key of this one, and left alone: %s",
                count(orphans, "document is", "documents are"), ", ".join(map(plain, names)),
            )  # fmt: skip
        # A run of named keys has looked for those alone: where more may be ours, the next run must look, too.
        if ctx.settings.keys is None or not orphans:
            mark_looked(ctx.db, ctx.source)
