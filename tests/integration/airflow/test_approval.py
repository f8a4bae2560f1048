"""Asking a person about held removals: the DAG that asks, what it is given, and where the answer is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG

from cloudindex_provider.errors import SettingsError, StateError
from cloudindex_provider.hooks.state import open_state
from cloudindex_provider.operators.cloudindex_approval import APPROVAL_DAG_ID, CloudIndexApproveDeletesOperator
from cloudindex_provider.state.approvals import open_holds
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex

KEYS = [f"documents/{number}.txt" for number in range(6)]
LIMITS: dict[str, Any] = {"max_delete_documents": 1, "on_mass_delete": "approve"}


@pytest.fixture
def held(world):
    """Six documents, five of whose objects are gone."""
    world.put(*KEYS)
    world.sync()
    world.remove(*KEYS[1:])
    return world


@pytest.fixture
def approval_dag(airflow_db, shipped):
    """The approval DAG as Airflow knows it once its file is there; paused, as a new DAG is."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select, update

    DagBundlesManager().sync_bundles_to_db()
    folder = airflow_db / "dags"
    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
    bag.bag_dag(shipped(APPROVAL_DAG_ID))
    sync_bag_to_db(bag, "dags-folder", None)

    class Known:
        @staticmethod
        def pause(paused: bool) -> None:
            with create_session() as session:
                session.execute(update(DagModel).where(DagModel.dag_id == APPROVAL_DAG_ID).values(is_paused=paused))

        @staticmethod
        def questions() -> list[dict[str, Any]]:
            with create_session() as session:
                return list(session.scalars(select(DagRun.conf).where(DagRun.dag_id == APPROVAL_DAG_ID)))

    yield Known()
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.dag_id == APPROVAL_DAG_ID))
        session.execute(delete(DagModel).where(DagModel.dag_id == APPROVAL_DAG_ID))


def group(world, **more) -> DAG:
    with DAG("asking", schedule=None) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", retry_delay=0, **LIMITS, **more)
    return dag


def single(world, **more) -> DAG:
    with DAG("asking_alone", schedule=None) as dag:
        S3ToCloudIndexOperator(task_id="sync", bucket=world.bucket, prefix="documents/", **LIMITS, **more)
    return dag


def answered(option: str = "Approve") -> dict[str, Any]:
    """What a person's answer looks like."""
    user = {"id": "1", "name": "ada"}
    return {
        "chosen_options": [option], "params_input": {}, "responded_at": datetime.now(UTC), "responded_by_user": user,
    }  # fmt: skip


def asker(conf: dict[str, Any], **changes: Any) -> CloudIndexApproveDeletesOperator:
    """The approval DAG's task, rendered with a run's conf."""
    names = ("subject", "body", "hold", "project_id", "bucket", "prefix", "ceiling", "state_conn_id", "state_url")
    return CloudIndexApproveDeletesOperator(task_id="approve", **{name: conf[name] for name in names} | changes)


def test_without_the_approval_dag_one_sentence_says_how_to_get_it(run, held):
    ran = run(group(held))
    assert ran.tasks["delete_removed"] == [("failed", 1)]
    assert f"Airflow has no DAG {APPROVAL_DAG_ID} to ask with" in ran.log
    assert "Copy it into Airflow's DAGs folder by `airflow cloudindex dags --copy-to DIR`" in ran.log
    assert len(held.ci.documents()) == 6


@pytest.mark.parametrize(("make", "task"), [(group, "delete_removed"), (single, "sync")])
@pytest.mark.parametrize("paused", [True, False])
def test_asked_already_or_paused_is_a_warning_and_the_sync_stays_green(
    run, held, approval_dag, caplog, make, task, paused
):
    approval_dag.pause(paused)
    for number in range(2):
        caplog.clear()
        ran = run(make(held))
        assert (ran.state, ran.tasks[task]) == ("success", [("success", 1)])
        assert ran.value(task)["held"] == 5
        assert ("was asked for already" in caplog.text) == (number > 0)
        assert ("which is paused: unpause it" in caplog.text) == paused
        assert len(approval_dag.questions()) == 1
    assert len(held.ci.documents()) == 6


