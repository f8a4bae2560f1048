"""From what a person wrote into a connection to a base URL and a header value that can be used, or one clear sentence.

Nothing here is sent, and no message repeats a password or a key.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from cloudindex_provider.errors import ConfigurationError

__all__ = [
    "AUTH_SCHEMES",
    "DEFAULT_AUTH_SCHEME",
    "DEFAULT_BASE_URL",
    "authorization",
    "check_base_url",
    "normalize_base_url",
]

DEFAULT_BASE_URL = "https://api.cloudindex.ai/public/v1"
DEFAULT_PATH = "/public/v1"
# The word before the key in the Authorization header: what the newest documents say, and the older guides.
AUTH_SCHEMES = ("ApiKey", "Bearer")
DEFAULT_AUTH_SCHEME = AUTH_SCHEMES[0]

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_HOST = re.compile(r"[^\s/\\@?#%\[\]<>\"'`{}|^]+\Z")
_PATH = re.compile(r"[\w/.~%!$&'()*+,;=:@-]*\Z", re.ASCII)


def normalize_base_url(host: str | None, schema: str | None = None, port: int | str | None = None) -> str:
    """The base URL of a connection's host, schema and port, without a slash at its end.

    ``host`` may be a whole URL, whose own scheme wins, or a bare host, also with a port or a path. Without a host it is
    the service's own address. A bare host gets https; http only for this machine, and only where ``schema`` says so:
    a key must not cross a network in clear text by accident. Without a path it gets ``/public/v1``. ``schema`` may also
    hold the path: a connection that is written as a URI has it there.

    :raises ConfigurationError: naming what is wrong with it
    """
    host = (host or "").strip()
    if not host and not port:
        return DEFAULT_BASE_URL
    scheme, below = _schema(schema)
    parts = _split(_with_scheme(host, scheme))
    number = _port(parts, port)
    own = parts.path.rstrip("/")
    if own and below and own != below:
        raise ConfigurationError("The connection's host and its schema both hold a path.", hint="Say it in the host.")
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{name}{f':{number}' if number else ''}{own or below or DEFAULT_PATH}"


def check_base_url(base_url: str) -> str:
    """``base_url`` without a slash at its end, or a ``ConfigurationError``."""
    base_url = base_url.strip()
    if "://" not in base_url:
        raise ConfigurationError("The base URL has no scheme.", hint="Write it with https:// at its start.")
    parts = _split(base_url)
    _port(parts, None)
    return base_url.rstrip("/")


def authorization(api_key: str, scheme: str) -> str:
    """The value of the Authorization header, or a ``ConfigurationError`` that doesn't repeat the key."""
    words = " or ".join(AUTH_SCHEMES)
    hint = f"Set the CloudIndex API key as the connection's password, without {words} before it."
    key = (api_key or "").strip()
    if not key:
        raise ConfigurationError("The connection has no API key.", hint=hint)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("The API key holds characters that no key has.", hint=hint)
    for known in AUTH_SCHEMES:
        if scheme.lower() == known.lower():
            return f"{known} {key}"
    raise ConfigurationError(f"auth_scheme is {scheme!r}.", hint=f"Use one of {', '.join(AUTH_SCHEMES)}.")


def _schema(schema: str | None) -> tuple[str, str]:
    """The scheme and the path that the field says: one of them, or neither."""
    said = (schema or "").strip().rstrip(":/")
    if said.lower() in ("", "http", "https"):
        return said.lower() or "https", ""
    path = "/" + said.strip("/")
    if "/" not in said or not _PATH.match(path) or ".." in path.split("/"):
        raise ConfigurationError("The connection's schema is neither http nor https.", hint="Leave it empty.")
    return "https", path


def _with_scheme(host: str, schema: str) -> str:
    if "://" in host:
        return host
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"  # a bare IPv6 address
    local = (urlsplit(f"//{host}").hostname or "") in _LOCAL if "[" not in host or "]" in host else False
    return f"{schema if local else 'https'}://{host}"


def _split(url: str) -> SplitResult:
    if not url.isprintable() or " " in url:  # urlsplit would drop line ends in silence
        raise ConfigurationError("The connection's host holds spaces or line ends.")
    try:
        parts = urlsplit(url)
        name = parts.hostname or ""
    except ValueError:  # such as an unclosed bracket; its text would repeat the whole URL
        raise ConfigurationError("The connection's host is no host name and no URL.") from None
    if "@" in parts.netloc:
        raise ConfigurationError(
            "The connection's host holds a user name or password.",
            hint="Put the API key into the connection's password, and the host alone into its host.",
        )
    if parts.scheme not in ("http", "https"):
        raise ConfigurationError(f"The connection's host begins with {parts.scheme}://.", hint="Use https://.")
    if "?" in url or "#" in url:
        raise ConfigurationError("The connection's host holds a query or a fragment.", hint="Leave out ? and #.")
    if not _HOST.match(name):
        raise ConfigurationError("The connection's host is no host name.", hint="Write it like api.cloudindex.ai.")
    if not _PATH.match(parts.path) or ".." in parts.path.split("/"):
        raise ConfigurationError("The path in the connection's host can't be used.", hint=f"Most need {DEFAULT_PATH}.")
    return parts


def _port(parts: SplitResult, port: int | str | None) -> int | None:
    try:
        own = parts.port
        given = int(port) if port else None
    except ValueError:
        raise ConfigurationError("The connection's port is no port number.", hint="Use 1 to 65535.") from None
    if own and given and own != given:
        raise ConfigurationError(f"The connection's host says port {own}, its port field {given}.", hint="Say it once.")
    if own == 0 or (given is not None and not 1 <= given <= 65535):
        raise ConfigurationError("The connection's port is no port number.", hint="Use 1 to 65535.")
    return own or given
