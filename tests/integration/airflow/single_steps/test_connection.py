"""The connection as every HTTP provider has it: its forms, its extras, and one sentence where it can't be used."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from airflow.sdk import Connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cloudindex_provider import errors
from cloudindex_provider.api.network import Network
from cloudindex_provider.api.tls import Certificate
from cloudindex_provider.hooks import cloudindex, connections
from cloudindex_provider.hooks.cloudindex import CloudIndexHook, CloudIndexSettings
from cloudindex_provider.triggers.cloudindex import CloudIndexProcessingTrigger
from tests.support.local_proxy import LocalProxy

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")

PROXY_PASSWORD = "hunter2-of-the-proxy"
NAME = "AIRFLOW_CONN_CLOUDINDEX_DEFAULT"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """No proxies and certificates of this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def read(extra=None, **fields):
    """The settings of a connection with these fields."""
    extra = extra if isinstance(extra, str) else json.dumps(extra or {})
    connection = Connection(conn_id="c", conn_type="cloudindex", password="key-1", extra=extra, **fields)
    return CloudIndexSettings.from_connection(connection)


# Forms


@pytest.mark.parametrize(
    "text",
    [
        "cloudindex://:key-1@api.test/public/v1?project_id=p&read_timeout=60&verify=false",
        "cloudindex://:key-1@api.test/public/v1/?project_id=p&read_timeout=60&verify=False",
        "cloudindex://:key-1@api.test/https?project_id=p&read_timeout=60&verify=0",
        "cloudindex://:key-1@api.test?project_id=p&read_timeout=60.0&verify=no",
        "cloudindex://https://:key-1@api.test/public/v1?project_id=p&read_timeout=60&verify=false",
        "cloudindex://:key-1@https%3A%2F%2Fapi.test%2Fpublic%2Fv1?project_id=p&read_timeout=60&verify=false",
        "cloudindex://:key-1@api.test/?__extra__=%7B%22project_id%22%3A+%22p%22%2C+%22read_timeout%22%3A+60%2C"
        "+%22verify%22%3A+false%7D",
        '{"conn_type": "cloudindex", "password": "key-1", "host": "https://api.test/public/v1/",'
        ' "extra": {"project_id": "p", "read_timeout": 60, "verify": false}}',
        '{"conn_type": "cloudindex", "password": " key-1\\n", "host": "api.test", "schema": "https",'
        ' "extra": "{\\"project_id\\": \\" p \\", \\"read_timeout\\": \\"60\\", \\"verify\\": \\"false\\"}"}',
        '{"conn_type": "cloudindex", "password": "key-1", "host": "https://api.test/", "schema": "",'
        ' "extra": {"project_id": "p", "read_timeout": "60", "verify": "FALSE", "proxy": "", "cert": null}}',
    ],
)
def test_every_way_to_write_a_connection_means_the_same(monkeypatch, text):
    """A URI with the path in its place or in its host, JSON, and the form's fields."""
    monkeypatch.setenv(NAME, text)
    hook = CloudIndexHook()
    same = CloudIndexSettings(
        "https://api.test/public/v1", project_id="p", read_timeout=60.0, network=Network(verify=False)
    )
    assert hook.settings == same
    assert cloudindex._key(hook._load()) == "key-1"
    hook.get_conn()
    hook.close()


hosts = st.sampled_from(
    ["api.test", "https://api.test", "https://api.test:8443/a", "http://mock:8090", "::1", "10.0.0.1"]
)


schemas = st.sampled_from([None, "", "https", "http", "public/v1"])


@given(hosts, st.sampled_from([None, 8443]), schemas, st.text("aB9-_%@:/#? é", min_size=1))
def test_a_connection_is_the_same_after_airflow_has_written_it_down(host, port, schema, key):
    """As a URI and as JSON, whatever the key holds."""
    connection = Connection(
        conn_id="c", conn_type="cloudindex", host=host, port=port, schema=schema, password=key,
        extra='{"project_id": "p", "verify": false}',
    )  # fmt: skip

    def meaning(of):
        try:
            return CloudIndexSettings.from_connection(of), cloudindex._key(of)
        except errors.ConfigurationError as error:
            return str(error)

    assert meaning(Connection.from_json(connection.as_json(), conn_id="c")) == meaning(connection)
    if "://" not in host and ":" not in host:  # of those, Airflow's own URI loses the brackets or the port
        assert meaning(Connection.from_uri(connection.get_uri(), conn_id="c")) == meaning(connection)


