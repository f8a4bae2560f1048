"""A sync that tells what has changed, and who is scheduled on that: by the sync's alias, and by the asset's URI."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.sdk import DAG, Asset, task

from cloudindex_provider.assets.cloudindex import create_asset, sync_alias
from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

BUCKET, PREFIX = "told", "documents/"
CONNECTION = json.loads(os.environ["AIRFLOW_CONN_CLOUDINDEX_DEFAULT"])
PROJECT = CONNECTION["extra"]["project_id"]

with DAG("told", schedule=None, max_active_runs=1):
    s3_to_cloudindex(bucket=BUCKET, prefix=PREFIX)


def consumer(dag_id: str, schedule: Any) -> DAG:
    with DAG(dag_id, schedule=schedule) as dag:

        @task
        def heard(triggering_asset_events: Any = None) -> list[dict[str, int]]:
            """What has changed, by each event; one that has an alias stands there under both."""
            return [
                event.extra["changes"]
                for asset, events in triggering_asset_events.items()
                for event in events
                if isinstance(asset, Asset)
            ]

        heard()
    return dag


by_alias = consumer("hears_by_alias", sync_alias("told", "s3_to_cloudindex"))
by_uri = consumer(
    "hears_by_uri", create_asset(project_id=PROJECT, bucket=BUCKET, prefix=PREFIX, base_url=CONNECTION["host"])
)
