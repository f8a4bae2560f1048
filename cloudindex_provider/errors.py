"""Everything that this package raises, in one tree, as types that carry fields.

Decide by type and field, never by text: ``str(error)`` is for people. Airflow's retries go by ``retryable`` and
``retry_after`` (see ``cloudindex_provider.retry``). No field holds a header, a body, a key or an object's bytes.

    ProviderError
    +-- CloudIndexError                   of the CloudIndex client
    |   +-- ConfigurationError            a setting is missing or wrong; nothing was sent
    |   +-- TransportError                no answer came
    |   |   +-- ConnectError              nothing was sent: safe to repeat
    |   |   +-- InterruptedRequestError   sent at least in part: the outcome is unknown
    |   +-- InvalidAnswerError            a 2xx whose body can't be read: the outcome is unknown
    |   +-- PartSizeError                 a file gave more or fewer bytes than announced; the request was withdrawn
    |   +-- ApiError                      the service answered with an error
    |   |   +-- BadRequestError           400, 422 and every other 4xx
    |   |   +-- AuthenticationError       401
    |   |   +-- PermissionDeniedError     403
    |   |   +-- NotFoundError             404
    |   |   +-- ConflictError             409
    |   |   +-- PayloadTooLargeError      413
    |   |   +-- UnsupportedTypeError      415
    |   |   +-- RateLimitedError          429
    |   |   +-- ServerError               5xx, 408, 425: the outcome of a POST is unknown
    |   +-- FilesRejectedError            files of an upload were refused
    |   |   +-- FilesNotTakenError        some of which may be taken at another try
    |   +-- ProcessingFailedError         documents can't be searched
    +-- SyncError                         of a sync, or of one key of it
        +-- SettingsError                 a setting is missing or wrong; nothing was done
        +-- S3IntegrationError            S3 refused or failed
        |   +-- NoSuchKeyError
        |   +-- NoSuchBucketError
        |   +-- AccessDeniedError
        |   |   +-- CredentialsError      about the task, not about one object
        |   +-- InvalidObjectStateError
        |   +-- SourceUnavailableError
        |   +-- SourceChangedError
        |   +-- SourceIntegrityError
        |   +-- SourceOrderError
        +-- StateError                    the state can't be used
        |   +-- StateUnavailableError     for now
        +-- ClaimLostError                another run or try has taken over
        +-- StoppedError                  the task is being stopped
        +-- UnsettledUploadsError         uploads whose outcome must be looked up later
        +-- IncompleteListError           CloudIndex's list of documents isn't whole
        +-- PlanChangedError              the run would do something else than its plan
        +-- DeletesHeldError              a mass delete waits for a person
        +-- SyncFailedError               the run ended, and not all of it went well
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

__all__ = [
    "AccessDeniedError", "ApiError", "AuthenticationError", "BadRequestError", "ClaimLostError", "CloudIndexError",
    "ConfigurationError", "ConflictError", "ConnectError", "CredentialsError", "DeletesHeldError",
    "EventQueueError", "EventQueueUnavailableError",
    "FilesNotTakenError", "FilesRejectedError", "IncompleteListError", "InterruptedRequestError", "InvalidAnswerError",
    "InvalidObjectStateError", "NoSuchBucketError", "NoSuchKeyError", "NotFoundError", "PartSizeError",
    "PayloadTooLargeError", "PermissionDeniedError", "PlanChangedError", "ProcessingFailedError", "ProviderError",
    "RateLimitedError", "S3IntegrationError", "ServerError", "SettingsError", "SourceChangedError",
    "SourceIntegrityError", "SourceOrderError", "SourceUnavailableError", "StateError", "StateUnavailableError",
    "StoppedError", "SyncError", "SyncFailedError", "TransportError", "UnsettledUploadsError", "UnsupportedTypeError",
]  # fmt: skip


class ProviderError(Exception):
    """Base of all errors of this package.

    :param message: one sentence saying what is wrong, free of secrets
    :param hint: one sentence saying what to do; default: the type's own
    :param retry_after: seconds to wait before another try, where that is known
    """

    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""
    field_names: ClassVar[tuple[str, ...]] = ("hint", "retry_after")

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.retry_after = retry_after

    def fields(self) -> dict[str, Any]:
        """The allow-list of what may be logged, stored or shown; ``from_fields`` makes the same error of them again."""
        return {"message": self.message} | {name: getattr(self, name) for name in self.field_names}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """The error of this type that has these fields."""
        return cls(**fields)

    def saying(self, message: str, **changes: Any) -> Self:
        """An error of the same type and fields with another message."""
        return self.from_fields(self.fields() | {"message": message} | changes)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by args alone; Airflow and process pools need the fields too.
        return (self.from_fields, (self.fields(),))


class CloudIndexError(ProviderError):
    """Base of the client's errors.

    :param status: HTTP status, where there was an answer
    :param code: the service's own error code (``api_key/invalid``), where it gave one; its ``category`` likewise
    :param request_id: the service's request id, for its support
    :param operation: what was tried, such as ``upload documents``
    :param outcome_unknown: the request may have taken effect; look before repeating it
    :param foreign: a web page answered in the API's place: a proxy's, a gateway's or another server's
    """

    field_names = (
        *("status", "code", "category", "request_id"), *ProviderError.field_names,
        *("operation", "outcome_unknown", "foreign"),
    )  # fmt: skip

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        category: str | None = None,
        request_id: str | None = None,
        operation: str | None = None,
        outcome_unknown: bool = False,
        foreign: bool = False,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.status = status
        self.code = code
        self.category = category
        self.request_id = request_id
        self.operation = operation
        self.outcome_unknown = outcome_unknown
        self.foreign = foreign

    def __str__(self) -> str:
        facts = [str(self.status)] if self.status else []
        facts += [f"{name} {value}" for name, value in (("code", self.code), ("request", self.request_id)) if value]
        subject = f"{self.operation}: {self.message}" if self.operation else self.message
        return " ".join(part for part in (subject, f"({', '.join(facts)})" if facts else "", self.hint) if part)


class ConfigurationError(CloudIndexError):
    """A setting is missing or wrong; nothing was sent."""


class TransportError(CloudIndexError):
    """No answer came."""

    retryable = True


class ConnectError(TransportError):
    """No connection could be made, so nothing was sent."""

    default_hint = "Check the connection's host, DNS, proxy and firewall."


class InterruptedRequestError(TransportError):
    """The connection broke or timed out after sending began; ``outcome_unknown`` is true for a request that writes."""


class InvalidAnswerError(CloudIndexError):
    """A success whose body can't be read as documented."""

    retryable = True
    default_hint = "Check that the connection's host is the CloudIndex API and not a proxy's or a web site's page."


