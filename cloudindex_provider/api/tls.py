"""Whom a TLS connection trusts, and the certificate that it shows: from a connection's extras and the environment.

Opens no connection. Every error names the extra or the variable and what its value looks like, never the value: people
do paste keys into the wrong field.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import certifi

from cloudindex_provider.errors import ConfigurationError

__all__ = ["Certificate", "Trust", "read_certificate", "read_trust", "tls_context"]

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+\Z")  # as OpenSSL looks for certificates in a directory
_PEM = "-----BEGIN"
_NO_PASSWORD = ""  # without one OpenSSL would ask at the terminal, and a task would wait for ever


@dataclass(frozen=True, slots=True)
class Trust:
    """Which authorities are believed.

    :param path: a file of certificates or a directory of them; ``None``: those that come with ``certifi``
    :param named_by: what names the path, for messages
    :param checked: false: any certificate is taken for good
    """

    path: str | None = None
    named_by: str = ""
    checked: bool = True


@dataclass(frozen=True, slots=True, repr=False)
class Certificate:
    """The client's own certificate, for servers that ask for one (mTLS): files, and an encrypted key's password."""

    path: str
    key_path: str | None = None
    password: str | None = None


def read_trust(verify: bool | str, *, trust_env: bool, environ: Mapping[str, str]) -> Trust:
    """What the extra ``verify`` says, else ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` where the environment counts."""
    if verify is False:
        return Trust(checked=False)
    if isinstance(verify, str):
        return Trust(verify, "the extra verify")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if trust_env else ():
        if environ.get(name):
            return Trust(environ[name], f"the environment variable {name}")
    return Trust()


def read_certificate(value: object) -> Certificate:
    """The extra ``cert``: the path of one file with certificate and key, or [certificate, key] or [.., .., password].

    :raises ConfigurationError: it is none of these
    """
    parts = [value] if isinstance(value, str) else value
    if (
        isinstance(parts, list | tuple)
        and 1 <= len(parts) <= 3
        and all(isinstance(part, str) and part for part in parts)
    ):
        return Certificate(*parts)
    raise ConfigurationError(
        f"the extra cert is {_form(value)}.",
        hint='Write the path of a file, or a list: ["/path/client.pem", "/path/client.key", "password of the key"].',
    )


def tls_context(trust: Trust, certificate: Certificate | None) -> ssl.SSLContext:
    """The context of all connections of a client.

    :raises ConfigurationError: a file is missing, can't be read, or doesn't hold what it should
    """
    if not trust.checked:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif trust.path is None:
        context = ssl.create_default_context(cafile=certifi.where())
    else:
        context = _trusting(trust.path, trust.named_by)
    if certificate is not None:
        _show(context, certificate)
    return context


def _trusting(path: str, named_by: str) -> ssl.SSLContext:
    hint = "Name a file of CA certificates in PEM form, or a directory that `openssl rehash` has prepared."
    directories = [place for place in map(Path, path.split(os.pathsep)) if _is_directory(place)]
    if directories:  # several are separated as in PATH; OpenSSL would take one without hashes for an empty one
        if not any(_HASHED.match(file.name) for place in directories for file in _files(place, named_by)):
            raise ConfigurationError(f"{named_by} is a directory without certificates under their hashes.", hint=hint)
        return ssl.create_default_context(capath=path)
    problem = _unreadable(path)
    if problem is None:
        try:
            return ssl.create_default_context(cafile=path)
        except (ssl.SSLError, ValueError, OSError):  # their texts may repeat what was read
            problem = "a file without a CA certificate in PEM form"
    raise ConfigurationError(f"{named_by} is {problem}.", hint=hint)


def _is_directory(place: Path) -> bool:
    try:
        return place.is_dir()
    except (OSError, ValueError):  # too long, or with a zero byte: a text that is no path
        return False


def _files(place: Path, named_by: str) -> list[Path]:
    try:
        return list(place.iterdir())
    except OSError:
        problem = f"{named_by} is a directory that can't be read."
    raise ConfigurationError(problem, hint="Let Airflow's user read it.")


def _show(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Load the client's own certificate and key."""
    for path, what in ((certificate.path, "certificate"), (certificate.key_path, "key")):
        problem = path is not None and _unreadable(path)
        if problem:
            raise ConfigurationError(f"the {what} of the extra cert is {problem}.", hint=_PATHS)
    try:
        context.load_cert_chain(certificate.path, certificate.key_path, certificate.password or _NO_PASSWORD)
    except (ssl.SSLError, ValueError, OSError) as error:
        unfit = _unfit(error, certificate)
    else:
        return
    raise ConfigurationError(unfit, hint=_PATHS)


_PATHS = "Name PEM files that Airflow's user may read: one with both, or [certificate, key, password of the key]."


def _unfit(error: Exception, certificate: Certificate) -> str:
    reason = getattr(error, "reason", None) or ""
    if "MISMATCH" in reason:
        return "the key of the extra cert does not belong to its certificate."
    if _is_encrypted(certificate.key_path or certificate.path):
        known = "the extra cert has a wrong one" if certificate.password else "the extra cert has none"
        return f"the key of the extra cert needs a password, and {known}."
    if certificate.key_path is None:
        return "the extra cert is a file without a certificate and its key in PEM form."
    return "the extra cert names files that are no certificate and key in PEM form."


def _is_encrypted(path: str) -> bool:
    with Path(path).open("rb") as file:
        return b"ENCRYPTED" in file.read(1 << 20)


def _unreadable(path: str) -> str | None:
    """What is wrong with the path of a file, by its looks; ``None`` where it can be read."""
    if _PEM in path:
        return "the text of a certificate or key, where the path of its file belongs"
    try:
        with Path(path).open("rb"):
            return None
    except (OSError, ValueError) as error:
        form = next((form for kind, form in _UNREADABLE if isinstance(error, kind)), "no path of a file")
    if form == _NOTHING and not Path(path).is_absolute():
        return f"{form}, and a relative one"
    return form


_NOTHING = "a path where there is nothing"
_UNREADABLE = (
    (FileNotFoundError, _NOTHING),
    (IsADirectoryError, "a directory, where a file belongs"),
    (PermissionError, "a file that can't be read: permission denied"),
)


def _are_texts(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) and value for value in values)


def _form(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if _are_texts(value) else "a list of other things than texts"
    return f"a {type(value).__name__}"
