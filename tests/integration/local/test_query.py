"""The query endpoint: ranking, filters, options, and text that was written to break it."""

from __future__ import annotations

import pytest


@pytest.fixture
def library(client):
    client.upload(
        ("whale.txt", b"The whale is a mammal. A whale breathes air. Whale!"),
        ("sea.md", b"The sea is deep, and somewhere in its dark water a whale may swim among very many other things."),
        ("zebra.txt", b"The zebra has stripes."),
        ("cafe.txt", "Ein Café in Zürich".encode()),
    )
    return {d["fileName"]: d for d in client.settled()}


def names(answer):
    return [chunk["document_name"] for chunk in answer.json()["scored_chunks"]]


def test_the_best_match_comes_first_with_scores_from_one_down(client, library):
    answer = client.query("whale")
    assert names(answer) == ["whale.txt", "sea.md"]
    scores = [chunk["score"] for chunk in answer.json()["scored_chunks"]]
    assert scores[0] == 1.0
    assert 0 <= scores[1] < 1
    assert answer.json()["metadata"]["total_chunks"] == 4
    assert answer.json()["metadata"]["reranking_applied"] is False


def test_any_of_the_words_may_match_and_accents_do_not_matter(client, library):
    assert set(names(client.query("zebra whale"))) == {"zebra.txt", "whale.txt", "sea.md"}
    assert names(client.query("cafe zurich")) == ["cafe.txt"]


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "'; DROP TABLE chunks; --",
        "a AND",
        "NOT",
        "text:whale",
        "(",
        "*",
        "^whale",
        'NEAR("a" "b")',
        "\x00",
        "🦓",
        "-",
        "a" * 1000,
    ],
)
def test_hostile_text_is_only_text(client, library, text):
    assert client.query(text).status_code == 200
    assert names(client.query(f"zebra {text}"[:1000]))[0] in library


def test_filters_narrow_the_search(client, library):
    def filtered(**filters):
        return names(client.query("whale", filters=filters))

    assert filtered(documentIds=[library["sea.md"]["id"]]) == ["sea.md"]
    assert filtered(types=["md"]) == ["sea.md"]
    assert filtered(types=["pdf"]) == []
    assert len(filtered(dateRange={"from": "2020-01-01T00:00:00Z", "to": "2999-01-01T00:00:00+02:00"})) == 2
    assert filtered(dateRange={"to": "2020-01-01"}) == []
    assert filtered(dateRange={"from": "2999-01-01"}) == []


def test_options_limit_what_comes_back(client, library):
    def found(**options):
        return names(client.query("whale", options=options))

    assert found(limit=1) == ["whale.txt"]
    assert found(similarityTopK=1) == ["whale.txt"]
    assert found(threshold=1) == ["whale.txt"]
    assert found(rerankingEnabled=True, rerankingTopN=1) == ["whale.txt"]
    assert found(rerankingEnabled=True, rerankingThreshold=1) == ["whale.txt"]
    assert client.query("whale", options={"rerankingEnabled": True}).json()["metadata"]["reranking_applied"] is True


def test_metadata_of_the_document_comes_only_when_asked_for(client, library):
    assert "document_metadata" not in client.query("zebra").json()["scored_chunks"][0]
    chunk = client.query("zebra", options={"includeMetadata": True}).json()["scored_chunks"][0]
    assert chunk["document_metadata"]["mime_type"] == "text/plain"
    assert chunk["document_metadata"]["processing_status"] == "processed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "x" * 1001}, "query"),
        ({"query": 3}, "query"),
        ({"query": "x", "options": {"similarityTopK": 5, "rerankingTopN": 6}}, "options.rerankingTopN"),
        ({"query": "x", "options": {"limit": 101}}, "options.limit"),
        ({"query": "x", "options": {"limit": True}}, "options.limit"),
        ({"query": "x", "options": {"similarityTopK": 1.5}}, "options.similarityTopK"),
        ({"query": "x", "options": {"threshold": 1.1}}, "options.threshold"),
        ({"query": "x", "options": {"alpha": 0}}, "options.alpha"),
        ({"query": "x", "options": {"includeMetadata": "yes"}}, "options.includeMetadata"),
        ({"query": "x", "options": {"preset": "odd"}}, "options.preset"),
        ({"query": "x", "options": []}, "options"),
        ({"query": "x", "filters": {"types": ["zip"]}}, "filters.types"),
        ({"query": "x", "filters": {"documentIds": "one"}}, "filters.documentIds"),
        ({"query": "x", "filters": {"dateRange": {"from": "soon"}}}, "filters.dateRange.from"),
        ([], ""),
    ],
)
def test_an_invalid_query_is_400_and_names_the_field(client, body, field):
    answer = client.http.post("/query", json=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "validation/invalid-input"
    assert field in [error["field"] for error in answer.json()["details"]["errors"]]


def test_a_query_that_is_no_json_is_400(client):
    assert client.http.post("/query", content=b"{").status_code == 400
