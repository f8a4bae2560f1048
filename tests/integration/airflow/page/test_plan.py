"""The plan of a dry run on the page: what would be done, and who may have exactly that done by which request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from cloudindex_provider.state import drifts, plans
from cloudindex_provider.state.plans import PlanKey, Planned
from cloudindex_provider.state.records import RunName
from tests.integration.airflow.page.conftest import Kept, Known

SignIn = Callable[[str | None], TestClient]
KEYS = ("<b>\u202e.txt", "a", "b/1", "b/2")


def make_plan(sync: Kept, *, dag: str = "mine", run: str = "dry", **more: Any) -> None:
    made = Planned()
    made.add(PlanKey("upload", key, "new", 10) for key in KEYS)
    made.add([PlanKey("delete", "gone", "removed", 7)])
    values: dict[str, Any] = {"plan_hash": "abc", "held": None, "of_keys": None} | more
    plans.save_plan(sync.db, sync.source, RunName(dag, run, "t"), made, **values)


def shown(browser: TestClient, sync: Kept) -> dict[str, Any]:
    answer = browser.get(f"{sync.url}/plan")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["plan"]
    return found


@pytest.fixture
def sync(known: Known) -> Kept:
    return known.sync()


@pytest.fixture
def with_params(server: Any) -> Iterator[Callable[[list[str]], None]]:
    """Airflow has read the DAG ``mine``, with these params; and the dry run, with a conf."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.sdk import DAG, Param
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunType

    def forget() -> None:
        with create_session() as session:
            session.query(DagRun).delete()
            session.query(SerializedDagModel).filter(SerializedDagModel.dag_id == "mine").delete()

    def read(names: list[str]) -> None:
        dag = DAG(
            "mine", schedule=None, params={name: Param(None, type=["null", "string", "boolean"]) for name in names}
        )
        with create_session() as session:
            assert session.get(DagBundleModel, "dags-folder") is not None
            SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), bundle_name="dags-folder", session=session)
            run = DagRun(dag_id="mine", run_id="dry", run_type=DagRunType.MANUAL)
            run.conf = {"bucket": "b", "dry_run": True}
            run.state = "success"
            session.add(run)

    forget()
    yield read
    forget()


def test_there_is_no_plan_before_a_dry_run(sign_in: SignIn, sync: Kept) -> None:
    viewer = sign_in("viewer")
    assert shown(viewer, sync) is None
    assert viewer.get(sync.url).json()["plan"] is None


def test_a_plan_is_shown_in_numbers_and_key_by_key(sign_in: SignIn, sync: Kept) -> None:
    """Deletes first; its keys as they are, in pages."""
    make_plan(sync, held="too many")
    viewer = sign_in("viewer")
    assert viewer.get(sync.url).json()["plan"] == {"dag_id": "mine", "run_id": "dry"}
    plan = shown(viewer, sync)
    assert (plan["hash"], plan["held"], plan["overtaken"], plan["ran"]) == ("abc", "too many", None, None)
    assert plan["totals"] == [
        {"action": "delete", "keys": 1, "bytes": 7, "kept": 1}, {"action": "upload", "keys": 4, "bytes": 40, "kept": 4},
    ]  # fmt: skip

    def page(**params: Any) -> dict[str, Any]:
        found: dict[str, Any] = viewer.get(
            f"{sync.url}/plan/keys", params={"plan": plan["id"], "action": "upload", **params}
        ).json()
        return found

    first = page(limit=2)
    assert [one["key"] for one in first["keys"]] == ["<b>\u202e.txt", "a"]
    assert [one["key"] for one in page(limit=2, after=first["after"])["keys"]] == ["b/1", "b/2"]
    assert [one["key"] for one in page(prefix="b/")["keys"]] == ["b/1", "b/2"]
    assert page(action="delete")["keys"] == [{"key": "gone", "kind": "removed", "size": 7, "reason": None}]
    assert page(plan=plan["id"] + 1) == {"keys": [], "after": None}


