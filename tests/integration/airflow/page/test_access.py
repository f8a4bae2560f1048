"""Nobody sees or does what Airflow doesn't let them: every route, by sign-in, by DAG, by where a request is from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from cloudindex_provider.state import plans, runs
from cloudindex_provider.state.plans import Planned
from cloudindex_provider.state.records import RunName
from tests.integration.airflow.page.conftest import SITE, Kept, Known, page_of

SignIn = Callable[[str | None], TestClient]
ACTIONS: dict[str, dict[str, Any]] = {
    "retry": {"all": "failed"},
    "resync": {"keys": ["a"]},
    "approve": {"token": None, "ceiling": 1},
    "keep": {"token": "x"},
}
PARAMS: dict[str, dict[str, Any]] = {"/key": {"key": "others/a"}, "/plan/keys": {"plan": 1, "action": "upload"}}


def requests_of(server: Any) -> Iterator[tuple[str, str]]:
    """(method, path) of everything that the application answers, with made-up names in place of its parameters."""
    for route in page_of(server).routes:
        path = route.path.replace("{source}", "1").replace("{name}", "page.js")
        assert hasattr(route, "methods"), f"{route.path} is mounted, so no dependency of the application reaches it"
        yield from ((method, f"/cloudindex{path}") for method in route.methods)


def test_nobody_who_isnt_signed_in_gets_an_answer(server: Any, sign_in: SignIn, known: Known) -> None:
    """401 on every route that there is, also for the page's files."""
    stranger = sign_in(None)
    asked = list(requests_of(server))
    assert len(asked) >= 10
    for method, path in asked:
        assert stranger.request(method, path, json={}).status_code == 401, (method, path)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/static/../app.py", "/static/%2e%2e/app.py"])
def test_there_is_nothing_else_to_be_had(sign_in: SignIn, path: str) -> None:
    """No description of the API, and no file but the page's."""
    assert sign_in("admin").get(f"/cloudindex{path}").status_code in (404, 422)


@pytest.mark.parametrize("forged", ["", "x", "a.b.c"])
def test_a_token_that_isnt_airflows_is_none(server: Any, sign_in: SignIn, forged: str) -> None:
    """Neither as a cookie nor in the header."""
    stranger = sign_in(None)
    stranger.cookies.set("_token", forged)
    assert stranger.get("/cloudindex/api/syncs").status_code in (401, 403)
    bare = TestClient(server, base_url=SITE)
    assert bare.get("/cloudindex/api/syncs", headers={"Authorization": f"Bearer {forged}"}).status_code in (401, 403)


def test_every_action_is_refused_to_who_may_only_look(server: Any, sign_in: SignIn, known: Known) -> None:
    """A viewer sees the sync and changes nothing, by whatever POST there is."""
    sync = known.sync()
    sync.list("a")
    sync.fail("a")
    viewer = sign_in("viewer")
    assert viewer.get(sync.url).json()["sync"]["may_act"] is False
    posts = [path for method, path in requests_of(server) if method == "POST"]
    assert {path.rpartition("/")[2] for path in posts} == set(ACTIONS)
    for path in posts:
        answer = viewer.post(path, json=ACTIONS[path.rpartition("/")[2]])
        assert answer.status_code == 403, path
    assert sync.statuses() == {"a": "failed"}


@pytest.mark.parametrize("role", ["user", "op", "admin"])
def test_who_may_trigger_a_dag_of_the_sync_may_act(sign_in: SignIn, known: Known, role: str) -> None:
    """And the history says who it was."""
    sync = known.sync()
    sync.list("a")
    sync.fail("a")
    someone = sign_in(role)
    assert someone.get(sync.url).json()["sync"]["may_act"] is True
    assert someone.post(f"{sync.url}/retry", json={"keys": ["a"]}).status_code == 200
    assert sync.statuses() == {"a": "pending"}
    events = someone.get(f"{sync.url}/key", params={"key": "a"}).json()["events"]
    assert events[0]["event"] == "released"
    assert events[0]["reason"] == f"operator action by a {role}"


