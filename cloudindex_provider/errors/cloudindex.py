"""Errors of the CloudIndex client."""

from __future__ import annotations

from typing import Any

from cloudindex_provider.errors.base import ProviderError

__all__ = [
    "ApiError",
    "AuthenticationError",
    "BadRequestError",
    "CloudIndexError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "FilesNotTakenError",
    "FilesRejectedError",
    "InterruptedRequestError",
    "InvalidAnswerError",
    "NotFoundError",
    "PartSizeError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "ProcessingFailedError",
    "RateLimitedError",
    "ServerError",
    "TransportError",
    "UnsupportedTypeError",
]


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
