"""A sync that tells what has changed, and who is scheduled on that: by the sync's alias, and by the asset's URI. And a
sync that is told by events of S3's asset what has changed."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.sdk import DAG, Asset, task

from cloudindex_provider.assets.cloudindex import create_asset, sync_alias
from cloudindex_provider.transfers.s3_to_cloudindex import KEYS_FROM_ASSET_EVENTS, s3_to_cloudindex

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


# The other way round: a sync by the keys that events of an S3 asset name, of a task and of Airflow's API.
files = Asset(f"s3://by-events/{PREFIX}")

with DAG("named_by_events", schedule=files, max_active_runs=1):
    s3_to_cloudindex(bucket="by-events", prefix=PREFIX, keys=KEYS_FROM_ASSET_EVENTS)

with DAG("writes_files", schedule=None):

    @task(outlets=[files])
    def write(*, outlet_events: Any = None) -> None:
        outlet_events[files].extra = {"keys": [f"{PREFIX}a.txt", "elsewhere/b.txt"]}

    write()
