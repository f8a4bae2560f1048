"""What only Airflow's own task runner shows: the policy at work, and a deferral from end to end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.sdk import DAG, task

from cloudindex_provider.operators.cloudindex import CloudIndexQueryOperator, CloudIndexUploadDocumentsOperator
from cloudindex_provider.sensors.cloudindex import CloudIndexProcessingSensor

pytestmark = pytest.mark.usefixtures("connect")


@pytest.fixture
def run(run_dag, request):
    """Runs the tasks that a function makes."""

    def run(build):
        with DAG(f"dag_{abs(hash(request.node.name))}", schedule=None) as dag:
            build()
        return run_dag(dag)

    return run


@pytest.fixture
def no_sleep(monkeypatch):
    async def sleep(_):
        pass

    monkeypatch.setattr(asyncio, "sleep", sleep)


def test_a_wrong_key_fails_at_the_first_try(run, service, connect):
    connect(password="wrong-key-of-somebody")
    assert run(lambda: CloudIndexQueryOperator(task_id="ask", query="why?")) == {("ask", -1): ("failed", 1)}
    assert len(service.requests) == 1


def test_a_connection_that_is_not_defined_fails_at_the_first_try(run, service):
    """It would be missing at every other one."""
    ask = {"task_id": "ask", "query": "why?", "cloudindex_conn_id": "nowhere"}
    assert run(lambda: CloudIndexQueryOperator(**ask)) == {("ask", -1): ("failed", 1)}
    assert service.requests == []


def test_a_key_that_is_rotated_in_airflow_s_own_database_costs_no_try(run, service, airflow_db):
    """The running task reads the connection anew through Airflow."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    def save(key):
        with create_session() as session:
            found = session.query(Connection).filter_by(conn_id="rotated").one_or_none()
            if found is None:
                found = Connection(conn_id="rotated", conn_type="cloudindex", host=service.url)
                session.add(found)
            found.set_password(key)

    answer = service.answer

    def rotate(*arguments):
        if not service.requests:
            service.key = "key-of-tomorrow"
            save("key-of-tomorrow")
        return answer(*arguments)

    save(service.key)
    service.answer = rotate
    ask = {"task_id": "ask", "query": "why?", "cloudindex_conn_id": "rotated"}
    assert run(lambda: CloudIndexQueryOperator(**ask)) == {("ask", -1): ("success", 1)}
    assert len(service.requests) == 2


def test_a_mapped_task_keeps_the_policy_and_other_items_go_on(run, service):
    service.prepare(403, {"error": "no"})
    states = run(lambda: CloudIndexQueryOperator.partial(task_id="ask").expand(query=["one?", "two?"]))
    assert sorted(states.values()) == [("failed", 1), ("success", 1)]


def test_after_a_rate_limit_airflow_waits_as_long_as_the_server_asked(run, service, retry_waits):
    service.prepare(429, {"error": "slow"}, headers={"Retry-After": "321"})
    assert run(lambda: CloudIndexQueryOperator(task_id="ask", query="why?")) == {("ask", -1): ("success", 2)}
    assert set(retry_waits) == {321}


def test_what_may_pass_is_tried_as_often_as_the_task_allows(run, service):
    service.stay(503, {"error": "down"}, headers={"Retry-After": "600"})
    assert run(lambda: CloudIndexQueryOperator(task_id="ask", query="why?", retries=2)) == {("ask", -1): ("failed", 3)}


def test_upload_and_wait_in_the_triggerer(run, service, tmp_path, no_sleep):
    path = tmp_path / "one.txt"
    path.write_text("hello")
    service.looks_until_processed = 3

    def build():
        upload = CloudIndexUploadDocumentsOperator(task_id="upload", files=[str(path)])
        output: Any = upload.output
        CloudIndexProcessingSensor(task_id="wait", document_ids=output["document_ids"], deferrable=True)

        @task
        def finish():
            service.documents["id-of-one.txt"]["status"] = "processed"

        upload >> finish() >> [upload.dag.get_task("wait")]

    states = run(build)
    assert {name: state for (name, _), (state, _) in states.items()} == dict.fromkeys(
        ("upload", "finish", "wait"), "success"
    )
    assert service.looks_until_processed == 0


def test_a_document_that_fails_while_deferred_fails_the_task_at_once(run, service, no_sleep):
    service.add("a", "failed", errorMessage="broken")
    service.looks_until_processed = 1
    assert run(lambda: CloudIndexProcessingSensor(task_id="wait", document_ids=["a"], deferrable=True)) == {
        ("wait", -1): ("failed", 1)
    }


def test_a_hiccup_while_deferred_is_retried(run, service, no_sleep):
    service.add("a", "processed")
    service.looks_until_processed = 1
    first_look = service._documents

    def documents(*arguments):
        service._documents = first_look
        service.prepare(429, {"error": "slow"}, headers={"Retry-After": "50"})
        return first_look(*arguments)

    service._documents = documents
    assert run(lambda: CloudIndexProcessingSensor(task_id="wait", document_ids=["a"], deferrable=True)) == {
        ("wait", -1): ("success", 2)
    }
