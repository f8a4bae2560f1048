"""One request's worth of claimed rows, read: write the intent, send, and write every file's outcome.

An outcome that isn't known is left in doubt (``sync.doubt``), never repeated: also that of a file which a 200 doesn't
name, and of a request that was answered by a 5xx. One bad file never costs the others of its request: it is halved
until the offender is alone, and what got no answer is sent alone the next time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from cloudindex_provider.api.attempts import ANSWERED
from cloudindex_provider.api.limits import fit_request
from cloudindex_provider.api.models import Document, FileError, UploadResult
from cloudindex_provider.errors import (
    BadRequestError,
    ClaimLostError,
    CloudIndexError,
    ConflictError,
    NoSuchKeyError,
    PayloadTooLargeError,
    S3IntegrationError,
    ServerError,
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
from cloudindex_provider.sync.processing import SEVERAL
from cloudindex_provider.sync.upload.binding import Lookup, bind
from cloudindex_provider.sync.upload.prepare import Prepared, Ready, gone_or_changed, source_failure
from cloudindex_provider.sync.upload.unsent import Unsent
from cloudindex_provider.words import count, quoted

__all__ = ["Sender", "UploadSummary"]

_RESENDS = 2  # of a file that was refused for now or couldn't be read to its end, beside the first time
_UNKNOWN_IN_A_ROW = 3  # requests; then the service is taken to be down
_BODY_KEEPS = 5.0  # seconds that an open body may wait to be read; S3 cuts those that wait long
_LEAVE_OUT = "Change the object or leave it out with exclude."
_MOMENT = 2.0  # seconds, doubled each time; after that a request that was answered has been committed, or never will be
_NOT_NAMED = "CloudIndex took the request without this file. It is tried again."
_NOT_OURS = (
    "CloudIndex answers with the document of another key for these bytes, so they can be found there. It keeps one"
    " document for the same bytes: leave one of the keys out with exclude."
)


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
    waited: float = 0.0  # seconds for the rate limit
    accepted: bool = False  # the service has taken something of this loop
    suspects: set[str] = field(default_factory=set)  # keys that got no answer when they were sent alone
    # key -> when (time.monotonic) its upload may be looked up, where the request was answered and says nothing of it
    due: dict[str, float] = field(default_factory=dict)
    _left_out: Counter[str] = field(default_factory=Counter)  # key -> answers of this loop that didn't name it
    _unknown: int = 0  # requests in a row whose outcome is unknown
    _asked: float = 0.0  # time.monotonic() when the request under way began to wait for its turn
    _intended: float = 0.0  # just before the intent of the request under way, by the state's clock
    _refusals: list[tuple[WorkRow, CloudIndexError]] = field(default_factory=list)
    _unsent: Unsent = field(init=False)

    def __post_init__(self) -> None:
        self._unsent = Unsent(self.ctx, self.run, self._fail)

    def send(self, prepared: Sequence[Prepared], at_request: Callable[[], None] | None = None) -> None:
        """Upload what was made of claimed rows, all of them pending, in as few requests as the service lets.

        :param at_request: called once, when all is ready for the first request and its intent isn't written yet; not
            when there is nothing to send
        :raises CloudIndexError: when the service refuses or fails as a whole
        :raises S3IntegrationError: when S3 does
        """
        ready = [item for item in prepared if isinstance(item, Ready)]
        try:
            self._unsent.check(prepared)
            for item in prepared:
                self._unsent.record(item)
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
        self._asked = time.monotonic()
        try:
            result = self.ctx.client.upload_documents(
                [item.part() for item in ready],
                metadata=self._metadata(ready),
                options={"createVersion": True},
                at_turn=partial(self._intend, ready, self._asked),
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
            self.summary.requests += 1
            if result.refused:
                self._refused_by_name(ready, result, resends)
            else:
                self._unknown, self.accepted = 0, True
                self._answered(ready, result, resends)

    def _intend(self, ready: Sequence[Ready], began: float) -> None:
        """The wait for the rate limit may be long, and an intent is as young as its request."""
        now = time.monotonic()
        self.waited += now - self._asked
        self._asked = now  # a request that is refused for now waits once more
        if now - began > _BODY_KEEPS:
            for item in ready:
                item.open_anew()
        intent = [(item.row, item.name, item.sha256) for item in ready]
        ctx = self.ctx
        self._intended = ctx.db.clock()
        claims.record_intent(ctx.db, self.run, ctx.owner, intent, lease=ctx.lease)

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
                self._unsent.record(gone_or_changed(self.ctx, item.row))
            elif resends and isinstance(error, SourceIntegrityError | SourceUnavailableError):
                self._send([item], resends - 1)
            else:
                self._fail(item.row, source_failure(error))

    def _refused(self, ready: list[Ready], error: CloudIndexError) -> None:
        """The request as a whole was refused for what is in it: halve it until the offender is alone."""
        self._nothing_done(ready)
        if len(ready) > 1:
            rest = ready if self.accepted or not isinstance(error, BadRequestError) else self._probed(ready, error)
            middle = len(rest) // 2
            self._send(rest[:middle])
            self._send(rest[middle:])
        elif isinstance(error, PayloadTooLargeError | UnsupportedTypeError):
            self._fail(ready[0].row, Failure(str(error), permanent=True))
        else:
            self._refusals.append((ready[0].row, error))

    def _probed(self, ready: list[Ready], error: BadRequestError) -> list[Ready]:
        """Whether a first request is refused for one of its files is told by two of them, each alone.

        Gives the others. Files without strikes go first: they are the least likely to be bad.

        :raises BadRequestError: when both are refused: then it is the request, and nothing is said of any file
        """
        rest = list(ready)
        for item in sorted(ready, key=lambda one: one.row.attempts)[:2]:
            rest.remove(item)
            self._send([item])
            if self.accepted:
                return rest
        if rest:
            raise self._about_the_request(error)
        return rest

    def _about_the_request(self, error: CloudIndexError) -> CloudIndexError:
        where = f"project {self.ctx.settings.project_id!r} at {self.ctx.client.base_url}"
        hint = f"CloudIndex refuses every upload to {where}: check the project id, and the connection's host and path."
        return error.saying(error.message, hint=hint)

    def _judge_refusals(self) -> None:
        """A file refused alone is bad, unless nothing was ever taken: then the API isn't what we take it for.

        :raises CloudIndexError: then, and where the project itself is refused
        """
        refusals, self._refusals = self._refusals, []
        if not refusals:
            return
        if not self.accepted:
            if not claims.live_documents(self.ctx.db, self.ctx.source):
                raise self._about_the_request(refusals[0][1])
            self.ctx.client.check()
        for row, error in refusals:
            self._fail(row, Failure(f"{error} {_LEAVE_OUT}"))

    def _refused_by_name(self, ready: list[Ready], result: UploadResult, resends: int) -> None:
        """Nothing of the request was taken, because of the files that the answer names; the others go without them."""
        self._nothing_done(ready)
        refused = {error.file_name: error for error in result.errors}
        named = [(item, refused[item.name]) for item in ready if item.name in refused]
        for_now = [(item, error) for item, error in named if error.retryable]
        self._not_taken([pair for pair in named if pair not in for_now], 0)
        self._send([item for item in ready if item.name not in refused], resends)
        self._not_taken(for_now, resends)

    def _no_answer(self, ready: Sequence[Ready], error: CloudIndexError) -> None:
        if not error.outcome_unknown:
            self._nothing_done(ready)
            raise error
        rows = [item.row for item in ready]
        self._in_doubt(rows, str(error))
        self._unknown += 1
        if isinstance(error, ServerError) and error.status in ANSWERED:
            self._settle_in(error.retry_after or _MOMENT * 2 ** (self._unknown - 1), rows)
        if len(rows) == 1 and rows[0].doubtful:  # not for the first time
            self.suspects.add(rows[0].key)
        self.ctx.log.warning(
            "The outcome of an upload of %s, the first of them %s, is unknown: %s",
            count(len(rows), "document"), quoted(rows[0].key), error,
        )  # fmt: skip
        if self._unknown >= _UNKNOWN_IN_A_ROW:
            raise error

    def _in_doubt(self, rows: Sequence[WorkRow], why: str) -> None:
        doubts.record_unknown(self.ctx.db, self.run, self.ctx.owner, rows, why, grace=self.ctx.grace)
        self.summary.keys_in_doubt += len(rows)

    def _settle_in(self, seconds: float, rows: Sequence[WorkRow]) -> None:
        self.due.update(dict.fromkeys((row.key for row in rows), time.monotonic() + seconds))

    def _answered(self, ready: Sequence[Ready], result: UploadResult, resends: int) -> None:
        binding = bind(ready, result, self._lookup(ready))
        self._note_others(ready, binding.strays, binding.foreign)
        self._taken(ready, binding.taken)
        refused = {error.file_name: error for error in result.errors}
        left = [item for item in ready if item.name not in binding.taken]
        for item in left:
            if item.name in binding.shared:
                self._fail(item.row, Failure(_NOT_OURS))
        left = [item for item in left if item.name not in binding.shared]
        self._not_named([item for item in left if item.name not in refused])
        self._not_taken([(item, refused[item.name]) for item in left if item.name in refused], resends)

    def _not_named(self, missing: Sequence[Ready]) -> None:
        """The answer says nothing of these files: they may have been taken."""
        if missing:
            rows = [item.row for item in missing]
            self._left_out.update(row.key for row in rows)
            self._in_doubt(rows, "CloudIndex's answer doesn't name the file")
            self._settle_in(_MOMENT, rows)

    def worth_another_try(self, rows: Sequence[WorkRow]) -> list[WorkRow]:
        """Of rows to be sent again, those that weren't left out of answer after answer; the others fail."""
        left_out = [row for row in rows if self._left_out[row.key] > _RESENDS]
        for row in left_out:
            self._fail(row, Failure(_NOT_NAMED, strike=len(left_out) < SEVERAL))
        return [row for row in rows if row not in left_out]

    def _not_taken(self, refused: Sequence[tuple[Ready, FileError]], resends: int) -> None:
        """Files that the answer refuses: for good, or for now."""
        again = [item for item, error in refused if error.retryable is not False and resends]
        alike = Counter(error.message for _, error in refused)
        for item, error in refused:
            if item in again:
                continue
            # What may be tried again, or is said of most of a request, says nothing of the file.
            strike = error.retryable is False or (error.retryable is None and alike[error.message] < SEVERAL)
            self._fail(item.row, Failure(_file_reason(error), permanent=error.retryable is False, strike=strike))
        self._nothing_done(again)
        self._send(again, resends - 1)

    def _lookup(self, ready: Sequence[Ready]) -> Lookup:
        keys = {item.row.key for item in ready}
        return Lookup(
            self._details,
            lambda ids: superseded.held_elsewhere(self.ctx.db, self.ctx.source, ids, but=keys),
            self._intended,
        )

    def _note_others(self, ready: Sequence[Ready], strays: Sequence[Document], foreign: Sequence[Document]) -> None:
        """Documents of no file of the request; only what it has made itself is deleted again."""
        for document in strays:
            superseded.record_strays(self.ctx.db, self.run, ready[0].row.key, [document.id])
            self.ctx.log.warning("CloudIndex made a document %s of no file of ours; it is deleted.", document.id)
        for document in foreign:
            self.ctx.log.info("CloudIndex's answer also names %s, which isn't touched.", document.id)

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
        self.ctx.log_failure(row.key, outcome, failure.reason)

    def _details(self, document: Document) -> Document | None:
        try:
            return self.ctx.client.get_document(document.id).document
        except CloudIndexError as error:
            self.ctx.log.warning("Document %s can't be looked at: %s", document.id, error)
            return None


def _file_reason(error: FileError) -> str:
    code = f" ({error.code})" if error.code else ""
    remedy = "It is tried again." if error.retryable is not False else _LEAVE_OUT
    return f"CloudIndex refused the file: {error.message}{code} {remedy}"
