"""Keep a CloudIndex project in step with an S3 prefix: sensor, detection, mapped uploads, waiting, removals, report."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from airflow.sdk import DAG, Param, get_current_context, task

from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

DOC = """
### S3 to CloudIndex

Makes every object under an S3 prefix searchable in a CloudIndex project, follows every change, and removes what S3 no
longer has. What a run has done is in the log and the return value of its `report` task.

**Prerequisites**
* the connection `cloudindex_default` (host: the API's base URL, password: an API key, extra `project_id`),
* the connection `aws_default`, whose identity has this policy:

```json
{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::YOUR-BUCKET",
     "Condition": {"StringLike": {"s3:prefix": ["documents/*"]}}},
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::YOUR-BUCKET/documents/*"}
  ]
}
```

`s3:ListBucket` belongs to the bucket and `s3:GetObject` to its objects. Without `s3:ListBucket` S3 answers 403 instead
of 404 for a missing key, and then nothing is ever deleted. Objects under SSE-KMS also need `kms:Decrypt` on their key.
No write permission is used.

**Settings** are the DAG's params: `bucket`, `prefix`, `file_types` (empty: all that CloudIndex documents). Without a
bucket everything is skipped: set it here, where the params are, or trigger the DAG with one.

**Looking first.** Trigger it with `dry_run`: nothing is uploaded or deleted, and the tab CloudIndex of that run lists
what a run would do, with a button that runs exactly this (`plan_hash`), or nothing where S3 has changed meanwhile.

**Reading the result.** `listed = unchanged + new + changed + skipped`, and every new or changed key ends as exactly one
of `indexed, failed, quarantined, deferred, gone, elsewhere`. The run is red when a task or a document failed; the
`report` task names what. `deferred` keys are left to the next run. `held` removals are more than the limits allow:
look at the bucket, then raise `max_delete_documents` for one run, or leave things as they are.

The sensor only waits for a first document. After a minute it ends green, and detection runs all the same, because an
emptied prefix must not hide removals.
"""

with DAG(
    dag_id="cloudindex_s3_sync",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "data"},
    params={
        "bucket": Param(None, type=["null", "string"], minLength=3, description="S3 bucket, its name alone"),
        "prefix": Param("documents/", type="string", minLength=1, description="Only keys that start with this"),
        "file_types": Param([], type="array", items={"type": "string"}, description="Extensions; empty: all supported"),
        "dry_run": Param(False, type="boolean", description="Only plan: the page CloudIndex shows what a run would do"),
        "plan_hash": Param(None, type=["null", "string"], description="Do the plan with this hash, or nothing"),
    },
    tags=["cloudindex", "s3"],
    doc_md=DOC,
) as dag:

    @task.short_circuit
    def bucket_is_set() -> bool:
        """Skips all that follows, whatever its trigger rules, where nobody has said yet what to sync."""
        bucket = get_current_context()["params"]["bucket"]
        if not bucket:
            logging.getLogger(__name__).warning(
                "No bucket is set, so nothing is synced: set its param in the DAG's file, or trigger it with one."
            )
        return bool(bucket)

    bucket_is_set() >> s3_to_cloudindex(
        bucket="{{ params.bucket }}",
        prefix="{{ params.prefix }}",
        file_types="{{ params.file_types | tojson }}",
        wait_for_documents=True,
        dry_run="{{ params.dry_run }}",
        plan_hash="{{ params.plan_hash }}",
    )
