"""What the page is told: the numbers of the state, in words that a person understands; and why there are none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cloudindex_provider.errors import StateUnavailableError
from cloudindex_provider.state import removals, runs, sources
from cloudindex_provider.state.approvals import Hold
from cloudindex_provider.state.db.database import Database
from tests.integration.airflow.page.conftest import Kept, Known

SignIn = Callable[[str | None], TestClient]
LIST = "/cloudindex/api/syncs"


@pytest.fixture
def viewer(sign_in: SignIn) -> TestClient:
    return sign_in("viewer")


def row(viewer: TestClient, sync: Kept) -> dict[str, Any]:
    found: dict[str, Any] = viewer.get(sync.url).json()["sync"]
    return found


def run_state(sync: Kept, state: str) -> None:
    """Airflow has the sync's run, in this state."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunType

    with create_session() as session:
        session.query(DagRun).delete()
        run = DagRun(dag_id=sync.run.name.dag_id, run_id=sync.run.name.run_id, run_type=DagRunType.MANUAL)
        run.state = state
        session.add(run)


# The words


def test_in_step_is_said_of_a_complete_listing_without_work(viewer: TestClient, known: Known) -> None:
    """Not before the listing's end, and not while a key is on its way."""
    sync = known.sync()
    runs.finish_run(known.db, sync.run)
    assert row(viewer, sync)["headline"] == "Not listed whole yet"


@pytest.mark.parametrize(
    ("prepare", "verdict", "level", "headline"),
    [
        (lambda sync: sync.index("a"), "in_step", "ok", "In step"),
        (lambda sync: sync.list("a", "b"), "waiting", "busy", "2 wait for the next run"),
        (lambda sync: (sync.list("a", "b"), sync.fail("a")), "failing", "error", "1 failed"),
        (lambda sync: (sync.list("a"), sync.fail("a", strikes=1)), "failing", "warning", "1 quarantined"),
        (
            lambda sync: (sync.index("a"), sync.again("r2"), sync.list(hold=Hold("too many"))),
            "held", "warning", "1 delete held",
        ),
    ],
    ids=["in step", "waiting", "failed", "quarantined", "held"],
)  # fmt: skip
def test_a_sync_says_in_words_how_it_is(
    viewer: TestClient, known: Known, prepare: Any, verdict: str, level: str, headline: str
) -> None:
    """One headline and one colour for what matters most."""
    sync = known.sync()
    prepare(sync)
    runs.finish_run(known.db, sync.run)
    found = row(viewer, sync)
    assert (found["verdict"], found["level"], found["headline"]) == (verdict, level, headline)


@pytest.mark.parametrize(
    ("state", "headline"), [("failed", "Last run failed"), ("running", "Working"), ("success", "In step")]
)
def test_airflow_knows_how_the_last_run_ended(viewer: TestClient, known: Known, state: str, headline: str) -> None:
    """A run that is red without a failed key is red here, too."""
    sync = known.sync()
    sync.index("a")
    runs.finish_run(known.db, sync.run)
    run_state(sync, state)
    found = row(viewer, sync)
    assert found["headline"] == headline
    assert found["last_run"]["state"] == state


def test_silence_is_said(viewer: TestClient, known: Known) -> None:
    """Where nothing was listed for far longer than usual."""
    sync = known.sync()
    sync.index("a")
    runs.finish_run(known.db, sync.run)
    with known.db.write() as connection:
        connection.exec_driver_sql("UPDATE source SET last_sweep_at = last_sweep_at - 864000")
    assert row(viewer, sync)["headline"] == "Not run for 10 days"


def test_syncs_that_need_a_person_come_first(viewer: TestClient, known: Known) -> None:
    """Held deletes, then failures, then the rest by place; with the number of those that need somebody."""
    fine, broken, held = (known.sync(prefix) for prefix in ("a/", "b/", "c/"))
    fine.index("a/1")
    broken.list("b/1")
    broken.fail("b/1")
    held.index("c/1")
    held.again("r2")
    held.list(hold=Hold("too many"))
    for sync in (fine, broken, held):
        runs.finish_run(known.db, sync.run)
    found = viewer.get(LIST).json()
    assert [one["prefix"] for one in found["syncs"]] == ["c/", "b/", "a/"]
    assert (found["total"], found["need_person"]) == (3, 2)
    second = viewer.get(LIST, params={"limit": 1, "offset": 1}).json()
    assert [one["prefix"] for one in second["syncs"]] == ["b/"]
    assert viewer.get(LIST, params={"dag_id": "another"}).json()["total"] == 0
    assert viewer.get(LIST, params={"dag_id": "mine"}).json()["total"] == 3


