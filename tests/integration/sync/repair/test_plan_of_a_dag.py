"""``airflow cloudindex plan --dag-id D --task-id T``: the settings as the DAG has them, to the letter or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from cloudindex_provider.errors import DeletesHeldError
from tests.integration.sync.repair.conftest import Cli
from tests.support.mirror import Mirror

Write = Callable[[str], None]
HEAD = """
from airflow.sdk import DAG, task
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex

"""


@pytest.fixture
def write(airflow_home: Path, mirror: Mirror) -> Iterator[Write]:
    """Writes a file with a DAG ``d``; ``BUCKET`` stands for the mirror's."""
    path = airflow_home / "dags" / "plan_of_a_dag.py"

    def write(text: str) -> None:
        path.write_text(HEAD + dedent(text).replace("BUCKET", repr(mirror.bucket)))

    yield write
    path.unlink(missing_ok=True)


@pytest.fixture
def emptied(mirror: Mirror) -> Mirror:
    """Eight synced documents, three of whose objects are gone."""
    mirror.put_many(8)
    mirror.run()
    mirror.remove(*(f"{number:04d}.txt" for number in range(3)))
    return mirror


def summary(answer: Any) -> dict[str, Any]:
    assert answer.code in (0, 1), answer.err
    found: dict[str, Any] = answer.json["summary"]
    return found


def test_the_limits_of_the_task_decide_what_is_held(emptied: Mirror, cli: Cli, write: Write) -> None:
    """In one task and in a group, named by the task, the group or not at all; an option of the command wins."""
    strict = "max_delete_documents=2, max_delete_percent=30"
    write(f"""
    with DAG("d", schedule=None):
        S3ToCloudIndexOperator(task_id="one", bucket=BUCKET, prefix="docs/", {strict})
    with DAG("e", schedule=None):
        s3_to_cloudindex(group_id="group", bucket=BUCKET, prefix="docs/", {strict})
    """)
    tasks = (
        ["d"], ["d", "-t", "one"], ["e"], ["e", "-t", "group"], ["e", "-t", "group.report"],
        ["e", "--task-id", "group.upload_documents"],
    )  # fmt: skip
    for names in tasks:
        found = summary(cli("plan", "--dag-id", *names, "-o", "json"))
        assert (found["deletes"], "max_delete_documents (2)" in str(found["held"])) == (3, True), names
    assert summary(cli("plan", "-d", "d", "--max-delete-percent", 40, "-o", "json"))["held"] is None
    with pytest.raises(DeletesHeldError):
        emptied.run(max_delete_documents=2, max_delete_percent=30)


def test_what_the_task_keeps_is_not_announced_as_a_delete(emptied: Mirror, cli: Cli, write: Write) -> None:
    """``on_removed``, ``keys`` and the selection are the task's."""
    write("""
    with DAG("d", schedule=None):
        S3ToCloudIndexOperator(task_id="keeps", bucket=BUCKET, prefix="docs/", on_removed="keep", dry_run=True)
        S3ToCloudIndexOperator(task_id="named", bucket=BUCKET, prefix="docs/", keys=["docs/0001.txt"])
        S3ToCloudIndexOperator(task_id="selects", bucket=BUCKET, prefix="docs/", include="*.md")
    """)
    emptied.put("new.md")
    emptied.put("new.txt")

    def items(task: str) -> list[tuple[str, str]]:
        found = cli("plan", "-d", "d", "-t", task, "-o", "json").json["items"]
        return [(one["action"], one["key"]) for one in found]

    assert {action for action, _ in items("keeps")} == {"keep", "upload"}
    assert items("named") == [("delete", "docs/0001.txt")]
    assert ("upload", "docs/new.md") in items("selects")
    assert ("upload", "docs/new.txt") not in items("selects")


def test_templates_are_rendered_with_the_params(mirror: Mirror, cli: Cli, write: Write) -> None:
    """As text and as native values, with the DAG's defaults or ``--conf``, and dates where one is given."""
    write("""
    params = {"prefix": "docs/", "keys": ["docs/a.txt"]}
    with DAG("d", schedule=None, params=params, render_template_as_native_obj=True):
        S3ToCloudIndexOperator(task_id="t", bucket=BUCKET, prefix="{{ params.prefix }}", keys="{{ params['keys'] }}")
    with DAG("e", schedule=None, user_defined_macros={"low": str.lower}):
        S3ToCloudIndexOperator(task_id="t", bucket=BUCKET, prefix="docs/", include=["{{ low('*') }}{{ ds }}*"])
    """)
    mirror.put("a.txt")
    mirror.put("b.txt")
    mirror.put("2026-01-31.txt")

    def keys(*words: Any) -> list[str]:
        answer = cli("plan", *words, "-o", "json")
        assert answer.code == 0, answer.err
        return [one["key"] for one in answer.json["items"]]

    assert keys("-d", "d") == ["docs/a.txt"]
    assert keys("-d", "d", "--conf", '{"keys": ["docs/b.txt"]}') == ["docs/b.txt"]
    assert keys("-d", "d", "-c", '{"prefix": "docs/b"}', "--key", "docs/b.txt") == ["docs/b.txt"]
    assert keys("-d", "e", "--logical-date", "2026-01-31") == ["docs/2026-01-31.txt"]
    assert "--logical-date" in cli("plan", "-d", "e", "--logical-date", "soon").error
    assert "--conf" in cli("plan", "-d", "d", "--conf", "[1]").error