class PartSizeError(CloudIndexError, ValueError):
    """A file's iterator gave more or fewer bytes than its ``size``; the request was never completed."""

    retryable = True
    default_hint = "The object changed while it was read: look at it again."


class ApiError(CloudIndexError):
    """The service answered with an error status."""


class BadRequestError(ApiError):
    """400, 422 or another 4xx: the same request would fail again."""


class AuthenticationError(ApiError):
    """401."""

    default_hint = "Check the API key (password) of the connection and its auth_scheme."


class PermissionDeniedError(ApiError):
    """403."""

    default_hint = "The API key is known but may not do this: use a key of this project, or ask for the permission."


class NotFoundError(ApiError):
    """404."""


class ConflictError(ApiError):
    """409."""

    retryable = True


class PayloadTooLargeError(ApiError):
    """413."""

    default_hint = "Lower max_file_size or max_request_size to what your CloudIndex plan allows."


class UnsupportedTypeError(ApiError):
    """415."""

    default_hint = "Leave this file type out with file_types or exclude."


class RateLimitedError(ApiError):
    """429: nothing was done; ``retry_after`` says when to come again, where the server said so."""

    retryable = True


class ServerError(ApiError):
    """5xx; and 408 and 425, which are no fault of the request either."""

    retryable = True


class FilesRejectedError(CloudIndexError):
    """CloudIndex refused files of an upload, and would again."""

    default_hint = "Mend or leave out these files, or set allow_file_errors."


class FilesNotTakenError(FilesRejectedError):
    """Files of an upload were not taken, some of which may be at another try."""

    retryable = True
    default_hint = "The next try sends only what is missing."


class ProcessingFailedError(CloudIndexError):
    """CloudIndex could not process a document, or no longer has it."""

    default_hint = "Mend the file and upload it again: CloudIndex can't be told to process a document once more."


