"""Deletes by id: what a 404 proves, and what a later try knows of an earlier one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from airflow.sdk import DAG, Context, task
from airflow.sdk.exceptions import TaskDeferred

from cloudindex_provider import errors
from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.hooks.rendered import document_ids
from cloudindex_provider.operators.cloudindex import CloudIndexDeleteDocumentOperator, CloudIndexQueryOperator
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.sensors.cloudindex import CloudIndexProcessingSensor

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")


def test_a_document_is_deleted_and_a_missing_one_is_fine(service):
    service.add("a")
    outcome = CloudIndexDeleteDocumentOperator(task_id="t", document_ids=["a", "b"]).execute({})
    assert outcome == {"deleted": ["a"], "missing": ["b"]}
    assert service.documents == {}


def test_a_missing_document_can_be_an_error_after_all_were_tried(service):
    service.add("b")
    with pytest.raises(errors.NotFoundError, match=r"'cloudindex_default'.* has no document a"):
        CloudIndexDeleteDocumentOperator(task_id="t", document_ids=["a", "b"], ignore_missing=False).execute({})
    assert service.documents == {}


def delete(ids, context=None, **more):
    return CloudIndexDeleteDocumentOperator(task_id="t", document_ids=ids, retry_policy=None, **more).execute(
        context or Context()
    )


def asked_for(service):
    return [path.rsplit("/", 1)[1] for path in service.paths("DELETE")]


# What a 404 proves


def test_a_wrong_project_is_no_project_without_these_documents(service, connect):
    """Its 404s say nothing of the documents, which are there: the task fails, and names the project."""
    service.add("a")
    connect(project_id="projct-1")
    with pytest.raises(errors.NotFoundError, match="does not know project 'projct-1'") as caught:
        delete(["a", "b"])
    assert caught.value.retryable is False
    assert list(service.documents) == ["a"]


def test_a_host_without_the_apis_path_is_no_empty_project(service, connect):
    """Every path of such a server is a 404."""
    service.add("a")
    connect(host=service.url.replace("/public/v1", "/public/v2"))
    with pytest.raises(errors.NotFoundError, match="check that the host ends in the API's path"):
        delete("a")


def test_somebody_elses_project_is_refused(ci):
    """It is there, and not for this key."""
    ci.settings.projects = [ci.project_id, "project-of-others"]
    ci.settings.api_keys = {ci.api_key: [ci.project_id]}
    with pytest.raises((errors.PermissionDeniedError, errors.NotFoundError)):
        delete("a", project_id="project-of-others")


def test_the_project_is_asked_for_once_and_only_where_a_404_needs_it(service):
    """A delete that succeeds proves the project as well."""
    service.add("a")
    delete(["a", "b", "c"])
    assert service.paths("GET") == []
    delete(["x", "y", "z"])
    assert len(service.paths("GET")) == 1


def test_a_project_that_knows_none_of_the_ids_makes_a_warning(service, caplog):
    """Ids of another project of the same key look like deleted ones."""
    assert delete(["x", "y"]) == {"deleted": [], "missing": ["x", "y"]}
    assert "None of the documents was there" in caplog.text


# Over several tries


def refuse(service, after, seconds="600"):
    """CloudIndex's limit is used up after so many more requests."""
    answer, left = service.answer, iter(range(after))

    def limited(*request):
        if next(left, None) is None:
            service.prepare(429, {"code": "rate_limit/exceeded"}, headers={"Retry-After": seconds})
        return answer(*request)

    service.answer = limited
    return lambda: setattr(service, "answer", answer)


def time_passes(state_path):
    """The closed budget is open again, and what was learned of it is too old."""
    with sqlite3.connect(state_path) as connection:
        connection.execute("DELETE FROM pace")
        connection.execute("DELETE FROM pace_minute")
    connection.close()


