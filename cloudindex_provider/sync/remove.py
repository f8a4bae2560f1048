"""Deleting from CloudIndex: superseded documents, and the documents of keys that S3 has no more.

The last step of a run and the only one that deletes. Removals need a listing that reached its end, the guard's consent
(given at detection) and S3's own 404 for each key; a doubt keeps the document. The rate limit may let a delete wait for
minutes, so claim and proof are renewed when its turn has come.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from cloudindex_provider.api.deletes import Deletes
from cloudindex_provider.errors import AccessDeniedError, ClaimLostError, DeletesHeldError, S3IntegrationError
from cloudindex_provider.s3.error_mapping import is_about_all
from cloudindex_provider.s3.place import bucket_place
from cloudindex_provider.state import approvals, claims, removals, runs, sources, superseded
from cloudindex_provider.state.approvals import Hold
from cloudindex_provider.state.records import Run
from cloudindex_provider.state.removals import Removal
from cloudindex_provider.sync.claim_keeper import ClaimKeeper
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.guard import moved_reason
from cloudindex_provider.sync.detect.held import held_remedy
from cloudindex_provider.sync.document_list import Copies, find_copies
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.words import count, quoted, verb

__all__ = ["Deletion", "RemovalSummary", "delete_documents", "remove"]

_BLOCK = 200
_LONGEST_KEY = 1024  # bytes
_PROOFS = 8  # HEAD requests at once
_PROOF_LASTS = 10.0  # seconds; after that S3 is asked again


@dataclass(slots=True)
class RemovalSummary:
    """What one removal step did."""

    deleted: int = 0  # keys
    superseded: int = 0  # documents
    held: int = 0
    kept: int = 0  # keys that are back, or whose absence isn't proven


def remove(ctx: SyncContext) -> RemovalSummary:
    """Delete what may be deleted.

    :raises DeletesHeldError: when the guard holds the removals and ``on_mass_delete`` is ``fail``
    :raises CloudIndexError: when the service fails; what is left is deleted by the next try
    """
    run = ctx.run()
    with ClaimKeeper(ctx):
        summary = RemovalSummary(superseded=_remove_superseded(ctx, run))
    if ctx.settings.keeps_removed or not run.complete:
        return summary
    hold = Hold(run.deletes_blocked, mass=run.mass_delete) if run.deletes_blocked else None
    try:
        hold = hold or _remove_gone(ctx, run, summary)
    finally:
        runs.add_s3_calls(ctx.db, run, ctx.s3.take_calls())
    if hold is not None:
        summary.held = removals.record_held(ctx.db, run, hold.reason)
        _say_held(ctx, run, hold, summary.held)
    return summary


def _remove_gone(ctx: SyncContext, run: Run, summary: RemovalSummary) -> Hold | None:
    """Delete what is gone; or why not, where that shows only now."""
    after: str | None = None
    begun = False
    with ClaimKeeper(ctx):
        while block := removals.removals(ctx.db, run, ctx.owner, after=after, limit=_BLOCK):
            after = block[-1].key
            proven_at = time.monotonic()
            gone = _proven_gone(ctx, run, block, summary)
            if gone and not begun:
                if (hold := _begin(ctx, run)) is not None:
                    return hold
                begun = True
            summary.deleted += delete_documents(ctx, run, gone, _of_gone(ctx, run, summary), proven_at=proven_at)
    return None


def _of_gone(ctx: SyncContext, run: Run, summary: RemovalSummary) -> Deletion:
    by_name = ctx.settings.keys is not None
    return Deletion(
        keep_because=partial(_keep_because, ctx),
        record=partial(removals.record_deleted, ctx.db, run, ctx.owner, by_name=by_name),
        keep=partial(_keep, ctx, run, summary),
    )


def _begin(ctx: SyncContext, run: Run) -> Hold | None:
    """Use up the approval that the removals need. A detection's verdict is about the store that it has listed, and the
    connection may lead to another one by now."""
    endpoint = bucket_place(ctx.s3.client, ctx.s3.bucket)
    if run.approval_id is None:
        moved = moved_reason(endpoint, sources.get_source(ctx.db, ctx.source.id).endpoint)
        return Hold(moved) if moved else None
    if approvals.use_approval(ctx.db, run, endpoint, of_keys=ctx.keys_hash):
        return None
    return Hold("another run has used the approval that they need")


def _say_held(ctx: SyncContext, run: Run, hold: Hold, held: int) -> None:
    if not held:
        return
    bucket, prefix = ctx.settings.bucket, ctx.settings.prefix
    message = f"{count(held, 'document')} of s3://{bucket}/{prefix} {verb(held)} not deleted: {hold.reason}."
    if ctx.settings.on_mass_delete == "fail" and hold.mass:
        raise DeletesHeldError(message, hint=held_remedy(ctx, run, held))
    ctx.log.warning("%s", message)


def _remove_superseded(ctx: SyncContext, run: Run) -> int:
    number = 0
    tried: set[str] = set()
    deletes = _Deletes(ctx)
    while block := superseded.superseded_documents(ctx.db, run, limit=_BLOCK + len(tried)):
        left = [one for one in block if one.document_id not in tried]
        if not left:
            break
        tried.update(one.document_id for one in left)
        shared = superseded.held_elsewhere(ctx.db, ctx.source, [one.document_id for one in left])
        for one in left:
            if one.document_id in shared:
                continue  # some key is in step by it; it goes with the last of them
            if not superseded.claim_superseded(ctx.db, run, ctx.owner, one, lease=ctx.lease):
                continue  # somebody works on the key; the next run deletes it
            with deletes.of(one.key), _released(ctx, run, one.key):
                deletes.delete(
                    one.document_id, partial(superseded.keep_superseded, ctx.db, run, ctx.owner, one, lease=ctx.lease)
                )
                superseded.forget_superseded(ctx.db, run, ctx.owner, one)
                number += 1
                what = (one.document_id, quoted(one.key), one.reason)
                ctx.lines.tell(ctx.log.info, "superseded", "Deleted document %s of %s (%s).", *what)
    deletes.raise_first()
    return number


@dataclass(frozen=True, slots=True)
class Deletion:
    """Why documents of keys are deleted, and what is written of it.

    :param keep_because: asked again when a delete's turn has come: why the key's documents stay, ``None``: they go
    :param record: (key, ids): the service has none of them any more
    :param keep: (key, why): they stay
    """

    keep_because: Callable[[Removal], str | None]
    record: Callable[[Removal, Sequence[str]], None]
    keep: Callable[[Removal, str], None]


def delete_documents(
    ctx: SyncContext, run: Run, gone: Sequence[Removal], how: Deletion, *, proven_at: float | None = None
) -> int:
    """Delete all documents of some keys, each key at its turn; gives how many keys it were.

    :param proven_at: when ``keep_because`` was asked last; ``None``: not yet
    :raises CloudIndexError: when the service fails, at the end where others could go on
    """
    number = 0
    deletes = _Deletes(ctx)
    unknown = {one.file_name or file_name(ctx.settings.bucket, one.key) for one in gone if one.doubtful}
    copies = find_copies(ctx, unknown) if unknown else Copies()
    copies.demand_all(unknown)  # a document that isn't found now is never deleted
    ids_of = {one.key: _documents_of(ctx, run, one, copies) for one in gone}
    every = [document_id for ids in ids_of.values() for document_id in ids]
    shared = superseded.held_elsewhere(ctx.db, ctx.source, every, but=ids_of)
    left = Counter(every)
    for one in gone:
        # A document that other keys hold goes with the last of them.
        ids = [document_id for document_id in ids_of[one.key] if document_id not in shared and left[document_id] == 1]
        turn = _Turn(ctx, run, how, one, float("-inf") if proven_at is None else proven_at)
        with deletes.of(one.key), _released(ctx, run, one.key), _kept(ctx, run, one, how):
            for document_id in ids:
                deletes.delete(document_id, turn)
            if not ids:
                turn()
            how.record(turn.removal, ids)
            left.subtract(ids_of[one.key])
            number += 1
    deletes.raise_first()
    return number


def _documents_of(ctx: SyncContext, run: Run, one: Removal, copies: Copies) -> list[str]:
    name = one.file_name or file_name(ctx.settings.bucket, one.key)
    known = [one.document_id, one.upload_document_id, *superseded.document_ids_of(ctx.db, run, one.key)]
    return list(dict.fromkeys([i for i in known if i] + [copy.id for copy in copies.of(name)]))


class _BackError(Exception):
    """The key's documents stay after all."""