def test_the_totals_are_of_all_pages(viewer: TestClient, known: Known) -> None:
    """However few syncs are on the one that is asked for, and where it is behind the last of them."""
    fine, broken, working = (known.sync(prefix, dag_id="others") for prefix in ("a/", "b/", "c/"))
    fine.index("a/1", "a/2")
    broken.list("b/1")
    broken.fail("b/1")
    working.list("c/1", "c/2", "c/3")
    runs.finish_run(known.db, fine.run, {"listed": 2})
    runs.finish_run(known.db, broken.run)
    whole = viewer.get(LIST).json()
    assert whole["totals"] == {
        "objects": 6, "indexed": 2, "underway": 3, "failed": 1, "quarantined": 0, "in_step": 1, "running": 1,
    }  # fmt: skip
    assert whole["totals"]["objects"] == sum(one["objects"] for one in whole["syncs"])
    for params in ({"limit": 1}, {"offset": 50}):
        assert viewer.get(LIST, params=params).json()["totals"] == whole["totals"]


def test_a_failing_sync_says_that_it_is_at_work(viewer: TestClient, known: Known) -> None:
    """Its headline is the failure, which matters more."""
    sync = known.sync()
    sync.list("a")
    sync.fail("a")
    run_state(sync, "running")
    found = row(viewer, sync)
    assert (found["headline"], found["is_running"]) == ("1 failed", True)
    runs.finish_run(known.db, sync.run)
    run_state(sync, "success")
    assert row(viewer, sync)["is_running"] is False


