"""Which proxy leads to the service: from the extra ``proxy``, or else from the environment as curl reads it.

Pure. A proxy's URL carries a password, so no message here repeats it, or any part of it that could be one. Only what
is used is judged: a broken variable that NO_PROXY overrules is nobody's concern.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import SplitResult, unquote, urlsplit

from cloudindex_provider.errors import ConfigurationError

__all__ = ["Route", "find_route"]

_PORTS = {"http": 80, "https": 443}
_SOCKS = ("socks5", "socks5h")
_HINT = (
    "Write it like http://host:3128 or http://user:password@host:3128, with @, :, / and # of the password as"
    " %40, %3A, %2F and %23."
)


@dataclass(frozen=True, slots=True)
class Route:
    """The way over a proxy; ``named_by`` says for messages who named it."""

    url: str = field(repr=False)
    named_by: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated: the password in each of its spellings, and the header that is made of it."""
        parts = urlsplit(self.url)
        if not parts.password:
            return ()
        login = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
        return (parts.password, unquote(parts.password), base64.b64encode(login.encode()).decode())

    @property
    def is_socks(self) -> bool:
        return urlsplit(self.url).scheme in _SOCKS


def find_route(base_url: str, proxy: str | None, *, trust_env: bool, environ: Mapping[str, str]) -> Route | None:
    """The proxy to ``base_url``; ``None``: straight there.

    The extra serves for every address. Of the environment, ``https_proxy`` or ``http_proxy`` count by the scheme of
    ``base_url``, then ``all_proxy``, in small letters before capitals, unless ``no_proxy`` excepts the host.

    :raises ConfigurationError: the proxy that would be used can't be
    """
    if proxy:
        return _route(proxy, "the extra proxy")
    if not trust_env:
        return None
    target = urlsplit(base_url)
    for scheme in (target.scheme, "all"):
        name, value = _variable(f"{scheme}_proxy", environ)
        if value:
            excepted = _variable("no_proxy", environ)[1]
            return None if _is_excepted(target, excepted) else _route(value, f"the environment variable {name}")
    return None


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    found = next((spelling for spelling in (name, name.upper()) if spelling in environ), name)
    return found, environ.get(found, "").strip()


def _is_excepted(target: SplitResult, no_proxy: str) -> bool:
    host = (target.hostname or "").rstrip(".")
    port = target.port or _PORTS.get(target.scheme)
    return any(_matches(entry, host, port) for entry in no_proxy.lower().replace(",", " ").split())


def _matches(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of ``no_proxy`` means this host: a name and what is below it, an address, a network or ``*``."""
    if entry == "*":
        return True
    entry = entry.rpartition("://")[2]
    network = _network(entry)
    if network is not None:
        address = _network(host)
        return address is not None and address.version == network.version and address.subnet_of(network)  # type: ignore[arg-type]  # the same version
    name, colon, given = entry.rpartition(":")
    if colon and given.isdigit():
        return int(given) == port and _matches(name, host, port)
    name = entry.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.removeprefix("[").removesuffix("]"), strict=False)
    except ValueError:
        return None


def _route(value: str, named_by: str) -> Route:
    url = value.strip()
    url = url if "://" in url else f"http://{url}"
    for problem in _problems(url):
        raise ConfigurationError(f"{named_by} {problem}.", hint=_HINT)
    route = Route(url, named_by)
    if route.is_socks and find_spec("socksio") is None:
        raise ConfigurationError(
            f"{named_by} is a SOCKS proxy, which needs the package socksio.",
            hint="pip install socksio wherever Airflow runs, or name an http proxy.",
        )
    return route


def _problems(url: str) -> Iterator[str]:
    """What is wrong with a proxy's URL, by its form alone."""
    if not url.isprintable() or " " in url:
        yield "holds spaces or line ends"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # such as an unclosed bracket; its text would repeat the URL
        yield "is no URL"
        return
    if parts.scheme not in (*_PORTS, *_SOCKS):
        yield "begins with another scheme than http, https, socks5 or socks5h"
    if not host:
        yield "names no host"
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        yield "has a port that is no number from 1 to 65535"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        yield "goes on after host and port"
