"""Look after the syncs from S3 to CloudIndex without a shell: plan, audit, retry, approve, rebuild, by hand."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from cloudindex_provider.operators.cloudindex_care import (
    CloudIndexAdoptKeysOperator,
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

DOC = """
### CloudIndex care

What `airflow cloudindex` does, for installations without a shell. Trigger it, choose an `action`, fill in what that
needs; the answer is in the log and the return value of the task of that name. Nothing runs by itself, and of
the actions `prune` alone deletes documents. Who may trigger this DAG may do that, and release held deletes.

| action | what it does | params |
| --- | --- | --- |
| `sources` | every source of the state, with its number and what it has | |
| `holds` | deletes that wait for a person's word | |
| `history` | what happened to one key | `source`, `keys` (one) |
| `plan` | what a run would do, with its hash (`plan_hash`) | `bucket`, `prefix` or `whole_bucket`, `settings` |
| `audit` | compares state, S3 and CloudIndex; puts the state right with `repair` | `source` |
| `retry` | lets the next run try keys again | `source`, and `keys`, `all_quarantined` or `all_failed` |
| `approve` | lets the next run delete up to `ceiling` documents, for `days` | `source`, `ceiling` |
| `rebuild` | makes a lost state again, with `confirm`; else says what there is to read | the same |
| `prune` | deletes what a narrowed selection leaves out, with `confirm`; else says what | the same; `ceiling` |
| `adopt` | hands keys over to `source` from `giver` | `source`, `giver` |
| `forget` | drops a source from the state, with `confirm` | `source` |

`settings` are those of the sync's own task that aren't the defaults, by name: `{"include": ["*.pdf"], "on_removed":
"keep"}`. Pause the sync's DAG before `rebuild`, `adopt` and `forget`.
"""
ACTIONS = ("sources", "holds", "history", "plan", "audit", "retry", "approve", "rebuild", "prune", "adopt", "forget")
SOURCE = "{{ params.source }}"
KEYS = "{{ params['keys'] | tojson }}"  # params.keys is a method
ONE_KEY = "{{ params['keys'][0] if params['keys'] | length == 1 else '' }}"
CONNECTIONS = {
    "aws_conn_id": "{{ params.aws_conn_id }}",
    "cloudindex_conn_id": "{{ params.cloudindex_conn_id }}",
}
SYNC: dict[str, Any] = {
    "bucket": "{{ params.bucket }}",
    "prefix": "{{ params.prefix }}",
    "project_id": "{{ params.project_id }}",
    "sync_id": "{{ params.sync_id }}",
    "whole_bucket": "{{ params.whole_bucket }}",
    "settings": "{{ params.settings | tojson }}",
    **CONNECTIONS,
}


def number(text: str) -> Param:
    return Param(None, type=["null", "integer"], minimum=1, description=text)


def flag(text: str) -> Param:
    return Param(False, type="boolean", description=text)


with DAG(
    dag_id="cloudindex_care",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "action": Param("sources", enum=list(ACTIONS), description="What to do"),
        "source": number("Number of the source, as the action `sources` shows it"),
        "keys": Param([], type="array", items={"type": "string"}, description="Whole S3 keys, one a line"),
        "all_quarantined": flag("retry: every quarantined key"),
        "all_failed": flag("retry: every failed key"),
        "ceiling": number("approve: how many documents the next run may delete at most; prune: at once"),
        "days": Param(7, type="number", exclusiveMinimum=0, description="approve: for how long"),
        "giver": number("adopt: number of the source that gives keys away"),
        "bucket": Param("", type="string", description="plan, rebuild, prune: S3 bucket, its name alone"),
        "prefix": Param("", type="string", description="plan, rebuild: only keys that start with this"),
        "whole_bucket": flag("plan, rebuild, prune: the sync has no prefix"),
        "project_id": Param(None, type=["null", "string"], description="plan, rebuild: default: the connection's"),
        "sync_id": Param("", type="string", description="plan, rebuild: the sync's own, where it has one"),
        "settings": Param({}, type="object", description="plan, rebuild: the sync's other settings, by name"),
        "sync_dag_id": Param(None, type=["null", "string"], description="prune: the DAG whose settings these are now"),
        "sync_task_id": Param(None, type=["null", "string"], description="prune: its task or group"),
        "ignore": Param([], type="array", description="prune: [[DAG, task]] that are no more"),
        "repair": flag("audit: put the state right where it differs"),
        "replace": flag("rebuild: replace the keys that the source has in the state"),
        "confirm": flag("rebuild, prune, forget: do it; without this nothing is changed"),
        "aws_conn_id": Param("aws_default", type="string", description="AWS connection"),
        "cloudindex_conn_id": Param("cloudindex_default", type="string", description="CloudIndex connection"),
    },
    tags=["cloudindex", "s3"],
    doc_md=DOC,
) as dag:

    @task.branch
    def choose() -> str:
        """The task of the action's name; the others are skipped."""
        return str(get_current_context()["params"]["action"])

    choose() >> [
        CloudIndexListSourcesOperator(task_id="sources"),
        CloudIndexListHoldsOperator(task_id="holds"),
        CloudIndexKeyHistoryOperator(task_id="history", source=SOURCE, key=ONE_KEY),
        CloudIndexPlanOperator(task_id="plan", **SYNC),
        CloudIndexAuditOperator(task_id="audit", source=SOURCE, repair="{{ params.repair }}", **CONNECTIONS),
        CloudIndexRetryKeysOperator(
            task_id="retry",
            source=SOURCE,
            keys=KEYS,
            all_quarantined="{{ params.all_quarantined }}",
            all_failed="{{ params.all_failed }}",
        ),
        CloudIndexAllowDeletesOperator(
            task_id="approve", source=SOURCE, ceiling="{{ params.ceiling }}", days="{{ params.days }}"
        ),
        CloudIndexRebuildOperator(
            task_id="rebuild", replace="{{ params.replace }}", confirm="{{ params.confirm }}", **SYNC
        ),
        CloudIndexPruneOperator(
            task_id="prune",
            sync_dag_id="{{ params.sync_dag_id }}",
            sync_task_id="{{ params.sync_task_id }}",
            ignore="{{ params.ignore | tojson }}",
            ceiling="{{ params.ceiling }}",
            confirm="{{ params.confirm }}",
            **SYNC,
        ),
        CloudIndexAdoptKeysOperator(task_id="adopt", source=SOURCE, giver="{{ params.giver }}"),
        CloudIndexForgetSourceOperator(task_id="forget", source=SOURCE, confirm="{{ params.confirm }}"),
    ]
