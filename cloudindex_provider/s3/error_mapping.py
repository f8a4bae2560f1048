"""botocore's exceptions to ours. Decides by error code and status, never by text."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from cloudindex_provider.errors import (
    AccessDeniedError,
    CredentialsError,
    InvalidObjectStateError,
    NoSuchBucketError,
    NoSuchKeyError,
    S3IntegrationError,
    SourceChangedError,
    SourceIntegrityError,
    SourceUnavailableError,
)

__all__ = ["s3_errors"]

_BY_CODE: dict[str, type[S3IntegrationError]] = {
    "NoSuchKey": NoSuchKeyError,
    "NoSuchVersion": NoSuchKeyError,
    "NoSuchBucket": NoSuchBucketError,
    "InvalidObjectState": InvalidObjectStateError,
    "PreconditionFailed": SourceChangedError,
    "ConditionalRequestConflict": SourceChangedError,
    "SlowDown": SourceUnavailableError,
    "InternalError": SourceUnavailableError,
    "RequestTimeout": SourceUnavailableError,
    "ServiceUnavailable": SourceUnavailableError,
    "RequestTimeTooSkewed": SourceUnavailableError,
    "ExpiredToken": CredentialsError,
    "ExpiredTokenException": CredentialsError,
    "TokenRefreshRequired": CredentialsError,
    "InvalidToken": CredentialsError,
    "InvalidAccessKeyId": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
}
_BY_STATUS: dict[int, type[S3IntegrationError]] = {
    401: AccessDeniedError,
    403: AccessDeniedError,  # AccessDenied, AllAccessDisabled ...
    404: NoSuchKeyError,
    412: SourceChangedError,
    429: SourceUnavailableError,
}
_UNREACHABLE = (
    boto.HTTPClientError,  # read and proxy errors, closed connections, TLS
    boto.ConnectionError,  # no connection: refused, unknown host, timeout
)
# OpenSSL's words for an answer that isn't TLS: those of version 3, and those of before.
_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "UNKNOWN_PROTOCOL",
    "HTTP_REQUEST",
}
_BROKEN_OFF = (boto.ResponseStreamingError, boto.IncompleteReadError)
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
)


def _from_answer(error: Any, operation: str, bucket: str, key: str | None) -> S3IntegrationError:
    answer = error.response
    code = str(answer.get("Error", {}).get("Code", "")) or "s3_error"
    meta = answer.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode", 0)
    cls = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if cls is None:
        cls = SourceUnavailableError if status >= 500 else S3IntegrationError
    if cls is NoSuchKeyError and key is None:
        cls = NoSuchBucketError
    details = {"bucket": bucket, "operation": operation, "status": status, "request_id": meta.get("RequestId")}
    return cls(_sentence(cls, operation, bucket, key, code), code=code, details=details, key=key)


def _sentence(cls: type[S3IntegrationError], operation: str, bucket: str, key: str | None, code: str) -> str:
    what = f"s3://{bucket}/{key}" if key is not None else f"bucket {bucket}"
    said = {
        NoSuchBucketError: f"{what} doesn't exist",
        NoSuchKeyError: f"{what} doesn't exist any more",
        AccessDeniedError: f"S3 denies {operation} on {what}",
        CredentialsError: f"S3 doesn't accept the credentials for {operation} on {what}",
        InvalidObjectStateError: f"{what} is archived",
        SourceChangedError: f"{what} has changed since it was listed",
        SourceUnavailableError: f"S3 couldn't answer {operation} on {what} for now",
    }.get(cls, f"S3 refused {operation} on {what}")
    return f"{said} ({code})."


def _way_in(error: Exception) -> str:
    """What to look at where no answer came."""
    cause: BaseException | None = error
    for _ in range(5):  # botocore's error holds urllib3's, and that Python's
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            return "No TLS is spoken there: try http:// in the AWS connection's endpoint_url, or the port that has TLS."
        held = getattr(cause, "kwargs", {}).get("error") or next(iter(getattr(cause, "args", ())), None)
        cause = held if isinstance(held, BaseException) else None
    return "Check the endpoint and region of the AWS connection, DNS, proxy and firewall."


@contextmanager
def s3_errors(operation: str, bucket: str, key: str | None = None) -> Iterator[None]:
    """Raise botocore's errors of the block as ``S3IntegrationError``, without the request they hold."""
    where = f"s3://{bucket}/{key}" if key is not None else f"bucket {bucket}"
    details = {"bucket": bucket, "operation": operation}
    try:
        yield
    except boto.ClientError as error:
        raise _from_answer(error, operation, bucket, key) from None
    except _UNREACHABLE as error:
        raise SourceUnavailableError(
            f"S3 can't be reached for {operation} on {where} ({type(error).__name__}).",
            code=type(error).__name__,
            details=details,
            key=key,
            hint=_way_in(error),
        ) from None
    except _BROKEN_OFF as error:
        raise SourceUnavailableError(
            f"S3 broke off in the middle of {where} ({type(error).__name__}).",
            code=type(error).__name__,
            details=details,
            key=key,
            hint="It is read again; if it lasts, check the proxy and firewall on the way to S3.",
        ) from None
    except _NO_CREDENTIALS as error:
        raise CredentialsError(
            f"There are no AWS credentials for {operation} on {where}.",
            code=type(error).__name__,
            details=details,
            key=key,
            hint="Set them in the AWS connection, or give the worker a role.",
        ) from None
    except boto.FlexibleChecksumError:
        raise SourceIntegrityError(
            f"{where} gave bytes with another checksum than S3 stores.",
            code="ChecksumMismatch",
            details=details,
            key=key,
        ) from None
    except ResponseParserError:
        raise SourceUnavailableError(
            f"S3's answer to {operation} on {where} can't be read.",
            code="AnswerUnreadable",
            details=details,
            key=key,
            hint="Check that the endpoint of the AWS connection is S3 and not a proxy's page.",
        ) from None
    except boto.BotoCoreError as error:
        raise S3IntegrationError(
            f"{operation} on {where} can't be sent ({type(error).__name__}).",
            code=type(error).__name__,
            details=details,
            key=key,
            hint="Check the bucket's name and the AWS connection's settings.",
        ) from None
