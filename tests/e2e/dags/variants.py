"""The group of the shipped DAG, once for each scenario of the end-to-end tests, so that they run side by side."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param

from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

VARIANTS: dict[str, dict[str, Any]] = {
    "approved": {"on_mass_delete": "approve", "max_delete_documents": 1, "max_delete_percent": 1},
    "cleared": {"cloudindex_conn_id": "cloudindex_quick"},
    "emptied": {"wait_for_documents": True, "sensor_timeout": 4, "sensor_poke_interval": 2},
    "one_task_fails": {},
    "secrets": {"retry_delay": timedelta(seconds=5)},
    "slow_processing": {"cloudindex_conn_id": "cloudindex_slow", "deferrable": True},
    "rate_limited": {"retry_delay": timedelta(seconds=300)},
}

for name, settings in VARIANTS.items():
    with DAG(name, schedule=None, max_active_runs=1, params={"bucket": Param("", type="string")}) as dag:
        s3_to_cloudindex(bucket="{{ params.bucket }}", prefix="documents/", **settings)
    globals()[name] = dag