@pytest.mark.parametrize("gone", [{"is_stale": True}, {"is_paused": True}], ids=["no file", "paused"])
def test_no_next_run_is_told_of_a_dag_that_has_none(viewer: TestClient, known: Known, gone: dict[str, bool]) -> None:
    """Airflow keeps the time at which a DAG would have run next when its file is gone or it is paused."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    def plan(**values: Any) -> None:
        with create_session() as session:
            session.query(DagModel).filter(DagModel.dag_id == "mine").update(dict[Any, Any](values))

    sync = known.sync()
    usual = {"is_stale": False, "is_paused": False}
    try:
        plan(next_dagrun_create_after=datetime.fromtimestamp(4e9, UTC), **usual)
        assert row(viewer, sync)["next_run_at"] == 4e9
        plan(**gone)
        assert row(viewer, sync)["next_run_at"] is None
    finally:
        plan(next_dagrun_create_after=None, **usual)


# A sync


def test_the_numbers_of_a_sync_are_the_states(viewer: TestClient, known: Known) -> None:
    """Objects are the sum of what is shown of them."""
    sync = known.sync()
    sync.index("a", "b", "c")
    sync.again("r2")
    sync.list("a", "b", "c", "d", "e")
    sync.fail("d")
    found = row(viewer, sync)
    shown = {name: found[name] for name in ("objects", "indexed", "underway", "failed", "quarantined", "skipped")}
    assert shown == {"objects": 5, "indexed": 3, "underway": 1, "failed": 1, "quarantined": 0, "skipped": 0}


def test_what_isnt_in_step_is_grouped_by_reason_with_a_remedy(viewer: TestClient, known: Known) -> None:
    """Reasons that differ by key, request or number are one group, which lists just its keys."""
    sync = known.sync()
    sync.list("a1", "b1", "c1", "d1")
    sync.fail("a1", why="GetObject on s3://b/a1: denied (403, request 4DF-x/y=)")
    sync.fail("b1", why="GetObject on s3://b/b1: denied (403, request ZZ-y)")
    sync.fail("c1", why="Another reason.")
    groups = viewer.get(sync.url).json()["groups"]
    assert [(one["status"], one["keys"]) for one in groups] == [("failed", 2), ("failed", 1), ("pending", 1)]
    assert all(one["remedy"] for one in groups)
    assert groups[0]["example"] == "GetObject on s3://b/a1: denied (403, request 4DF-x/y=)"
    for group, expected in zip(groups, (["a1", "b1"], ["c1"], ["d1"]), strict=True):
        wanted = {"status": group["status"]} | ({"reason": group["reason"]} if group["reason"] else {})
        keys = viewer.get(f"{sync.url}/keys", params=wanted).json()["keys"]
        assert [one["key"] for one in keys] == expected


def test_a_hold_shows_the_keys_that_would_go(viewer: TestClient, known: Known) -> None:
    """Searchable, with sizes and documents."""
    sync = known.sync()
    sync.index("a/1", "b/1", "b/2")
    sync.again("r2")
    sync.list("a/1", hold=Hold("too many"))
    removals.record_held(known.db, sync.run, "too many")
    hold = viewer.get(sync.url).json()["hold"]
    assert (hold["removed"], hold["reason"], hold["decision"]) == (2, "too many", None)
    held = viewer.get(f"{sync.url}/held").json()
    assert [(one["key"], one["size"]) for one in held["keys"]] == [("b/1", 10), ("b/2", 10)]
    assert len(viewer.get(f"{sync.url}/held", params={"prefix": "b/2"}).json()["keys"]) == 1
    first = viewer.get(f"{sync.url}/held", params={"limit": 1}).json()
    rest = viewer.get(f"{sync.url}/held", params={"limit": 1, "after": first["after"]}).json()
    assert (rest["keys"][0]["key"], rest["after"]) == ("b/2", None)


def test_runs_are_pages_with_the_numbers_of_their_reports(viewer: TestClient, known: Known) -> None:
    """And nothing of how the state counts inside."""
    sync = known.sync()
    sync.index("a")
    runs.finish_run(known.db, sync.run, {"new": 1, "indexed": 1})
    sync.again("r2")
    first = viewer.get(f"{sync.url}/runs", params={"limit": 1}).json()
    assert [one["run_id"] for one in first["runs"]] == ["r2"]
    second = viewer.get(f"{sync.url}/runs", params={"limit": 1, "before": first["before"]}).json()
    assert [one["counts"] for one in second["runs"]] == [{"new": 1, "indexed": 1}]
    assert second["before"] is None


# A key


def test_a_key_shows_both_sides_and_its_story(viewer: TestClient, known: Known) -> None:
    """What S3 has, what CloudIndex has, why they differ, and what happened in which run."""
    sync = known.sync()
    sync.index("a")
    sync.again("r2")
    sync.list("a", etag="e2")
    sync.fail("a", why="CloudIndex refused it (415, request abc)")
    found = viewer.get(f"{sync.url}/key", params={"key": "a"}).json()
    assert found["difference"] == "CloudIndex still serves the version before this one."
    assert (found["s3"]["etag"], found["cloudindex"]["etag"]) == ("e2", "e1")
    assert found["reason"] == "CloudIndex refused it (415, request abc)"
    assert [(one["event"], one["run_id"]) for one in found["events"]] == [("failed", "r2"), ("indexed", "r1")]
    assert (found["may_act"], found["may_retry"]) == (False, False)


def test_a_key_that_nobody_knows_is_said_to_be_that(viewer: TestClient, known: Known) -> None:
    """It is no error: a person may have mistyped it."""
    found = viewer.get(f"{known.sync().url}/key", params={"key": "nothing\0"}).json()
    assert (found["known"], found["s3"], found["events"]) == (False, None, [])
    assert "knows nothing" in found["difference"]


STRANGE = ["<script>alert(1)</script>", "\u202egpj.exe", "a\nb\tc\x1b[31m", "\u00e4" * 512, "x" * 1024, "a&b=c#d?e%2F"]


@pytest.mark.parametrize("key", STRANGE)
def test_a_strange_key_is_only_ever_data(viewer: TestClient, known: Known, key: str) -> None:
    """It comes and goes as JSON, whole, and no answer is a page."""
    sync = known.sync()
    sync.list(key)
    listed = viewer.get(f"{sync.url}/keys")
    assert [one["key"] for one in listed.json()["keys"]] == [key]
    shown = viewer.get(f"{sync.url}/key", params={"key": key})
    assert shown.json()["known"]
    for answer in (listed, shown):
        assert answer.headers["content-type"] == "application/json"


def test_what_is_left_of_the_quota_is_that_of_the_syncs_own_connection(viewer: TestClient, known: Known) -> None:
    """Said of all syncs where they share it, else of each."""
    columns = "next_at, closed_until, allowed, length, length_at, window_from, window_ends, step, remaining, sliding,"
    columns += " hourly, hourly_until, slots, slots_until"
    end = known.db.clock() + 30
    with known.db.write() as connection:
        for name, left in (("one", 42), ("two", 7)):
            values = f"'{name}', 0, 0, 100, 60, 0, 0, {end}, 0.6, {left}, 0, 0, 0, 0, 0"
            connection.exec_driver_sql(f"INSERT INTO pace (name, {columns}) VALUES ({values})")
    a, b = known.sync("a/"), known.sync("b/")
    sources.note_budget(known.db, a.source, "one")
    sources.note_budget(known.db, b.source, "two")
    found = viewer.get(LIST).json()
    assert found["budget"] is None
    assert {one["prefix"]: one["budget"]["remaining"] for one in found["syncs"]} == {"a/": 42, "b/": 7}
    assert row(viewer, b)["budget"]["remaining"] == 7
    sources.note_budget(known.db, b.source, "one")
    assert viewer.get(LIST).json()["budget"]["remaining"] == 42


def test_keys_come_in_the_order_that_is_asked_for(
    viewer: TestClient, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By size in pages; where too many would have to be sorted, the answer says how many could be."""
    sync = known.sync()
    sync.list("a", "b", "c")
    with known.db.write() as connection:
        for key, size in (("a", 5), ("b", 50), ("c", 20)):
            connection.exec_driver_sql(f"UPDATE object SET size = {size} WHERE key = '{key}'")
    params: dict[str, Any] = {"sort": "size", "descending": True, "limit": 2}
    first = viewer.get(f"{sync.url}/keys", params=params).json()
    assert [one["key"] for one in first["keys"]] == ["b", "c"]
    rest = viewer.get(f"{sync.url}/keys", params=params | {"after": first["after"]}).json()
    assert ([one["key"] for one in rest["keys"]], rest["after"], rest["too_many"]) == (["a"], None, None)
    assert viewer.get(f"{sync.url}/keys", params=params | {"after": "x y"}).status_code == 400
    monkeypatch.setattr("cloudindex_provider.state.views.sorting.MOST", 2)
    assert viewer.get(f"{sync.url}/keys", params=params).json() == {"keys": [], "after": None, "too_many": 2}


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/keys", {"limit": 0}), ("/keys", {"limit": 201}), ("/keys", {"status": "odd"}),
        ("/keys", {"sort": "etag"}), ("/key", {}),
        ("/key", {"key": ""}), ("/key", {"key": "x" * 1025}), ("/runs", {"limit": 201}), ("/held", {"limit": -1}),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(viewer: TestClient, known: Known, path: str, params: dict[str, Any]) -> None:
    """Among it a page without an end."""
    assert viewer.get(f"{known.sync().url}{path}", params=params).status_code == 422