@pytest.fixture
def _may_read_mine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    usual = SimpleAuthManager.is_authorized_dag

    def of_mine(self: Any, *, details: Any = None, **more: Any) -> bool:
        return details is not None and details.id == "mine" and usual(self, details=details, **more)

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", of_mine)


@pytest.mark.usefixtures("_may_read_mine_only")
def test_a_sync_of_dags_that_one_may_not_read_isnt_there(server: Any, sign_in: SignIn, known: Known) -> None:
    """Neither in the list nor by its number, on any route; it looks like one that was never there."""
    others = known.sync("others/", dag_id="others")
    others.list("others/a")
    mine = known.sync("mine/", dag_id="mine")
    assert others.source.id == 1  # which ``requests_of`` asks for
    someone = sign_in("user")
    shown = someone.get("/cloudindex/api/syncs").json()
    assert [one["prefix"] for one in shown["syncs"]] == ["mine/"]
    assert shown["total"] == 1
    assert someone.get(mine.url).status_code == 200
    for method, path in requests_of(server):
        if "/syncs/1" in path:
            params = PARAMS.get(path.partition("/syncs/1")[2], {})
            answer = someone.request(method, path, params=params, json=ACTIONS.get(path.rpartition("/")[2]))
            assert answer.status_code == 404, path
            assert "others" not in answer.text


@pytest.mark.usefixtures("_may_read_mine_only")
def test_one_dag_that_one_may_read_is_enough(sign_in: SignIn, known: Known) -> None:
    """Where several DAGs run a sync."""
    sync = known.sync(dag_id="others")
    sync.run = known.sync(dag_id="mine").run
    assert sign_in("viewer").get(sync.url).status_code == 200


@pytest.mark.usefixtures("_may_read_mine_only")
def test_runs_of_a_dag_that_one_may_not_read_are_not_named(sign_in: SignIn, known: Known) -> None:
    """Neither it, nor its runs, nor what they were started with; what they have done to the sync is the sync's."""
    sync = known.sync(dag_id="others")
    sync.run = runs.start_run(known.db, sync.source, RunName("others", "secret-run", "secret-task"))
    sync.list("a")
    sync.fail("a")
    dry = RunName("others", "secret-dry-run", "t")
    plans.save_plan(known.db, sync.source, dry, Planned(), plan_hash="h", held=None, of_keys=None)
    known.sync(dag_id="mine")
    someone = sign_in("user")
    answers = [someone.get(f"{sync.url}{path}") for path in ("", "/runs", "/plan", "/key?key=a")]
    answers.append(someone.get("/cloudindex/api/syncs"))
    for answer in answers:
        assert answer.status_code == 200
        assert "others" not in answer.text
        assert "secret" not in answer.text
    assert answers[0].json()["sync"]["dag_ids"] == ["mine"]
    assert [one["counts"].get("new") for one in answers[1].json()["runs"]] == [None, 1, None]
    assert answers[2].json()["plan"]["start"] is None
    assert answers[3].json()["events"][0]["event"] == "failed"


@pytest.mark.usefixtures("_may_read_mine_only")
def test_the_audit_log_files_an_action_under_a_dag_of_the_persons_own(sign_in: SignIn, known: Known) -> None:
    """Not under another one of the sync's, whose log they may not read."""
    from airflow.models.dag import DagModel
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    sync = known.sync(dag_id="aaa-others")
    with create_session() as session:
        session.merge(DagModel(dag_id="aaa-others", bundle_name="dags-folder", fileloc="x", relative_fileloc="x"))
    sync.list("a")
    sync.fail("a")
    known.sync(dag_id="mine")
    try:
        assert sign_in("user").post(f"{sync.url}/retry", json={"all": "failed"}).status_code == 200
        with create_session() as session:
            line = session.query(Log).order_by(Log.id.desc()).first()
            assert line is not None
            assert (line.event, line.dag_id) == ("cloudindex.retry", "mine")
    finally:
        with create_session() as session:
            session.query(DagModel).filter(DagModel.dag_id == "aaa-others").delete()


