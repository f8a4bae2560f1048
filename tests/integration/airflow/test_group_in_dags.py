"""The group among other tasks: skips, failures before it and in it, setups, groups around it, and what is its own."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, TaskGroup, task_group
from airflow.sdk import task as as_task
from airflow.sdk.exceptions import AirflowSkipException

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

_NUMBERS = itertools.count()
STEPS = ("detect_changes", "upload_documents", "wait_until_processed", "delete_removed", "report")
SENSOR = pytest.mark.parametrize("sensor", [False, True], ids=["plain", "sensor"])


def a_dag(**more):
    return DAG(f"among_{next(_NUMBERS)}", schedule=None, **more)


def a_group(world, group_id="s3_to_cloudindex", **more):
    arguments = {"bucket": world.bucket, "prefix": "documents/", "sensor_timeout": 0} | more
    return s3_to_cloudindex(group_id=group_id, **arguments)


def states(ran, group="s3_to_cloudindex"):
    """The states of a group's tasks, its sensor first where it has one."""
    name = "{}" if group == "s3_to_cloudindex" else f"{group}.{{}}"
    steps = [name.format(step) for step in ("wait_for_documents", *STEPS)]
    return [state for step in steps if step in ran.tasks for state in ran.states(step)]


@as_task
def passes(value=None):
    return value


@as_task
def fails():
    raise ValueError("on purpose")


@as_task
def skips(value=None):
    raise AirflowSkipException


@as_task(trigger_rule="all_done")
def tolerates():
    """Goes on after everything."""


@SENSOR
def test_a_branch_not_taken_skips_the_whole_group_and_the_run_is_green(run, world, sensor):
    world.put("documents/a.txt")
    with a_dag() as dag:

        @as_task.branch
        def choose():
            return "other"

        @as_task
        def other():
            pass

        choose() >> [a_group(world, wait_for_documents=sensor), other()]
    ran = run(dag)
    assert (ran.state, set(states(ran)), ran.states("other")) == ("success", {"skipped"}, ["success"])
    assert world.names == []
    assert len(states(ran)) == 5 + sensor


@SENSOR
def test_a_branch_taken_runs_the_group(run, world, sensor):
    world.put("documents/a.txt")
    with a_dag() as dag:

        @as_task.branch
        def choose():
            return "s3_to_cloudindex.wait_for_documents" if sensor else "s3_to_cloudindex.detect_changes"

        choose() >> [a_group(world, wait_for_documents=sensor), passes.override(task_id="other")()]
    ran = run(dag)
    assert (ran.state, set(states(ran)), ran.states("other")) == ("success", {"success"}, ["skipped"])


@SENSOR
@pytest.mark.parametrize("respected", [False, True], ids=["ignoring_rules", "by_rules"])
def test_a_short_circuit_skips_the_whole_group_and_what_follows_it(run, world, sensor, respected):
    world.put("documents/a.txt")
    with a_dag() as dag:

        @as_task.short_circuit(ignore_downstream_trigger_rules=not respected)
        def worth_it():
            return False

        worth_it() >> a_group(world, wait_for_documents=sensor) >> passes()
    ran = run(dag)
    assert (ran.state, set(states(ran)), ran.states("passes")) == ("success", {"skipped"}, ["skipped"])
    assert world.names == []


def test_a_skipped_task_whose_output_is_a_setting_skips_the_whole_group(run, world):
    """By reference and by template, whose other parts have a value; also where just one of two tasks is skipped."""
    world.put("documents/a.txt")
    with a_dag() as dag:
        skipped, given = skips(), passes("documents/")
        a_group(world, group_id="alone", prefix=skipped)
        a_group(world, group_id="one_of_two", prefix=given, keys=skipped)
        pulls = a_group(world, group_id="template", prefix="{{ ti.xcom_pull(task_ids='skips')['prefix'] }}")
        skipped >> pulls
    ran = run(dag)
    assert ran.state == "success"
    for group in ("alone", "one_of_two", "template"):
        assert set(states(ran, group)) == {"skipped"}
    assert world.names == []


def test_a_branch_beside_another_tasks_output_skips_the_whole_group(run, world):
    """That the task of a setting has succeeded is no success of the sync."""
    world.put("documents/a.txt")
    with a_dag() as dag:

        @as_task.branch
        def choose():
            return "other"

        group = a_group(world, prefix=passes("documents/"))
        choose() >> [group, passes.override(task_id="other")()]
    ran = run(dag)
    assert (ran.state, set(states(ran))) == ("success", {"skipped"})


@SENSOR
def test_a_failure_before_the_group_makes_it_red_without_doing_anything(run, world, sensor):
    world.put("documents/a.txt")
    with a_dag() as dag:
        fails() >> a_group(world, wait_for_documents=sensor)
    ran = run(dag)
    assert (ran.state, states(ran)) == ("failed", ["upstream_failed"] * (4 + sensor) + ["failed"])
    assert ran.tasks["report"] == [("failed", 1)]
    assert "The sync didn't run, because a task before it failed." in ran.log
    assert world.names == []