class SyncError(ProviderError):
    """Base of a sync's errors; ``key`` is the S3 key that it is about, where it is about one."""

    field_names = (*ProviderError.field_names, "key")

    def __init__(self, message: str, *, key: str | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.key = key


class SettingsError(SyncError):
    """A setting is missing or wrong; ``field`` names it."""

    field_names = (*SyncError.field_names, "field")

    def __init__(self, message: str, *, field: str, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.field = field


class S3IntegrationError(SyncError):
    """S3 refused or failed. ``code`` is S3's word, ``details`` holds bucket, operation, status and request id."""

    field_names = (*SyncError.field_names, "code", "details")

    def __init__(self, message: str, *, code: str = "s3_error", details: dict[str, Any] | None = None, **fields: Any):
        super().__init__(message, **fields)
        self.code = code
        self.details = details or {}


class NoSuchKeyError(S3IntegrationError):
    """The object is gone since it was listed."""


class NoSuchBucketError(S3IntegrationError):
    """The bucket doesn't exist, for these credentials at this endpoint."""

    default_hint = "Check the bucket's name, and the endpoint and region of the AWS connection."


class AccessDeniedError(S3IntegrationError):
    """S3 knows the credentials and refuses, or refuses the credentials themselves."""

    default_hint = "Give the AWS connection's identity s3:ListBucket on the bucket and s3:GetObject on its objects."


class CredentialsError(AccessDeniedError):
    """S3 doesn't accept the credentials, or there are none, or they have expired: no object can be read."""

    default_hint = "Check the AWS connection's credentials: S3 doesn't accept them."


class InvalidObjectStateError(S3IntegrationError):
    """The object is archived and must be restored before it can be read."""

    default_hint = "Restore the object, or leave its storage class out."


class SourceUnavailableError(S3IntegrationError):
    """S3 can't be reached, throttles or fails for now."""

    retryable = True
    default_hint = "It is tried again; if it lasts, look at the storage's health and its request limits."


class SourceChangedError(S3IntegrationError):
    """The object is no longer the one that was listed; the next listing shows what it is."""

    retryable = True
    default_hint = "The next run takes it as it is then."


class SourceIntegrityError(S3IntegrationError):
    """What was read is shorter, longer or other than what S3 announced; nothing of it was sent."""

    retryable = True
    default_hint = "It is read again; if it lasts, compare the object with its original and upload it to S3 anew."


class SourceOrderError(S3IntegrationError):
    """S3 listed ``key`` after ``previous``, or not where a listing was cut: none that relies on order is right."""

    default_hint = "This storage doesn't list keys in UTF-8 byte order as S3 does. A sync lists it in another way."
    field_names = (*S3IntegrationError.field_names, "previous")

    def __init__(self, message: str, *, previous: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.previous = previous


class EventQueueError(SyncError):
    """SQS refused or failed. ``code`` is its own word."""

    field_names = (*SyncError.field_names, "code")

    def __init__(self, message: str, *, code: str = "sqs_error", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.code = code


class EventQueueUnavailableError(EventQueueError):
    """SQS can't be reached, throttles or fails for now; the messages stay in the queue."""

    retryable = True


class StateError(SyncError):
    """The state can't be opened, or is damaged, or newer than this version."""


class StateUnavailableError(StateError):
    """The state's database can't be reached, or stayed locked, for now."""

    retryable = True
    default_hint = "Check the state's database; nothing is lost, the next try goes on."


class ClaimLostError(SyncError):
    """Another run or a later try of this task works on these keys now, so this one stops."""


class StoppedError(SyncError):
    """The task is being stopped; what it had not begun is left for its next try."""

    retryable = True
    default_hint = "The next try goes on where this one was."


class UnsettledUploadsError(SyncError):
    """Some uploads' outcome is unknown and can be looked up after ``retry_after`` seconds."""

    retryable = True


class DeletesHeldError(SyncError):
    """More documents than allowed would be deleted, so none were."""


class IncompleteListError(SyncError):
    """The list of documents can't be relied on for what it doesn't show."""

    retryable = True
    default_hint = "Nothing was decided by it; the next try lists again."


class PlanChangedError(SyncError):
    """The run would do something else than the plan that it is bound to; nothing was uploaded or deleted."""

    default_hint = "Look at a new plan, and bind the run to its hash."


class SyncFailedError(SyncError):
    """The run ended, and not all of it went well; ``report`` is its report."""

    field_names = (*SyncError.field_names, "report")

    def __init__(self, message: str, *, report: dict[str, Any] | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.report = report or {}