@dataclass(slots=True)
class _Turn:
    """What is done when a delete's turn has come: its reason still holds, and the row is still this run's to delete."""

    ctx: SyncContext
    run: Run
    how: Deletion
    removal: Removal
    proven_at: float
    _begun: bool = False

    def __call__(self) -> None:
        ctx = self.ctx
        if time.monotonic() - self.proven_at > _PROOF_LASTS:
            self.proven_at = time.monotonic()
            why_not = self.how.keep_because(self.removal)
            if why_not is not None:
                raise _BackError(why_not)
        if self._begun:
            removals.keep_deleting(ctx.db, ctx.owner, self.run, self.removal, lease=ctx.lease)
        else:
            self.removal = removals.record_deleting(ctx.db, self.run, ctx.owner, self.removal, lease=ctx.lease)
            self._begun = True


@contextmanager
def _kept(ctx: SyncContext, run: Run, one: Removal, how: Deletion) -> Iterator[None]:
    """A key that is back keeps what it still has; the next sweep sees to it."""
    try:
        yield
    except _BackError as error:
        claims.release_key(ctx.db, run, ctx.owner, one.key)
        how.keep(one, str(error))


@contextmanager
def _released(ctx: SyncContext, run: Run, key: str) -> Iterator[None]:
    """A key whose delete fails is let go of, so that the next try needn't wait for the claim's end."""
    try:
        yield
    except BaseException:
        claims.release_key(ctx.db, run, ctx.owner, key)
        raise


