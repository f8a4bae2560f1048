"""Over real proxies and real TLS: what leads to the service, and whose fault it is where nothing does."""

from __future__ import annotations

import base64
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.models import FilePart
from cloudindex_provider.api.network import Network
from cloudindex_provider.api.tls import Certificate
from cloudindex_provider.errors import (
    CloudIndexError,
    ConfigurationError,
    ConnectError,
    InvalidAnswerError,
    PermissionDeniedError,
    ServerError,
)
from tests.support.certificates import Authority
from tests.support.local_proxy import LocalProxy, LocalSocks
from tests.support.waits import Waits

KEY = "key-0123456789"
LOGIN = "airflow:hunter2-of-the-proxy"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies and certificates of this machine."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Service:
    """An empty project behind http or https; ``asked`` holds the paths, ``keys`` the Authorization headers."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append(self.path)
                service.headers.append({name.lower(): value for name, value in self.headers.items()})
                body = json.dumps([]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A handshake that a test wants to fail."""

            def finish_request(self, request: Any, client_address: Any) -> None:
                request.settimeout(5)
                if context is not None:  # here and not in accept(): a client that doesn't speak must not block others
                    request = context.wrap_socket(request, server_side=True)
                super().finish_request(request, client_address)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server.server_address[1]}/public/v1"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def serve(authority: Authority) -> Iterator[Callable[..., Service]]:
    """Starts a service; ``tls`` with the authority's certificate, ``mtls`` where a client must show one, too."""
    running: list[Service] = []

    def start(kind: str = "tls") -> Service:
        context = None
        if kind != "http":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.issue("server"))
            if kind == "mtls":
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(authority.path)
        running.append(Service(context))
        return running[-1]

    yield start
    for service in running:
        service.close()


