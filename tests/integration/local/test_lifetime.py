"""Starting, stopping, and what outlives the process."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import httpx
import pytest

from cloudindex_provider.local.__main__ import main
from cloudindex_provider.local.faults import Fault
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.local.settings import Settings


def test_a_server_on_the_same_directory_serves_the_same(tmp_path, connection, until):
    with LocalCloudIndex(tmp_path) as server, connection(server) as http:
        path = f"/projects/{server.project_id}/documents"
        http.post(path, files={"documents": ("a.txt", b"a wombat")})
        until(lambda: server.documents()[0]["status"] == "processed")
        before = http.get(path).json()
    with LocalCloudIndex(tmp_path) as server, connection(server) as http:
        assert http.get(path).json() == before
        assert server.content(before[0]["id"]) == b"a wombat"
        assert len(http.post("/query", json={"query": "wombat"}).json()["scored_chunks"]) == 1


def test_processing_that_was_left_open_goes_on_at_the_next_start(tmp_path, connection, until):
    with LocalCloudIndex(tmp_path, settings=Settings(processing_delay=3600)) as server, connection(server) as http:
        http.post(f"/projects/{server.project_id}/documents", files={"documents": ("a.txt", b"x")})
        assert server.documents()[0]["status"] == "pending"
    with LocalCloudIndex(tmp_path) as server:
        until(lambda: server.documents()[0]["status"] == "processed")


def test_bytes_that_no_document_names_are_swept_at_the_start(tmp_path):
    LocalCloudIndex(tmp_path).close()
    for orphan in (tmp_path / "incoming" / "ab1", tmp_path / "blobs" / "ab" / "ab2"):
        orphan.parent.mkdir(exist_ok=True)
        orphan.write_bytes(b"x")
    LocalCloudIndex(tmp_path).close()
    assert [path for path in tmp_path.rglob("ab?") if path.is_file()] == []


def test_deleted_and_replaced_documents_leave_no_bytes(client, server, tmp_path):
    server.settings.same_name = "replace"
    for text in (b"1", b"2"):
        document = client.upload(("a.txt", text)).json()["documents"][0]["id"]
    assert len([path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()]) == 1
    client.delete(document)
    assert [path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()] == []


def test_starting_and_stopping_take_moments(tmp_path):
    began = time.monotonic()
    LocalCloudIndex(tmp_path).close()
    assert time.monotonic() - began < 10


def test_stopping_waits_neither_for_idle_connections_nor_for_delayed_requests(client, server, until, caplog):
    client.list()  # leaves a connection that is kept alive
    server.faults.add(Fault(operation="list", kind="delay", delay=60))
    server.faults.add(Fault(operation="upload", kind="late_commit", delay=60))
    with pytest.raises(httpx.TransportError):
        client.upload(("a.txt", b"x"))
    outcome: list[BaseException] = []

    def ask() -> None:
        try:
            client.list()
        except httpx.TransportError as exc:
            outcome.append(exc)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: not server.faults.waiting)
    began = time.monotonic()
    server.close()
    thread.join(5)
    assert time.monotonic() - began < 10
    assert outcome
    assert caplog.records == []  # what was cut on purpose is no error of the server


def test_closing_twice_is_closing_once(tmp_path):
    server = LocalCloudIndex(tmp_path)
    server.close()
    server.close()


def said_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/public/v1$", process.stdout.readline())
    assert found is not None, "the first line names no URL"
    return found[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_where_it_is_serves_and_ends_cleanly_on_a_signal(tmp_path, number):
    command = [sys.executable, "-m", "cloudindex_provider.local", "--port", "0", "--data", str(tmp_path)]
    command += ["--api-key", "k", "--project", "p", "--set", "same_name=version", "--set", "page_size=7"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = said_url(process)
        headers = {"Authorization": "ApiKey k"}
        answer = httpx.get(f"{url}/projects/p/documents", headers=headers, trust_env=False)
        assert answer.json() == []
        assert httpx.get(url.replace("/public/v1", "/_local/stats"), trust_env=False).status_code == 404
        process.send_signal(number)
        out, err = process.communicate(timeout=5)
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        process.kill()
        process.wait()


def test_what_was_answered_survives_a_killed_process(tmp_path):
    command = [sys.executable, "-m", "cloudindex_provider.local", "--data", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = said_url(process)
        path = f"{url}/projects/{Settings().projects[0]}/documents"
        headers = {"Authorization": f"ApiKey {next(iter(Settings().api_keys))}"}
        answer = httpx.post(path, headers=headers, files={"documents": ("a.txt", b"a wombat")}, trust_env=False)
    finally:
        process.kill()
        process.communicate()
    with LocalCloudIndex(tmp_path) as server:
        assert [d["id"] for d in server.documents()] == [d["id"] for d in answer.json()["documents"]]
        assert server.content(server.documents()[0]["id"]) == b"a wombat"


@pytest.mark.parametrize("setting", ["nothing=1", "same_name=odd", "same_name"])
def test_the_command_refuses_a_wrong_setting(tmp_path, capsys, setting):
    with pytest.raises(SystemExit) as ended:
        main(["--data", str(tmp_path), "--set", setting])
    assert ended.value.code == 2
    assert setting.partition("=")[0] in capsys.readouterr().err


def test_the_command_says_when_its_port_is_taken(tmp_path, server, capsys):
    port = server.root_url.rpartition(":")[2]
    assert main(["--data", str(tmp_path / "other"), "--port", port]) == 1
    assert "Can't start" in capsys.readouterr().err


def test_a_directory_of_another_schema_is_refused(tmp_path, capsys):
    LocalCloudIndex(tmp_path).close()
    with sqlite3.connect(tmp_path / "cloudindex.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert main(["--data", str(tmp_path)]) == 1
    assert "schema 99" in capsys.readouterr().err
