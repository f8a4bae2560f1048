"""Which certificates count, and what people read where one can't be used."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.api.tls import Certificate, Trust, read_certificate, read_trust, tls_context
from cloudindex_provider.errors import ConfigurationError
from tests.support.certificates import Authority

PASSWORD = "pass-of-the-key"
FILE = "the environment variable SSL_CERT_FILE"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize(
    ("verify", "trust_env", "environ", "trust"),
    [
        (True, True, {}, Trust()),
        (True, True, {"SSL_CERT_FILE": "/f"}, Trust("/f", FILE)),
        (True, True, {"SSL_CERT_DIR": "/d"}, Trust("/d", "the environment variable SSL_CERT_DIR")),
        (True, True, {"SSL_CERT_FILE": "/f", "SSL_CERT_DIR": "/d"}, Trust("/f", FILE)),
        (True, True, {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}, Trust()),
        (True, False, {"SSL_CERT_FILE": "/f"}, Trust()),
        ("/own", True, {"SSL_CERT_FILE": "/f"}, Trust("/own", "the extra verify")),
        (False, True, {"SSL_CERT_FILE": "/f"}, Trust(checked=False)),
    ],
)
def test_the_extra_comes_before_the_environment(verify, trust_env, environ, trust):
    """An own path or false holds; true and nothing mean what the environment says."""
    assert read_trust(verify, trust_env=trust_env, environ=environ) == trust


def test_a_context_checks_names_and_certificates_unless_verify_is_false(authority):
    """Also with an authority of one's own."""
    for trust in (Trust(), Trust(str(authority.path), "x")):
        context = tls_context(trust, None)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.get_ca_certs()
    assert tls_context(Trust(checked=False), None).verify_mode is ssl.CERT_NONE


def test_a_directory_of_hashed_certificates_is_trusted(authority, tmp_path):
    """One or several, separated as in PATH; OpenSSL itself takes those without hashes for empty ones."""
    shutil.copy(authority.path, tmp_path / "0a1b2c3d.0")
    for path in (str(tmp_path), f"/nowhere:{tmp_path}"):
        assert tls_context(Trust(path, "x"), None).verify_mode is ssl.CERT_REQUIRED


def broken(folder: Path, authority: Authority) -> dict[str, str]:
    """Values that no certificates can be read from, by what a message says of them."""
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("no certificate")
    return {
        "a path where there is nothing": str(folder / "missing.pem"),
        "a path where there is nothing, and a relative one": "missing-certificates.pem",
        "a file without a CA certificate in PEM form": str(folder / "notes.txt"),
        "a directory without certificates under their hashes": str(folder / "empty"),
        "the text of a certificate or key, where the path of its file belongs": authority.path.read_text(),
        "no path of a file": "a\0b",
    }


@pytest.mark.parametrize("named_by", ["the extra verify", "the environment variable SSL_CERT_FILE"])
def test_what_cant_be_trusted_is_named_by_its_form(authority, tmp_path, named_by):
    """The extra or the variable, and what its value looks like; never the value."""
    for form, value in broken(tmp_path, authority).items():
        with pytest.raises(ConfigurationError) as caught:
            tls_context(Trust(value, named_by), None)
        assert caught.value.message == f"{named_by} is {form}."
        assert caught.value.hint
        assert value not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_file_that_may_not_be_read_is_named_so(authority, monkeypatch):
    """Permission denied is no missing file."""

    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)  # root, as whom some run their tests, may read everything
    with pytest.raises(ConfigurationError, match="permission denied"):
        tls_context(Trust(str(authority.path), "the extra verify"), None)


def test_a_client_certificate_is_a_file_or_two_with_a_password(authority):
    """As httpx and requests take it, and as JSON has it."""
    cert, key = map(str, authority.issue("client"))
    both = Path(cert).with_name("both.pem")
    both.write_text(Path(cert).read_text() + Path(key).read_text())
    locked_cert, locked_key = map(str, authority.issue("locked", password=PASSWORD))
    for value in (str(both), [str(both)], [cert, key], (cert, key), [locked_cert, locked_key, PASSWORD]):
        tls_context(Trust(checked=False), read_certificate(value))


@pytest.mark.parametrize("value", [7, True, [], ["a", "b", "c", "d"], ["a", 1], ["a", ""], {"cert": "a"}])
def test_other_forms_of_cert_are_refused(value):
    """By their type alone."""
    with pytest.raises(ConfigurationError, match=r"the extra cert is a \w+"):
        read_certificate(value)


def unfit(authority: Authority, tmp_path: Path) -> dict[str, Any]:
    """Values of cert that lead to files which don't fit, by what a message says."""
    cert, key = map(str, authority.issue("one"))
    other = str(authority.issue("other")[1])
    locked_cert, locked_key = map(str, authority.issue("closed", password=PASSWORD))
    (tmp_path / "notes.txt").write_text("no certificate")
    notes = str(tmp_path / "notes.txt")
    return {
        "the key of the extra cert does not belong to its certificate": [cert, other],
        "the certificate of the extra cert is a path where there is nothing": ["/nowhere/a.pem", key],
        "the key of the extra cert is a path where there is nothing": [cert, "/nowhere/a.key"],
        "the key of the extra cert is a directory, where a file belongs": [cert, str(tmp_path)],
        "the key of the extra cert is the text of a certificate or key": [cert, Path(key).read_text()],
        "the extra cert is a file without a certificate and its key in PEM form": cert,
        "the extra cert names files that are no certificate and key in PEM form": [cert, notes],
        "the key of the extra cert needs a password, and the extra cert has none": [locked_cert, locked_key],
        "the key of the extra cert needs a password, and the extra cert has a wrong one": [
            locked_cert, locked_key, "wrong-password",
        ],
    }  # fmt: skip


def test_a_client_certificate_that_cant_be_used_is_named_by_its_form(authority, tmp_path, monkeypatch):
    """Without the password, without the path, and without OpenSSL asking for a password at the terminal."""
    monkeypatch.setattr("builtins.input", no_terminal)
    for says, value in unfit(authority, tmp_path).items():
        with pytest.raises(ConfigurationError) as caught:
            tls_context(Trust(checked=False), read_certificate(value))
        assert says in caught.value.message
        for secret in (PASSWORD, "wrong-password", "/nowhere", "BEGIN"):
            assert secret not in str(caught.value)
        assert caught.value.__cause__ is None


def no_terminal(*_: Any) -> str:
    raise AssertionError("asked at the terminal")


def test_a_certificate_shows_nothing() -> None:
    """Its password would be in it."""
    shown: Callable[[object], str] = repr
    assert PASSWORD not in shown(Certificate("/a", "/b", PASSWORD))
