"""The shipped group of tasks on several workers, and a sync whose state they could not share."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex

BUCKET = {"bucket": Param("", type="string")}

with DAG("scale_out", schedule=None, max_active_runs=1, params=BUCKET):
    s3_to_cloudindex(
        bucket="{{ params.bucket }}",
        prefix="documents/",
        upload_tasks=4,
        wait_for_documents=True,
        sensor_poke_interval=2,
        retry_delay=timedelta(seconds=5),  # a task whose worker is killed is tried again after this
    )

with DAG("state_on_one_disk", schedule=None, max_active_runs=1, params=BUCKET):
    S3ToCloudIndexOperator(
        task_id="sync", bucket="{{ params.bucket }}", prefix="documents/", state_url="sqlite:////nowhere/state.db"
    )
