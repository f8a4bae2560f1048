"""What the command line does, without a shell: by operators, and by the DAG that runs one of them."""

from __future__ import annotations

import copy
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cloudindex_provider.errors import DeletesHeldError, PlanChangedError, SettingsError, StateError, SyncFailedError
from cloudindex_provider.operators import cloudindex_care, cloudindex_repair
from cloudindex_provider.operators.cloudindex import CloudIndexDeleteDocumentOperator
from cloudindex_provider.operators.cloudindex_care import (
    CloudIndexAllowDeletesOperator,
    CloudIndexForgetSourceOperator,
    CloudIndexKeyHistoryOperator,
    CloudIndexListHoldsOperator,
    CloudIndexListSourcesOperator,
    CloudIndexRetryKeysOperator,
)
from cloudindex_provider.operators.cloudindex_repair import (
    CloudIndexAuditOperator,
    CloudIndexPlanOperator,
    CloudIndexPruneOperator,
    CloudIndexRebuildOperator,
)
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

KEYS = ["documents/a.txt", "documents/b.txt", "documents/c.txt"]


@pytest.fixture
def filled(world: Any) -> Any:
    """Three documents are indexed, by source 1."""
    world.put(*KEYS)
    world.sync()
    return world


@pytest.fixture
def care(shipped: Any) -> Any:
    """Does an action as the DAG's task does, with its params rendered; gives the result."""
    dag = shipped("cloudindex_care")

    def do(action: str, **params: Any) -> Any:
        given = copy.deepcopy(dag.params)
        given.update({"action": action, **params})
        task = copy.deepcopy(dag.get_task(action))
        context = {"params": given.validate(), "dag_run": SimpleNamespace(triggering_user_name="ann")}
        task.render_template_fields(context)
        return task.execute(context)

    return do


def sql(world: Any, tmp_path: Path, statement: str) -> None:
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute(statement)
    connection.close()


def delete(world: Any, key: str) -> None:
    """Somebody deletes the key's document in CloudIndex."""
    [one] = [one["id"] for one in world.ci.documents() if one["fileName"] == file_name(world.bucket, key)]
    CloudIndexDeleteDocumentOperator(task_id="t", document_ids=[one]).execute({})


@pytest.mark.parametrize("keys", [[], KEYS[:2]])
def test_the_history_of_no_key_and_of_two_is_refused(filled: Any, care: Any, keys: list[str]) -> None:
    """They were taken for one, of their joined names."""
    with pytest.raises(SettingsError, match="key names no key") as caught:
        care("history", source=1, keys=keys)
    assert "one whole S3 key" in caught.value.hint


def test_the_dag_looks_and_lets_the_next_run_do_what_a_person_has_decided(
    filled: Any, care: Any, tmp_path: Path
) -> None:
    """Sources, history, plan, retry and audit: each answers with numbers, and the sync does what was asked for."""
    [source] = care("sources")
    assert (source["id"], source["bucket"], source["prefix"]) == (1, filled.bucket, "documents/")
    assert (source["documents"], source["statuses"]) == (3, {"indexed": 3})
    sql(filled, tmp_path, f"UPDATE object SET status = 'quarantined', attempts = 3 WHERE key = '{KEYS[0]}'")
    assert care("retry", source=1, all_quarantined=True) == {"source": 1, "released": 1}
    told = care("history", source=1, keys=[KEYS[0]])
    assert (told["now"]["status"], told["events"][-1]["event"]) == ("pending", "released")
    assert told["events"][-1]["reason"] == "operator action by ann"  # who has triggered the run
    filled.sync()
    filled.put(KEYS[1], body=b"another text")
    filled.put("documents/late.pdf")
    settings = {"exclude": ["*.pdf"], "max_delete_percent": 50}
    plan = care("plan", bucket=filled.bucket, prefix="documents/", settings=settings)
    assert (plan["uploads"], plan["deletes"], plan["first"]["upload"]) == (1, 0, [KEYS[1]])
    with sqlite3.connect(tmp_path / "state.db") as connection:  # for the page
        assert connection.execute("SELECT hash FROM plan").fetchall() == [(plan["hash"],)]
    with pytest.raises(PlanChangedError):
        S3ToCloudIndexOperator(task_id="t", bucket=filled.bucket, prefix="documents/", plan_hash=plan["hash"]).execute(
            {}
        )
    bound = {"exclude": ["*.pdf"], "plan_hash": plan["hash"]}
    report = S3ToCloudIndexOperator(task_id="t", bucket=filled.bucket, prefix="documents/", **bound).execute({})
    assert (report["uploaded"], report["indexed"]) == (1, 1)


def test_the_dag_audits_and_puts_right(filled: Any, care: Any) -> None:
    """What is gone is found without being touched, with ``repair`` queued, and uploaded by the next run."""
    delete(filled, KEYS[2])
    found = care("audit", source=1)
    assert (found["clean"], found["found"]["gone"], found["repaired"]) == (False, 1, {})
    assert care("audit", source=1, repair=True)["repaired"] == {"gone": 1}
    filled.sync()
    assert filled.has(KEYS[2])
    assert care("audit", source=1)["clean"] is True