def test_what_only_a_run_knows_is_named_and_never_taken_for_nothing(mirror: Mirror, cli: Cli, write: Write) -> None:
    """An unknown prefix would be the whole bucket: the sentence names each argument, why, and the option to give."""
    write("""
    with DAG("d", schedule=None):
        @task
        def prefix():
            return "docs/"
        S3ToCloudIndexOperator(task_id="other", bucket=BUCKET, prefix=prefix(), keys=[prefix()])
        S3ToCloudIndexOperator(task_id="undefined", bucket=BUCKET, prefix="{{ params.nothing }}")
        S3ToCloudIndexOperator(task_id="pulls", bucket=BUCKET, prefix="{{ ti.xcom_pull('x') }}")
        S3ToCloudIndexOperator(task_id="dated", bucket=BUCKET, prefix="{{ ds }}/")
        S3ToCloudIndexOperator(task_id="fails", bucket=BUCKET, prefix="{{ 1 / 0 }}")
        S3ToCloudIndexOperator.partial(task_id="mapped", bucket=BUCKET).expand(prefix=["docs/", "other/"])
        S3ToCloudIndexOperator.partial(task_id="more", bucket=BUCKET).expand_kwargs([{"prefix": "docs/"}])
    """)
    mirror.put("a.txt")
    why = {
        "other": "keys: it comes from another task; prefix: it comes from another task", "pulls": "'ti' is undefined",
        "undefined": "no attribute 'nothing'", "dated": "'ds' is undefined", "fails": "ZeroDivisionError",
        "mapped": "prefix: it is mapped", "more": "prefix: it is mapped",
    }  # fmt: skip
    for name, reason in why.items():
        error = cli("plan", "-d", "d", "-t", name).error
        assert reason in error
        assert "--prefix" in error
        given = ["--prefix", "docs/", *(["--key", "docs/a.txt"] if name == "other" else [])]
        answer = cli("plan", "-d", "d", "-t", name, *given, "-o", "json")
        assert [one["key"] for one in answer.json["items"]] == ["docs/a.txt"]


def test_a_dag_or_task_that_is_not_there_is_named_with_those_that_are(cli: Cli, write: Write) -> None:
    """One sentence each."""
    write("""
    with DAG("d", schedule=None):
        S3ToCloudIndexOperator(task_id="one", bucket=BUCKET)
        s3_to_cloudindex(group_id="two", bucket=BUCKET)
    """)
    assert "There is no DAG 'nowhere'." in cli("plan", "-d", "nowhere").error
    assert "has no single task that syncs; of those that do it has one, two." in cli("plan", "-d", "d").error
    assert "no task 'three' that syncs" in cli("plan", "-d", "d", "-t", "three").error
    assert "--task-id is given without" in cli("plan", "-t", "three").error
    assert "No bucket is named. Use --bucket, or --dag-id" in cli("plan").error
    write("1 / 0")
    assert "These files can't be imported: " in cli("plan", "-d", "d").error


def test_the_state_and_the_connections_are_the_tasks(
    mirror: Mirror, cli: Cli, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task with a state of its own is planned by it."""
    import os

    mirror.put_many(2)
    mirror.run()
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(tmp_path / "other.db"))
    for name in ("AWS", "CLOUDINDEX"):
        monkeypatch.setenv(f"AIRFLOW_CONN_MY_{name}", os.environ[f"AIRFLOW_CONN_{name}_DEFAULT"])
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}_DEFAULT")
    write(f"""
    with DAG("d", schedule=None, default_args={{"aws_conn_id": "my_aws", "cloudindex_conn_id": "my_cloudindex"}}):
        S3ToCloudIndexOperator(task_id="t", bucket=BUCKET, prefix="docs/", state_url="sqlite:///{mirror.db.name}")
    """)
    assert summary(cli("plan", "-d", "d", "-o", "json"))["uploads"] == 0
    assert not (tmp_path / "other.db").exists()


def test_a_plan_is_compared_with_the_one_that_the_task_is_bound_to(mirror: Mirror, cli: Cli, write: Write) -> None:
    """Exit code 1 where the run would find another one, and so do nothing."""
    mirror.put("a.txt")
    where = ("--bucket", mirror.bucket, "--prefix", "docs/")
    known = summary(cli("plan", *where, "-o", "json"))["hash"]
    assert cli("plan", *where, "--plan-hash", known).code == 0
    mirror.put("b.txt")
    answer = cli("plan", *where, "--plan-hash", known)
    assert answer.code == 1
    assert f"It isn't the plan {known}: a run that is bound to that one does nothing." in answer.out


def test_the_selection_is_compared_with_the_tasks_own_last_one(emptied: Mirror, cli: Cli, write: Write) -> None:
    """Removals wait for the next run where the selection has changed since the task's last: also in its plan."""
    from cloudindex_provider.state.records import RunName
    from cloudindex_provider.sync.run import synchronize

    write("""
    with DAG("d", schedule=None):
        s3_to_cloudindex(group_id="group", bucket=BUCKET, prefix="docs/", max_delete_percent=50, exclude=["*.md"])
    """)
    assert "the selection has changed" in summary(cli("plan", "-d", "d", "-o", "json"))["held"]
    ctx = emptied.context(selection=_without_md(emptied), on_removed="keep")
    ctx.name = RunName("d", "run", "group")
    synchronize(ctx)
    assert summary(cli("plan", "-d", "d", "-o", "json"))["held"] is None


def _without_md(mirror: Mirror) -> Any:
    from dataclasses import replace

    return replace(mirror.settings().selection, exclude=("*.md",))