# Extras


@pytest.mark.parametrize(
    ("extra", "network"),
    [
        ({}, Network()),
        ({"verify": None, "cert": "", "proxy": None, "trust_env": ""}, Network()),
        ({"verify": True}, Network()),
        ({"verify": "TRUE", "trust_env": "true"}, Network()),
        ({"verify": "false"}, Network(verify=False)),
        ({"verify": 0}, Network(verify=False)),
        ({"verify": " /etc/ca.pem "}, Network(verify="/etc/ca.pem")),
        ({"cert": "/c.pem"}, Network(certificate=Certificate("/c.pem"))),
        ({"cert": ["/c.pem", "/c.key"]}, Network(certificate=Certificate("/c.pem", "/c.key"))),
        ({"cert": '["/c.pem", "/c.key", "pw"]'}, Network(certificate=Certificate("/c.pem", "/c.key", "pw"))),
        ({"proxy": "http://u:p@h:1"}, Network(proxy="http://u:p@h:1")),
        ({"trust_env": "no"}, Network(trust_env=False)),
        ({"trust_env": False}, Network(trust_env=False)),
    ],
)
def test_the_extras_of_the_way_are_read_as_json_and_as_text(extra, network):
    """Booleans, paths and lists, as a form, JSON or a URI has them."""
    assert read(extra).network == network


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"verify": ["a"]}, "the extra verify of connection 'c' is a list"),
        ({"cert": 7}, "connection 'c': the extra cert is a int"),
        ({"cert": "[not json"}, "the extra cert of connection 'c' is a text of 9 characters"),
        ({"proxy": {"https": f"http://u:{PROXY_PASSWORD}@h"}}, "the extra proxy of connection 'c' is a dict"),
        ({"trust_env": "perhaps"}, "the extra trust_env of connection 'c' is a text of 7 characters"),
        ({"trust_env": 2}, "the extra trust_env of connection 'c' is a int"),
        ({"auth_scheme": "ApiKey key-0123"}, "the extra auth_scheme of connection 'c' is a text of 15 characters"),
    ],
)
def test_what_may_be_a_secret_is_named_by_its_form(extra, says):
    """A password in a proxy, a key in the wrong field."""
    with pytest.raises(errors.ConfigurationError) as caught:
        read(extra)
    assert says in caught.value.message
    assert caught.value.hint
    for secret in (PROXY_PASSWORD, "key-0123"):
        assert secret not in str(caught.value)


def test_what_means_nothing_is_named_once(connect, caplog):
    """Names only: a mistyped extra, a proxy as requests writes it, a login."""
    cloudindex._told.clear()
    connect(verify_ssl=False, proxies={"https": PROXY_PASSWORD}, timeout=1, login="somebody", verify="false")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert CloudIndexHook().settings
    unused, unchecked = [record.getMessage() for record in caplog.records if record.name == cloudindex.__name__]
    assert "its extra proxies, extra timeout, extra verify_ssl, login mean nothing" in unused
    assert "project_id" in unused
    assert "verify is false" in unchecked
    assert PROXY_PASSWORD not in caplog.text
    assert "somebody" not in caplog.text


def test_a_good_connection_is_silent(caplog):
    """Nothing is named where nothing is odd."""
    with caplog.at_level(logging.WARNING):
        assert CloudIndexHook().settings
    assert not [record for record in caplog.records if record.name == cloudindex.__name__]


@pytest.mark.parametrize("key", ["two words", "line\nend", "schlüssel", "zero\0byte", "ApiKey key-0123"])
def test_a_key_that_no_header_can_hold_is_refused(connect, key):
    """At once, and without the key."""
    connect(password=key)
    good, message = CloudIndexHook().test_connection()
    assert not good
    assert "his connection" in message
    assert "API key" in message
    assert key not in message


def test_a_key_in_the_login_is_told_where_it_belongs(monkeypatch):
    """In a URI one colon is easily forgotten."""
    monkeypatch.setenv(NAME, "cloudindex://key-0123@api.test/?project_id=p")
    good, message = CloudIndexHook().test_connection()
    assert not good
    assert "in a URI a colon precedes the key" in message
    assert "key-0123" not in message