def test_the_dag_releases_held_deletes(filled: Any, care: Any) -> None:
    """Holds are shown, and what a person allows the next run does."""
    more = [f"documents/{number}.txt" for number in range(20)]
    filled.put(*more)
    filled.sync()
    filled.remove(*more)
    S3ToCloudIndexOperator(task_id="t", bucket=filled.bucket, prefix="documents/", on_mass_delete="skip").execute({})
    [hold] = care("holds")
    assert (hold["source_id"], hold["removed"], hold["live"]) == (1, 20, 23)
    given = care("approve", source=1, ceiling=20, days=2)
    assert (given["ceiling"], given["user"]) == (20, "ann")
    filled.sync()
    assert len(filled.ci.documents()) == 3
    assert care("holds") == []


def test_the_dag_makes_a_lost_state_again_and_hands_keys_over_and_forgets_only_when_told_so(
    filled: Any, care: Any, tmp_path: Path
) -> None:
    """Without ``confirm`` nothing changes; with it rows are made, given and dropped, and no document is touched."""
    documents, where = filled.ci.documents(), {"bucket": filled.bucket, "prefix": "documents/"}
    (tmp_path / "state.db").unlink()
    assert care("rebuild", **where)["rebuilt"] is None
    made = care("rebuild", **where, confirm=True)
    assert (made["survey"]["keys"], made["rebuilt"]["indexed"]) == (3, 3)
    S3ToCloudIndexOperator(task_id="t", bucket=filled.bucket, prefix="documents/a").execute({})
    [narrow] = [one["id"] for one in care("sources") if one["prefix"] == "documents/a"]
    assert care("adopt", source=narrow, giver=1)["keys"] == 1
    assert care("forget", source=1) == {"source": 1, "keys": 2, "forgotten": False}
    assert care("forget", source=1, confirm=True) == {"source": 1, "keys": 2, "forgotten": True}
    assert [one["id"] for one in care("sources")] == [narrow]
    assert filled.ci.documents() == documents


def test_a_run_of_the_dag_does_one_action_and_skips_the_others(filled: Any, run: Any, shipped: Any) -> None:
    """With the params of its form; who has triggered it stands in the history, and no secret stands anywhere."""
    ran = run(shipped("cloudindex_care"), action="approve", source=1, ceiling=2)
    assert ran.state == "success"
    assert {name for name in ran.tasks if ran.states(name) != ["skipped"]} == {"choose", "approve"}
    assert (ran.value("approve")["ceiling"], ran.value("approve")["user"]) == (2, "dag_test")
    assert "must-never-be-seen" not in ran.stored + ran.log


def test_a_form_that_is_not_filled_in_is_one_sentence_and_one_try(filled: Any, run: Any, shipped: Any) -> None:
    """The action's own task says what is missing."""
    ran = run(shipped("cloudindex_care"), action="retry")
    assert (ran.state, ran.tasks["retry"]) == ("failed", [("failed", 1)])
    assert "source isn't given" in ran.log


def test_the_dag_prunes_what_a_narrowed_selection_leaves_out_only_when_told_so(filled: Any, care: Any) -> None:
    """First it says what would go; with ``confirm`` that goes, and within the limits of removals alone."""
    where = {"bucket": filled.bucket, "prefix": "documents/", "settings": {"exclude": ["*/c.txt"]}}
    narrowed = S3ToCloudIndexOperator(task_id="t", bucket=filled.bucket, prefix="documents/", exclude=["*/c.txt"])
    narrowed.execute({})
    told = care("prune", **where)
    assert (told["keep"], told["first"]["keep"]) == (1, [KEYS[2]])  # the task that has filled it selects it still
    where["ignore"] = [["", "setup"]]
    told = care("prune", **where)
    assert (told["delete"], told["deleted"], told["first"]["delete"]) == (1, 0, [KEYS[2]])
    assert filled.has(KEYS[2])
    with pytest.raises(DeletesHeldError, match="ceiling of 0"):
        CloudIndexPruneOperator(task_id="t", **where, ceiling="0", confirm=True).execute({})
    assert care("prune", **where, confirm=True)["deleted"] == 1
    assert [filled.has(key) for key in KEYS] == [True, True, False]


def test_every_command_has_its_action(airflow_home: Path, shipped: Any) -> None:
    """But those that are for another place: copying DAGs, setting AWS up, and bringing a state up to date, as every
    sync does by itself.
    """
    from cloudindex_provider.cli.definition import get_cloudindex_cli_commands

    [group] = get_cloudindex_cli_commands()
    commands = {one.name for one in group.subcommands} - {"sources", "dags", "iam-policy", "migrate", "notifications"}
    [sources] = [one for one in group.subcommands if one.name == "sources"]
    commands |= {"sources", *(one.name for one in sources.subcommands if one.name != "list")}
    assert set(shipped("cloudindex_care").params.get_param("action").schema["enum"]) == commands


