"""The same sync in a single task: the least there is to write, and enough for most prefixes."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param

from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

DOC = """
### S3 to CloudIndex, in one task

What `cloudindex_s3_sync` does, without its own tasks for every step. Needs the connections `aws_default` (allowed
`s3:ListBucket` and `s3:GetObject`) and `cloudindex_default`. The report is the task's return value and in its log.
"""

with DAG(
    dag_id="cloudindex_s3_sync_simple",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "bucket": Param("your-bucket", type="string", minLength=3, description="S3 bucket, its name alone"),
        "prefix": Param("documents/", type="string", description="Only keys that start with this"),
    },
    tags=["cloudindex", "s3"],
    doc_md=DOC,
) as dag:
    S3ToCloudIndexOperator(task_id="sync", bucket="{{ params.bucket }}", prefix="{{ params.prefix }}")
