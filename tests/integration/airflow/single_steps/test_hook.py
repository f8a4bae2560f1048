"""What the connection may say, and what people read when it is wrong."""

from __future__ import annotations

import dataclasses
import logging
import pickle

import pytest

from cloudindex_provider import errors
from cloudindex_provider.hooks.cloudindex import CloudIndexHook, CloudIndexSettings

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")


def test_the_form_and_a_uri_mean_the_same(service, connect, monkeypatch):
    connect(read_timeout=60, max_file_size=5)
    form = CloudIndexHook().settings
    host, port = service.url.removeprefix("http://").removesuffix("/public/v1").split(":")
    uri = f"cloudindex://:{service.key}@{host}:{port}/http?project_id={service.project}&read_timeout=60&max_file_size=5"
    monkeypatch.setenv("AIRFLOW_CONN_CLOUDINDEX_DEFAULT", uri)
    assert CloudIndexHook().settings == form
    assert form == CloudIndexSettings(service.url, project_id=service.project, read_timeout=60, max_file_size=5)


def test_absent_null_and_empty_extras_are_the_defaults(connect, service):
    connect(project_id="", auth_scheme=None, read_timeout="", max_concurrency=None)
    assert CloudIndexHook().settings == CloudIndexSettings(service.url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auth_scheme", "Basic"),
        ("auth_scheme", ["ApiKey"]),
        ("connect_timeout", 0),
        ("read_timeout", "a minute"),
        ("read_timeout", float("inf")),
        ("max_file_size", -1),
        ("max_file_size", 1.5),
        ("max_request_size", True),
        ("max_request_size", "20MB"),
        ("max_concurrency", 0),
        ("project_id", 7),
    ],
)
def test_a_wrong_extra_is_named_with_its_connection_and_value(connect, name, value):
    connect(**{name: value})
    with pytest.raises(errors.ConfigurationError) as caught:
        _ = CloudIndexHook().settings
    for word in ("'cloudindex_default'", name, repr(value)):
        assert word in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("extra", ["{not json", "[1]"])
def test_broken_extras_are_an_error_and_not_no_extras(connect, extra):
    connect(extra=extra)
    with pytest.raises(errors.ConfigurationError, match="extras of connection 'cloudindex_default'"):
        _ = CloudIndexHook().settings


def test_the_project_is_the_tasks_then_the_connections(connect, service):
    assert CloudIndexHook(project_id="mine").project_id == "mine"
    assert CloudIndexHook().project_id == service.project
    connect(project_id=None)
    with pytest.raises(errors.ConfigurationError, match="neither the task nor connection 'cloudindex_default'"):
        _ = CloudIndexHook().project_id


def test_one_client_per_hook_until_it_is_closed():
    hook = CloudIndexHook()
    first = hook.get_conn()
    assert hook.get_conn() is first
    hook.close()
    second = hook.get_conn()
    assert second is not first
    hook.close()


def test_a_good_connection_costs_one_request(service):
    good, message = CloudIndexHook().test_connection()
    assert good, message
    assert service.url in message
    assert len(service.requests) == 1


def _wrong_key(service, connect):
    connect(password="wrong-key-of-somebody")


def _unknown_project(service, connect):
    connect(project_id="other")


def _nobody_there(service, connect):
    connect(host="http://127.0.0.1:9/public/v1")


def _no_key(service, connect):
    connect(password=None)


def _forbidden(service, connect):
    service.stay(403, {"error": "Forbidden"})


def _web_page(service, connect):
    service.stay(200, "<!doctype html><html><body>hello</body></html>", content_type="text/html")


def _no_tls(service, connect):
    connect(host=service.url.replace("http://", "https://"))


def _no_project(service, connect):
    connect(project_id=None)


@pytest.mark.parametrize(
    ("break_it", "says", "remedy"),
    [
        (_wrong_key, "refused the API key", "put a valid key into"),
        (_unknown_project, "does not know project 'other'", "correct the project_id"),
        (_nobody_there, "127.0.0.1 refused the connection", "check the connection's host"),
        (_no_key, "has no API key", "password"),
        (_forbidden, "may not do this", "use a key of this project"),
        (_web_page, "is not the CloudIndex API", "base URL of the API"),
        (_no_tls, "No TLS connection to 127.0.0.1", "http://"),
        (_no_project, "neither the task nor", "set project_id"),
    ],
)
def test_the_test_button_says_in_one_sentence_what_is_wrong_and_what_to_do(service, connect, break_it, says, remedy):
    break_it(service, connect)
    good, message = CloudIndexHook().test_connection()
    assert not good
    assert says in message
    assert remedy in message
    assert message.count("his connection") == 1  # Airflow makes up an id for what stands in the form
    assert "cloudindex_default" not in message
    assert "\n" not in message
    assert message.endswith(".")
    assert "key-" not in message


def test_errors_of_a_session_keep_type_and_fields_and_name_the_connection(service):
    service.stay(429, {"error": "Too many"}, headers={"Retry-After": "99", "X-Request-ID": "r-1"})
    with pytest.raises(errors.RateLimitedError) as caught, CloudIndexHook().session() as client:
        client.check(project_id=service.project)
    assert caught.value.retry_after == pytest.approx(99, abs=1)
    assert caught.value.request_id == "r-1"
    assert "connection 'cloudindex_default'" in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).fields() == caught.value.fields()  # noqa: S301 - made here


def test_the_key_is_in_nothing_that_can_be_printed(service):
    hook = CloudIndexHook()
    client = hook.get_conn()
    shown = " ".join([repr(hook.settings), repr(hook), repr(client), str(dataclasses.asdict(hook.settings))])
    hook.close()
    assert service.key not in shown


def test_airflow_masks_the_key_by_itself(service):
    CloudIndexHook().get_conn()
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # which takes it from a private module

    assert service.key not in str(redact(f"oops: {service.key}"))


def test_nothing_is_read_before_it_is_needed(caplog):
    with caplog.at_level(logging.DEBUG):
        CloudIndexHook("nowhere")
    assert not caplog.records
