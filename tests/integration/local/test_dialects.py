"""Each switch for what the service's documents leave open."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def three(client):
    client.upload(*((f"{name}.txt", name.encode()) for name in "abc"))
    return client.settled()


def test_the_list_is_a_bare_array_or_an_object(client, server, three):
    assert len(client.list().json()) == 3
    server.settings.list_style = "object"
    assert set(client.list().json()) == {"documents"}
    server.settings.list_total = True
    assert client.list().json()["total"] == 3


@pytest.mark.parametrize("paging", ["page", "offset"])
def test_a_paged_list_is_complete_when_its_pages_are_followed(client, server, three, paging):
    server.settings.list_style, server.settings.paging, server.settings.page_size = "paged", paging, 2
    first = client.list().json()
    assert first["pagination"]["hasMore"] is True
    assert first["pagination"]["total"] == 3
    assert first["pagination"][paging] == (1 if paging == "page" else 0)
    second = client.list(**{paging: 2}).json()
    assert second["pagination"]["hasMore"] is False
    assert [d["fileName"] for d in first["documents"] + second["documents"]] == ["a.txt", "b.txt", "c.txt"]


def test_a_nonsensical_page_is_refused(client, server):
    server.settings.list_style = "paged"
    assert client.list(page="0").status_code == 400


def test_an_upload_answers_in_the_words_of_the_openapi_or_of_the_guide(client, server):
    openapi = client.upload(("a.txt", b"a")).json()["documents"][0]
    assert {"status", "uploadedAt"} <= set(openapi)
    server.settings.upload_style = "guide"
    guide = client.upload(("a.txt", b"a")).json()["documents"][0]
    assert {"processingStatus", "uploadDate"} <= set(guide)
    assert "status" not in guide


def test_unset_fields_are_absent_or_null(client, server, three):
    assert "errorMessage" not in client.list().json()[0]
    server.settings.nulls = True
    assert client.list().json()[0]["errorMessage"] is None


def test_the_content_hash_can_be_missing_from_the_list(client, server, three):
    server.settings.list_content_hash = False
    assert "contentHash" not in client.list().json()[0]
    assert "contentHash" in client.get(three[0]["id"]).json()["document"]


def test_shuffled_upload_answers_hold_the_same_files(client, server):
    server.settings.shuffle_uploads = True
    names = [f"{number}.txt" for number in range(20)]
    answered = [d["fileName"] for d in client.upload(*((name, b"x") for name in names)).json()["documents"]]
    assert sorted(answered) == sorted(names)
    assert answered != names  # one in 20! runs would fail


def test_error_bodies_come_flat_nested_or_in_the_query_style(client, server):
    def body():
        return client.get("none").json()

    assert set(body()) == {"error", "code", "category"}
    assert set(client.query("").json()) == {"code", "category", "message", "details"}
    server.settings.error_style = "nested"
    assert {"code", "message", "requestId"} <= set(body()["error"])
    server.settings.error_style = "query"
    assert set(body()) == {"code", "category", "message"}
    server.settings.error_style = "flat"
    assert "error" in client.query("").json()


def test_status_words_can_be_replaced(client, server, three):
    server.settings.status_words = {"processed": "completed"}
    assert client.list().json()[0]["processingStatus"] == "completed"


def test_same_name_duplicate_keeps_both_documents(client, server):
    ids = [client.upload(("a.txt", text)).json()["documents"][0]["id"] for text in (b"1", b"2")]
    assert [d["id"] for d in server.documents()] == ids


def test_same_name_version_keeps_the_id_and_counts_up(client, server):
    server.settings.same_name = "version"
    first, second = (client.upload(("a.txt", text)).json()["documents"][0] for text in (b"1", b"2"))
    assert first["id"] == second["id"]
    assert (first["version"], second["version"]) == (1, 2)
    assert server.content(first["id"]) == b"2"


def test_same_name_replace_makes_a_new_id_and_the_old_one_disappears(client, server):
    server.settings.same_name = "replace"
    first, second = (client.upload(("a.txt", text)).json()["documents"][0]["id"] for text in (b"1", b"2"))
    assert first != second
    assert [d["id"] for d in server.documents()] == [second]
    assert client.get(first).status_code == 404


def test_create_version_counts_only_where_options_are_honoured(client, server):
    options = json.dumps({"createVersion": True})
    client.upload(("a.txt", b"1"))
    client.upload(("a.txt", b"2"), options=options)
    assert len(server.documents()) == 2
    server.settings.honour_options = True
    answer = client.upload(("a.txt", b"3"), options=options).json()["documents"][0]
    assert answer["version"] == 2
    assert len(server.documents()) == 2


def test_metadata_is_stored_and_returned_only_when_wanted(client, server):
    client.upload(("a.txt", b"1"), metadata='{"key": "a/b"}')
    client.upload(("b.txt", b"1"), ("c.txt", b"1"), metadata='[{"n": 1}, {"n": 2}]')
    client.upload(("d.txt", b"1"), metadata="not json")
    stored = [d["metadata"] for d in server.documents()]
    assert stored == [{"key": "a/b"}, {"n": 1}, {"n": 2}, None]
    assert "metadata" not in client.list().json()[0]
    server.settings.return_metadata = True
    assert client.list().json()[0]["metadata"] == {"key": "a/b"}