@pytest.fixture
def client() -> Iterator[Callable[..., CloudIndexClient]]:
    made: list[CloudIndexClient] = []

    def make(url: str, **network: Any) -> CloudIndexClient:
        made.append(
            CloudIndexClient(
                url, KEY, project_id="p", network=Network(**network), read_timeout=2.0, sleep=Waits(), max_wait=0.0
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def failing(work: Callable[[], Any], kind: type[CloudIndexError]) -> CloudIndexError:
    """The error, which keeps every secret."""
    with pytest.raises(CloudIndexError) as caught:
        work()
    assert type(caught.value) is kind, caught.value
    assert caught.value.__cause__ is None
    assert not_shown(f"{caught.value} {caught.value.fields()}")
    return caught.value


def not_shown(text: str) -> bool:
    """No key and no password, in whatever spelling."""
    return not any(secret in text for secret in (KEY, "hunter2", base64.b64encode(LOGIN.encode()).decode()))


def test_an_own_authority_is_trusted_by_each_of_its_names(serve, client, authority, monkeypatch):
    """The extra verify, SSL_CERT_FILE; without either the server isn't trusted, and the error says what to set."""
    service = serve()
    client(service.url, verify=str(authority.path)).check()
    error = failing(client(service.url).check, ConnectError)
    assert "certificate of 127.0.0.1 is not trusted" in error.message
    assert "SSL_CERT_FILE or the extra verify" in error.hint
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    client(service.url).check()
    failing(client(service.url, trust_env=False).check, ConnectError)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    client(service.url, verify=str(authority.path)).check()
    client(service.url, verify=False).check()
    assert len(service.asked) == 4


def test_a_variable_that_leads_nowhere_fails_at_once_and_only_where_it_is_needed(serve, client, monkeypatch):
    """A client for https can't be made; one for http doesn't need certificates."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    error = failing(lambda: client("https://127.0.0.1:9/x"), ConfigurationError)
    assert error.message == "the environment variable SSL_CERT_FILE is a path where there is nothing."
    client(serve("http").url).check()


def test_a_server_that_wants_a_certificate_gets_it(serve, client, authority):
    """Without one, or with a stranger's, the error says so, is no outage, and nobody tries again."""
    service = serve("mtls")
    cert, key = map(str, authority.issue("client", password="pass-of-the-key"))
    trust = {"verify": str(authority.path)}
    client(service.url, certificate=Certificate(cert, key, "pass-of-the-key"), **trust).check()
    assert len(service.asked) == 1
    error = failing(client(service.url, **trust).check, ConfigurationError)
    assert "127.0.0.1 wants a certificate of the client" in error.message


def test_a_stranger_s_certificate_is_refused_by_name(serve, client, authority, tmp_path):
    """It is the extra cert that has to change."""
    cert, key = map(str, Authority(tmp_path, "stranger").issue("client"))
    service = serve("mtls")
    stranger = client(service.url, verify=str(authority.path), certificate=Certificate(cert, key))
    error = failing(stranger.check, ConfigurationError)
    assert "does not accept the certificate of the extra cert" in error.message
    assert "extra cert" in error.hint


@pytest.mark.parametrize("kind", ["http", "tls"])
@pytest.mark.parametrize("named", ["extra", "variable"])
def test_the_way_leads_over_the_proxy_with_its_password(serve, client, authority, monkeypatch, kind, named):
    """By CONNECT to https, by the whole URL to http; the service doesn't see the proxy's password."""
    service = serve(kind)
    with LocalProxy(login=LOGIN) as proxy:
        network: dict[str, Any] = {"verify": str(authority.path)}
        if named == "extra":
            network["proxy"] = proxy.url
        else:
            monkeypatch.setenv("HTTP_PROXY" if kind == "http" else "HTTPS_PROXY", proxy.url)
        client(service.url, **network).check()
        assert len(proxy.asked) == 1
    assert service.headers[0]["authorization"] == f"ApiKey {KEY}"
    assert kind == "http" or "proxy-authorization" not in service.headers[0]


def test_no_proxy_and_trust_env_lead_straight_there(serve, client, authority, monkeypatch):
    """The proxy isn't asked."""
    service = serve()
    with LocalProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.0/8")
        client(service.url, verify=str(authority.path)).check()
        monkeypatch.delenv("NO_PROXY")
        client(service.url, verify=str(authority.path), trust_env=False).check()
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("refuse", "kind", "says"),
    [
        (407, ConfigurationError, "The proxy that {} names refuses its user or password (407)."),
        (403, ConfigurationError, "The proxy that {} names does not let anybody through to 127.0.0.1 (403)."),
        (405, ConfigurationError, "What {} names is no proxy that leads to https (405)."),
        (404, ConfigurationError, "What {} names is no proxy that leads to https (404)."),
        (502, ConnectError, "The proxy that {} names did not reach 127.0.0.1 (502)."),
        (503, ConnectError, "The proxy that {} names did not reach 127.0.0.1 (503)."),
        (504, ConnectError, "The proxy that {} names did not reach 127.0.0.1 (504)."),
        (429, ConnectError, "The proxy that {} names did not reach 127.0.0.1 (429)."),
        (0, ConnectError, "The proxy that {} names did not connect to 127.0.0.1."),
        (-1, ConnectError, "The proxy that {} names did not answer in time."),
    ],
)
def test_a_tunnel_that_is_not_opened_is_the_proxy_s_fault(client, refuse, kind, says):
    """Nothing was sent to CloudIndex, so not even an upload is in doubt; what a retry can't mend isn't retried."""
    with LocalProxy(refuse=refuse, login=LOGIN) as proxy:
        one = client(f"https://127.0.0.1:{free_port()}/public/v1", proxy=proxy.url)
        error = failing(lambda: one.upload_documents([FilePart("a.txt", 3, lambda: [b"abc"])]), kind)
    assert error.message == says.format("the extra proxy")
    assert error.hint
    assert not error.outcome_unknown
    assert error.retryable is (kind is ConnectError)


def test_a_proxy_without_its_password_asks_for_one(client):
    """407 by a variable that holds none."""
    with LocalProxy(login=LOGIN) as proxy:
        one = client("https://127.0.0.1:9/public/v1", proxy=f"http://{proxy.address}")
        error = failing(one.check, ConfigurationError)
    assert "wants a user and password (407)" in error.message
    assert "http://user:password@host:port" in error.hint


@pytest.mark.parametrize("url", ["https://api.test/public/v1", "http://api.test/public/v1"])
@pytest.mark.parametrize(
    ("host", "says"), [("127.0.0.1", "refused the connection"), ("no-such-proxy.invalid", "is unknown")]
)
def test_a_dead_proxy_is_named_and_not_cloudindex(client, monkeypatch, url, host, says):
    """Refused, or its name unknown: by the variable that named it."""
    name = f"{url.partition(':')[0].upper()}_PROXY"
    monkeypatch.setenv(name, f"http://{LOGIN}@{host}:{free_port()}")
    error = failing(client(url).check, ConnectError)
    assert f"he proxy that the environment variable {name} names" in error.message
    assert says in error.message
    assert "api.test" not in error.message
    assert "proxy" in error.hint


def test_a_proxy_behind_which_the_certificate_is_wrong_is_not_blamed(serve, client):
    """The tunnel was there."""
    service = serve()
    with LocalProxy() as proxy:
        error = failing(client(service.url, proxy=proxy.url).check, ConnectError)
    assert "certificate of 127.0.0.1 is not trusted" in error.message


@pytest.mark.parametrize(
    ("refuse", "kind", "says"),
    [
        (407, ConfigurationError, "refuses its user or password"),
        (403, PermissionDeniedError, "the proxy that the extra proxy names may have answered, not CloudIndex"),
        (502, ServerError, "the proxy that the extra proxy names may have answered, not CloudIndex"),
        (503, ServerError, "the proxy that the extra proxy names may have answered, not CloudIndex"),
    ],
)
def test_a_page_of_a_proxy_that_reads_along_is_not_blamed_on_cloudindex(client, refuse, kind, says):
    """To plain http it answers in the service's place."""
    with LocalProxy(refuse=refuse, login=LOGIN) as proxy:
        error = failing(client("http://api.test/public/v1", proxy=proxy.url).check, kind)
    assert says in str(error)


def test_another_server_in_a_proxy_s_place_is_no_api(serve, client, tmp_path):
    """A web server at that port answers 2xx with its own page."""
    with LocalProxy(refuse=200) as page:
        error = failing(client("http://api.test/public/v1", proxy=page.url).check, InvalidAnswerError)
    assert "web page" in error.message


@pytest.mark.parametrize("kind", ["http", "tls"])
@pytest.mark.parametrize("login", [None, LOGIN])
def test_the_way_leads_over_socks(serve, client, authority, monkeypatch, kind, login):
    """With the package socksio, as ALL_PROXY names it."""
    pytest.importorskip("socksio")
    service = serve(kind)
    with LocalSocks(login=login) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        client(service.url, verify=str(authority.path)).check()
        assert len(proxy.asked) == 1


def test_a_socks_proxy_that_fails_is_not_cloudindex(client):
    """It refuses, refuses the password, is dead, or is no SOCKS proxy at all: nothing was sent."""
    pytest.importorskip("socksio")
    name = "he proxy that the extra proxy names"
    with LocalSocks(refuse=5) as refusing, LocalSocks(login=LOGIN) as locked, LocalProxy(refuse=400) as other:
        dead = f"127.0.0.1:{free_port()}"
        for address, says in (
            (refusing.address, f"{name} did not connect to api.test"),
            (f"airflow:hunter2-wrong@{locked.address}", f"{name} did not connect to api.test"),
            (dead, f"{name} refused the connection"),
            (other.address, f"{name} did not connect to api.test"),
        ):
            one = client("https://api.test/public/v1", proxy=f"socks5://{address}")
            error = failing(partial(one.upload_documents, [FilePart("a", 1, lambda: [b"x"])]), ConnectError)
            assert says in error.message
            assert not error.outcome_unknown


def test_nothing_of_it_is_in_the_log(client, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Also not at the level DEBUG, also not of httpx."""
    with caplog.at_level(logging.DEBUG), LocalProxy(refuse=407, login=LOGIN) as proxy:
        failing(client("https://127.0.0.1:9/x", proxy=proxy.url).check, ConfigurationError)
    assert caplog.records
    assert not_shown(caplog.text)
