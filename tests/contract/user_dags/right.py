"""A DAG as somebody with ``mypy --strict`` writes it: values, templates, outputs of tasks, mapping. All is right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Asset, Context, task, task_group

from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.operators.cloudindex import CloudIndexQueryOperator
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.sensors.cloudindex import CloudIndexProcessingSensor
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex


def tell(context: Context) -> None:
    """Hears of failures."""


with DAG("handbook", schedule="@hourly", start_date=datetime(2026, 1, 1, tzinfo=UTC), max_active_runs=1) as dag:

    @task
    def prefixes() -> list[str]:
        return ["a/", "b/"]

    @task
    def keys() -> list[str]:
        return ["handbook/a.pdf"]

    @task_group
    def mirror(prefix: str) -> None:
        s3_to_cloudindex(bucket="company-docs", prefix=prefix)

    group = s3_to_cloudindex(
        bucket="company-docs",
        prefix="handbook/",
        file_types=["pdf", "md"],
        exclude="{{ params.exclude }}",
        max_delete_percent=12.5,
        max_run_time=timedelta(minutes=30),
        processing_timeout=600,
        stuck_after=None,
        wait_for_documents=True,
        sensor_timeout=timedelta(minutes=5),
        pool="uploads",
        deferrable=True,
        retries=3,
        retry_delay=timedelta(seconds=30),
        retry_policy=CloudIndexRetryPolicy(),
        outlets=[Asset("handbook")],
        on_failure_callback=tell,
        on_success_callback=[tell],
        queue="documents",
    )
    named = S3ToCloudIndexOperator(task_id="named", bucket="company-docs", prefix="handbook/", keys=["handbook/a.pdf"])
    given = S3ToCloudIndexOperator(task_id="given", bucket="company-docs", prefix="handbook/", keys=named.output)
    many = S3ToCloudIndexOperator.partial(task_id="many", bucket="company-docs").expand(prefix=["a/", "b/"])
    ask = CloudIndexQueryOperator(task_id="ask", query="How many days of leave?")
    wait = CloudIndexProcessingSensor(task_id="wait", document_ids=["1"], deferrable=True)
    group >> named >> given >> many
    given >> [ask, wait]
    s3_to_cloudindex(group_id="more", bucket="company-docs", prefix="more/", keys=given.output)
    s3_to_cloudindex(group_id="chosen", bucket="company-docs", prefix="more/", keys=keys())
    mirror.expand(prefix=prefixes())

with CloudIndexHook("cloudindex_default").session() as client:
    client.query("leave")
