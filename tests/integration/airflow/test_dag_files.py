"""The DAG files as the DAG processor meets them: no network, no configuration of ours, and quickly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.views.overview import read_syncs
from cloudindex_provider.state.views.plans import read_plan

DAGS = Path(__file__).parents[3] / "dags"
FILES = ("cloudindex_s3_sync", "cloudindex_s3_sync_simple")
SHIPPED = sorted(path.stem for path in DAGS.glob("*.py"))

MEASURE = """
import json, runpy, socket, sys, time
import airflow.sdk, airflow.models.dag
import airflow.providers.amazon.aws.hooks.s3, airflow.providers.amazon.aws.sensors.s3
import airflow.providers.standard.triggers.temporal
import sqlalchemy
from airflow.dag_processing import dagbag

def refuse(*args, **kwargs):
    raise SystemExit(f"network at parse time: {args[:2]}")
socket.socket.connect = socket.getaddrinfo = refuse

seconds = {}
for path in sys.argv[1:]:
    before = time.process_time()
    runpy.run_path(path)
    seconds[path] = time.process_time() - before
print(json.dumps(seconds))
"""


def test_a_dag_file_costs_less_than_a_second_beyond_airflow_and_needs_no_network(tmp_path):
    paths = [str(DAGS / f"{name}.py") for name in SHIPPED]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, cwd=tmp_path, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seconds = json.loads(done.stdout.splitlines()[-1])
    print({Path(path).name: round(value, 3) for path, value in seconds.items()}, "CPU-seconds")
    assert sum(seconds.values()) < 1.0  # the first file pays for the package's own modules


@pytest.fixture(scope="module")
def bag(airflow_db):
    from airflow.dag_processing.dagbag import BundleDagBag

    return BundleDagBag(dag_folder=DAGS, bundle_path=DAGS, bundle_name="dags-folder")


def test_every_file_is_a_dag_of_its_name_that_loads_without_complaint_and_explains_itself(bag):
    """Those that run by a person's word have no schedule."""
    assert bag.import_errors == {}
    assert sorted(bag.dags) == SHIPPED
    assert all(dag.doc_md for dag in bag.dags.values())
    assert {name for name, dag in bag.dags.items() if dag.schedule is None} == set(SHIPPED) - set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_sync_is_one_at_a_time_and_says_what_it_needs(bag, name):
    """Its settings are params, and its documentation names the connections."""
    dag = bag.dags[name]
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert {"bucket", "prefix"} <= set(dag.params)
    assert "Prerequisites" in dag.doc_md or "Needs the connections" in dag.doc_md


@pytest.mark.parametrize("name", FILES)
def test_without_a_bucket_a_run_is_green_skips_everything_and_says_why(run, shipped, world, caplog, name):
    """A DAG that was copied and unpaused before it was filled in doesn't fail each hour."""
    ran = run(shipped(name))
    assert ran.state == "success"
    states = {task: ran.states(task) for task in ran.tasks if task != "bucket_is_set"}
    assert set(map(tuple, states.values())) == {("skipped",)}
    assert (ran.log + caplog.text).count("No bucket is set, so nothing is synced") >= 1
    assert world.ci.requests == []


@pytest.mark.parametrize("name", FILES)
def test_a_dry_run_is_followed_by_a_run_of_exactly_its_plan(run, shipped, world, name):
    """By params, as the page starts it: the dry run changes nothing, and a run that is bound to its hash does it."""
    world.put("documents/a.txt")
    assert run(shipped(name), bucket=world.bucket).state == "success"
    world.put("documents/new.txt")
    assert run(shipped(name), bucket=world.bucket, dry_run=True).state == "success"
    assert not world.has("documents/new.txt")
    db = Database(f"sqlite:///{os.environ['AIRFLOW__CLOUDINDEX__STATE_PATH']}", must_exist=True)
    plan = read_plan(db, read_syncs(db)[0].source.id)
    db.close()
    assert plan is not None
    assert (plan.dag_id, {action: total.keys for action, total in plan.totals.items()}) == (name, {"upload": 1})
    assert run(shipped(name), bucket=world.bucket, dry_run=False, plan_hash=plan.hash).state == "success"
    assert world.has("documents/new.txt")


def test_the_policy_in_the_documentation_is_what_the_sync_needs_and_no_more(shipped):
    text = shipped("cloudindex_s3_sync").doc_md
    policy = json.loads(text.split("```json")[1].split("```")[0])
    allowed = {statement["Action"]: statement for statement in policy["Statement"]}
    assert set(allowed) == {"s3:ListBucket", "s3:GetObject"}
    assert allowed["s3:ListBucket"]["Resource"] == "arn:aws:s3:::YOUR-BUCKET"
    assert allowed["s3:ListBucket"]["Condition"] == {"StringLike": {"s3:prefix": ["documents/*"]}}
    assert allowed["s3:GetObject"]["Resource"] == "arn:aws:s3:::YOUR-BUCKET/documents/*"
