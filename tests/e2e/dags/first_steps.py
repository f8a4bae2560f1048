"""A first sync in one task, with the connections that the test makes in the UI."""

from airflow.sdk import DAG

from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

with DAG("first_steps", schedule=None, max_active_runs=1):
    S3ToCloudIndexOperator(
        task_id="sync",
        bucket="company-docs",
        prefix="handbook/",
        aws_conn_id="first_aws",
        cloudindex_conn_id="first_cloudindex",
    )