# The Test button


def test_the_way_of_the_connection_is_the_way_of_the_client(service, connect):
    """A proxy with a password, which Airflow's log doesn't show either."""
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # which takes it from a private module

    with LocalProxy(login=f"airflow:{PROXY_PASSWORD}") as proxy:
        connect(proxy=proxy.url)
        good, message = CloudIndexHook().test_connection()
        assert good, message
        assert len(proxy.asked) == 1
    assert PROXY_PASSWORD not in str(redact(f"oops: {PROXY_PASSWORD}"))


FAULTS: dict[str, dict[str, Any]] = {
    "the environment variable SSL_CERT_FILE is a path where there is nothing": {"SSL_CERT_FILE": "/nowhere/ca.pem"},
    "the environment variable SSL_CERT_DIR is a path where there is nothing": {"SSL_CERT_DIR": "/nowhere"},
    "the environment variable HTTPS_PROXY has a port that is no number": {
        "HTTPS_PROXY": f"http://u:{PROXY_PASSWORD}@proxy:port"
    },
    "the environment variable https_proxy begins with another scheme": {
        "https_proxy": f"ftp://u:{PROXY_PASSWORD}@proxy"
    },
    "the environment variable ALL_PROXY names no host": {"ALL_PROXY": f"http://u:{PROXY_PASSWORD}@"},
    "the extra verify is a path where there is nothing": {"verify": "/nowhere/ca.pem"},
    "the certificate of the extra cert is a path where there is nothing": {
        "cert": ["/nowhere/c.pem", "/nowhere/c.key"]
    },
    "the extra proxy has a port that is no number": {"proxy": f"http://u:{PROXY_PASSWORD}@proxy:port"},
    "the extra proxy can't be used as a proxy": {"proxy": f"http://u:{PROXY_PASSWORD}@" + "x" * 300 + "\u2024com"},
}


@pytest.mark.parametrize("says", FAULTS)
def test_the_test_button_never_raises_for_the_way(connect, monkeypatch, says):
    """One sentence with the extra or the variable; a task fails by the same, at once."""
    for name, value in FAULTS[says].items():
        if name.islower() and name != "https_proxy":
            connect(**{name: value}, host="https://api.test")
        else:
            connect(host="https://api.test")
            monkeypatch.setenv(name, value)
    good, message = CloudIndexHook().test_connection()
    assert not good
    assert says in message
    assert message.count("his connection") == 1
    assert "\n" not in message
    with pytest.raises(errors.ConfigurationError) as caught:
        CloudIndexHook().get_conn()
    assert not caught.value.retryable
    for secret in (PROXY_PASSWORD, "/nowhere"):
        assert secret not in message + str(caught.value)


ODD_HOSTS = [
    "https://a..b", f"https://{'a' * 300}.invalid", "https://.invalid", "https://ü..invalid", "https://xn--a.invalid",
    "https://xn--ü.invalid", "https://999.1.1.1", "https://a\u2024b.invalid", "https://☃.invalid",
]  # fmt: skip


@pytest.mark.parametrize("host", ODD_HOSTS)
@pytest.mark.parametrize("place", ["host", "proxy"])
def test_a_host_that_no_socket_takes_is_refused_at_once(connect, host, place):
    """Empty or long labels, broken punycode, addresses that are none: before a request, by the connection's name."""
    connect(**({"host": host} if place == "host" else {"host": "https://api.invalid", "proxy": host}))
    good, message = CloudIndexHook().test_connection()
    assert not good
    assert "his connection" in message
    assert ("base URL" if place == "host" else "the extra proxy") in message
    with pytest.raises(errors.ConfigurationError):
        CloudIndexHook().get_conn()


def test_the_test_button_names_a_dead_proxy_and_not_cloudindex(connect):
    """The connection is right, but for its proxy."""
    connect(host="http://api.test/public/v1", proxy=f"http://u:{PROXY_PASSWORD}@127.0.0.1:9")
    good, message = CloudIndexHook().test_connection()
    assert not good
    assert "the proxy that the extra proxy names refused the connection" in message.lower()
    assert PROXY_PASSWORD not in message
    assert "CloudIndex at" not in message


