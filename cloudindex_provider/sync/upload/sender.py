"""One request's worth of claimed rows, read: write the intent, send, and write every file's outcome.

An outcome that isn't known is left in doubt (``sync.doubt``), never repeated. One bad file never costs the others of
its request: it is halved until the offender is alone, and what got no answer is sent alone the next time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cloudindex_provider.api.limits import fit_request
from cloudindex_provider.api.models import Document, FileError, UploadResult
from cloudindex_provider.errors import (
    AccessDeniedError,
    BadRequestError,
    ClaimLostError,
    CloudIndexError,
    ConflictError,
    NoSuchKeyError,
    PayloadTooLargeError,
    S3IntegrationError,
    SourceChangedError,
    SourceIntegrityError,
    SourceUnavailableError,
    StoppedError,
    UnsupportedTypeError,
)
from cloudindex_provider.s3.error_mapping import is_about_all
from cloudindex_provider.state import claims, doubts, outcomes, superseded
from cloudindex_provider.state.outcomes import Failure, Sent
from cloudindex_provider.state.records import Run, WorkRow
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.upload.prepare import (
    Broken,
    Gone,
    Prepared,
    Ready,
    SameBytes,
    Skipped,
    gone_or_changed,
    may_be_opened,
    source_failure,
)

__all__ = ["Sender", "UploadSummary"]

_RESENDS = 2  # of a file that was refused for now or couldn't be read to its end, beside the first time
_UNKNOWN_IN_A_ROW = 3  # requests; then the service is taken to be down
_DENIED_IN_ALL = 100  # objects, and none that may be read; then it is the identity that lacks the right
_BODY_KEEPS = 5.0  # seconds that an open body may wait to be read; S3 cuts those that wait long
_STALE_LISTING = (
    "S3 listed it in two runs, and said 404 both times when it was read. Its listing is stale, or the key can't be"
    " asked for: look at the object with another client, delete it or leave it out with exclude."
)
_LEAVE_OUT = "Change the object or leave it out with exclude."


@dataclass(slots=True)
class UploadSummary:
    """What one upload loop did."""

    requests: int = 0
    documents: int = 0
    failed: int = 0
    keys_in_doubt: int = 0


@dataclass(slots=True)
class Sender:
    """Sends for one upload loop, one request at a time."""

    ctx: SyncContext
    run: Run
    summary: UploadSummary = field(default_factory=UploadSummary)
    accepted: bool = False  # the service has taken something of this loop
    suspects: set[str] = field(default_factory=set)  # keys that got no answer when they were sent alone
    _unknown: int = 0  # requests in a row whose outcome is unknown
    _denied: int = 0
    _read: int = 0
    _refusals: list[tuple[WorkRow, CloudIndexError]] = field(default_factory=list)

    def send(self, prepared: Sequence[Prepared], at_request: Callable[[], None] | None = None) -> None:
        """Upload what was made of claimed rows, all of them pending, in as few requests as the service lets.

        :param at_request: called once, when all is ready for the first request and its intent isn't written yet; not
            when there is nothing to send
        :raises CloudIndexError: when the service refuses or fails as a whole
        :raises S3IntegrationError: when S3 does
        """
        ready = [item for item in prepared if isinstance(item, Ready)]
        try:
            self._check_source(prepared)
            for item in prepared:
                self._record_unsent(item)
            if ready and at_request is not None:
                at_request()
            for some in self._requests(ready):
                self._send(some)
            self._judge_refusals()
        finally:
            for item in ready:
                item.close()

    def note_suspects(self) -> None:
        """Count what got no answer though it was sent alone."""
        if self.suspects:
            doubts.record_suspects(self.ctx.db, self.run, self.suspects)
            self.suspects.clear()

    # What S3 gave

    def _check_source(self, prepared: Sequence[Prepared]) -> None:
        broken = [item.error for item in prepared if isinstance(item, Broken)]
        self._read += len(prepared) - len(broken)
        self._denied += sum(isinstance(error, AccessDeniedError) for error in broken)
        if len(broken) == len(prepared) > 1 and all(isinstance(error, SourceUnavailableError) for error in broken):
            raise broken[0]
        if not self._read and self._denied >= _DENIED_IN_ALL and not self._may_read_others():
            raise next(error for error in broken if isinstance(error, AccessDeniedError))

    def _may_read_others(self) -> bool:
        """Whether what is still to come may be read, or nothing is: a folder that is denied must not stop the rest."""
        others = claims.untried(self.ctx.db, self.run)
        if not others or any(may_be_opened(self.ctx, row) for row in others):
            self._denied = 0
            return True
        return False

    def _record_unsent(self, item: Prepared) -> None:
        """Write what needs no upload."""
        db, run, owner = self.ctx.db, self.run, self.ctx.owner
        match item:
            case SameBytes():
                outcomes.record_same_bytes(db, run, owner, item.row, item.sha256)
            case Gone() if item.now is None and item.row.reason == outcomes.VANISHED:
                self._fail(item.row, Failure(_STALE_LISTING))
            case Gone():
                outcomes.record_gone(db, run, owner, item.row, item.now)
            case Skipped():
                outcomes.record_skipped(db, run, owner, item.row, item.reason)
            case Broken():
                self._fail(item.row, source_failure(item.error))

    # Requests

    def _requests(self, ready: list[Ready]) -> Iterator[list[Ready]]:
        """In one request, mostly: rows are claimed by what S3 stores, and decoded documents are larger than that."""
        while ready:
            number = fit_request((item.size for item in ready), self.ctx.settings.limits.max_request_size)
            yield ready[:number]
            ready = ready[number:]

    def _send(self, ready: list[Ready], resends: int = _RESENDS) -> None:
        if not ready:
            return
        ctx = self.ctx
        began = time.monotonic()

        def at_turn() -> None:  # the wait for the rate limit may be long, and an intent is as young as its request
            if time.monotonic() - began > _BODY_KEEPS:
                for item in ready:
                    item.open_anew()
            intent = [(item.row, item.name, item.sha256) for item in ready]
            claims.record_intent(ctx.db, self.run, ctx.owner, intent, lease=ctx.lease)

        try:
            result = ctx.client.upload_documents(
                [item.part() for item in ready],
                metadata=self._metadata(ready),
                options={"createVersion": True},
                at_turn=at_turn,
            )
        except (ClaimLostError, StoppedError):  # before a POST, perhaps after one that was refused: nothing was taken
            self._nothing_done(ready)
            raise
        except S3IntegrationError as error:
            self._withdrawn(ready, error, resends)
        except (PayloadTooLargeError, UnsupportedTypeError, BadRequestError, ConflictError) as error:
            self._refused(ready, error)
        except CloudIndexError as error:
            self._no_answer(ready, error)
        else:
            self._unknown, self.accepted = 0, True
            self.summary.requests += 1
            self._answered(ready, result, resends)

    def _metadata(self, ready: Sequence[Ready]) -> dict[str, object]:
        documents = {item.name: item.metadata() for item in ready}
        return {"source": "s3", "bucket": self.ctx.settings.bucket, "documents": documents}

    def _nothing_done(self, ready: Sequence[Ready]) -> None:
        claims.withdraw(self.ctx.db, self.run, self.ctx.owner, [item.row for item in ready])

    # From answers to outcomes

    def _withdrawn(self, ready: list[Ready], error: S3IntegrationError, resends: int) -> None:
        """S3 failed in the middle of a body: the request was never whole, so nothing was taken."""
        self._nothing_done(ready)
        bad = [item for item in ready if item.row.key == error.key]
        if not bad or is_about_all(error):
            raise error
        self._send([item for item in ready if item not in bad], resends)
        for item in bad:
            if isinstance(error, NoSuchKeyError | SourceChangedError):
                self._record_unsent(gone_or_changed(self.ctx, item.row))
            elif resends and isinstance(error, SourceIntegrityError | SourceUnavailableError):
                self._send([item], resends - 1)
            else:
                self._fail(item.row, source_failure(error))

    def _refused(self, ready: list[Ready], error: CloudIndexError) -> None:
        """The request as a whole was refused for what is in it: halve it until the offender is alone."""
        self._nothing_done(ready)
        if len(ready) > 1:
            middle = len(ready) // 2
            self._send(ready[:middle])
            self._send(ready[middle:])
        elif isinstance(error, PayloadTooLargeError | UnsupportedTypeError):
            self._fail(ready[0].row, Failure(str(error), permanent=True))
        else:
            self._refusals.append((ready[0].row, error))

    def _judge_refusals(self) -> None:
        """A file refused alone is bad, unless nothing was ever taken: then the API isn't what we take it for."""
        refusals, self._refusals = self._refusals, []
        if not refusals:
            return
        if not self.accepted and not claims.live_documents(self.ctx.db, self.ctx.source):
            raise refusals[0][1]
        for row, error in refusals:
            self._fail(row, Failure(f"{error} {_LEAVE_OUT}"))

    def _no_answer(self, ready: Sequence[Ready], error: CloudIndexError) -> None:
        if not error.outcome_unknown:
            self._nothing_done(ready)
            raise error
        rows = [item.row for item in ready]
        doubts.record_unknown(self.ctx.db, self.run, self.ctx.owner, rows, str(error))
        self.summary.keys_in_doubt += len(rows)
        self._unknown += 1
        if len(rows) == 1 and rows[0].doubtful:  # not for the first time
            self.suspects.add(rows[0].key)
        self.ctx.log.warning(
            "The outcome of an upload of %d documents, the first of them %r, is unknown: %s",
            len(rows), rows[0].key, error,
        )  # fmt: skip
        if self._unknown >= _UNKNOWN_IN_A_ROW:
            raise error

    def _answered(self, ready: Sequence[Ready], result: UploadResult, resends: int) -> None:
        taken, again = self._bind(ready, result), []
        self._taken(ready, taken)
        refused = {error.file_name: error for error in result.errors}
        for item in ready:
            error = refused.get(item.name)
            if item.name in taken:
                continue
            if error is not None and error.retryable is False:
                self._fail(item.row, Failure(_file_reason(error), permanent=True))
            elif resends:
                again.append(item)
            else:
                self._fail(item.row, Failure(_file_reason(error)))
        self._nothing_done(again)
        self._send(again, resends - 1)

    def _taken(self, ready: Sequence[Ready], taken: Mapping[str, Document]) -> None:
        sent = [
            Sent(item.row, taken[item.name].id, taken[item.name].version, item.uploaded_sha256(), size=item.size)
            for item in ready
            if item.name in taken
        ]
        if sent:
            self.summary.documents += len(sent)
            outcomes.record_all_sent(self.ctx.db, self.run, self.ctx.owner, sent)

    def _fail(self, row: WorkRow, failure: Failure) -> None:
        limits = self.ctx.settings.limits
        outcome = outcomes.record_failed(
            self.ctx.db, self.run, self.ctx.owner, row, failure, max_attempts=limits.max_attempts
        )
        self.summary.failed += 1
        self.ctx.log.error("s3://%s/%s %s: %s", self.ctx.settings.bucket, row.key, outcome, failure.reason)

    def _bind(self, ready: Sequence[Ready], result: UploadResult) -> dict[str, Document]:
        """Documents by our file names. A document under a name that we didn't send is told by its hash.

        What can't be told to be any file of the request is one of ours nevertheless, and is deleted again.
        """
        names = {item.name for item in ready}
        taken = {document.file_name: document for document in result.documents if document.file_name in names}
        strangers = [document for document in result.documents if document.file_name not in names]
        refused = {error.file_name for error in result.errors}
        missing = [item for item in ready if item.name not in taken and item.name not in refused]
        for document in strangers:
            digest = self._digest(document)
            item = next((one for one in missing if digest and one.uploaded_sha256() == digest), None)
            if item is None:
                superseded.record_strays(self.ctx.db, self.run, ready[0].row.key, [document.id])
                self.ctx.log.warning("CloudIndex made a document %s of no file of ours.", document.id)
                continue
            missing.remove(item)
            taken[item.name] = document
        return taken

    def _digest(self, document: Document) -> str | None:
        if document.content_hash:
            return document.content_hash
        try:
            return self.ctx.client.get_document(document.id).document.content_hash
        except CloudIndexError as error:
            self.ctx.log.warning("Document %s can't be looked at: %s", document.id, error)
            return None


def _file_reason(error: FileError | None) -> str:
    if error is None:
        return "CloudIndex took the request without this file. It is tried again."
    code = f" ({error.code})" if error.code else ""
    remedy = "It is tried again." if error.retryable is not False else _LEAVE_OUT
    return f"CloudIndex refused the file: {error.message}{code} {remedy}"