# Without a state


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "state" / "state.db"
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(path))
    return path


def problem(viewer: TestClient) -> dict[str, Any]:
    answer = viewer.get(LIST)
    assert answer.status_code == 503
    found: dict[str, Any] = answer.json()
    return found


def test_a_state_that_isnt_there_is_not_made(viewer: TestClient, configured: Path) -> None:
    """The page says where it was looked for, and what to set."""
    found = problem(viewer)
    assert found["what"] == "state_unusable"
    assert str(configured) in found["message"]
    assert "state_conn_id" in found["hint"]
    assert not configured.parent.exists()


def test_a_state_of_another_version_is_not_migrated(viewer: TestClient, configured: Path) -> None:
    """Which of the two is older is said, and nothing is changed."""
    Database(f"sqlite:///{configured}").close()
    with sqlite3.connect(configured) as connection:
        connection.execute("UPDATE meta SET value = '1' WHERE name = 'schema'")
    before = configured.read_bytes()
    assert problem(viewer)["what"] == "state_unusable"
    assert configured.read_bytes() == before


def test_a_state_that_was_upgraded_meanwhile_is_said_to_be_newer(viewer: TestClient, known: Known) -> None:
    """The page was open then: what it asks next is refused by the tables, and from then on the reason is told."""
    sync = known.sync()
    assert viewer.get(sync.url).status_code == 200
    with sqlite3.connect(known.path) as connection:
        connection.execute("UPDATE meta SET value = '9999' WHERE name = 'schema'")
        connection.execute("ALTER TABLE run RENAME COLUMN complete TO completed")
    assert viewer.get(sync.url).status_code == 503
    answer = viewer.get(sync.url)
    assert answer.status_code == 503
    assert "has schema 9999" in answer.json()["message"]


