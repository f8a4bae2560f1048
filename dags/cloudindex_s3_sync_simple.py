"""The same sync in a single task: the least there is to write, and enough for most prefixes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Param
from airflow.sdk.exceptions import AirflowSkipException

from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

DOC = """
### S3 to CloudIndex, in one task

What `cloudindex_s3_sync` does, without its own tasks for every step. Needs the connections `aws_default` (allowed
`s3:ListBucket` and `s3:GetObject`) and `cloudindex_default`. The report is the task's return value and in its log.
Without a bucket it is skipped: set it here, where the params are, or trigger the DAG with one.
"""


def needs_bucket(context: dict[str, Any]) -> None:
    """Skips the task where nobody has said yet what to sync."""
    if not context["params"]["bucket"]:
        raise AirflowSkipException(
            "No bucket is set, so nothing is synced: set its param in the DAG's file, or trigger it with one."
        )


with DAG(
    dag_id="cloudindex_s3_sync_simple",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "bucket": Param(None, type=["null", "string"], minLength=3, description="S3 bucket, its name alone"),
        "prefix": Param("documents/", type="string", minLength=1, description="Only keys that start with this"),
        "dry_run": Param(False, type="boolean", description="Only plan: the page CloudIndex shows what a run would do"),
        "plan_hash": Param(None, type=["null", "string"], description="Do the plan with this hash, or nothing"),
    },
    tags=["cloudindex", "s3"],
    doc_md=DOC,
) as dag:
    S3ToCloudIndexOperator(
        task_id="sync",
        bucket="{{ params.bucket }}",
        prefix="{{ params.prefix }}",
        dry_run="{{ params.dry_run }}",
        plan_hash="{{ params.plan_hash }}",
        pre_execute=needs_bucket,
    )
