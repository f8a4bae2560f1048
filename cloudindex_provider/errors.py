"""Everything that stops a sync or one key of it, as types that carry fields.

``retryable`` and ``retry_after`` are what Airflow's retries are decided by (see ``cloudindex_provider.retry``);
``hint`` says what to do; ``key`` names the object where there is one. No field holds a secret or an object's bytes.

    SyncError
    +-- SettingsError           a setting is missing or wrong; nothing was done
    +-- S3IntegrationError      S3 refused or failed (code, message, details)
    |   +-- NoSuchKeyError  NoSuchBucketError  InvalidObjectStateError
    |   +-- AccessDeniedError
    |   |   +-- CredentialsError    about the task, not about one object
    |   +-- SourceUnavailableError  SourceChangedError  SourceIntegrityError  SourceOrderError
    +-- StateError              the state can't be used
    |   +-- StateUnavailableError   for now
    +-- ClaimLostError          another run or try has taken over
    +-- StoppedError            the task is being stopped
    +-- UnsettledUploadsError   uploads whose outcome must be looked up later
    +-- IncompleteListError     CloudIndex's list of documents isn't whole
    +-- PlanChangedError        the run would do something else than its plan
    +-- DeletesHeldError        a mass delete waits for a person
    +-- SyncFailedError         the run ended with failures, or its counts don't balance
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AccessDeniedError",
    "ClaimLostError",
    "CredentialsError",
    "DeletesHeldError",
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


class SyncError(Exception):
    """Base of the sync's errors.

    :param message: one sentence saying what is wrong
    :param hint: one sentence saying what to do
    :param key: the S3 key it is about
    :param retry_after: seconds to wait before another try, where that is known
    """

    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        key: str | None = None,
        retry_after: float | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.key = key
        self.retry_after = retry_after
        self._more = more

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {"hint": self.hint, "key": self.key, "retry_after": self.retry_after, **self._more}
        return (_rebuild, (type(self), self.message, fields))


def _rebuild(cls: type[SyncError], message: str, fields: dict[str, Any]) -> SyncError:
    return cls(message, **fields)


class SettingsError(SyncError):
    """A setting is missing or wrong; ``field`` names it."""

    def __init__(self, message: str, *, field: str, **fields: Any) -> None:
        super().__init__(message, field=field, **fields)
        self.field = field


class S3IntegrationError(SyncError):
    """S3 refused or failed. ``code`` is S3's word, ``details`` holds bucket, operation, status and request id."""

    def __init__(self, message: str, *, code: str = "s3_error", details: dict[str, Any] | None = None, **fields: Any):
        super().__init__(message, code=code, details=details, **fields)
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
    """S3 listed two keys out of order, so the comparison can't be trusted; nothing was written."""

    default_hint = "This storage doesn't list keys in UTF-8 byte order as S3 does, so it can't be synced."

    def __init__(self, message: str, *, previous: str = "", **fields: Any) -> None:
        super().__init__(message, previous=previous, **fields)
        self.previous = previous


class StateError(SyncError):
    """The state can't be opened, or is damaged, or newer than this version."""


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


class SyncFailedError(SyncError):
    """The run ended, and not all of it went well; ``report`` is its report."""

    def __init__(self, message: str, *, report: dict[str, Any] | None = None, **fields: Any) -> None:
        super().__init__(message, report=report, **fields)
        self.report = report or {}


class IncompleteListError(SyncError):
    """The list of documents can't be relied on for what it doesn't show."""

    retryable = True
    default_hint = "Nothing was decided by it; the next try lists again."


class PlanChangedError(SyncError):
    """The run would do something else than the plan that it is bound to; nothing was uploaded or deleted."""

    default_hint = "Look at a new plan, and bind the run to its hash."


class StateUnavailableError(StateError):
    """The state's database can't be reached, or stayed locked, for now."""

    retryable = True
    default_hint = "Check the state's database; nothing is lost, the next try goes on."
