"""What the tests of the page look at: syncs in a single task each, so that a run takes seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param

from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

SYNCS: dict[str, dict[str, Any]] = {
    "page_failing": {"on_removed": "keep"},
    "page_planned": {"dry_run": "{{ params.dry_run }}", "plan_hash": "{{ params.plan_hash }}"},
    "page_held": {"on_mass_delete": "skip", "max_delete_documents": 1, "max_delete_percent": 1},
}

PARAMS = {
    "bucket": Param("", type="string"),
    "dry_run": Param(False, type="boolean"),
    "plan_hash": Param(None, type=["null", "string"]),
}

for name, settings in SYNCS.items():
    params = {param: PARAMS[param] for param in PARAMS if param == "bucket" or param in settings}
    with DAG(name, schedule=None, max_active_runs=1, params=params) as dag:
        S3ToCloudIndexOperator(
            task_id="sync",
            bucket="{{ params.bucket }}",
            prefix="documents/",
            retries=1,
            retry_delay=timedelta(seconds=1),
            **settings,
        )
    globals()[name] = dag