@pytest.mark.parametrize("status", [401, 403, 404])
def test_another_web_server_is_not_taken_for_a_wrong_key_or_project(service, status):
    """Its page says that it isn't the API."""
    service.stay(status, "<html><title>Intranet</title></html>", content_type="text/html")
    good, message = CloudIndexHook().test_connection()
    assert not good
    assert f"what answers at {service.url} is not the CloudIndex API" in message
    assert "Intranet" in message


@pytest.mark.parametrize("body", ['{"status": "ok"}', "[1, 2]", "", "OK"])
def test_another_api_is_not_taken_for_cloudindex(service, body):
    """Any 2xx would do otherwise."""
    service.stay(200, body)
    good, message = CloudIndexHook().test_connection()
    assert not good
    assert "is not the CloudIndex API" in message


# A connection that is not there


def test_a_connection_that_is_not_defined_fails_at_once():
    """In one sentence, and not with Airflow's raw error at every retry."""
    with pytest.raises(errors.ConfigurationError) as caught:
        CloudIndexHook("nowhere").get_conn()
    assert str(caught.value) == "connection 'nowhere' is not defined. Add it with the type CloudIndex."
    assert not caught.value.retryable
    assert CloudIndexHook("nowhere").test_connection() == (
        False,
        "This connection is not defined; add it with the type CloudIndex.",
    )


@pytest.mark.parametrize("text", ["{not json", '{"port": "x"}', "cloudindex://:pw-0123@h:port/", "a://b://pw-0123://c"])
def test_a_variable_that_airflow_cant_read_is_named(monkeypatch, text):
    """Airflow itself says that the connection isn't defined."""
    monkeypatch.setenv(NAME, text)
    with pytest.raises(errors.ConfigurationError, match=f"the environment variable {NAME} is neither") as caught:
        CloudIndexHook().get_conn()
    assert "pw-0123" not in str(caught.value)


@pytest.mark.parametrize("conn_type", ["http", "aws", "postgres"])
def test_a_connection_of_another_type_is_refused(connect, conn_type):
    """It says which it is and which it should be."""
    connect(conn_type=conn_type)
    good, message = CloudIndexHook().test_connection()
    assert not good
    assert f"is of type '{conn_type}', not 'cloudindex'" in message
    with pytest.raises(errors.ConfigurationError, match="of type"):
        asyncio.run(CloudIndexHook().aload())


@pytest.mark.parametrize("conn_type", ["", "generic", "cloudindex"])
def test_a_connection_of_no_type_will_do(connect, conn_type):
    """Secrets backends often hold none."""
    connect(conn_type=conn_type)
    assert CloudIndexHook().test_connection()[0]


class Backend:
    """A secrets backend that has nothing, or can't be asked."""

    def __init__(self, *, down):
        self.down = down

    def get_connection(self, conn_id):
        if self.down:
            raise OSError(f"vault is sealed for {PROXY_PASSWORD}")


def test_an_outage_of_the_secrets_backend_is_no_missing_connection(monkeypatch):
    """It is tried again; what the backend itself has to say may hold secrets."""
    from airflow.sdk.execution_time import supervisor

    for down in (True, False):
        monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda down=down: [Backend(down=down)])
        kind = errors.TransportError if down else errors.ConfigurationError
        with pytest.raises(kind) as caught:
            CloudIndexHook("nowhere").get_conn()
        assert type(caught.value) is kind
        assert caught.value.retryable is down
        assert PROXY_PASSWORD not in str(caught.value)
        good, message = CloudIndexHook("nowhere").test_connection()
        assert not good
        assert "can't be read: Backend" in message or not down


def test_an_api_server_that_does_not_answer_is_no_missing_connection(monkeypatch):
    """Its secrets backend hides that; the supervisor's own answer tells the two apart."""
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time import supervisor, task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse
    from airflow.sdk.execution_time.secrets import ExecutionAPISecretsBackend

    class Supervisor:
        error = ErrorType.CONNECTION_NOT_FOUND

        def send(self, _):
            return ErrorResponse(error=self.error)

    comms = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
    monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda: [ExecutionAPISecretsBackend()])
    kind = connections.ConnectionType("cloudindex", "CloudIndex")
    for comms.error, passes in ((ErrorType.CONNECTION_NOT_FOUND, False), (ErrorType.API_SERVER_ERROR, True)):
        found = connections.find_connection("nowhere", kind)
        assert isinstance(found, connections.Unusable)
        assert found.may_pass is passes


