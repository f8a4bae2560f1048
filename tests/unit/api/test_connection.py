"""From a connection's fields to a base URL."""

from __future__ import annotations

import pytest

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.connection import normalize_base_url
from cloudindex_provider.errors import ConfigurationError


@pytest.mark.parametrize(
    ("host", "schema", "port", "url"),
    [
        ("api.cloudindex.ai", None, None, "https://api.cloudindex.ai/public/v1"),
        ("api.cloudindex.ai/", "", None, "https://api.cloudindex.ai/public/v1"),
        (" API.CloudIndex.ai ", "https", None, "https://api.cloudindex.ai/public/v1"),
        ("https://api.cloudindex.ai/public/v1/", None, None, "https://api.cloudindex.ai/public/v1"),
        ("https://eu.example.com/api", "http", None, "https://eu.example.com/api"),
        ("http://mock:8080", None, None, "http://mock:8080/public/v1"),
        ("localhost", "http", 3000, "http://localhost:3000/public/v1"),
        ("localhost:3000/api", "http", None, "http://localhost:3000/api"),
        ("localhost", None, 3000, "https://localhost:3000/public/v1"),
        ("127.0.0.1", "http", "80", "http://127.0.0.1:80/public/v1"),
        ("api.example.com", "http", None, "https://api.example.com/public/v1"),
        ("api.example.com:8443", None, 8443, "https://api.example.com:8443/public/v1"),
        ("::1", "http", 3000, "http://[::1]:3000/public/v1"),
        ("[::1]:3000", "http", None, "http://[::1]:3000/public/v1"),
        (None, None, None, "https://api.cloudindex.ai/public/v1"),
    ],
)
def test_what_people_write_becomes_one_url(host, schema, port, url):
    assert normalize_base_url(host, schema, port) == url


@pytest.mark.parametrize(
    ("host", "schema", "port"),
    [
        ("user:hunter2pass@api.test", None, None),
        ("https://user:hunter2pass@api.test/x", None, None),
        ("https://api.test/x?key=hunter2pass", None, None),
        ("https://api.test/#hunter2pass", None, None),
        ("api.test?", None, None),
        ("ftp://api.test", None, None),
        ("api test", None, None),
        ("api.test\nevil", None, None),
        ("https://", None, None),
        ("https://[::1", None, None),
        ("[::1", None, None),
        ("api.test:99999", None, None),
        ("api.test:abc", None, None),
        ("api.test:1", None, 2),
        ("api.test", None, 0x10000),
        ("api.test", "public", None),
        ("api.test/a/../b", None, None),
        ("", None, 3000),
    ],
)
def test_what_cant_be_a_base_url_is_refused_without_repeating_a_password(host, schema, port):
    with pytest.raises(ConfigurationError) as caught:
        normalize_base_url(host, schema, port)
    assert "hunter2pass" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["api.test", "https://u:p@api.test", "https://api.test/?a=b", "file:///etc/passwd"])
def test_the_client_refuses_such_a_base_url_too(url):
    with pytest.raises(ConfigurationError):
        CloudIndexClient(url, "key-0123456789")


def test_an_unknown_auth_scheme_names_the_known_ones():
    with pytest.raises(ConfigurationError, match="ApiKey, Bearer"):
        CloudIndexClient("https://api.test", "key-0123456789", auth_scheme="Basic")
