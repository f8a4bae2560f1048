"""Which proxy leads to the service, as curl and httpx read the environment, and what is wrong with its URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudindex_provider.api import proxy
from cloudindex_provider.api.proxy import Route, find_route
from cloudindex_provider.errors import ConfigurationError

URL = "https://api.test/public/v1"
SECRET = "hunter2-of-the-proxy"


def way(base_url: str = URL, extra: str | None = None, *, trust_env: bool = True, **environ: str) -> str | None:
    """The proxy's URL and who named it."""
    route = find_route(base_url, extra, trust_env=trust_env, environ=environ)
    return None if route is None else f"{route.named_by.removeprefix('the environment variable ')} {route.url}"


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "HTTPS_PROXY http://p:3128"),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://p:3128"}, "https_proxy http://small:1"),
        ({"HTTPS_PROXY": "p:3128"}, "HTTPS_PROXY http://p:3128"),
        ({"HTTPS_PROXY": " http://p:3128\n"}, "HTTPS_PROXY http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128"}, None),
        ({"ALL_PROXY": "http://all:1"}, "ALL_PROXY http://all:1"),
        ({"ALL_PROXY": "http://all:1", "https_proxy": "http://p:2"}, "https_proxy http://p:2"),
        ({"ALL_PROXY": "http://all:1", "https_proxy": ""}, "ALL_PROXY http://all:1"),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, "HTTPS_PROXY http://[::1]:3128"),
        ({"HTTPS_PROXY": "https://u:p%40@p"}, "HTTPS_PROXY https://u:p%40@p"),
    ],
)
def test_the_environment_names_the_proxy(environ, found):
    """By the scheme of the base URL, then for all; small letters first."""
    assert way(**environ) == found


def test_http_has_a_proxy_of_its_own():
    """As everywhere."""
    assert way("http://api.test", HTTP_PROXY="http://p:1", HTTPS_PROXY="http://q:2") == "HTTP_PROXY http://p:1"


def test_the_extra_serves_for_every_address_and_trust_env_false_for_none():
    """What the connection says holds against the environment, its NO_PROXY too."""
    assert way(extra="http://own:1", HTTPS_PROXY="http://p:2", NO_PROXY="*") == "the extra proxy http://own:1"
    assert way(trust_env=False, HTTPS_PROXY="http://p:2") is None
    assert way(extra="own:1", trust_env=False) == "the extra proxy http://own:1"


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        (URL, "api.test", True),
        (URL, "API.Test", True),
        (URL, ".test", True),
        (URL, "test", True),
        (URL, "*.test", True),
        (URL, "*", True),
        (URL, "localhost, api.test", True),
        (URL, "localhost api.test", True),
        (URL, "api.test:443", True),
        (URL, "api.test:8443", False),
        (URL, "https://api.test", True),
        (URL, "pi.test", False),
        (URL, "other.test", False),
        (URL, "api.test.example", False),
        (URL, "", False),
        (URL, ",, ,", False),
        (URL, "[", False),
        (URL, "::ffff/64", False),
        ("https://10.1.2.3/x", "10.0.0.0/8", True),
        ("https://10.1.2.3/x", "10.1.2.3", True),
        ("https://10.1.2.3/x", "10.1.2.4", False),
        ("https://10.1.2.3:99/x", "10.1.2.3:99", True),
        ("https://10.1.2.3/x", "fd00::/8", False),
        ("https://[fd00::1]/x", "fd00::/8", True),
        ("https://[::1]:99/x", "[::1]", True),
        ("https://[::1]:99/x", "::1", True),
        ("https://localhost:99/x", "localhost", True),
    ],
)
def test_no_proxy_excepts_hosts_domains_addresses_and_networks(url, no_proxy, direct):
    """In every spelling that curl, requests or httpx know; what means nothing excepts nothing."""
    assert (way(url, HTTPS_PROXY="http://p:1", NO_PROXY=no_proxy) is None) is direct
    assert (way(url, https_proxy="http://p:1", no_proxy=no_proxy, NO_PROXY="*") is None) is direct


BROKEN = {
    f"http://u:{SECRET}@": "names no host",
    f"ftp://u:{SECRET}@p:21": "another scheme",
    f"socks4://u:{SECRET}@p:1": "another scheme",
    f"socks://u:{SECRET}@p:1": "another scheme",
    f"http://u:{SECRET}@p:port": "a port that is no number",
    f"http://u:{SECRET}@p:99999": "a port that is no number",
    f"http://u:{SECRET}@p:0": "a port that is no number",
    f"http://u:{SECRET}#1@p:1": "a port that is no number",
    f"http://u:{SECRET}/1@p:1": "a port that is no number",
    f"http://u:{SECRET}@p:1/path": "goes on after host and port",
    f"http://u:{SECRET}@p:1?a": "goes on after host and port",
    f"http://u:{SECRET} x@p:1": "spaces or line ends",
    f"http://u:{SECRET}\n@p:1": "spaces or line ends",
    f"http://u:{SECRET}@[::1": "is no URL",
}


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("where", ["extra", "HTTPS_PROXY"])
def test_a_proxy_that_cant_be_used_is_named_by_its_form(value, where):
    """The extra or the variable, and what its value looks like; never the value, which has a password in it."""
    with pytest.raises(ConfigurationError) as caught:
        way(**{where: value})
    name = "the extra proxy" if where == "extra" else f"the environment variable {where}"
    assert caught.value.message.startswith(name)
    assert BROKEN[value] in caught.value.message
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_broken_proxy_that_is_not_used_is_nobodys_concern():
    """NO_PROXY, another scheme or an extra may overrule it."""
    assert way(HTTPS_PROXY="http://", NO_PROXY="api.test") is None
    assert way(HTTP_PROXY="http://") is None
    assert way(extra="http://p:1", HTTPS_PROXY="http://") == "the extra proxy http://p:1"


def test_a_socks_proxy_without_its_package_says_what_to_install(monkeypatch):
    """At once, and not as an ImportError out of httpx."""
    monkeypatch.setattr(proxy, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"ALL_PROXY is a SOCKS proxy.*pip install socksio"):
        way(ALL_PROXY="socks5://p:1080")


@given(st.text(min_size=6), st.text(max_size=20))
def test_no_text_in_a_proxys_place_is_repeated_or_raises_anything_else(password, rest):
    """Whatever people paste there."""
    value = f"http://user:{password}@{rest}"
    try:
        said = repr(find_route(URL, value, trust_env=True, environ={}))
    except ConfigurationError as error:
        said = str(error)
    assert f"user:{password}@" not in said


def test_a_route_knows_what_must_not_be_repeated():
    """The password as it is written, as it is meant, and in the header that is made of it."""
    assert Route("http://u:p%40ss@h", "x").secrets == ("p%40ss", "p@ss", "dTpwQHNz")
    assert Route("http://h", "x").secrets == ()
