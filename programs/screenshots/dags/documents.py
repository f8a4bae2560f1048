"""The syncs that the screenshots show, each in a single task."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param

from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

SYNCS: dict[str, dict[str, Any]] = {
    "handbook": {"bucket": "acme-company", "prefix": "handbook/", "max_failed_documents": 100},
    "contracts": {"bucket": "acme-legal", "prefix": "contracts/", "on_mass_delete": "skip"},
    "product_docs": {"bucket": "acme-products", "prefix": "docs/"},
    "price_lists": {"bucket": "acme-sales", "prefix": "prices/"},
    "support": {"bucket": "acme-support", "prefix": "articles/"},
}

for name, settings in SYNCS.items():
    with DAG(
        name,
        schedule="@hourly",
        start_date=datetime.fromisoformat(os.environ["SCREENSHOTS_START"]),  # nothing runs by itself meanwhile
        catchup=False,
        max_active_runs=1,
        params={"dry_run": Param(False, type="boolean"), "plan_hash": Param(None, type=["null", "string"])},
        tags=["cloudindex", "s3"],
    ) as dag:
        S3ToCloudIndexOperator(
            task_id="sync",
            retries=1,
            retry_delay=timedelta(seconds=1),
            dry_run="{{ params.dry_run }}",
            plan_hash="{{ params.plan_hash }}",
            **settings,
        )
    globals()[name] = dag