def test_a_dag_that_airflow_has_no_more_is_named_as_one(sign_in: SignIn, known: Known) -> None:
    """It was renamed, say, and there is no page of it to lead to."""
    sync = known.sync(dag_id="before")
    known.sync(dag_id="mine")
    found = sign_in("viewer").get(sync.url).json()["sync"]
    assert (found["dag_ids"], found["former_dag_ids"]) == (["mine"], ["before"])


@pytest.mark.parametrize(("role", "status"), [("viewer", 404), ("user", 404), ("op", 200), ("admin", 200)])
@pytest.mark.parametrize("dag_id", ["", "deleted"])
def test_a_sync_without_a_dag_is_for_administrators(
    sign_in: SignIn, known: Known, role: str, status: int, dag_id: str
) -> None:
    """Also where Airflow has its DAG no more: nobody else can be told to have a right to it."""
    assert sign_in(role).get(known.sync(dag_id=dag_id).url).status_code == status


def failed(known: Known) -> Kept:
    sync = known.sync()
    sync.list("a")
    sync.fail("a")
    return sync


FOREIGN: dict[str, dict[str, str]] = {
    "another site": {"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"},
    "another site in an old browser": {"Origin": "http://evil.test", "Sec-Fetch-Site": ""},
    "a site beside it": {"Origin": "http://other.airflow.test", "Sec-Fetch-Site": "same-site"},
    "a page of no origin": {"Origin": "null", "Sec-Fetch-Site": ""},
    "nobody says from where": {"Origin": "", "Sec-Fetch-Site": ""},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
def test_another_page_can_do_nothing_with_the_session(sign_in: SignIn, known: Known, headers: dict[str, str]) -> None:
    """The cookie goes with its request, and the request is refused."""
    sync = failed(known)
    someone = sign_in("admin")
    for name, value in headers.items():
        del someone.headers[name]
        if value:
            someone.headers[name] = value
    assert someone.post(f"{sync.url}/retry", json={"all": "failed"}).status_code == 403
    assert sync.statuses() == {"a": "failed"}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://airflow.test:80", 200), ("http://AIRFLOW.test", 200), ("http://airflow.test:8080", 403),
        ("http://airflow.test.evil.test", 403), ("http://[::1", 403), ("http://airflow.test:x", 403), ("null", 403),
    ],
)  # fmt: skip
def test_where_a_request_is_from_is_compared_as_browsers_do(
    sign_in: SignIn, known: Known, origin: str, status: int
) -> None:
    """With the port that a scheme has, whatever the case; and what is no address is nobody's."""
    sync = failed(known)
    someone = sign_in("admin")
    del someone.headers["Sec-Fetch-Site"]
    someone.headers["Origin"] = origin
    assert someone.post(f"{sync.url}/retry", json={"all": "failed"}).status_code == status


@pytest.mark.parametrize("base", ["https://Airflow.Example.com:443/here", "https://airflow.example.com"])
def test_behind_a_proxy_the_configured_address_counts(
    sign_in: SignIn, known: Known, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    """However it is written there."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
    sync = failed(known)
    someone = sign_in("admin")
    someone.headers["Origin"] = "https://airflow.example.com"
    assert someone.post(f"{sync.url}/retry", json={"all": "failed"}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_form_can_send_is_refused(sign_in: SignIn, known: Known, kind: str) -> None:
    """Only JSON, which no form sends and no site sends elsewhere unasked."""
    sync = failed(known)
    answer = sign_in("admin").post(f"{sync.url}/retry", content=b'{"all": "failed"}', headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert sync.statuses() == {"a": "failed"}


def test_a_program_signs_in_by_a_header(server: Any, sign_in: SignIn, known: Known) -> None:
    """It has no page to come from, and needs none."""
    sync = failed(known)
    token = sign_in("user").cookies["_token"]
    program = TestClient(server, base_url=SITE)
    answer = program.post(f"{sync.url}/retry", json={"all": "failed"}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert sync.statuses() == {"a": "pending"}


def test_nothing_is_changed_by_looking(server: Any) -> None:
    """GET and HEAD look, POST does: no other method is answered."""
    assert {method for method, _ in requests_of(server)} <= {"GET", "POST"}
