"""Sizes, counts, types and rates: where the line is, and how a refusal says so."""

from __future__ import annotations

import threading
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

from cloudindex_provider.local.faults import Fault


def test_twenty_files_are_taken_and_twenty_one_refuse_the_whole_request(client, server):
    files = [(f"{number}.txt", b"x") for number in range(21)]
    assert client.upload(*files[:20]).status_code == 200
    assert client.upload(*files).status_code == 400
    assert len(server.documents()) == 20


def test_a_file_of_exactly_the_limit_is_taken_and_one_byte_more_refuses_the_request(client, server):
    server.settings.max_file_size = 100_000
    assert client.upload(("a.txt", b"x" * 100_000)).status_code == 200
    answer = client.upload(("small.txt", b"x"), ("b.txt", b"x" * 100_001))
    assert (answer.status_code, answer.json()["details"]) == (413, {"fileName": "b.txt"})
    assert [d["fileName"] for d in server.documents()] == ["a.txt"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_over_its_limit_is_413_with_and_without_a_declared_length(client, server, chunked):
    server.settings.max_request_size = 1000
    body = b"--x\r\n" + b"y" * 1000
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    content = iter([body]) if chunked else body
    assert client.http.post(client.documents_path, content=content, headers=headers).status_code == 413


def test_an_unsupported_type_is_an_entry_in_errors_or_refuses_the_request(client, server):
    answer = client.upload(("a.txt", b"x"), ("b.zip", b"x"), ("none", b"x")).json()
    assert [d["fileName"] for d in answer["documents"]] == ["a.txt"]
    assert [(e["fileName"], e["retryable"]) for e in answer["errors"]] == [("b.zip", False), ("none", False)]
    assert answer["batch"]["totalFiles"] == 3
    server.settings.unsupported_type = "request"
    assert client.upload(("a.txt", b"x"), ("b.zip", b"x")).status_code == 415
    assert len(server.documents()) == 1


@pytest.mark.parametrize("name", ["a.PDF", "a.cs", "a.rs", ".env", "a.numbers"])
def test_the_documented_types_and_cs_and_rs_are_supported_in_any_case(client, name):
    assert client.upload((name, b"x")).json()["errors"] == []


def test_a_key_may_ask_so_often_in_a_window_and_again_in_the_next(client, server):
    server.settings.requests_per_window, server.settings.window = 2, 0.3
    remaining = [client.list().headers["X-RateLimit-Remaining"] for _ in range(2)]
    assert remaining == ["1", "0"]
    refused = client.list()
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limit/exceeded")
    time.sleep(0.31)
    assert client.list().status_code == 200


def test_an_address_may_ask_so_often_an_hour_whatever_its_keys(client, server):
    server.settings.requests_per_hour_per_ip = 1
    assert client.list().status_code == 200
    refused = client.http.get(client.documents_path, headers={"Authorization": "ApiKey other"})
    assert (refused.status_code, refused.headers["X-RateLimit-Limit"]) == (429, "1")


def exceeded(client, server, style):
    server.settings.requests_per_window = 0
    server.settings.retry_after_style = style
    answer = client.list()
    assert answer.status_code == 429
    return answer.headers.get("Retry-After"), int(answer.headers["X-RateLimit-Reset"]), time.time()


def test_a_429_tells_seconds(client, server):
    after, reset, now = exceeded(client, server, "seconds")
    assert 40 <= int(after) <= 60
    assert 40 <= reset - now <= 61


def test_a_429_tells_a_date(client, server):
    after, _, now = exceeded(client, server, "date")
    assert 40 <= parsedate_to_datetime(after).timestamp() - now <= 61


def test_a_429_tells_only_a_reset_time(client, server):
    after, reset, now = exceeded(client, server, "reset_only")
    assert after is None
    assert 40 <= reset - now <= 61


def test_a_429_tells_a_reset_time_in_milliseconds(client, server):
    after, reset, now = exceeded(client, server, "reset_ms")
    assert after is None
    assert 40 <= reset / 1000 - now <= 61


def test_a_429_tells_a_reset_time_in_the_past(client, server):
    after, reset, now = exceeded(client, server, "reset_past")
    assert after is None
    assert reset < now


def hold(other, path):
    with pytest.raises(httpx.TransportError):
        other.get(path)


def test_more_requests_at_once_than_allowed_are_429(client, server, connection, until):
    server.settings.concurrent_requests = 1
    server.faults.add(Fault(operation="list", kind="delay", delay=30))
    with connection(server) as other:
        held = threading.Thread(target=hold, args=(other, client.documents_path))
        held.start()
        until(lambda: len(server.requests) == 1 and not server.faults.waiting)
        refused = client.list()
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limit/concurrent-exceeded")
        server.close()  # cuts the held request
        held.join(5)
    assert not held.is_alive()
