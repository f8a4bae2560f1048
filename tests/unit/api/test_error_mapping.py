"""Error answers of every dialect, secrets in texts, and the decision to try again."""

from __future__ import annotations

import json
import pickle
import socket
import ssl
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudindex_provider import errors
from cloudindex_provider.api import build, connecting, error_mapping
from cloudindex_provider.api.attempts import MAX_ATTEMPTS, Repeat, next_wait
from cloudindex_provider.api.error_mapping import Answer
from cloudindex_provider.api.limits import check_files
from cloudindex_provider.api.models import FilePart
from cloudindex_provider.api.redact import clean, redact, secret_values

LIST = build.list_documents("p")
UPLOAD = build.upload_documents("p")


def error(body, status=400, headers=None, secrets=(), call=LIST):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_mapping.answer_error(call, Answer(status, headers or {}, data), secrets)


@pytest.mark.parametrize(
    ("body", "message", "code", "category", "request_id"),
    [
        ({"error": "Bad file", "code": "c1", "category": "v", "details": None}, "Bad file", "c1", "v", None),
        ({"error": {"code": "c2", "message": "No", "requestId": "r2"}}, "No", "c2", None, "r2"),
        (
            {"code": "api_key/invalid", "category": "api_key", "message": "Key"},
            "Key",
            "api_key/invalid",
            "api_key",
            None,
        ),
        ({"code": "x", "message": "Oops", "details": {"request_id": "r3"}}, "Oops", "x", None, "r3"),
        ({"error": "e", "requestId": 7}, "e", None, None, "7"),
        ("just a text", "just a text", None, None, None),
        ([1], "The service answered 400 Bad Request.", None, None, None),
        ({"error": None, "code": None}, "The service answered 400 Bad Request.", None, None, None),
        (b"", "The service answered 400 Bad Request.", None, None, None),
        (b"plain words", "plain words", None, None, None),
        (b"<html><title>502 Bad\nGateway</title>", "502 Bad Gateway (a web page, not the API)", None, None, None),
        (b"<html><body>x", "The service answered 400 Bad Request.", None, None, None),
        (b"\xff\xfe\x00", "\ufffd\ufffd", None, None, None),
    ],
)
def test_every_dialect_of_an_error_is_understood(body, message, code, category, request_id):
    found = error(body)
    assert (found.message, found.code, found.category, found.request_id) == (message, code, category, request_id)
    assert found.operation == "list documents"


def test_the_request_id_of_the_header_wins():
    assert error({"requestId": "body"}, headers={"x-request-id": "head"}).request_id == "head"


def test_a_429_says_when_to_come_again_by_any_of_its_hints():
    now = 1_700_000_000
    date = {"date": formatdate(now, usegmt=True)}
    assert error({}, 429, {**date, "retry-after": "5", "x-ratelimit-reset": str(now + 9)}).retry_after == 5
    assert error({}, 429, {**date, "x-ratelimit-reset": str(now + 9)}).retry_after == 9
    assert error({"details": {"reset_at": now + 7}}, 429, date).retry_after == 7
    assert error({}, 429).retry_after is None
    assert error({}, 403, {**date, "x-ratelimit-reset": str(now + 9)}).retry_after is None


def test_secrets_and_line_ends_of_a_server_dont_reach_the_message():
    found = error({"message": "bad key s3cr3t-key\nFAKE LOG LINE", "code": "s3cr3t-key"}, secrets=["s3cr3t-key"])
    assert found.message == "bad key *** FAKE LOG LINE"
    assert "s3cr3t" not in str(found)


@given(st.binary(max_size=60), st.integers(400, 599))
def test_no_body_makes_the_parser_raise(body, status):
    assert isinstance(error(body, status), errors.ApiError)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: ApiKey abc-123", "Authorization: ApiKey ***"),
        ('{"authorization": "Bearer abc123"}', '{"authorization": "Bearer ***"}'),
        ("sent Bearer eyJ.abc.def here", "sent Bearer *** here"),
        ("the ApiKey header is missing", "the ApiKey header is missing"),
        ("my s3cr3t!", "my ***!"),
        ("tiny abc", "tiny abc"),
    ],
)
def test_keys_are_masked_and_sentences_stay_readable(text, shown):
    assert redact(text, ["s3cr3t", "abc"]) == shown