class _Deletes(Deletes):
    """A run's deletes; a key that somebody else has taken up lets the others go on, too."""

    def __init__(self, ctx: SyncContext) -> None:
        super().__init__(ctx.client, ctx.log)

    @contextmanager
    def of(self, subject: str) -> Iterator[None]:
        try:
            with super().of(subject):
                yield
        except ClaimLostError as error:
            self._log.info("%s", error)


def _proven_gone(ctx: SyncContext, run: Run, block: Sequence[Removal], summary: RemovalSummary) -> list[Removal]:
    _check_bucket(ctx)
    with ThreadPoolExecutor(max_workers=min(_PROOFS, len(block))) as pool:
        verdicts = list(pool.map(lambda one: _keep_because(ctx, one), block))
    gone = []
    for one, why_not in zip(block, verdicts, strict=True):
        if why_not is None:
            gone.append(one)
            continue
        _keep(ctx, run, summary, one, why_not)
    return gone


def _check_bucket(ctx: SyncContext) -> None:
    """A HEAD's 404 doesn't tell a missing key from a missing bucket, so the bucket is proven to be there first.

    By a listing of nothing, below the prefix: it needs no more than s3:ListBucket with a condition on the prefix
    (HeadBucket has none that could fulfil it), and an answer without keys has no token, which some stores make of a key
    that no XML can hold.
    """
    nothing = f"{ctx.settings.prefix}.cloudindex-{secrets.token_hex(8)}"
    prefix, size = (nothing, 1000) if len(nothing.encode()) <= _LONGEST_KEY else (ctx.settings.prefix, 1)
    try:
        next(iter(ctx.s3.pages(prefix, page_size=size)), None)
    except AccessDeniedError:
        if prefix == ctx.settings.prefix:
            raise
        # Allowed for exactly the prefix, perhaps.
        next(iter(ctx.s3.pages(ctx.settings.prefix, page_size=1)), None)


def _keep(ctx: SyncContext, run: Run, summary: RemovalSummary, one: Removal, why: str) -> None:
    removals.record_kept(ctx.db, run, one.key, "kept", why)
    ctx.log_kept(one.key, why)
    summary.kept += 1


def _keep_because(ctx: SyncContext, one: Removal) -> str | None:
    """``None`` when S3 says 404; else why the document stays for now."""
    if one.doubtful and one.intent_age < ctx.grace:
        return "an upload of it may still arrive; the next run deletes it"
    try:
        return None if ctx.s3.head(one.key) is None else "S3 has the object again"
    except S3IntegrationError as error:
        if is_about_all(error):
            raise
        if isinstance(error, AccessDeniedError):
            return (
                f"{error.message} Of a missing key that proves nothing: S3 says 404 where s3:ListBucket is allowed,"
                " Ceph before April 2026 only without a condition on s3:prefix."
            )
        return str(error)
