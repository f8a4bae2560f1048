"""Mistakes that a type checker finds before Airflow does. Each line with a mark is refused, and no other."""

from __future__ import annotations

from airflow.sdk import DAG

from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator, s3_to_cloudindex

with DAG("mistakes", schedule=None):
    s3_to_cloudindex(bucket="company-docs", prefix=None)  # refused
    s3_to_cloudindex(bucket="company-docs", prefix=2024)  # refused
    s3_to_cloudindex(bucket="company-docs", keys={"handbook/a.pdf": 1}, upload_tasks=[4])  # refused
    s3_to_cloudindex(bucket="company-docs", on_failure_callback="tell")  # refused
    S3ToCloudIndexOperator(task_id="none", bucket="company-docs", keys=None)  # refused
    S3ToCloudIndexOperator(task_id="nothing")  # refused
