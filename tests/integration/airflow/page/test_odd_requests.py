"""Requests that no page sends: each is answered in words, by who is signed in alone, and none breaks the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.airflow.page.conftest import Kept, Known

SignIn = Callable[[str | None], TestClient]
JSON = {"Content-Type": "application/json"}
TOO_LARGE = 2**63  # for any database's column


@pytest.fixture
def admin(sign_in: SignIn) -> TestClient:
    return sign_in("admin")


@pytest.fixture
def sync(known: Known) -> Kept:
    sync = known.sync()
    sync.list("a")
    sync.fail("a")
    return sync


@pytest.mark.parametrize("number", [TOO_LARGE, -TOO_LARGE - 1, 10**30, 0])
@pytest.mark.parametrize("path", ["", "/keys", "/runs", "/held", "/plan", "/drift", "/key?key=a"])
def test_a_number_that_no_sync_can_have_is_refused(admin: TestClient, known: Known, number: int, path: str) -> None:
    """Whatever the database's driver makes of it."""
    assert admin.get(f"/cloudindex/api/syncs/{number}{path}").status_code == 422


def test_a_number_that_no_plan_can_have_is_refused(admin: TestClient, sync: Kept) -> None:
    params: dict[str, str | int] = {"plan": TOO_LARGE, "action": "upload"}
    assert admin.get(f"{sync.url}/plan/keys", params=params).status_code == 422


BODIES = [
    ("retry", b""), ("retry", b"{"), ("retry", b"null"), ("retry", b"\xff\xfe"), ("retry", b"[" * 20_000),
    ("retry", b'{"keys": ["\\ud800"]}'), ("retry", b'{"keys": [NaN]}'), ("retry", b'{"keys": [1e999]}'),
    ("retry", b'{"keys": ["a\\u0000"]}'), ("retry", b'{"all": "failed", "more": NaN}'),
    ("retry", json.dumps({"keys": ["a"] * 1001}).encode()), ("resync", b'{"keys": ["\\ud800"]}'),
    ("approve", f'{{"token": null, "ceiling": {TOO_LARGE}}}'.encode()),
    ("approve", b'{"token": null, "ceiling": 1e30}'), ("approve", b'{"token": null, "ceiling": NaN}'),
    ("approve", b'{"token": "\\ud800", "ceiling": 1}'), ("keep", b'{"token": "\\ud800"}'),
    ("approve", b'{"token": "a\\u0000", "ceiling": 1}'), ("keep", b'{"token": "a\\u0000"}'), ("keep", b'{"token": ""}'),
]  # fmt: skip


@pytest.mark.parametrize(("action", "body"), BODIES)
def test_a_body_that_makes_no_sense_is_refused_in_words(
    admin: TestClient, sync: Kept, action: str, body: bytes
) -> None:
    """Which say where it is wrong, and repeat nothing of it: not all of it could stand in an answer."""
    answer = admin.post(f"{sync.url}/{action}", content=body, headers=JSON)
    assert answer.status_code == 422
    found: dict[str, Any] = answer.json()
    assert found["what"] == "settings"
    assert found["message"].startswith("No request can have this: ")
    assert sync.statuses() == {"a": "failed"}


@pytest.mark.parametrize("body", [b"", b"{", b"null", b'{"all": "failed"}', b"x" * 20_000_000])
def test_nobody_reads_what_a_stranger_sends(sign_in: SignIn, sync: Kept, body: bytes) -> None:
    """Neither what is wrong with it nor that it is too large is their business."""
    assert sign_in(None).post(f"{sync.url}/retry", content=body, headers=JSON).status_code == 401


def test_a_body_has_an_end(admin: TestClient, sync: Kept) -> None:
    """As many of the longest keys as may be named, in the longest form that JSON has, still fit."""
    longest = json.dumps({"keys": ["\U0001f600" * 1024] * 1000}).encode()
    refused = admin.post(f"{sync.url}/retry", content=longest, headers=JSON)
    assert refused.status_code == 400  # there is no such key
    endless = admin.post(f"{sync.url}/retry", content=longest + b" " * len(longest), headers=JSON)
    assert endless.status_code == 413
