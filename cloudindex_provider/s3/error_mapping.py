"""botocore's exceptions to ours. Decides by error code and status, never by text; S3's text is quoted, and only the
remedy looks for the right that it names.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

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

__all__ = ["is_about_all", "missing_credentials", "redacted", "s3_errors"]

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
    "NotImplemented": S3IntegrationError,  # 501: it won't be implemented a second later
}
_BY_STATUS: dict[int, type[S3IntegrationError]] = {
    401: AccessDeniedError,
    403: AccessDeniedError,  # AccessDenied, AllAccessDisabled ...
    404: NoSuchKeyError,
    412: SourceChangedError,
    429: SourceUnavailableError,
    501: S3IntegrationError,
}
# Refusals of the account, the bucket's place or the request's form, whichever key they were given for.
_OF_ALL = frozenset({
    "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException",
    "InvalidBucketName", "InvalidPayer", "InvalidSecurity", "NotSignedUp", "PermanentRedirect", "TemporaryRedirect",
})  # fmt: skip
_BROKEN_OFF = (boto.ResponseStreamingError, boto.IncompleteReadError)  # of which some are HTTPClientErrors, too
_UNREACHABLE = (
    boto.HTTPClientError,  # read and proxy errors, closed connections, TLS
    boto.ConnectionError,  # no connection: refused, unknown host, timeout
    ConnectionError,  # Python's own, where a library has let it through
    TimeoutError,
    ssl.SSLError,
)
# OpenSSL's words for an answer that isn't TLS: those of version 3, and those of before.
_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "UNKNOWN_PROTOCOL",
    "HTTP_REQUEST",
}
# Errors of what is installed, configured or at the endpoint: nothing could be asked, for no key's sake.
_SETUP = (
    boto.BaseEndpointResolverError,
    boto.EndpointProviderError,
    boto.InvalidEndpointConfigurationError,
    boto.InvalidProxiesConfigError,
    boto.InvalidRegionError,
    boto.MissingDependencyException,
    boto.UnknownRegionError,
    boto.UnknownSignatureVersionError,
    boto.UnsupportedS3AccesspointConfigurationError,
    boto.UnsupportedS3ArnError,
    boto.UnsupportedS3ConfigurationError,
    OSError,
    RecursionError,
)
_CREDENTIALS = {
    boto.NoCredentialsError: "Set them in the AWS connection, or give the worker a role.",
    boto.PartialCredentialsError: "Set access key and secret key, both, in the AWS connection.",
    boto.TokenRetrievalError: "Log in again (aws sso login), where the worker runs.",
    boto.SSOError: "Log in again (aws sso login), where the worker runs.",
    boto.ProfileNotFound: "Check profile_name in the AWS connection, and the worker's AWS configuration files.",
    boto.ConfigNotFound: "Check the AWS configuration files of the worker.",
    boto.ConfigParseError: "Check the AWS configuration files of the worker.",
    boto.InvalidConfigError: "Check the profile in the worker's AWS configuration files.",
    boto.CredentialRetrievalError: "Check the AWS connection's role, or what gives the worker its credentials.",
}
_SECRETS = (
    (re.compile(r"://[^/\s@]*@"), "://***@"),
    (
        re.compile(
            r"(?i)\b(X-Amz-[A-Za-z-]+|AWSAccessKeyId|Signature|aws_[a-z_]*(?:key|token))(\s*[=:]\s*)[^\s&,;\"']+"
        ),
        r"\1\2***",
    ),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}"), "***"),
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_LONGEST = 300  # characters of somebody else's text
_RIGHT = re.compile(r"not authorized to perform:? ([a-z0-9-]+:\w+)")


def redacted(text: object) -> str:
    """Somebody else's text on one line, without secrets, at most ``_LONGEST`` characters."""
    said = " ".join(_UNPRINTABLE.sub(" ", str(text or "")).split())
    for pattern, mask in _SECRETS:
        said = pattern.sub(mask, said)
    return said if len(said) <= _LONGEST else said[: _LONGEST - 3] + "..."


def is_about_all(error: S3IntegrationError) -> bool:
    """Whether an error is proven to be about every object, whichever key it came with: credentials, bucket, setup."""
    return isinstance(error, CredentialsError | NoSuchBucketError) or error.code in _OF_ALL or "setup" in error.details


def missing_credentials(error: Exception) -> str | None:
    """What to do where botocore has found none to sign with; ``None`` of other errors."""
    return next((remedy for kind, remedy in _CREDENTIALS.items() if isinstance(error, kind)), None)


def _from_answer(
    error: boto.ClientError, operation: str, bucket: str, key: str | None, *, request_payer: bool
) -> S3IntegrationError:
    answer = error.response
    code = redacted(answer.get("Error", {}).get("Code", "")) or "s3_error"
    said = redacted(answer.get("Error", {}).get("Message", ""))
    meta = answer.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode", 0)
    cls = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if cls is None:
        cls = SourceUnavailableError if status >= 500 else S3IntegrationError
    if cls is NoSuchKeyError and key is None:
        cls = NoSuchBucketError
    details = {"bucket": bucket, "operation": operation, "status": status, "request_id": meta.get("RequestId")}
    hint = _denied_hint(said, request_payer=request_payer) if cls is AccessDeniedError else None
    return cls(_sentence(cls, operation, bucket, key, code, said), code=code, details=details, key=key, hint=hint)