@pytest.mark.parametrize("params", [{}, {"plan": 1}, {"plan": 0, "action": "upload"}, {"plan": 1, "action": "odd"}])
def test_what_makes_no_sense_is_refused(sign_in: SignIn, sync: Kept, params: dict[str, Any]) -> None:
    assert sign_in("viewer").get(f"{sync.url}/plan/keys", params=params).status_code == 422


def test_a_plan_that_was_overtaken_says_by_what(sign_in: SignIn, sync: Kept) -> None:
    """By a run that found something else to do; or by one that did what there was, unbound."""
    make_plan(sync)
    viewer = sign_in("viewer")
    plans.mark_overtaken(sync.db, sync.source, "abc")
    assert "did nothing" in shown(viewer, sync)["overtaken"]
    make_plan(sync)
    assert shown(viewer, sync)["overtaken"] is None
    sync.list("a")
    assert "without being bound" in shown(viewer, sync)["overtaken"]


def test_who_may_trigger_the_dag_can_have_exactly_the_plan_done(
    sign_in: SignIn, sync: Kept, with_params: Callable[[list[str]], None]
) -> None:
    """By what the dry run was triggered with, bound to the hash and no dry run; a viewer is told what it takes."""
    with_params(["bucket", "dry_run", "plan_hash"])
    make_plan(sync)
    start = shown(sign_in("user"), sync)["start"]
    assert start == {"dag_id": "mine", "conf": {"bucket": "b", "dry_run": False, "plan_hash": "abc"}}
    plan = shown(sign_in("viewer"), sync)
    assert plan["start"] is None
    assert "right to trigger" in plan["cant_start"]


@pytest.mark.parametrize("params", [[], ["dry_run"], ["plan_hash"]])
def test_a_dag_that_cant_be_bound_is_not_started(
    sign_in: SignIn, sync: Kept, with_params: Callable[[list[str]], None], params: list[str]
) -> None:
    """A run of it would do whatever there is by then, or be a dry run again; what to do instead is said."""
    with_params(params)
    make_plan(sync)
    plan = shown(sign_in("admin"), sync)
    assert plan["start"] is None
    assert "plan_hash" in plan["cant_start"]


def test_a_plan_of_named_keys_or_of_a_command_is_not_started(
    sign_in: SignIn, sync: Kept, with_params: Callable[[list[str]], None]
) -> None:
    """The first needs the same keys, the second has no DAG."""
    with_params(["dry_run", "plan_hash"])
    make_plan(sync, of_keys="hash of keys")
    assert "named keys" in shown(sign_in("admin"), sync)["cant_start"]
    make_plan(sync, dag="", run="cli__1")
    assert "no DAG" in shown(sign_in("admin"), sync)["cant_start"]


def test_a_sync_that_was_only_planned_is_seen_by_who_may_read_its_dag(sign_in: SignIn, known: Known) -> None:
    """It has no run yet."""
    sync = known.sync()
    with sync.db.write() as connection:
        connection.exec_driver_sql("DELETE FROM run")
    make_plan(sync)
    [one] = sign_in("viewer").get("/cloudindex/api/syncs").json()["syncs"]
    assert (one["headline"], one["dag_ids"]) == ("Planned, and not run yet", ["mine"])


def test_what_the_last_comparison_has_queued_is_listed(sign_in: SignIn, sync: Kept) -> None:
    """The keys of the drift, with what had become of them."""
    with sync.db.write() as connection:
        drifts.note_drift(connection, sync.source.id, ["b", "a"], "somebody has deleted it")
    viewer = sign_in("viewer")
    found = viewer.get(f"{sync.url}/drift").json()
    assert found["keys"] == [{"key": key, "reason": "somebody has deleted it"} for key in "ab"]
    assert viewer.get(f"{sync.url}/drift", params={"prefix": "b"}).json()["keys"][0]["key"] == "b"
