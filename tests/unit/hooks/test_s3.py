"""What is wrong with a connection to S3 is said in one sentence, with botocore's words, after one request at most."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.errors import CredentialsError, S3IntegrationError, SettingsError, SourceUnavailableError
from cloudindex_provider.s3.error_mapping import is_about_all
from cloudindex_provider.s3.source import S3Source

pytestmark = pytest.mark.usefixtures("airflow_home")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """boto3's own credentials come from here alone."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def redirecting() -> Iterator[tuple[str, list[str]]]:
    """A web server in front of S3 that sends everybody to https; and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(301)
            self.send_header("Location", f"https://user:pw@127.0.0.1{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def failing(bucket: str = "docs", *, call: str = "pages") -> S3IntegrationError:
    """The error of the first request over boto3's own credentials, as a task gives it."""
    from cloudindex_provider.hooks.s3 import named_s3_errors, s3_client

    source = S3Source(s3_client(None, bucket), bucket, first_wait=0)
    with pytest.raises(S3IntegrationError) as caught, named_s3_errors(None):
        list(source.pages()) if call == "pages" else source.head("k")
    assert "AWS connection none (boto3's own credentials)" in str(caught.value)
    assert is_about_all(caught.value)
    return caught.value


@pytest.mark.parametrize("call", ["pages", "head"])
def test_an_endpoint_that_redirects_is_named_after_one_request(
    redirecting: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """No recursion, no password, and where it leads to."""
    url, asked = redirecting
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    error = failing(call=call)
    assert "redirects to https://127.0.0.1" in str(error)
    assert "endpoint_url" in error.hint
    assert "pw" not in error.message
    assert len(asked) == 1


def test_a_missing_token_file_of_a_web_identity_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a Kubernetes worker without its service account's volume."""
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "no-token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader")
    error = failing()
    assert type(error) is CredentialsError
    assert "no-token" in error.message


def test_an_unknown_profile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With botocore's own sentence."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    error = failing()
    assert type(error) is CredentialsError
    assert "The config profile (nobody) could not be found" in error.message


def test_an_expired_sso_login_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And what to do about it."""
    (tmp_path / "config").write_text(
        "[profile office]\nsso_start_url = https://o.awsapps.com/start\nsso_region = us-east-1\n"
        "sso_account_id = 1\nsso_role_name = r\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "office")
    error = failing()
    assert type(error) is CredentialsError
    assert "SSO" in error.message
    assert "aws sso login" in error.hint


def test_an_access_point_of_several_regions_asks_for_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its signature needs botocore[crt], which isn't installed by itself."""
    pytest.importorskip("botocore")
    try:
        import awscrt  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("botocore[crt] is installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    error = failing("arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap")
    assert "botocore[crt]" in error.hint


@pytest.mark.parametrize(
    ("conn_id", "text", "says"),
    [
        ("nowhere", None, "connection 'nowhere' is not defined."),
        ("web", "http://api.test", "connection 'web' is of type 'http', not 'aws'."),
        ("broken", "{not json", "the environment variable AIRFLOW_CONN_BROKEN is neither"),
    ],
)
def test_a_connection_that_cant_be_used_is_no_reason_to_take_other_credentials(
    monkeypatch: pytest.MonkeyPatch, conn_id: str, text: str | None, says: str
) -> None:
    """S3Hook warns and goes on with what the machine has: another identity, perhaps another store."""
    from cloudindex_provider.hooks.s3 import named_s3_errors, s3_client

    if text:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    source = S3Source(s3_client(conn_id, "docs"), "docs", first_wait=0)
    with pytest.raises(SettingsError) as caught, named_s3_errors(conn_id):
        list(source.pages())
    assert says in caught.value.message
    assert caught.value.field == "aws_conn_id"
    assert "aws_conn_id=None" in caught.value.hint
    assert not caught.value.retryable


def test_an_outage_of_the_secrets_backend_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is about all objects, not about the one that came first."""
    from airflow.sdk.execution_time import supervisor

    from cloudindex_provider.hooks.s3 import named_s3_errors, s3_client

    class Sealed:
        def get_connection(self, conn_id: str) -> None:
            raise OSError(conn_id)

    monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda: [Sealed()])
    with pytest.raises(SourceUnavailableError, match="can't be read") as caught, named_s3_errors("vaulted"):
        s3_client("vaulted", "docs").head_bucket(Bucket="docs")
    assert caught.value.retryable
    assert is_about_all(caught.value)