@given(st.text(), st.text(min_size=4))
def test_a_secret_never_survives(text, secret):
    assert secret not in redact(text + secret + text, [secret]) or secret in "***"


def test_a_cleaned_text_is_one_short_line():
    assert clean("a\x1b[31m\r\nb\u2028c" + "x" * 400).startswith("a [31m b cxxx")
    assert len(clean("x" * 400)) == 300


def test_all_strings_of_credentials_are_secrets():
    assert set(secret_values({"a": "x1", "b": {"c": ["x2", 3, None]}})) == {"x1", "x2"}


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        (socket.gaierror(-2, "x"), "unknown"),
        (ConnectionRefusedError(), "refused"),
        (ssl.SSLCertVerificationError(), "certificate"),
        (ssl.SSLError(), "TLS"),
        (TimeoutError(), "within 3 s"),
        (OSError(), "No connection"),
    ],
)
def test_a_failed_connection_names_host_and_remedy_by_what_lies_underneath(cause, says):
    outer = RuntimeError("wrapped")
    outer.__cause__ = cause
    found = connecting.connect_error(LIST, "https://api.test:1/x", outer, 3.0)
    assert says in found.message
    assert "api.test" in found.message
    assert found.hint


HICCUP = errors.ServerError("x", status=503)
LIMITED = errors.RateLimitedError("x", status=429)


def wait(found, repeat=Repeat.SAFE, **more):
    return next_wait(found, **({"attempt": 1, "repeat": repeat, "waited": 0.0, "took": 0.0, "max_wait": 5.0} | more))


def test_one_function_decides_about_repeats():
    once = Repeat.ONLY_IF_NOT_DONE
    assert wait(HICCUP) == 0.5
    assert wait(HICCUP, attempt=2) == 1.0
    assert wait(HICCUP, attempt=MAX_ATTEMPTS) is None
    assert wait(HICCUP, once) is None
    assert wait(HICCUP, took=6.0) is None
    assert wait(HICCUP, waited=4.8) is None
    assert wait(errors.ServerError("x", status=500)) is None
    assert wait(errors.InterruptedRequestError("x")) == 0.5
    assert wait(errors.InterruptedRequestError("x"), once) is None
    assert wait(errors.InvalidAnswerError("x")) is None
    assert wait(errors.ConnectError("x"), once) == 0.5
    assert wait(LIMITED, once, took=60.0) == 0.5
    assert wait(errors.RateLimitedError("x", retry_after=4.0)) == 4.0
    assert wait(errors.RateLimitedError("x", retry_after=4.0), waited=2.0) is None
    assert wait(errors.RateLimitedError("x", retry_after=5.1)) is None


@pytest.mark.parametrize(
    "kind", [kind for kind in map(vars(errors).__getitem__, errors.__all__) if issubclass(kind, errors.CloudIndexError)]
)
def test_errors_pickle_with_their_fields(kind):
    one = kind(
        "m", status=1, code="c", category="g", request_id="r", retry_after=2.0, operation="o", outcome_unknown=True
    )
    again = pickle.loads(pickle.dumps(one))  # noqa: S301 - our own bytes
    assert (type(again), again.fields(), str(again)) == (kind, one.fields(), str(one))


def test_a_request_inside_its_limits_passes_and_each_limit_is_named():
    def part(name, size):
        return FilePart(name, size, lambda: [])

    check_files([part("a", 10), part("b", 10)], max_file_size=10, max_request_size=20)
    with pytest.raises(errors.ConfigurationError, match="a file may have 9"):
        check_files([part("a", 10)], max_file_size=9)
    with pytest.raises(errors.ConfigurationError, match="it may have 19"):
        check_files([part("a", 10), part("b", 10)], max_request_size=19)
    with pytest.raises(errors.ConfigurationError, match="size -1"):
        check_files([part("a", -1)])