def test_airflow_does_not_warn_of_an_operator_within_an_operator(run, held, approval_dag, monkeypatch):
    """It would tell the reader of the log of code that isn't theirs."""
    log = Mock()
    monkeypatch.setattr(TriggerDagRunOperator, "log", log)
    run(single(held))
    assert len(approval_dag.questions()) == 1
    log.warning.assert_not_called()


def test_the_question_names_its_hold_and_its_state(run, held, approval_dag, tmp_path):
    url = f"sqlite:///{tmp_path}/of its own.db"
    held.put(*KEYS)
    S3ToCloudIndexOperator(task_id="setup", bucket=held.bucket, prefix="documents/", state_url=url).execute({})
    held.remove(*KEYS[1:])
    run(group(held, state_url=url))
    (conf,) = approval_dag.questions()
    db = open_state(state_url=url)
    (hold,) = open_holds(db)
    db.close()
    assert (conf["hold"], conf["bucket"], conf["prefix"]) == (hold.token, held.bucket, "documents/")
    assert (conf["project_id"], conf["ceiling"]) == (held.ci.project_id, 5)
    assert (conf["state_url"], conf["state_conn_id"]) == (url, "")
    assert conf["subject"] == "Delete 5 of 6 documents?"
    shown = [line.strip() for line in conf["body"].splitlines() if line.startswith("    ")]
    assert shown == [f"'{key}' ({len(f'the text of {key}')} bytes)" for key in KEYS[1:]]  # a block of code
    for way in ("The page CloudIndex", f"approve --source {hold.source_id} --ceiling 5", "the limit that is named"):
        assert way in conf["body"]


def test_two_states_ask_two_questions_and_an_answer_reaches_its_own(run, held, approval_dag, tmp_path):
    """Their holds have one number, and each source has it, too."""
    url = f"sqlite:///{tmp_path}/other.db"
    held.put(*KEYS)
    S3ToCloudIndexOperator(task_id="setup", bucket=held.bucket, prefix="documents/", state_url=url).execute({})
    held.remove(*KEYS[1:])
    run(group(held))
    run(group(held, state_url=url))
    first, second = sorted(approval_dag.questions(), key=lambda conf: conf["state_url"])
    asker(second).execute_complete({}, answered())
    assert approvals() == []
    assert approvals(url) == [(5, "ada")]
    with pytest.raises(SettingsError, match="nothing was approved"):
        asker(second | {"state_url": ""}).execute_complete({}, answered())
    with pytest.raises(SettingsError, match="nothing was approved"):
        asker(first | {"bucket": "another-bucket"}).execute({})
    assert approvals() == []
    assert run(group(held)).value("delete_removed")["held"] == 5
    assert run(group(held, state_url=url)).value("delete_removed")["deleted"] == 5


def approvals(url: str | None = None) -> list[tuple[int, str]]:
    from sqlalchemy import text

    db = open_state(state_url=url)
    with db.read() as connection:
        found = [tuple(row) for row in connection.execute(text("SELECT ceiling, approved_by FROM approval"))]
    db.close()
    return found


def test_a_state_that_is_not_there_is_not_begun_by_an_answer(held, tmp_path):
    conf = {
        "subject": "s", "body": "b", "hold": "h", "project_id": "p", "bucket": "b", "prefix": "", "ceiling": 1,
        "state_conn_id": "", "state_url": f"sqlite:///{tmp_path}/nowhere.db",
    }  # fmt: skip
    with pytest.raises(StateError, match=r"no state in .*nowhere\.db"):
        asker(conf).execute_complete({}, answered())
    assert not (tmp_path / "nowhere.db").exists()