def _denied_hint(said: str, *, request_payer: bool) -> str:
    """What gives the right that S3 names; it names none where HEAD, which has no body, or an older server refuses."""
    right = _RIGHT.search(said)
    if right is not None and not right[1].startswith("s3:"):
        return f"Give the AWS connection's identity {right[1]}, by its policy or by that of the key or resource."
    payer = "" if request_payer else " Where the bucket is Requester Pays, set request_payer."
    return AccessDeniedError.default_hint + payer


def _sentence(cls: type[S3IntegrationError], operation: str, bucket: str, key: str | None, code: str, said: str) -> str:
    what = f"s3://{bucket}/{key}" if key is not None else f"bucket {bucket}"
    ours = {
        NoSuchBucketError: f"{what} doesn't exist",
        NoSuchKeyError: f"{what} doesn't exist any more",
        AccessDeniedError: f"S3 denies {operation} on {what}",
        CredentialsError: f"S3 doesn't accept the credentials for {operation} on {what}",
        InvalidObjectStateError: f"{what} is archived",
        SourceChangedError: f"{what} has changed since it was listed",
        SourceUnavailableError: f"S3 couldn't answer {operation} on {what} for now",
    }.get(cls, f"S3 refused {operation} on {what}")
    return f"{ours} ({code}{': ' + said.rstrip('.') if said else ''})."


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
def s3_errors(operation: str, bucket: str, key: str | None = None, *, request_payer: bool = False) -> Iterator[None]:
    """Raise botocore's errors of the block as ``S3IntegrationError``, without the request they hold.

    With a key, whatever else Python raises is about that key: botocore trips over answers that aren't S3's.
    """
    try:
        yield
    except boto.ClientError as error:
        raise _from_answer(error, operation, bucket, key, request_payer=request_payer) from None
    except (boto.BotoCoreError, OSError, RecursionError, ResponseParserError) as error:
        raise _without_answer(error, operation, bucket, key) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if key is None:
            raise
        raise S3IntegrationError(
            f"S3's answer to {operation} on s3://{bucket}/{key} can't be read ({_named(error)}).",
            code="AnswerUnreadable",
            details={"bucket": bucket, "operation": operation},
            key=key,
            hint="Look at the object's headers with another client, or leave it out with exclude.",
        ) from None


def _without_answer(error: Exception, operation: str, bucket: str, key: str | None) -> S3IntegrationError:
    """botocore's own errors: there was no answer, or none that it could read."""
    where = f"s3://{bucket}/{key}" if key is not None else f"bucket {bucket}"
    cls, said, hint, code = _judged(error, operation, where)
    details: dict[str, object] = {"bucket": bucket, "operation": operation}
    if isinstance(error, _SETUP) and cls is not SourceUnavailableError:
        details["setup"] = True
    return cls(said, code=code or type(error).__name__, details=details, key=key, hint=hint)


def _judged(error: Exception, operation: str, where: str) -> tuple[type[S3IntegrationError], str, str | None, str]:
    """(type, sentence, remedy or the type's own, code or the error's name)"""
    if remedy := missing_credentials(error):
        said = f"There are no AWS credentials for {operation} on {where} ({_named(error)})."
        return CredentialsError, said, remedy, ""
    if isinstance(error, _BROKEN_OFF):
        said = f"S3 broke off in the middle of {where} ({type(error).__name__}): its body is cut short."
        hint = "It is read again; if it lasts, check the proxy and firewall on the way to S3."
        return SourceUnavailableError, said, hint, ""
    if isinstance(error, _UNREACHABLE):
        said = f"S3 can't be reached for {operation} on {where} ({_named(error)})."
        return SourceUnavailableError, said, _way_in(error), ""
    if isinstance(error, boto.FlexibleChecksumError):
        return (
            SourceIntegrityError,
            f"{where} gave bytes with another checksum than S3 stores.",
            None,
            "ChecksumMismatch",
        )
    if isinstance(error, ResponseParserError):
        hint = "Check that the endpoint of the AWS connection is S3 and not a proxy's page."
        return SourceUnavailableError, f"S3's answer to {operation} on {where} can't be read.", hint, "AnswerUnreadable"
    return _unsent(error, operation, where)


def _unsent(error: Exception, operation: str, where: str) -> tuple[type[S3IntegrationError], str, str | None, str]:
    if isinstance(error, FileNotFoundError | PermissionError):  # a web identity's token, a CA bundle
        said = f"A file that the login to S3 needs can't be read ({_named(error)})."
        return (
            CredentialsError,
            said,
            "Check the paths in the worker's environment (AWS_WEB_IDENTITY_TOKEN_FILE ...).",
            "",
        )
    if isinstance(error, RecursionError):
        said = f"The endpoint answers {operation} on {where} with redirects that lead nowhere."
        return (
            S3IntegrationError,
            said,
            "Check endpoint_url in the AWS connection: https:// or http://, host and region.",
            "",
        )
    said = f"{operation} on {where} can't be sent ({_named(error)})."
    if isinstance(error, boto.MissingDependencyException):
        return (
            S3IntegrationError,
            said,
            "Install botocore[crt] where Airflow runs; access point ARNs of several regions need it.",
            "",
        )
    return S3IntegrationError, said, "Check the bucket's name and the AWS connection's settings.", ""


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {redacted(error)}".rstrip(". :")
