"""Errors of a sync: of its settings, S3, the queue of events, the state, and of the run itself."""

from __future__ import annotations

from typing import Any

from cloudindex_provider.errors.base import ProviderError

__all__ = [
    "AccessDeniedError",
    "ClaimLostError",
    "CredentialsError",
    "DeletesHeldError",
    "EventQueueError",
    "EventQueueUnavailableError",
    "HandOverError",
    "IncompleteListError",
    "InvalidObjectStateError",
    "NoSuchBucketError",
    "NoSuchKeyError",
    "PlanChangedError",
    "S3IntegrationError",
    "SettingsError",
    "SourceChangedError",
    "SourceIntegrityError",
    "SourceOrderError",
    "SourceUnavailableError",
    "StateError",
    "StateUnavailableError",
    "StoppedError",
    "SyncError",
    "SyncFailedError",
    "UnsettledUploadsError",
]


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


class HandOverError(SyncError):
    """Airflow hasn't taken keys that it was told of, or their message can't be read; ``status`` is Airflow's answer."""

    retryable = True
    field_names = (*SyncError.field_names, "status")

    def __init__(self, message: str, *, status: int | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.status = status


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