@SENSOR
def test_a_failure_that_was_tolerated_before_the_group_is_not_its_own(run, world, sensor):
    world.put("documents/a.txt")
    with a_dag() as dag:
        [fails(), skips()] >> tolerates() >> a_group(world, wait_for_documents=sensor)
    ran = run(dag)
    assert (ran.state, set(states(ran))) == ("success", {"success"})
    assert world.has("documents/a.txt")


def test_the_sensors_own_time_is_tolerated_and_removals_are_made(run, world):
    world.put("documents/a.txt", "documents/b.txt")
    world.sync()
    world.remove("documents/a.txt", "documents/b.txt")
    with a_dag(default_args={"mode": "reschedule"}) as dag:
        a_group(world, wait_for_documents=True, max_delete_documents=5)
    ran = run(dag)
    assert ran.states("wait_for_documents") == ["success"]
    assert "No document has appeared within 0 s." in ran.log
    assert ran.states("detect_changes") == ["success"]


def test_a_sensor_that_fails_makes_the_run_red_and_is_named(run, world):
    with a_dag() as dag:
        a_group(world, bucket="no-such-bucket-anywhere", wait_for_documents=True)
    ran = run(dag)
    assert (ran.state, states(ran)) == ("failed", ["failed", *["upstream_failed"] * 4, "failed"])
    assert "The sync isn't complete, because of s3_to_cloudindex.wait_for_documents." in ran.log


def test_a_setup_before_and_a_teardown_after_the_group_surround_it(run, world):
    world.put("documents/a.txt")
    with a_dag() as dag:
        before: Any = passes.override(task_id="before")().as_setup()
        after = passes.override(task_id="after")().as_teardown(setups=before)
        before >> a_group(world, wait_for_documents=True) >> after
    dag.check_cycle()
    dag.validate()
    ran = run(dag)
    assert (ran.state, set(states(ran)), ran.states("after")) == ("success", {"success"}, ["success"])


def test_the_output_of_a_setup_as_an_argument_is_refused_by_airflow_in_one_sentence(world):
    """Every task of the group would follow the setup, the report with a rule that setups don't allow."""
    with a_dag() as dag:
        a_group(world, prefix=passes("documents/").as_setup())
    with pytest.raises(ValueError, match="Setup tasks must be followed with trigger rule ALL_SUCCESS"):
        dag.validate()


def test_a_dag_that_fails_fast_refuses_the_group_in_one_sentence(world):
    with (
        a_dag(fail_fast=True),
        pytest.raises(SettingsError, match="'s3_to_cloudindex' can't be in a DAG with fail_fast"),
    ):
        a_group(world)


def test_chained_groups_judge_each_their_own_steps(run, world):
    """The second goes on after a tolerated failure of the first; both within a group around them."""
    world.put("documents/a.txt")
    with a_dag() as dag, TaskGroup("around"):
        first = a_group(world, group_id="first", bucket="no-such-bucket-anywhere", retries=0)
        first >> tolerates() >> a_group(world, group_id="second")
    ran = run(dag)
    assert ran.states("around.first.report") == ["failed"]
    assert set(states(ran, "around.second")) == {"success"}
    assert world.has("documents/a.txt")


def test_a_mapped_group_syncs_each_prefix_by_itself(run, world):
    """An upload in each has threads, because Airflow maps no task of a mapped group; one that fails is red alone."""
    world.put(*[f"a/{i:02d}.txt" for i in range(45)], "b/1.txt", "elsewhere/secret.txt")
    with a_dag() as dag:

        @task_group
        def mirror(prefix):
            s3_to_cloudindex(bucket=world.bucket, prefix=prefix)

        mirror.expand(prefix=passes(["a/", "b/", "nothing/", ""]))
    ran = run(dag)
    assert ran.state == "failed"
    name = "mirror.s3_to_cloudindex.{}"
    assert ran.states(name.format("report")) == ["success", "success", "success", "failed"]
    assert ran.states(name.format("upload_documents")) == ["success", "success", "skipped", "upstream_failed"]
    assert [report["indexed"] for report in ran.xcoms[name.format("report"), "return_value"]] == [45, 1, 0]
    assert "because of mirror.s3_to_cloudindex.detect_changes[3]." in ran.log
    assert len(world.names) == 46


def test_a_branch_not_taken_skips_a_mapped_group(run, world):
    """Airflow maps the later steps all the same, when it hasn't mapped the first one, which was skipped."""
    world.put("documents/a.txt")
    with a_dag() as dag:

        @as_task.branch
        def choose():
            return "other"

        @task_group
        def mirror(prefix):
            a_group(world, prefix=prefix)

        choose() >> [mirror.expand(prefix=passes(["documents/", "b/"])), passes.override(task_id="other")()]
    ran = run(dag)
    assert (ran.state, ran.states("other")) == ("success", ["success"])
    assert {state for name in ran.tasks if name.startswith("mirror.") for state in ran.states(name)} == {"skipped"}
    assert world.names == []


