"""Every way in which a call to CloudIndex can fail, as types that carry fields.

Decide by type and field, never by text: ``str(error)`` is for people. No field ever holds a request header, a body or a
key, so errors may be logged, pickled and shown as they are.

    CloudIndexError
    +-- ConfigurationError            a setting is missing or wrong; nothing was sent
    +-- TransportError                no answer came
    |   +-- ConnectError              nothing was sent: safe to repeat
    |   +-- InterruptedRequestError   sent at least in part: the outcome is unknown
    +-- InvalidAnswerError            a 2xx whose body can't be read: the outcome is unknown
    +-- PartSizeError                 a file gave more or fewer bytes than announced; the request was withdrawn
    +-- ApiError                      the service answered with an error
        +-- BadRequestError           400, 422 and every other 4xx
        +-- AuthenticationError       401
        +-- PermissionDeniedError     403
        +-- NotFoundError             404
        +-- ConflictError             409
        +-- PayloadTooLargeError      413
        +-- UnsupportedTypeError      415
        +-- RateLimitedError          429
        +-- ServerError               5xx, 408, 425: the outcome of a POST is unknown
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "ApiError",
    "AuthenticationError",
    "BadRequestError",
    "CloudIndexError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "InterruptedRequestError",
    "InvalidAnswerError",
    "NotFoundError",
    "PartSizeError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitedError",
    "ServerError",
    "TransportError",
    "UnsupportedTypeError",
    "error_for_status",
]


class CloudIndexError(Exception):
    """Base of all errors of the client.

    :param message: one sentence saying what is wrong, free of secrets
    :param status: HTTP status, where there was an answer
    :param code: the service's own error code (``api_key/invalid``), where it gave one
    :param category: the service's own error category, where it gave one
    :param request_id: the service's request id, for its support
    :param retry_after: seconds that the server asked to wait, counted from its answer
    :param hint: one sentence saying what to do
    :param operation: what was tried, such as ``upload documents``
    :param outcome_unknown: the request may have taken effect; look before repeating it
    """

    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        category: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
        operation: str | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.category = category
        self.request_id = request_id
        self.retry_after = retry_after
        self.hint = hint if hint is not None else self.default_hint
        self.operation = operation
        self.outcome_unknown = outcome_unknown

    def fields(self) -> dict[str, Any]:
        """The allow-list of what may be logged, stored or shown."""
        return {
            "message": self.message,
            "status": self.status,
            "code": self.code,
            "category": self.category,
            "request_id": self.request_id,
            "retry_after": self.retry_after,
            "hint": self.hint,
            "operation": self.operation,
            "outcome_unknown": self.outcome_unknown,
        }

    def __str__(self) -> str:
        facts = [str(self.status)] if self.status else []
        facts += [f"{name} {value}" for name, value in (("code", self.code), ("request", self.request_id)) if value]
        subject = f"{self.operation}: {self.message}" if self.operation else self.message
        return " ".join(part for part in (subject, f"({', '.join(facts)})" if facts else "", self.hint) if part)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by args alone; Airflow and process pools need the fields too.
        return (_rebuild, (type(self), self.fields()))


def _rebuild(cls: type[CloudIndexError], fields: dict[str, Any]) -> CloudIndexError:
    return cls(fields.pop("message"), **fields)


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

    default_hint = "Check the API key (password) of the connection and its auth_scheme (ApiKey or Bearer)."


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


_BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: ServerError,
    409: ConflictError,
    413: PayloadTooLargeError,
    415: UnsupportedTypeError,
    425: ServerError,
    429: RateLimitedError,
}


def error_for_status(status: int) -> type[ApiError]:
    """The error type of an HTTP status of 300 and up."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ServerError if status >= 500 else BadRequestError
