"""How far an exchange came, and the typed error of one that brought no whole answer: whose fault it is, and the remedy.

Pure: it takes the exceptions underneath, which say by type what happened, and never keeps a reference to them. What a
proxy does is said of the proxy and of who named it, never of CloudIndex.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from cloudindex_provider.api.build import Call
from cloudindex_provider.api.proxy import Route
from cloudindex_provider.errors import (
    CloudIndexError,
    ConfigurationError,
    ConnectError,
    InterruptedRequestError,
)

__all__ = ["Progress", "answered_on_the_way", "connect_error", "interrupted", "proxy_error"]


class Progress:
    """How far a request came. The HTTP library calls it with every step that it takes (httpcore's ``trace``)."""

    def __init__(self) -> None:
        self.sent = False  # the request's own head, at least in part
        self.through = False  # the proxy has let us through
        self.proxy_status: int | None = None  # its answer to CONNECT

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "http11.send_request_headers.started":
            self.sent = info["request"].method != b"CONNECT"
        elif event == "http11.receive_response_headers.complete" and not self.sent:
            self.proxy_status = int(info["return_value"][1])
            self.through = 200 <= self.proxy_status < 300
        elif event == "socks.setup_socks5_connection.complete":
            self.through = True


def connect_error(
    call: Call, base_url: str, cause: BaseException, connect_timeout: float, *, shown: bool = False
) -> CloudIndexError:
    """Why no connection came about.

    :param shown: whether a certificate of our own was shown to the server
    """
    host = urlsplit(base_url).hostname or base_url
    if any(map(_is_refused_certificate, _chain(cause))):
        return _refused_certificate(call, host, shown)
    message, hint = _explain(host, list(_chain(cause)), connect_timeout)
    return ConnectError(message, hint=hint, operation=call.operation)


def proxy_error(call: Call, base_url: str, route: Route, progress: Progress, cause: BaseException) -> CloudIndexError:
    """Why the way over a proxy led to nothing; CloudIndex was not reached."""
    host = urlsplit(base_url).hostname or base_url
    if progress.proxy_status is not None:
        return _refused_by_proxy(call, host, route, progress.proxy_status)
    name = f"the proxy that {route.named_by} names"
    found = _cause_of(list(_chain(cause)))
    message = _PROXY_SAYS.get(found, "{name} did not connect to {host}.").format(name=name, host=host)
    return ConnectError(_sentence(message), hint=_PROXY_HINT, operation=call.operation)


def answered_on_the_way(call: Call, error: CloudIndexError, route: Route) -> CloudIndexError:
    """The error of an answer that came over a proxy which could read it: it may be the proxy's own."""
    if error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return _refused_by_proxy(call, "", route, error.status)
    if not error.foreign:
        return error
    return error.saying(
        f"{error.message.removesuffix('.')}; the proxy that {route.named_by} names may have answered, not CloudIndex."
    )


def _refused_by_proxy(call: Call, host: str, route: Route, status: int) -> CloudIndexError:
    name = f"the proxy that {route.named_by} names"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        problem = (
            f"{name} {'refuses its user or password' if route.secrets else 'wants a user and password'} ({status})."
        )
        hint = "Write them into the proxy's URL: http://user:password@host:port."
    elif status in _MAY_PASS or status >= 500:
        return ConnectError(
            _sentence(f"{name} did not reach {host} ({status})."), hint=_PROXY_HINT, operation=call.operation
        )
    elif status == HTTPStatus.FORBIDDEN:
        problem = f"{name} does not let anybody through to {host} ({status})."
        hint = f"Have {host} allowed there, or except it by NO_PROXY where there is a way without the proxy."
    else:
        problem = f"what {route.named_by} names is no proxy that leads to https ({status})."
        hint = "Check its host and port."
    return ConfigurationError(_sentence(problem), hint=hint, operation=call.operation)


def interrupted(
    call: Call, base_url: str, cause: BaseException, timeout: float | None, *, shown: bool
) -> CloudIndexError:
    """An exchange that ended without a whole answer.

    :param timeout: the seconds that it was waited for in vain, where it was
    :param shown: whether a certificate of our own was shown to the server
    """
    host = urlsplit(base_url).hostname or base_url
    if any(map(_is_refused_certificate, _chain(cause))):
        return _refused_certificate(call, host, shown)
    if timeout is not None:
        message = f"{host} did not answer within {timeout:g} s."
    else:
        message = f"The connection to {host} broke before the answer was complete ({type(cause).__name__})."
    hint = "The request may have taken effect: look before sending it again." if call.writes else None
    return InterruptedRequestError(message, hint=hint, operation=call.operation, outcome_unknown=call.writes)


_MAY_PASS = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_PROXY_HINT = "Look at the proxy: its host and port, whether it is up, and what it may reach."
_CERT_HINT = "Set the connection's extra cert to the certificate and key that this server knows."

_Mark = type[BaseException] | str

# The first type or name found in the chain decides; what it says, and what to do about it.
_CAUSES: tuple[tuple[_Mark, str, str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "The TLS certificate of {host} is not trusted.",
        "Check the connection's host; behind a company proxy, point SSL_CERT_FILE or the extra verify at its"
        " certificate authority.",
    ),
    (
        ssl.SSLError,
        "No TLS connection to {host} could be made.",
        "Check the port; if the server speaks plain http, write http:// before the connection's host.",
    ),
    (
        socket.gaierror,
        "The host {host} is unknown.",
        "Check the spelling of the connection's host, and this machine's DNS.",
    ),
    (
        ConnectionRefusedError,
        "{host} refused the connection.",
        "Check the connection's host and port, and that the server is up.",
    ),
    (
        "Timeout",
        "{host} did not accept a connection within {timeout:g} s.",
        "Check the firewall between this machine and the connection's host; a proxy is named by HTTPS_PROXY or the"
        " extra proxy.",
    ),
)
_PROXY_SAYS: Mapping[_Mark | None, str] = {
    ssl.SSLCertVerificationError: "the TLS certificate of {name} is not trusted.",
    ssl.SSLError: "no TLS connection to {name} could be made.",
    socket.gaierror: "the host of {name} is unknown.",
    ConnectionRefusedError: "{name} refused the connection.",
    "Timeout": "{name} did not answer in time.",
}


def _cause_of(causes: list[BaseException]) -> _Mark | None:
    for mark, _, _ in _CAUSES:
        if any(mark in type(one).__name__ if isinstance(mark, str) else isinstance(one, mark) for one in causes):
            return mark
    return None


def _explain(host: str, causes: list[BaseException], timeout: float) -> tuple[str, str | None]:
    found = _cause_of(causes)
    for mark, message, hint in _CAUSES:
        if mark == found:
            return message.format(host=host, timeout=timeout), hint
    return f"No connection to {host} could be made.", None


def _is_refused_certificate(error: BaseException) -> bool:
    """A TLS server's word on our certificate, which comes when the request is under way already (TLS 1.3)."""
    reason = (getattr(error, "reason", None) or "") if isinstance(error, ssl.SSLError) else ""
    return "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)


def _refused_certificate(call: Call, host: str, shown: bool) -> ConfigurationError:
    problem = "does not accept the certificate of the extra cert" if shown else "wants a certificate of the client"
    return ConfigurationError(f"{host} {problem}.", hint=_CERT_HINT, operation=call.operation)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