def test_a_mapped_group_of_no_prefix_is_skipped(run, world):
    world.put("documents/a.txt")
    with a_dag() as dag:

        @task_group
        def mirror(prefix):
            a_group(world, prefix=prefix)

        mirror.expand(prefix=passes([]))
    ran = run(dag)
    assert ran.state == "success"
    assert world.names == []


def test_default_args_reach_the_tasks_and_what_the_group_is_given_goes_before_them(run, world):
    """Also those of a group around it; the sensor has the same connection as the sync."""
    world.put("documents/a.txt", "elsewhere/secret.txt")
    world.monkeypatch.setenv("AIRFLOW_CONN_AWS_OTHER", __import__("os").environ["AIRFLOW_CONN_AWS_DEFAULT"])
    world.monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    defaults = {
        "bucket": world.bucket, "prefix": "documents/", "aws_conn_id": "aws_other", "retries": 0, "deferrable": True,
        "retry_delay": timedelta(seconds=7), "pool": "default_pool", "max_delete_documents": 3, "timeout": 0.0,
    }  # fmt: skip
    around: Any = {"queue": "q", "upload_tasks": 2}
    with a_dag(default_args=defaults) as dag, TaskGroup("around", default_args=around):
        s3_to_cloudindex(wait_for_documents=True, max_delete_documents=4)
    tasks = {name.rpartition(".")[2]: task for name, task in dag.task_dict.items()}
    assert {task.retries for task in tasks.values()} == {0}
    assert {task.retry_delay for task in tasks.values()} == {timedelta(seconds=7)}
    assert {task.queue for task in tasks.values()} == {"q"}
    assert (tasks["wait_for_documents"].timeout, tasks["wait_for_documents"].aws_conn_id) == (0.0, "aws_other")
    assert (tasks["wait_for_documents"].deferrable, tasks["wait_until_processed"].deferrable) == (False, True)
    assert (tasks["detect_changes"].max_delete_documents, tasks["detect_changes"].upload_tasks) == (4, 2)
    ran = run(dag)
    assert ran.state == "success"
    assert len(world.names) == 1


def test_outlets_and_callbacks_of_the_group_are_its_reports(run, world):
    """One asset event a run, after everything; one call, whichever task failed."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    world.put("documents/a.txt")
    called = []

    def note(word):
        return lambda context: called.append((word, context["ti"].task_id.rpartition(".")[2]))

    callbacks = {"on_failure_callback": note("failure"), "on_success_callback": note("success")}
    callbacks["on_skipped_callback"] = note("skipped")
    asset = Asset(f"asset_{world.bucket}")

    def a_run(**more):
        called.clear()
        with a_dag() as dag:
            a_group(world, outlets=[asset], **callbacks, wait_for_documents=True, **more)
        ran = run(dag)
        with create_session() as session:
            events = session.query(AssetEvent).where(AssetEvent.source_dag_id == dag.dag_id).all()
            events = [event for event in events if event.name == asset.name]
            return ran.state, [str(event.source_task_id).rpartition(".")[2] for event in events], list(called)

    assert a_run() == ("success", ["report"], [("success", "report")])
    assert a_run(bucket="no-such-bucket-anywhere") == ("failed", [], [("failure", "report")])
    assert a_run(dry_run=True) == ("success", [], [("skipped", "report")])


def test_which_task_follows_which_end_of_another_is_the_groups_own(world):
    """``default_args`` of a DAG that tolerates failures let no delete follow one; given to the group, it is refused."""
    with a_dag() as plain:
        a_group(world, wait_for_documents=True)
    with a_dag(default_args={"trigger_rule": "all_done"}) as tolerant:
        a_group(world, wait_for_documents=True)
    rules = [{task.task_id: str(task.trigger_rule) for task in dag.tasks} for dag in (plain, tolerant)]
    assert rules[0] == rules[1]
    for name in ("task_id", "trigger_rule", "run_scope"):
        with a_dag(), pytest.raises(SettingsError, match=f"{name} is what s3_to_cloudindex decides"):
            a_group(world, **{name: "all_done"})


def test_other_arguments_of_airflow_are_for_every_task(world):
    with a_dag() as dag:
        a_group(world, wait_for_documents=True, queue="q", execution_timeout=timedelta(hours=2), pool="uploads")
    assert {task.queue for task in dag.tasks} == {"q"}
    assert {task.execution_timeout for task in dag.tasks} == {timedelta(hours=2)}
    pools = {task.task_id.rpartition(".")[2]: task.pool for task in dag.tasks}
    assert {name for name, pool in pools.items() if pool == "uploads"} == {"upload_documents"}


def test_the_report_waits_for_every_upload(world):
    """An upload that fails ends the wait at once; what the others still do is in the report all the same."""
    with a_dag() as dag:
        a_group(world)
    report = dag.get_task("s3_to_cloudindex.report")
    assert "s3_to_cloudindex.upload_documents" in report.upstream_task_ids
