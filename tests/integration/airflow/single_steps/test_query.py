"""Questions, and where the hits come from."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk import DAG, task

from cloudindex_provider import errors
from cloudindex_provider.operators.cloudindex import CloudIndexQueryOperator, CloudIndexUploadDocumentsOperator
from cloudindex_provider.operators.cloudindex_sync import CloudIndexDetectChangesOperator
from cloudindex_provider.state import sources
from cloudindex_provider.state.db.database import Database

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")


def test_a_question_gives_hits_that_xcom_can_hold(service):
    hits = CloudIndexQueryOperator(task_id="t", query="why?", filters={"types": ["pdf"]}).execute({})
    assert hits[0]["document_id"] == "d-1"
    assert hits[0]["score"] == 0.9
    json.dumps(hits)
    assert json.loads(service.requests[0][2])["filters"] == {"types": ["pdf"]}


def test_an_empty_question_is_not_asked(service):
    with pytest.raises(errors.ConfigurationError, match="query is empty"):
        CloudIndexQueryOperator(task_id="t", query=" ").execute({})
    assert service.requests == []


# Where the hits come from


def ask(query="text", **more):
    return CloudIndexQueryOperator(task_id="q", query=query, **more).execute({})


def by_name(hits):
    return {hit["document_name"]: hit for hit in hits}


def detect(world, context):
    """A run that has looked at S3, and not uploaded or deleted anything yet."""
    context["ti"].xcom_push = lambda *_: None
    CloudIndexDetectChangesOperator(task_id="d", bucket=world.bucket, prefix="documents/").execute(context)


def test_a_hit_of_a_synced_document_names_its_object_and_version(world):
    """From the answer back to the bytes in S3."""
    world.put("documents/it's a/ü.txt", body=b"the text about sheep")
    world.sync()
    (hit,) = ask("sheep")
    head = world.s3.head_object(Bucket=world.bucket, Key="documents/it's a/ü.txt")
    assert hit["ours"] is True
    assert hit["s3"] == {
        "uri": f"s3://{world.bucket}/documents/it's a/ü.txt",
        "bucket": world.bucket,
        "key": "documents/it's a/ü.txt",
        "etag": head["ETag"].strip('"'),
        "version_id": None,
        "size": 20,
        "sha256": hashlib.sha256(b"the text about sheep").hexdigest(),
        "project_id": world.ci.project_id,
        "stale": False,
        "stale_reason": None,
    }
    json.dumps(hit)


def test_what_s3_has_newer_bytes_of_or_no_more_is_stale(world, try_number):
    """As soon as a run has seen it, though CloudIndex still answers with the old text."""
    world.put("documents/changed.txt", "documents/gone.txt", "documents/same.txt", body=b"some text about goats")
    world.sync()
    etag = world.s3.head_object(Bucket=world.bucket, Key="documents/changed.txt")["ETag"].strip('"')
    world.put("documents/changed.txt", body=b"another text")
    world.remove("documents/gone.txt")
    assert {hit["s3"]["stale"] for hit in ask("goats")} == {False}  # nobody has looked at S3 yet
    detect(world, try_number(1))
    found = {hit["s3"]["key"]: hit["s3"] for hit in ask("goats")}
    assert found["documents/same.txt"]["stale"] is False
    assert found["documents/changed.txt"]["stale_reason"] == "S3 has newer bytes of the key"
    assert found["documents/changed.txt"]["etag"] == etag  # of what was indexed
    assert found["documents/gone.txt"]["stale_reason"] == "S3 has the key no more"


def test_a_document_that_no_sync_has_made_says_so(world, tmp_path):
    """Uploaded by hand, beside those of a sync."""
    world.put("documents/a.txt", body=b"words about cows")
    world.sync()
    (tmp_path / "by-hand.txt").write_text("more words about cows")
    CloudIndexUploadDocumentsOperator(task_id="u", files=str(tmp_path / "by-hand.txt")).execute({})
    hits = by_name(poll(lambda: ask("cows"), 2))
    assert (hits["by-hand.txt"]["ours"], hits["by-hand.txt"]["s3"]) == (False, None)
    assert {hit["ours"] for hit in hits.values()} == {True, False}


def poll(look, number, seconds=20.0):
    end = time.monotonic() + seconds
    while len(found := look()) < number:
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_a_question_without_a_state_says_that_nothing_is_known_and_makes_none(service, state_path):
    """A reader never begins a state."""
    (hit,) = ask()
    assert (hit["ours"], hit["s3"]) == (None, None)
    assert not state_path.parent.exists()


def test_a_damaged_state_is_not_taken_for_none(service, state_path):
    """What it would say of the hits isn't known."""
    state_path.parent.mkdir()
    state_path.write_bytes(b"no database at all")
    with pytest.raises(errors.StateError, match="no SQLite database"):
        ask()


def test_the_version_id_is_that_of_the_cited_bytes(service, state_path):
    """CloudIndex gives the sync's metadata back; that of other bytes than the state knows says nothing."""
    state_path.parent.mkdir()
    db = Database(f"sqlite:///{state_path}")
    source = sources.open_source(db, project_id=service.project, bucket="b", prefix="")
    with db.write() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO object (scope_id, key, source_id, status, etag, size, last_modified, storage_class,"
                " document_id, indexed_etag, indexed_size) VALUES (:scope, 'k', :source, 'indexed', 'e1', 3, 't',"
                " 'STANDARD', 'd-1', 'e1', 3)"
            ),
            {"scope": source.scope_id, "source": source.id},
        )
    db.close()
    for etag, version in (("e1", "v-7"), ("e0", None)):
        service.chunk = {"document_metadata": {"etag": etag, "versionId": "v-7"}}
        (hit,) = ask()
        assert (hit["s3"]["uri"], hit["s3"]["etag"], hit["s3"]["version_id"]) == ("s3://b/k", "e1", version)


@pytest.mark.parametrize("value", [None, "None", "", " \n", ["a"], True])
def test_what_is_no_question_is_not_asked(service, value):
    """A template that gave nothing least of all."""
    with pytest.raises(errors.ConfigurationError, match="query"):
        ask(value)
    assert service.requests == []


@pytest.mark.parametrize("native", [False, True])
def test_templates_give_questions_filters_and_options(run_dag, service, native):
    """As text, native, JSON text, Python's text of a dict, and None."""
    with DAG(f"query_{native}", schedule=None, render_template_as_native_obj=native) as dag:

        @task
        def give() -> dict[str, Any]:
            return {"filters": {"types": ["pdf"]}, "options": None, "year": 2026}

        given: Any = give()
        pull = "ti.xcom_pull(task_ids='give')"
        given >> [
            CloudIndexQueryOperator(
                task_id="text",
                query=f"{{{{ {pull}['year'] }}}}",
                filters=f"{{{{ {pull}['filters'] }}}}",
                options=f"{{{{ {pull}['options'] }}}}",
            ),
            CloudIndexQueryOperator(
                task_id="json", query="2026", filters=f"{{{{ {pull}['filters'] | tojson }}}}", options='{"limit": 3}'
            ),
        ]
        CloudIndexQueryOperator(task_id="output", query="2026", filters=given["filters"], options=given["options"])
    assert {state for state, _ in run_dag(dag).values()} == {"success"}
    asked = [json.loads(body) for method, _, body in service.requests]
    assert [one["query"] for one in asked] == ["2026"] * 3
    assert [one["filters"] for one in asked] == [{"types": ["pdf"]}] * 3
    assert sorted(str(one.get("options")) for one in asked) == ["None", "None", "{'limit': 3}"]