def test_a_file_of_something_else_is_named(viewer: TestClient, configured: Path) -> None:
    """It is nobody's state."""
    configured.parent.mkdir()
    configured.write_text("not a database" * 100)
    assert problem(viewer)["what"] == "state_unusable"


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (None, "'elsewhere'"),
        ({"host": "db", "login": "u", "password": "p", "extra": {"iam": True}}, "has a password, too"),
        ({"host": "db", "login": "u", "extra": {"iam": "maybe"}}, "the extra iam"),
    ],
)
def test_a_connection_that_cannot_work_is_the_states_fault_and_no_requests(
    viewer: TestClient, monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any] | None, said: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_CONN_ID", "elsewhere")
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", json.dumps({"conn_type": "postgres"} | connection))
    found = problem(viewer)
    assert found["what"] == "state_unusable"
    assert said in found["message"]


def test_a_database_that_doesnt_answer_is_said_to_be_unreachable(
    viewer: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name of its host, without its password."""
    secret = "a-password-that-nobody-may-see"
    fields = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "u", "password": secret, "schema": "s"}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(fields))
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_CONN_ID", "away")
    answer = viewer.get(LIST)
    assert answer.status_code == 503
    assert answer.json()["what"] == "state_unavailable"
    assert secret not in answer.text


def test_a_state_that_cant_be_opened_isnt_waited_for_by_every_request(
    viewer: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The api-server has others to serve: for seconds, the answer is the one that there was."""
    tried: list[int] = []

    def open_state(**_: Any) -> Database:
        tried.append(1)
        raise StateUnavailableError("nobody answers")

    monkeypatch.setattr("cloudindex_provider.plugins.reading.open_state", open_state)
    assert [problem(viewer)["message"] for _ in range(3)] == ["nobody answers"] * 3
    assert len(tried) == 1
    monkeypatch.setattr("cloudindex_provider.plugins.reading._KEPT_FAILED", 0.0)
    problem(viewer)
    assert len(tried) == 2


def test_a_restored_file_is_seen_at_once(viewer: TestClient, known: Known, tmp_path: Path) -> None:
    """No answer comes from a file that is gone."""
    known.sync("old/")
    assert viewer.get(LIST).json()["total"] == 1
    known.db.close()
    other = Database(f"sqlite:///{tmp_path}/other.db")
    other.close()
    for path in tmp_path.glob("state.db-*"):
        path.unlink()
    (tmp_path / "other.db").replace(known.path)
    assert viewer.get(LIST).json()["total"] == 0


@pytest.mark.parametrize("sees_all", [True, False])
def test_keys_of_another_sync_come_with_its_name_for_who_may_see_it(
    viewer: TestClient, known: Known, monkeypatch: pytest.MonkeyPatch, sees_all: bool
) -> None:
    """And with the command that hands them over; for anybody else, with the remedy alone."""
    other = known.sync("docs/a/", dag_id="others")
    other.index("docs/a/1", "docs/a/2")
    sync = known.sync("docs/")
    sync.list("docs/a/1", "docs/a/2", "docs/b")
    if not sees_all:
        from airflow.api_fastapi.app import get_auth_manager

        monkeypatch.setattr(get_auth_manager(), "get_authorized_dag_ids", lambda **_: {"mine"})
    groups = viewer.get(sync.url).json()["groups"]
    [group] = [one for one in groups if one["reason"] == "owned_by_other"]
    assert group["keys"] == 2
    command = f"airflow cloudindex sources adopt --source {sync.source.id} --from {other.source.id}"
    assert (command in group["remedy"], "'others'" in group["remedy"]) == (sees_all, sees_all)
    assert "sources adopt" in group["remedy"]