@pytest.mark.parametrize("ignored", [True, False])
def test_a_later_try_goes_on_where_the_limit_stopped_the_earlier_one(service, try_number, state_path, ignored):
    """What is deleted isn't asked for again, and isn't missing."""
    for name in "abcd":
        service.add(name)
    relent = refuse(service, after=2)
    with pytest.raises(errors.RateLimitedError) as caught:
        delete(list("abcd"), try_number(1), ignore_missing=ignored)
    assert caught.value.retry_after == pytest.approx(600, abs=1)
    relent()
    time_passes(state_path)
    service.requests.clear()
    assert delete(list("abcd"), try_number(2), ignore_missing=ignored) == {"deleted": list("abcd"), "missing": []}
    assert asked_for(service) == ["c", "d"]


def test_a_try_that_was_killed_between_request_and_answer_has_deleted_the_document(service, try_number, monkeypatch):
    """The next one's 404 is about what its own earlier try has done."""
    service.add("a")
    service.add("b")
    real = CloudIndexClient.delete_document

    def killed(self, document_id, **more):
        real(self, document_id, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(CloudIndexClient, "delete_document", killed)
    with pytest.raises(KeyboardInterrupt):
        delete(["a", "b"], try_number(1), ignore_missing=False)
    monkeypatch.setattr(CloudIndexClient, "delete_document", real)
    assert delete(["a", "b"], try_number(2), ignore_missing=False) == {"deleted": ["a", "b"], "missing": []}


def test_what_was_never_there_is_missing_at_every_try(service, try_number, state_path):
    """A try that the limit stopped has not deleted it either, also where the refused request was about it."""
    service.add("a")
    relent = refuse(service, after=3)  # the delete of x, the look at the project, the delete of a; then y is refused
    with pytest.raises(errors.RateLimitedError):
        delete(["x", "a", "y"], try_number(1), ignore_missing=False)
    relent()
    time_passes(state_path)
    with pytest.raises(errors.NotFoundError, match="has no document x, y"):
        delete(["x", "a", "y"], try_number(2), ignore_missing=False)
    service.add("x")  # cleared by a person, who has put it right
    assert delete(["x", "a", "y"], try_number(3)) == {"deleted": ["x", "a"], "missing": ["y"]}


def test_another_task_run_or_project_remembers_nothing_of_it(service, try_number, connect):
    """The memory is of one task instance, in one project."""
    service.add("a")
    delete(["a"], try_number(1))
    assert delete(["a"], try_number(1, run_id="r2")) == {"deleted": [], "missing": ["a"]}
    connect(project_id="projct-1")
    with pytest.raises(errors.NotFoundError):
        delete(["a"], try_number(2))


def test_a_document_that_fails_lets_the_others_go_on_and_is_tried_again_alone(service, try_number):
    """One that can't be deleted for its own sake costs the others nothing; the task is red and says which."""
    for name in "abc":
        service.add(name)
    answer = service._documents

    def busy(method, one, body):
        if one == "a":
            service.prepare(409, {"error": "is being processed"})
            return service.prepared.pop()
        return answer(method, one, body)

    service._documents = busy
    with pytest.raises(errors.ConflictError, match="is being processed"):
        delete(list("abc"), try_number(1))
    assert list(service.documents) == ["a"]
    service._documents = answer
    service.requests.clear()
    assert delete(list("abc"), try_number(2)) == {"deleted": list("abc"), "missing": []}
    assert asked_for(service) == ["a"]


def test_a_service_that_fails_at_every_document_is_not_asked_for_all_of_them(service):
    """Three in a row are the service's fault."""
    service.stay(500, {"error": "down"})
    with pytest.raises(errors.ServerError):
        delete([f"d{number}" for number in range(50)])
    assert len(service.requests) == 3


def test_any_number_of_ids_is_done_in_as_many_tries_as_the_limit_needs(run_dag, service, state_path, monkeypatch):
    """Thirty requests an hour, 100 documents: four tries, each document deleted by one request."""
    ids = [service.add(f"d{number}") for number in range(100)]
    relents: list[Callable[[], object]] = []

    def relent_and_refuse():
        for relent in relents:
            relent()
        relents[:] = [refuse(service, after=30, seconds="3600")]

    relent_and_refuse()
    evaluate = CloudIndexRetryPolicy.evaluate

    def an_hour_later(self, *arguments, **more):
        time_passes(state_path)
        relent_and_refuse()
        return evaluate(self, *arguments, **more)

    monkeypatch.setattr(CloudIndexRetryPolicy, "evaluate", an_hour_later)
    with DAG("any_number", schedule=None) as dag:
        CloudIndexDeleteDocumentOperator(task_id="delete", document_ids=ids, ignore_missing=False)
    assert run_dag(dag) == {("delete", -1): ("success", 4)}
    assert service.documents == {}
    accepted = len(asked_for(service)) - 3  # refused requests
    assert accepted == 100


def test_deferrable_waits_for_the_limit_without_using_up_a_retry(service, state_path, try_number):
    """The slot is given back, and the same try goes on."""
    for name in "abc":
        service.add(name)
    relent = refuse(service, after=1)
    task = CloudIndexDeleteDocumentOperator(task_id="t", document_ids=list("abc"), deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        task.execute(try_number(1))
    assert 590 < caught.value.timeout.total_seconds() - 600 < 610  # ten minutes' margin: then there is no triggerer
    relent()
    time_passes(state_path)
    service.requests.clear()
    again = getattr(task, caught.value.method_name)
    assert again(try_number(1), event={"any": "thing"}) == {"deleted": list("abc"), "missing": []}
    assert asked_for(service) == ["b", "c"]


def test_a_deferred_delete_goes_on_to_its_end(run_dag, service, monkeypatch):
    """In Airflow's own task runner: no retry is there to be used up, and none is needed."""
    ids = [service.add(f"d{number}") for number in range(6)]
    answer = service.answer

    def refused_once(*request):
        if len(service.requests) == 3:
            service.prepare(429, {"error": "slow"}, headers={"Retry-After": "6"})  # more than is waited in place
        return answer(*request)

    monkeypatch.setattr(service, "answer", refused_once)
    with DAG("deferred", schedule=None) as dag:
        CloudIndexDeleteDocumentOperator(
            task_id="delete", document_ids=ids, ignore_missing=False, deferrable=True, retries=0
        )
    assert run_dag(dag) == {("delete", -1): ("success", 1)}
    assert asked_for(service) == ["d0", "d1", "d2", "d3", "d3", "d4", "d5"]


def test_a_step_that_is_stopped_begins_no_further_delete(service, try_number, monkeypatch):
    """Its next try does the rest."""
    for name in "abc":
        service.add(name)
    step = CloudIndexDeleteDocumentOperator(task_id="t", document_ids=list("abc"))
    step.on_kill()  # before it has begun
    answer = service._documents

    def stop(*request):
        step.on_kill()
        return answer(*request)

    monkeypatch.setattr(service, "_documents", stop)
    with pytest.raises(errors.StoppedError):
        step.execute(try_number(1))
    monkeypatch.setattr(service, "_documents", answer)
    assert list(service.documents) == ["b", "c"]
    assert delete(list("abc"), try_number(2), ignore_missing=False)["deleted"] == list("abc")


# With and without a state


def test_a_refusal_of_one_step_is_all_steps(service, state_path):
    """They share one budget: the second task asks nothing while CloudIndex has closed it."""
    service.prepare(429, {"error": "slow"}, headers={"Retry-After": "600"})
    for _ in range(2):
        with pytest.raises(errors.RateLimitedError):
            delete(["a"])
    with pytest.raises(errors.RateLimitedError):
        CloudIndexQueryOperator(task_id="q", query="why?").execute({})
    with pytest.raises(errors.RateLimitedError):
        CloudIndexProcessingSensor(task_id="s", document_ids=["a"]).poke({})
    assert len(service.requests) == 1


def test_without_a_possible_state_it_works_and_says_what_it_can_not_know(service, try_number, monkeypatch, caplog):
    """SQLite isn't shared by several machines: nothing is made there, and a later try's 404 proves nothing."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    caplog.set_level("INFO")
    service.add("a")
    with pytest.raises(errors.NotFoundError, match="has no document x"):
        delete(["x", "a"], try_number(1), ignore_missing=False)
    assert delete(["x", "a"], try_number(2), ignore_missing=False) == {"deleted": [], "missing": ["x", "a"]}
    assert "without a state" in caplog.text
    assert "paces its requests alone" in caplog.text


# Ids as tasks get them


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("a", ["a"]),
        (" a\n", ["a"]),
        (["b", "a", "b"], ["b", "a"]),
        (("a", "b"), ["a", "b"]),
        ('["a", "b", "a"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ([7, "8"], ["7", "8"]),
        (7, ["7"]),
        (["a/b"], ["a/b"]),
        ([["a", "b"], [], ["a"]], ["a", "b"]),  # the outputs of a mapped task
        ([], []),
        ("[]", []),
    ],
)
def test_ids_come_as_one_or_many_or_as_the_text_of_a_list(value, ids):
    """As a template or an upstream task gives them, without doubles, in order."""
    assert document_ids(value) == ids


@pytest.mark.parametrize(
    "value", [None, "", "None", " ", True, {"a": 1}, b"a", ["a", None], ["a", ""], [[["a"]]], ".", ["a", ".."]]
)
def test_what_are_no_ids_are_refused_before_any_request(service, value):
    """One that is wrong among thousands isn't found after the half of them."""
    with pytest.raises(errors.ConfigurationError, match="document_ids"):
        delete(value)
    assert service.requests == []


@pytest.mark.parametrize(
    ("value", "strict"), [("false", True), (False, True), ("True", False), (None, False), ("None", False)]
)
def test_ignore_missing_may_be_a_template(service, value, strict):
    """One that gives nothing leaves the default."""
    if strict:
        with pytest.raises(errors.NotFoundError):
            delete(["a"], ignore_missing=value)
    else:
        assert delete(["a"], ignore_missing=value)["missing"] == ["a"]


def test_an_id_with_a_slash_is_one_id(service):
    """It reaches no other path."""
    service.add("a/b")
    service.add("a")
    assert delete(["a/b"]) == {"deleted": ["a/b"], "missing": []}
    assert list(service.documents) == ["a"]


@pytest.mark.parametrize("native", [False, True])
def test_ids_of_upstream_tasks_and_templates(run_dag, service, native):
    """The output of a task, a template of it as text or native, and one that gives nothing."""
    for number in range(6):
        service.add(f"d{number}")
    with DAG(f"ids_{native}", schedule=None, render_template_as_native_obj=native) as dag:

        @task
        def give(start: int) -> list[str]:
            return [f"d{start}", f"d{start + 1}"]

        @task
        def nothing() -> None:
            return None

        given = give(0)
        CloudIndexDeleteDocumentOperator(task_id="output", document_ids=given)
        text = CloudIndexDeleteDocumentOperator(
            task_id="template", document_ids="{{ ti.xcom_pull(task_ids='give__1') }}"
        )
        give(2) >> text
        dumped = CloudIndexDeleteDocumentOperator(
            task_id="tojson", document_ids="{{ ti.xcom_pull(task_ids='give__2') | tojson }}"
        )
        give(4) >> dumped
        CloudIndexDeleteDocumentOperator(task_id="none", document_ids=nothing())
    states = run_dag(dag)
    assert service.documents == {}
    assert {name: states[name, -1] for name in ("output", "template", "tojson", "none")} == {
        "output": ("success", 1),
        "template": ("success", 1),
        "tojson": ("success", 1),
        "none": ("failed", 1),
    }


def test_mapped_deletes_share_the_work_and_the_budget(run_dag, service, state_path):
    """One task instance an id, each with a memory of its own."""
    ids = [service.add(f"d{number}") for number in range(3)]
    with DAG("mapped", schedule=None) as dag:
        CloudIndexDeleteDocumentOperator.partial(task_id="delete", ignore_missing=False).expand(document_ids=ids)
    assert set(run_dag(dag).values()) == {("success", 1)}
    assert service.documents == {}
    assert state_path.exists()
