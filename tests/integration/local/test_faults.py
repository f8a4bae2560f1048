"""What goes wrong when a test asks for it, and what was committed by then."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from pydantic import ValidationError

from cloudindex_provider.local.faults import Fault
from cloudindex_provider.local.server import LocalCloudIndex


def uploaded(server):
    return [d["fileName"] for d in server.documents()]


@pytest.mark.parametrize(("kind", "committed"), [("cut_before", []), ("cut_after", ["a.txt"])])
def test_a_cut_connection_gives_no_answer(client, server, kind, committed):
    server.faults.add(Fault(operation="upload", kind=kind))
    with pytest.raises(httpx.TransportError):
        client.upload(("a.txt", b"x"))
    assert uploaded(server) == committed
    assert server.requests[-1].status is None


def test_a_cut_body_is_half_an_answer_to_a_committed_request(client, server):
    server.faults.add(Fault(operation="upload", kind="cut_body"))
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        client.upload(("a.txt", b"x"))
    assert uploaded(server) == ["a.txt"]


def test_garbage_is_a_200_that_no_one_can_read(client, server):
    server.faults.add(Fault(operation="upload", kind="garbage"))
    answer = client.upload(("a.txt", b"x"))
    assert answer.status_code == 200
    with pytest.raises(ValueError):  # noqa: PT011 - JSON or UTF-8, whichever fails first
        json.loads(answer.content)
    assert uploaded(server) == ["a.txt"]


def test_a_proxys_page_is_html_and_nothing_was_done(client, server):
    server.faults.add(Fault(operation="upload", kind="html", status=502))
    answer = client.upload(("a.txt", b"x"))
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert uploaded(server) == []


def test_a_status_comes_with_its_code_and_wait(client, server):
    server.faults.add(Fault(kind="status", status=500, error_code="system/database-error", retry_after=7))
    answer = client.list()
    assert (answer.status_code, answer.json()["code"]) == (500, "system/database-error")
    assert answer.headers["Retry-After"] == "7"


def test_a_429_speaks_in_the_style_of_the_settings(client, server):
    server.faults.add(Fault(kind="429", retry_after=30, times=2))
    assert client.list().headers["Retry-After"] == "30"
    server.settings.retry_after_style = "reset_only"
    answer = client.list()
    assert "Retry-After" not in answer.headers
    assert 15 <= int(answer.headers["X-RateLimit-Reset"]) - time.time() <= 31


def test_a_delay_only_takes_time(client, server):
    server.faults.add(Fault(operation="upload", kind="delay", delay=0.1))
    began = time.monotonic()
    assert client.upload(("a.txt", b"x")).status_code == 200
    assert time.monotonic() - began >= 0.1


def test_partial_errors_hit_the_matching_files_alone(client, server):
    server.faults.add(Fault(kind="partial_errors", match="b", error_code="system/database-error", retryable=False))
    answer = client.upload(("a.txt", b"x"), ("b.txt", b"x")).json()
    assert uploaded(server) == ["a.txt"]
    error = answer["errors"][0]
    assert (error["fileName"], error["code"], error["category"]) == ("b.txt", "system/database-error", "system")
    assert error["retryable"] is False


def test_missing_entries_are_committed_nowhere_and_mentioned_nowhere(client, server):
    server.faults.add(Fault(operation="upload", kind="missing_entries", match="b"))
    answer = client.upload(("a.txt", b"x"), ("b.txt", b"x")).json()
    assert [d["fileName"] for d in answer["documents"]] == ["a.txt"]
    assert answer["errors"] == []
    assert uploaded(server) == ["a.txt"]


def test_a_list_can_hide_documents_that_its_total_counts(client, server):
    client.upload(("a.txt", b"x"), ("b.txt", b"x"))
    server.settings.list_style, server.settings.list_total = "object", True
    server.faults.add(Fault(operation="list", kind="missing_entries", match="b.txt"))
    answer = client.list().json()
    assert [d["fileName"] for d in answer["documents"]] == ["a.txt"]
    assert answer["total"] == 2


def test_a_renamed_file_is_committed_and_answered_under_its_new_name(client, server):
    server.faults.add(Fault(kind="rename", match="b"))
    answer = client.upload(("a.txt", b"x"), ("b.txt", b"x")).json()
    assert [d["fileName"] for d in answer["documents"]] == ["a.txt", "renamed-b.txt"]
    assert uploaded(server) == ["a.txt", "renamed-b.txt"]


def test_a_late_commit_happens_after_the_connection_was_cut(client, server, until):
    server.faults.add(Fault(operation="upload", kind="late_commit", delay=0.1))
    with pytest.raises(httpx.TransportError):
        client.upload(("a.txt", b"x"))
    assert uploaded(server) == []
    until(lambda: uploaded(server) == ["a.txt"])


@pytest.mark.parametrize("operation", ["list", "get", "versions", "delete", "query"])
def test_every_operation_can_fail(client, server, operation):
    document = client.upload(("a.txt", b"x")).json()["documents"][0]["id"]
    calls = {
        "list": client.list,
        "get": lambda: client.get(document),
        "versions": lambda: client.http.get(f"{client.documents_path}/{document}/versions"),
        "delete": lambda: client.delete(document),
        "query": lambda: client.query("x"),
    }
    server.faults.add(Fault(operation=operation, kind="status"))
    assert calls[operation]().status_code == 503
    server.faults.add(Fault(operation=operation, kind="cut_after"))
    with pytest.raises(httpx.TransportError):
        calls[operation]()
    assert uploaded(server) == ([] if operation == "delete" else ["a.txt"])


def test_faults_follow_each_other_in_the_order_they_were_added(client, server):
    server.faults.add(Fault(kind="status", status=500), Fault(kind="status", status=503))
    assert [client.list().status_code for _ in range(3)] == [500, 503, 200]


def test_skip_every_and_times_choose_the_requests(client, server):
    server.faults.add(Fault(kind="status", skip=1, every=2, times=2))
    assert [client.list().status_code for _ in range(7)] == [200, 503, 200, 503, 200, 200, 200]


def test_match_chooses_by_document_id_and_name(client, server):
    first, second = (client.upload((f"{name}.txt", b"x")).json()["documents"][0]["id"] for name in "ab")
    server.faults.add(Fault(operation="get", kind="status", match=second, times=None))
    assert [client.get(document).status_code for document in (first, second)] == [200, 503]
    server.faults.clear()
    server.faults.add(Fault(operation="get", kind="status", match="a.t", times=None))
    assert [client.get(document).status_code for document in (first, second)] == [503, 200]


def test_an_unknown_kind_or_field_is_refused():
    with pytest.raises(ValidationError):
        Fault.model_validate({"kind": "explode"})
    with pytest.raises(ValidationError):
        Fault.model_validate({"kind": "status", "often": True})


def test_the_control_endpoints_steer_a_server_of_another_process(client, server):
    control = httpx.Client(base_url=server.root_url, trust_env=False)
    assert control.post("/_local/faults", json=[{"operation": "list", "kind": "status"}]).json() == {"added": 1}
    assert client.list().status_code == 503
    control.post("/_local/faults", json=[{"kind": "status", "times": None}])
    control.delete("/_local/faults")
    assert client.list().status_code == 200
    assert control.post("/_local/settings", json={"list_style": "object", "window": 2}).status_code == 200
    assert client.list().json() == {"documents": []}
    stats = control.get("/_local/stats").json()
    assert stats["operations"] == {"list": 3}
    assert stats["statuses"] == {"503": 1, "200": 2}
    assert stats["faults"] == {"waiting": 0, "fired": 1}


@pytest.mark.parametrize("body", [{"list_style": "odd"}, {"nothing": 1}, [1], {"window": 5, "max_files": 0}])
def test_wrong_settings_are_refused_and_change_nothing(server, body):
    answer = httpx.post(f"{server.root_url}/_local/settings", json=body, trust_env=False)
    assert answer.status_code == 400
    assert server.settings.window == 60
    assert httpx.post(f"{server.root_url}/_local/faults", json=[{"kind": "odd"}], trust_env=False).status_code == 400


def test_without_control_there_are_no_control_endpoints(tmp_path):
    with LocalCloudIndex(tmp_path, control=False) as server:
        assert httpx.get(f"{server.root_url}/_local/stats", trust_env=False).status_code == 404
