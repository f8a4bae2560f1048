"""botocore's exceptions become ours by code and status: type, code, key, details, and nothing of the request."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore import exceptions as boto
from botocore.client import Config
from botocore.stub import Stubber

from cloudindex_provider import errors
from cloudindex_provider.s3.error_mapping import is_about_all, redacted, s3_errors
from cloudindex_provider.s3.source import S3Source
from tests.support.mirror import s3_client


def refusal(code: str, status: int) -> boto.ClientError:
    answer = {
        "Error": {"Code": code, "Message": "words of\nthe server, key AKIAIOSFODNN7EXAMPLE."},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "R1"},
    }
    return boto.ClientError(answer, "GetObject")


def caught(error: Exception, *, key: str | None = "a/b") -> errors.S3IntegrationError:
    with pytest.raises(errors.S3IntegrationError) as info, s3_errors("GetObject", "docs", key):
        raise error
    return info.value


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchKey", 404, errors.NoSuchKeyError),
        ("NoSuchVersion", 404, errors.NoSuchKeyError),
        ("404", 404, errors.NoSuchKeyError),  # HEAD has no body, so botocore makes the code of the status
        ("NoSuchBucket", 404, errors.NoSuchBucketError),
        ("AccessDenied", 403, errors.AccessDeniedError),
        ("403", 403, errors.AccessDeniedError),
        ("AllAccessDisabled", 403, errors.AccessDeniedError),
        ("InvalidAccessKeyId", 403, errors.CredentialsError),
        ("SignatureDoesNotMatch", 403, errors.CredentialsError),
        ("ExpiredToken", 400, errors.CredentialsError),
        ("Unauthorized", 401, errors.AccessDeniedError),
        ("InvalidObjectState", 403, errors.InvalidObjectStateError),
        ("PreconditionFailed", 412, errors.SourceChangedError),
        ("412", 412, errors.SourceChangedError),
        ("SlowDown", 503, errors.SourceUnavailableError),
        ("503", 503, errors.SourceUnavailableError),
        ("InternalError", 500, errors.SourceUnavailableError),
        ("RequestTimeout", 400, errors.SourceUnavailableError),
        ("TooManyRequests", 429, errors.SourceUnavailableError),
        ("Unheard", 599, errors.SourceUnavailableError),
        ("PermanentRedirect", 301, errors.S3IntegrationError),
        ("Unheard", 400, errors.S3IntegrationError),
    ],
)
def test_an_answer_becomes_a_type(code: str, status: int, expected: type[errors.S3IntegrationError]) -> None:
    """Every refusal has a type of its own kind, with S3's code, the key and the request's id."""
    error = caught(refusal(code, status))
    assert type(error) is expected
    assert (error.code, error.key) == (code, "a/b")
    assert error.details == {"bucket": "docs", "operation": "GetObject", "status": status, "request_id": "R1"}
    assert f"({code}: words of the server, key ***)" in error.message
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_a_404_without_a_key_is_about_the_bucket() -> None:
    """A listing that isn't found has no bucket."""
    assert type(caught(refusal("404", 404), key=None)) is errors.NoSuchBucketError


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"])
def test_bad_credentials_are_told_from_missing_rights(code: str) -> None:
    """Where S3 doesn't accept the credentials, the hint speaks of them and not of policies."""
    assert "credentials" in caught(refusal(code, 403)).hint
    assert "s3:ListBucket" in caught(refusal("AccessDenied", 403)).hint


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (boto.EndpointConnectionError(endpoint_url="https://s3"), errors.SourceUnavailableError),
        (boto.ConnectTimeoutError(endpoint_url="https://s3"), errors.SourceUnavailableError),
        (boto.ReadTimeoutError(endpoint_url="https://s3"), errors.SourceUnavailableError),
        (boto.ConnectionClosedError(endpoint_url="https://s3"), errors.SourceUnavailableError),
        (boto.SSLError(endpoint_url="https://s3", error="x"), errors.SourceUnavailableError),
        (boto.ProxyConnectionError(proxy_url="http://user:pw@proxy"), errors.SourceUnavailableError),
        (boto.ResponseStreamingError(error="cut"), errors.SourceUnavailableError),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), errors.SourceUnavailableError),
        (boto.NoCredentialsError(), errors.CredentialsError),
        (boto.PartialCredentialsError(provider="env", cred_var="x"), errors.CredentialsError),
        (boto.CredentialRetrievalError(provider="role", error_msg="x"), errors.CredentialsError),
        (boto.UnauthorizedSSOTokenError(), errors.CredentialsError),
        (boto.SSOTokenLoadError(error_msg="x"), errors.CredentialsError),
        (boto.ProfileNotFound(profile="x"), errors.CredentialsError),
        (boto.MissingDependencyException(msg="x"), errors.S3IntegrationError),
        (FileNotFoundError(2, "No such file", "/token"), errors.CredentialsError),
        (RecursionError(), errors.S3IntegrationError),
        (ConnectionResetError("by peer"), errors.SourceUnavailableError),
        (boto.ParamValidationError(report="x"), errors.S3IntegrationError),
        (boto.InvalidEndpointDiscoveryConfigurationError(config_value="x"), errors.S3IntegrationError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_never_got_an_answer_becomes_a_type(error: Exception, expected: type[errors.S3IntegrationError]) -> None:
    """Network and credentials are told apart, with a hint, and no URL or password is shown."""
    mapped = caught(error)
    assert type(mapped) is expected
    assert (mapped.code, mapped.key) == (type(error).__name__, "a/b")
    assert mapped.hint
    assert "pw@" not in str(mapped)


def test_a_body_cut_short_is_told_as_cut_short() -> None:
    """In some versions of botocore this error is one of the HTTP client's, too."""
    error = caught(boto.ResponseStreamingError(error="IncompleteRead(3 bytes read)"))
    assert "its body is cut short" in error.message
    assert "can't be reached" not in error.message


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("User: arn:aws:sts::1:x is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:k", "kms:Decrypt"),
        ("User: x is not authorized to perform: s3:GetObject on resource: y", "s3:GetObject on its objects"),
        ("Access Denied", "set request_payer"),
    ],
)
def test_a_refusal_s_remedy_is_the_right_that_s3_names(said: str, remedy: str) -> None:
    """And S3's own words are in the message."""
    answer = {"Error": {"Code": "AccessDenied", "Message": said}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    error = caught(boto.ClientError(answer, "GetObject"))
    assert said in error.message
    assert remedy in error.hint


@pytest.mark.parametrize("error", [KeyError("ContentLength"), ValueError("Expires"), TypeError(), AttributeError("x")])
def test_what_botocore_trips_over_is_about_the_key(error: Exception) -> None:
    """An answer that can't be read, with the reason; never a reason to stop everything."""
    found = caught(error)
    assert (found.code, found.key) == ("AnswerUnreadable", "a/b")
    assert type(error).__name__ in found.message
    assert not is_about_all(found)
    with pytest.raises(type(error)), s3_errors("ListObjectsV2", "docs"):
        raise error


@pytest.mark.parametrize(
    ("error", "all_of_them"),
    [
        (refusal("AccessDenied", 403), False),
        (refusal("KMS.DisabledException", 400), False),
        (refusal("InvalidRequest", 400), False),
        (refusal("UnavailableForLegalReasons", 451), False),
        (refusal("NoSuchKey", 404), False),
        (refusal("SlowDown", 503), False),
        (refusal("ExpiredToken", 400), True),
        (refusal("NoSuchBucket", 404), True),
        (refusal("PermanentRedirect", 301), True),
        (refusal("AuthorizationHeaderMalformed", 400), True),
        (boto.NoCredentialsError(), True),
        (boto.MissingDependencyException(msg="x"), True),
        (boto.ParamValidationError(report="Invalid length for parameter Key"), False),
        (boto.ReadTimeoutError(endpoint_url="x"), False),
        (boto.RangeError(value=1, param="x", min_value=2, max_value=3), False),
        (ConnectionResetError("by peer"), False),
        (FileNotFoundError(2, "No such file", "/token"), True),
        (RecursionError(), True),
        (boto.UnsupportedS3ArnError(arn="x"), True),
    ],
    ids=str,
)
def test_only_what_is_proven_to_be_about_all_objects_is(error: Exception, all_of_them: bool) -> None:
    """Credentials, the bucket, the setup; whatever else a key was refused for is the key's."""
    assert is_about_all(caught(error)) is all_of_them


def test_secrets_in_somebody_else_s_words_are_masked() -> None:
    """Keys, passwords in URLs, signatures; on one line, and bounded."""
    said = redacted("http://user:pw@host/?X-Amz-Signature=abc&x=1\nAKIAIOSFODNN7EXAMPLE \ud800" + "y" * 500)
    assert said.startswith("http://***@host/?X-Amz-Signature=***&x=1 *** ")
    assert len(said) == 300


def test_other_exceptions_pass() -> None:
    """What isn't botocore's is nobody's business here."""
    with pytest.raises(ZeroDivisionError), s3_errors("GetObject", "docs"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(403, "403", errors.AccessDeniedError), (500, "500", errors.SourceUnavailableError)],
)
def test_a_real_client_s_refusals_are_mapped(status: int, code: str, expected: type[Exception]) -> None:
    """What botocore itself raises for a HEAD's status arrives as our type."""
    client: Any = boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y",
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    with Stubber(client) as stub:
        for _ in range(3 if status >= 500 else 1):  # what may pass is asked again
            stub.add_client_error("head_object", service_error_code=code, http_status_code=status)
        with pytest.raises(expected):
            S3Source(client, "docs", first_wait=0).head("a")
        stub.assert_no_pending_responses()


def test_an_answer_without_tls_names_http() -> None:
    """An https endpoint on a port that speaks plain HTTP: neither DNS nor a firewall is the cause."""

    class Plain(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Plain) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        client = s3_client(f"https://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(errors.SourceUnavailableError) as info:
            S3Source(client, "docs", first_wait=0).head("k")
        server.shutdown()
    assert "http://" in info.value.hint
    assert "firewall" not in info.value.hint


@pytest.mark.parametrize("rows", [[("a", "e", 1)], []])
def test_a_listing_that_is_no_xml_is_unreadable(
    make_client: Callable[[], tuple[Any, Any]], server: Any, rows: list[tuple[str, str, int]]
) -> None:
    """A control character in a token, which no XML may hold, is no 500 of the storage."""
    client, answers = make_client()
    answers.body = server.page(rows, token="docs/\x01.txt")
    with pytest.raises(errors.SourceUnavailableError) as info:
        list(S3Source(client, "docs", first_wait=0).pages())
    assert info.value.code == "AnswerUnreadable"
    assert "can't be read" in info.value.message