# A key that is rotated


def test_a_key_that_is_rotated_in_the_middle_is_read_anew(service, connect):
    """The session goes on; the request that was refused is sent again, once."""
    hook = CloudIndexHook()
    with hook.session() as client:
        client.check()
        service.key = "key-of-tomorrow"
        connect(password="key-of-tomorrow")
        client.check()
    assert len(service.requests) == 3
    assert hook.test_connection()[0]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"password": ""},
        {"password": "key-of-tomorrow", "host": "http://127.0.0.1:9"},
        {"password": "key-of-tomorrow", "read_timeout": "x"},
        {"password": "key-of-tomorrow", "conn_type": "http"},
    ],
)
def test_a_key_for_another_service_is_never_sent(service, connect, change):
    """The same key, none, another host, a connection that can't be used: the refusal stands."""
    with CloudIndexHook().session() as client:
        service.key = "key-of-tomorrow"
        connect(**change)
        with pytest.raises(errors.AuthenticationError):
            client.check()
    assert len(service.requests) == 1


def test_a_key_that_is_rotated_while_a_task_is_deferred_is_read_anew(service, connect, monkeypatch):
    """The trigger asks Airflow in its own way."""

    async def first_look(_):
        service.key = "key-of-tomorrow"
        connect(password="key-of-tomorrow")

    monkeypatch.setattr("cloudindex_provider.triggers.cloudindex.asyncio.sleep", first_look)
    service.add("a")
    trigger = CloudIndexProcessingTrigger(
        cloudindex_conn_id="cloudindex_default", project_id=service.project, document_ids=["a"]
    )

    async def events():
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(events()) == [{"status": "success"}]
    assert len(service.requests) == 2


# Secrets

# With a sign that no message has by itself: "cloudind" would be found in each.
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=7, max_size=23).map(
    lambda text: f"{text[:4]}~{text[4:]}"
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    KEYS,
    KEYS,
    st.sampled_from(["extra", "HTTPS_PROXY"]),
    st.sampled_from(["{}:1", "{}:port", "{}/x", "{} ", "[{}", "127.0.0.1:9", "::"]),
    st.sampled_from(
        ["project_id", "auth_scheme", "read_timeout", "max_concurrency", "verify", "cert", "trust_env", "host"]
    ),
)
@example("key-of-0123'\"\\", "p/a#s?s@:w", "extra", "{}:port", "auth_scheme")
def test_no_error_and_no_log_line_holds_a_key_or_a_proxy_s_password(key, password, where, rest, misplaced):
    """Whatever else is wrong, and also where the key was pasted into another field."""
    with pytest.MonkeyPatch.context() as patch, Caught() as caught:
        proxy = f"http://user:{password}@{rest.format('proxy.invalid')}"
        extra = {"project_id": "p"} | ({"proxy": proxy} if where == "extra" else {})
        fields = {"conn_type": "cloudindex", "host": "https://api.invalid", "password": key}
        if where != "extra":
            patch.setenv(where, proxy)
        if misplaced == "host":
            fields["host"] = f"https://{key}@api.invalid"
        else:
            extra[misplaced] = key
        patch.setenv(NAME, json.dumps(fields | {"extra": extra}))
        patch.setattr("cloudindex_provider.api.transport.next_wait", lambda *_, **__: None)
        hook = CloudIndexHook()
        caught.texts.append(hook.test_connection()[1])
        try:
            hook.get_conn()
        except errors.CloudIndexError as error:
            caught.texts.append(f"{error} {error!r} {error.__cause__!r}")
        hook.close()
    said = "\n".join(caught.texts)
    assert key not in said
    assert password not in said


class Caught(logging.Handler):
    """All that is logged by this package meanwhile, at every level, in ``texts``."""

    def __enter__(self):
        self.texts = []
        self._logger = logging.getLogger("cloudindex_provider")
        self._before = self._logger.level
        self._logger.setLevel(logging.DEBUG)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_):
        self._logger.removeHandler(self)
        self._logger.setLevel(self._before)

    def emit(self, record):
        self.texts.append(record.getMessage())
