"""Every documented endpoint, who may call it, and what is answered to those who may not."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

OTHER = "00000000-0000-4000-8000-000000000002"


def test_an_uploaded_file_is_answered_listed_read_and_deleted_under_one_id(client, server):
    answer = client.upload(("a.txt", b"hello"), ("b.md", b"# there")).json()
    assert [d["fileName"] for d in answer["documents"]] == ["a.txt", "b.md"]
    assert answer["errors"] == []
    assert answer["batch"]["totalFiles"] == 2
    document = answer["documents"][0]["id"]

    client.settled()
    listed = {d["id"]: d for d in client.list().json()}
    assert listed[document]["contentHash"] == hashlib.sha256(b"hello").hexdigest()
    assert listed[document]["fileSize"] == 5
    assert listed[document]["processorType"] == "basic"

    read = client.get(document).json()
    assert read["document"] == listed[document]
    assert read["processingJobs"][0]["batchId"] == answer["batch"]["id"]
    assert read["processingJobs"][0]["status"] == "completed"
    assert server.content(document) == b"hello"

    assert client.delete(document).json() == {"message": "Document deleted successfully"}
    assert client.get(document).status_code == 404
    assert client.delete(document).status_code == 404
    assert [d["fileName"] for d in client.list().json()] == ["b.md"]
    assert client.texts("hello") == []
    with pytest.raises(KeyError):
        server.content(document)


def test_versions_are_paged_newest_first_and_can_be_not_offered(client, server):
    server.settings.same_name = "version"
    for text in (b"one", b"two", b"three"):
        document = client.upload(("a.txt", text)).json()["documents"][0]["id"]
    path = f"{client.documents_path}/{document}/versions"

    page = client.http.get(path, params={"limit": 2, "offset": 0}).json()
    assert [v["version"] for v in page["versions"]] == [3, 2]
    assert page["pagination"] == {"total": 3, "limit": 2, "offset": 0, "hasMore": True}
    assert [v["version"] for v in client.http.get(path, params={"offset": 2}).json()["versions"]] == [1]
    assert client.http.get(path, params={"limit": "x"}).status_code == 400
    assert client.http.get(f"{client.documents_path}/none/versions").status_code == 404

    server.settings.versions_endpoint = False
    assert client.http.get(path).status_code == 404


def test_an_integration_is_stored_without_its_credentials(client, tmp_path: Path):
    body = {"type": "s3", "credentials": {"secretAccessKey": "hush-hush"}, "settings": {"bucket": "b"}}
    answer = client.http.post("/integrations", json=body)
    assert answer.status_code == 200
    assert answer.json()["type"] == "s3"
    assert set(answer.json()) == {"id", "type", "status"}
    stored = sqlite3.connect(tmp_path / "data" / "cloudindex.sqlite").execute("SELECT * FROM integrations").fetchall()
    assert '{"bucket": "b"}' in stored[0]
    assert "hush-hush" not in str(stored)
    assert client.http.post("/integrations", json={}).status_code == 400


@pytest.mark.parametrize("scheme", ["ApiKey", "Bearer"])
def test_each_scheme_is_accepted_unless_the_settings_want_the_other(client, server, scheme):
    headers = {"Authorization": f"{scheme} {server.api_key}"}
    assert client.http.get(client.documents_path, headers=headers).status_code == 200
    server.settings.auth_scheme = scheme
    assert client.http.get(client.documents_path, headers=headers).status_code == 200
    server.settings.auth_scheme = "Bearer" if scheme == "ApiKey" else "ApiKey"
    assert client.http.get(client.documents_path, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("header", "code"), [("", "api_key/missing"), ("ApiKey wrong", "api_key/invalid"), ("wrong", "api_key/invalid")]
)
def test_a_request_without_a_good_key_is_401_with_the_documented_code(client, header, code):
    answer = client.http.get(client.documents_path, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_a_project_is_404_when_unknown_and_403_to_the_key_of_another(client, server):
    server.settings.projects = [server.project_id, OTHER]
    server.settings.api_keys = {server.api_key: None, "narrow": [OTHER]}
    narrow = {"Authorization": "ApiKey narrow"}
    assert client.http.get("/projects/none/documents").status_code == 404
    assert client.http.get(client.documents_path, headers=narrow).status_code == 403
    assert client.http.get(f"/projects/{OTHER}/documents", headers=narrow).status_code == 200


def test_a_query_sees_the_projects_of_its_key_only(client, server):
    server.settings.projects = [server.project_id, OTHER]
    server.settings.api_keys = {server.api_key: None, "narrow": [OTHER]}
    client.upload(("a.txt", b"secret of the first"))
    client.http.post(f"/projects/{OTHER}/documents", files={"documents": ("b.txt", b"secret of the second")})
    client.settled()
    body = {"query": "secret"}
    assert len(client.http.post("/query", json=body).json()["scored_chunks"]) == 2
    found = client.http.post("/query", json=body, headers={"Authorization": "ApiKey narrow"}).json()
    assert [chunk["text"] for chunk in found["scored_chunks"]] == ["secret of the second"]
    assert [d["fileName"] for d in server.documents(OTHER)] == ["b.txt"]


def test_an_unknown_path_or_method_is_answered_with_an_error_body(client):
    assert client.http.get("/nothing").json()["code"] == "business/not-found"
    assert client.http.put(client.documents_path).status_code == 405


def test_every_answer_carries_a_request_id_a_date_and_the_rate_limit(client):
    for answer in (client.list(), client.get("none"), client.http.get("/nothing"), client.query("")):
        for name in ("X-Request-ID", "Date", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"):
            assert answer.headers[name], (answer.status_code, name)


def test_the_log_tells_what_was_asked_and_answered(client, server):
    client.upload(("a.txt", b"1"), ("b.txt", b"2"))
    client.get("none")
    upload, get = server.requests
    assert (upload.method, upload.operation, upload.status, upload.files) == ("POST", "upload", 200, 2)
    assert (get.operation, get.status, get.path) == ("get", 404, f"/public/v1{client.documents_path}/none")
    assert upload.started <= upload.ended <= get.started
