"""Uploading the backlog, one request's worth of claimed rows after another. Deletes nothing.

Before a request the intent is written; after it every file's outcome is. An outcome that isn't known stays in doubt
(``sync.doubt``) and is never repeated blindly. One bad file never costs the others of its request.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from cloudindex_provider.api.errors import (
    BadRequestError,
    CloudIndexError,
    PayloadTooLargeError,
    UnsupportedTypeError,
)
from cloudindex_provider.api.models import Document, FileError, UploadResult
from cloudindex_provider.sync.claim_keeper import ClaimKeeper
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.doubt import settle
from cloudindex_provider.sync.errors import ClaimLostError, S3IntegrationError, UnsettledUploadsError
from cloudindex_provider.sync.prepare import (
    Broken,
    Gone,
    OptedOut,
    Prepared,
    Ready,
    SameBytes,
    prepare,
    source_failure,
)
from cloudindex_provider.sync.state import claims, outcomes, runs
from cloudindex_provider.sync.state.outcomes import Failure
from cloudindex_provider.sync.state.records import Run, WorkRow

__all__ = ["UploadSummary", "upload"]

_RESENDS = 2  # of a file that the service refused for now, beside the first time
_UNKNOWN_IN_A_ROW = 3  # requests; then the service is taken to be down
_SHORT_WAIT = 10.0  # seconds of a doubt's grace that a worker sleeps rather than gives back its slot


@dataclass(slots=True)
class UploadSummary:
    """What one upload loop did."""

    requests: int = 0
    documents: int = 0
    failed: int = 0
    keys_in_doubt: int = 0


def upload(ctx: SyncContext) -> UploadSummary:
    """Upload until nothing is left that this run may upload, or its time is up.

    :raises CloudIndexError: when the service refuses or fails as a whole; the claimed rows are given back
    :raises UnsettledUploadsError: when uploads remain in doubt, with the time after which they can be looked up
    """
    run = ctx.run()
    loop = _UploadLoop(ctx, run)
    with ClaimKeeper(ctx):
        try:
            loop.run_until_done()
        finally:
            runs.add_s3_calls(ctx.db, run, ctx.s3.take_calls())
    return loop.summary


@dataclass(slots=True)
class _UploadLoop:
    ctx: SyncContext
    run: Run
    summary: UploadSummary = field(default_factory=UploadSummary)
    _unknown: int = 0  # requests in a row whose outcome is unknown
    _accepted: bool = False  # the service has taken something of this loop

    def run_until_done(self) -> None:
        self._settle_doubts()
        deadline = self._deadline()
        while time.monotonic() < deadline:
            rows = self._claim()
            if not rows:
                break
            try:
                self._request(rows)
            except ClaimLostError as error:
                self.ctx.log.info("%s", error)
                claims.release(self.ctx.db, self.run, self.ctx.owner, rows)
            except BaseException:
                claims.release(self.ctx.db, self.run, self.ctx.owner, rows)
                raise
        else:
            self.ctx.log.info("max_run_time is over: what is left is deferred to the next run.")
        self._settle_doubts(last=True)

    def _deadline(self) -> float:
        limit = self.ctx.settings.limits.max_run_time
        if limit is None:
            return float("inf")
        return time.monotonic() + limit - runs.run_age(self.ctx.db, self.run)

    def _claim(self) -> list[WorkRow]:
        limits = self.ctx.settings.limits
        return claims.claim_request(
            self.ctx.db,
            self.run,
            self.ctx.owner,
            lease=self.ctx.lease,
            max_request_size=limits.max_request_size,
            max_documents=limits.max_documents_per_run,
        )

    # From rows to requests

    def _request(self, rows: Sequence[WorkRow]) -> None:
        ready = [one for item in prepare(self.ctx, rows) if (one := self._settled(item)) is not None]
        try:
            self._send(ready)
        finally:
            for item in ready:
                item.close()

    def _settled(self, item: Prepared) -> Ready | None:
        """Write what needs no upload; give back what does."""
        db, run, owner = self.ctx.db, self.run, self.ctx.owner
        match item:
            case Ready():
                return item
            case SameBytes():
                outcomes.record_same_bytes(db, run, owner, item.row, item.sha256)
            case Gone():
                outcomes.record_gone(db, run, owner, item.row, item.now)
            case OptedOut():
                outcomes.record_skipped(db, run, owner, item.row, "opted_out")
            case Broken():
                self._fail(item.row, item.failure)
        return None

    def _send(self, ready: list[Ready], resends: int = _RESENDS) -> None:
        if not ready:
            return
        ctx = self.ctx
        intent = [(item.row, item.name, item.sha256) for item in ready]
        claims.record_intent(ctx.db, self.run, ctx.owner, intent, lease=ctx.lease)
        try:
            result = ctx.client.upload_documents(
                [item.part() for item in ready],
                metadata=self._metadata(ready),
                options={"createVersion": True},
            )
        except S3IntegrationError as error:
            self._withdrawn(ready, error, resends)
        except (PayloadTooLargeError, UnsupportedTypeError, BadRequestError) as error:
            self._refused(ready, error)
        except CloudIndexError as error:
            self._no_answer(ready, error)
        else:
            self._unknown, self._accepted = 0, True
            self.summary.requests += 1
            self._answered(ready, result, resends)

    def _metadata(self, ready: Sequence[Ready]) -> dict[str, object]:
        documents = {item.name: item.metadata() for item in ready}
        return {"source": "s3", "bucket": self.ctx.settings.bucket, "documents": documents}

    # From answers to outcomes

    def _nothing_done(self, ready: Sequence[Ready]) -> None:
        claims.withdraw(self.ctx.db, self.run, self.ctx.owner, [item.row for item in ready])

    def _withdrawn(self, ready: list[Ready], error: S3IntegrationError, resends: int) -> None:
        """S3 failed in the middle of a body: the request was never whole, so nothing was taken."""
        self._nothing_done(ready)
        bad = [item for item in ready if item.row.key == error.key]
        if not bad:
            raise error
        for item in bad:
            self._fail(item.row, source_failure(error))
        self._send([item for item in ready if item not in bad], resends)

    def _refused(self, ready: list[Ready], error: CloudIndexError) -> None:
        """The request as a whole was refused for what is in it: halve it until the offender is alone."""
        self._nothing_done(ready)
        if len(ready) > 1:
            middle = len(ready) // 2
            self._send(ready[:middle])
            self._send(ready[middle:])
            return
        permanent = isinstance(error, PayloadTooLargeError | UnsupportedTypeError)
        if not permanent and not self._accepted:
            # Nothing was ever taken: more likely the API differs from what we send than every document is bad.
            raise error
        self._fail(ready[0].row, Failure(str(error), permanent=permanent))

    def _no_answer(self, ready: Sequence[Ready], error: CloudIndexError) -> None:
        if not error.outcome_unknown:
            self._nothing_done(ready)
            raise error
        rows = [item.row for item in ready]
        outcomes.record_unknown(self.ctx.db, self.run, self.ctx.owner, rows, str(error))
        self.summary.keys_in_doubt += len(rows)
        self._unknown += 1
        self.ctx.log.warning("The outcome of an upload of %d documents is unknown: %s", len(rows), error)
        if self._unknown >= _UNKNOWN_IN_A_ROW:
            raise error

    def _answered(self, ready: Sequence[Ready], result: UploadResult, resends: int) -> None:
        taken, again = _bind(self.ctx, ready, result), []
        refused = {error.file_name: error for error in result.errors}
        for item in ready:
            document, error = taken.get(item.name), refused.get(item.name)
            if document is not None:
                self._taken(item, document)
            elif error is not None and error.retryable is False:
                self._fail(item.row, Failure(_file_reason(error), permanent=True))
            elif resends:
                again.append(item)
            else:
                reason = _file_reason(error) if error else "the service took the request without this file"
                self._fail(item.row, Failure(reason))
        self._nothing_done(again)
        self._send(again, resends - 1)

    def _taken(self, item: Ready, document: Document) -> None:
        self.summary.documents += 1
        outcomes.record_sent(
            self.ctx.db,
            self.run,
            self.ctx.owner,
            item.row,
            document_id=document.id,
            version=document.version,
            sha256=item.uploaded_sha256(),
        )

    def _fail(self, row: WorkRow, failure: Failure) -> None:
        limits = self.ctx.settings.limits
        outcome = outcomes.record_failed(
            self.ctx.db, self.run, self.ctx.owner, row, failure, max_attempts=limits.max_attempts
        )
        self.summary.failed += 1
        self.ctx.log.error("s3://%s/%s %s: %s", self.ctx.settings.bucket, row.key, outcome, failure.reason)

    # Uploads in doubt

    def _settle_doubts(self, *, last: bool = False) -> None:
        """Look up what is in doubt where enough time has passed; at the end ask for a try that comes later."""
        rows = claims.doubtful_uploads(self.ctx.db, self.run, self.ctx.owner, lease=self.ctx.lease)
        if not rows:
            return
        grace = self.ctx.request_timeout + self.ctx.doubt_grace
        remaining = grace - claims.seconds_since_intent(self.ctx.db, rows)
        if remaining > _SHORT_WAIT or (remaining > 0 and not last):
            outcomes.record_unknown(self.ctx.db, self.run, self.ctx.owner, rows, "the upload was interrupted")
            if last:
                raise UnsettledUploadsError(
                    f"The outcome of {len(rows)} uploads is unknown, the first of them {rows[0].key!r}.",
                    hint="The next try looks them up; nothing is uploaded twice.",
                    retry_after=remaining,
                )
            return
        if remaining > 0:
            self.ctx.sleep(remaining)
        settle(self.ctx, self.run, rows)
        if last:
            self.run_until_done()


def _file_reason(error: FileError) -> str:
    code = f" ({error.code})" if error.code else ""
    return f"CloudIndex refused the file: {error.message}{code}"


def _bind(ctx: SyncContext, ready: Sequence[Ready], result: UploadResult) -> dict[str, Document]:
    """Documents by our file names. A document under a name that we didn't send is told by its hash."""
    names = {item.name for item in ready}
    taken = {document.file_name: document for document in result.documents if document.file_name in names}
    strangers = [document for document in result.documents if document.file_name not in names]
    refused = {error.file_name for error in result.errors}
    missing = {
        item.uploaded_sha256(): item.name for item in ready if item.name not in taken and item.name not in refused
    }
    for document in strangers if missing else ():
        digest = document.content_hash or ctx.client.get_document(document.id).document.content_hash
        if digest in missing:
            taken[missing[digest]] = document
    return taken