def test_a_sync_of_a_whole_bucket_is_planned_by_its_own_word(filled: Any, care: Any) -> None:
    """A prefix that was forgotten in the form is no whole bucket."""
    with pytest.raises(SettingsError, match="the whole bucket"):
        care("plan", bucket=filled.bucket)
    assert care("plan", bucket=filled.bucket, whole_bucket=True)["counts"]["listed"] == 3


REFUSED = [
    (CloudIndexRetryKeysOperator, {"source": 1}, "which keys to try again"),
    (CloudIndexRetryKeysOperator, {"source": 1, "all_failed": True, "all_quarantined": "True"}, "which keys"),
    (CloudIndexRetryKeysOperator, {"source": 1, "keys": '["documents/none.txt"]'}, "no such key"),
    (CloudIndexRetryKeysOperator, {"source": "None", "all_failed": True}, "source isn't given"),
    (CloudIndexKeyHistoryOperator, {"source": 1, "key": "documents/none.txt"}, "knows nothing of the key"),
    (CloudIndexAllowDeletesOperator, {"source": 1, "ceiling": 0}, "allows nothing"),
    (CloudIndexAllowDeletesOperator, {"source": 1, "ceiling": "None"}, "ceiling isn't given"),
    (CloudIndexAllowDeletesOperator, {"source": 1, "ceiling": 3, "days": 0}, "days is 0"),
    (CloudIndexForgetSourceOperator, {"source": 9, "confirm": True}, "no source 9"),
    (CloudIndexForgetSourceOperator, {"source": 1, "confirm": "perhaps"}, "Use true or false"),
    (CloudIndexAuditOperator, {"source": 1, "stuck_hours": -1}, "stuck_hours"),
    (CloudIndexPlanOperator, {"bucket": "s3://b"}, "no bucket name"),
    (CloudIndexPlanOperator, {"bucket": "b-1", "settings": {"max_delet": 3}}, "no setting 'max_delet'"),
    (CloudIndexPlanOperator, {"bucket": "b-1", "settings": "[1]"}, "settings is no mapping"),
    (CloudIndexPruneOperator, {"bucket": "b-1", "ignore": '["a", "b"]'}, "ignore is no list of pairs"),
    (CloudIndexPruneOperator, {"bucket": "b-1", "sync_dag_id": "a"}, "both"),
    (CloudIndexPruneOperator, {"bucket": "b-1"}, "no source"),
]


@pytest.mark.parametrize(("operator", "arguments", "sentence"), REFUSED)
def test_what_the_command_line_refuses_is_refused_by_the_same_sentence(
    filled: Any, operator: Any, arguments: dict[str, Any], sentence: str
) -> None:
    """Wrong arguments fail at once, whatever ``retries`` says, and change nothing."""
    with pytest.raises(SettingsError, match=sentence) as caught:
        operator(task_id="t", **arguments).execute({})
    assert not caught.value.retryable


def test_a_rebuild_of_a_state_that_is_there_wants_to_replace_it(filled: Any) -> None:
    """As on the command line."""
    with pytest.raises(StateError, match="has 3 keys in the state already"):
        CloudIndexRebuildOperator(task_id="t", bucket=filled.bucket, prefix="documents/", confirm=True).execute({})
    again = CloudIndexRebuildOperator(
        task_id="t", bucket=filled.bucket, prefix="documents/", confirm="True", replace="True"
    ).execute({})
    assert again["rebuilt"]["indexed"] == 3


def test_an_audit_is_red_only_where_that_is_asked_for(filled: Any) -> None:
    """Findings are a result; with ``fail_on_findings`` an error with the same result as its report."""
    delete(filled, KEYS[0])
    found = CloudIndexAuditOperator(task_id="t", source="1").execute({})
    with pytest.raises(SyncFailedError, match="differ: gone 1") as caught:
        CloudIndexAuditOperator(task_id="t", source=1, fail_on_findings=True).execute({})
    assert caught.value.report == found


@pytest.mark.parametrize("operator", [CloudIndexListSourcesOperator, CloudIndexListHoldsOperator])
def test_what_only_looks_begins_no_state(world: Any, tmp_path: Path, operator: Any) -> None:
    """A wrong place is named, not filled."""
    with pytest.raises(StateError, match="There is no state"):
        operator(task_id="t").execute({})
    assert not (tmp_path / "state.db").exists()


def test_every_operator_is_in_the_dag_of_care(shipped: Any) -> None:
    """A new one needs its action."""
    names = {name for module in (cloudindex_care, cloudindex_repair) for name in module.__all__}
    expected = {name for name in names if name.startswith("CloudIndex")}
    assert {type(one).__name__ for one in shipped("cloudindex_care").tasks} - {
        "_BranchPythonDecoratedOperator"
    } == expected
